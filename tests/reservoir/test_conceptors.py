"""Conceptors: their formula, the algebra, and patterns loaded and called up."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.errors import ShapeError, UsageError
from recurra.reservoir import (
    EchoState,
    adapt_aperture,
    conceptor,
    conjunction,
    disjunction,
    evidence,
    load_patterns,
    negate,
    quota,
    similarity,
)
from recurra.unroll import unroll

DOUBLE = torch.float64


def states(seed: int, units: int = 6, rank: int = 6, rows: int = 80) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(rank, units, generator=generator, dtype=DOUBLE)
    return torch.randn(rows, rank, generator=generator, dtype=DOUBLE) @ mix


def test_the_formula() -> None:
    h = states(0)
    r = (h.mT @ h / len(h)).numpy()
    expected = r @ np.linalg.inv(r + 3.0**-2 * np.eye(6))
    np.testing.assert_allclose(conceptor(h, 3.0).numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(conceptor(h.reshape(8, 10, 6), 3.0).numpy(), expected, rtol=1e-10, atol=1e-12)


def test_aperture_adaptation() -> None:
    h = states(0)
    torch.testing.assert_close(adapt_aperture(conceptor(h, 2.0), 5.0), conceptor(h, 10.0))
    low = conceptor(states(1, rank=3), 2.0)
    assert adapt_aperture(low, math.inf).trace().item() == pytest.approx(3)
    assert adapt_aperture(low, 0).abs().max() == 0
    projection = adapt_aperture(low, math.inf)
    torch.testing.assert_close(projection @ projection, projection)


def test_conjunction_of_full_rank_is_the_inverse_formula() -> None:
    a, b = conceptor(states(0), 1.0), conceptor(states(1), 1.0)
    inverse = np.linalg.inv
    expected = inverse(inverse(a.numpy()) + inverse(b.numpy()) - np.eye(6))
    np.testing.assert_allclose(conjunction(a, b).numpy(), expected, rtol=1e-7, atol=1e-9)


def test_laws_of_the_algebra() -> None:
    a, b, c = (conceptor(states(seed), 1.0) for seed in range(3))
    one, zero = torch.eye(6, dtype=DOUBLE), torch.zeros(6, 6, dtype=DOUBLE)
    close = {"rtol": 1e-6, "atol": 1e-8}
    torch.testing.assert_close(negate(negate(a)), a)
    torch.testing.assert_close(conjunction(a, b), conjunction(b, a), **close)
    torch.testing.assert_close(disjunction(a, b), negate(conjunction(negate(a), negate(b))), **close)
    torch.testing.assert_close(conjunction(a, one), a, **close)
    torch.testing.assert_close(conjunction(a, zero), zero, **close)
    torch.testing.assert_close(disjunction(a, zero), a, **close)
    torch.testing.assert_close(
        conjunction(conjunction(a, b), c), conjunction(a, conjunction(b, c)), rtol=1e-5, atol=1e-7
    )


def test_disjunction_is_the_conceptor_of_all_states() -> None:
    """OR adds the correlation matrices, which is what the definition is made for."""
    h, g = states(0), states(1)
    both = conceptor(torch.cat([h, g]) * math.sqrt(2), 1.0)
    torch.testing.assert_close(disjunction(conceptor(h, 1.0), conceptor(g, 1.0)), both, rtol=1e-6, atol=1e-8)


def test_conjunction_of_projections_is_the_intersection() -> None:
    """Hard projections, which have no inverse: planes that meet in a line."""
    basis = torch.linalg.qr(states(3)[:6]).Q
    a = basis[:, :2] @ basis[:, :2].mT
    b = basis[:, 1:3] @ basis[:, 1:3].mT
    torch.testing.assert_close(conjunction(a, b), basis[:, 1:2] @ basis[:, 1:2].mT, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(disjunction(a, b), basis[:, :3] @ basis[:, :3].mT, rtol=1e-6, atol=1e-8)


def test_measures() -> None:
    a, b = conceptor(states(0)), conceptor(states(1, rank=2))
    assert quota(torch.diag(torch.tensor([1.0, 0.5]))).item() == 0.75
    assert similarity(a, a).item() == pytest.approx(1) and similarity(a, b) < 0.9
    h = states(1, rank=2)
    found = evidence(b, h)
    expected = [row @ b.numpy() @ row for row in h.numpy()]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_loaded_patterns_are_told_apart_and_blended() -> None:
    time = torch.arange(800.0, dtype=DOUBLE).unsqueeze(1)
    patterns = [torch.sin(2 * math.pi * time / period) for period in (8.83, 9.83)]
    cell = EchoState(
        1,
        100,
        spectral_radius=1.5,
        input_scale=1.5,
        bias_scale=0.2,
        generator=torch.Generator().manual_seed(2),
        dtype=DOUBLE,
    )
    before = cell.matrix().clone()
    loaded = load_patterns(cell, patterns, aperture=10.0)
    assert torch.equal(cell.matrix(), before)
    which = torch.eye(2, dtype=DOUBLE).expand(1200, 2, 2)
    made = unroll(loaded, which)[0][700:, :, 0].numpy()

    def period(wave: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**16))
        return 2**16 / spectrum.argmax()

    assert period(made[:, 0]) == pytest.approx(8.83, rel=0.01) and period(made[:, 1]) == pytest.approx(9.83, rel=0.01)
    assert 0.8 < np.abs(made).max() < 1.2
    blend = torch.full((1200, 1, 2), 0.5, dtype=DOUBLE)
    assert 8.83 < period(unroll(loaded, blend)[0][700:, 0, 0].numpy()) < 9.83


def test_wrong_arguments() -> None:
    cell = EchoState(1, 10, dtype=DOUBLE)
    with pytest.raises(UsageError, match="aperture is 0"):
        conceptor(states(0), 0)
    with pytest.raises(ShapeError, match=r"states has shape \(6,\)"):
        conceptor(torch.zeros(6))
    with pytest.raises(ShapeError, match=r"conceptors have shapes \(2, 2\) and \(3, 3\)"):
        conjunction(torch.eye(2), torch.eye(3))
    with pytest.raises(UsageError, match="there is no pattern"):
        load_patterns(cell, [])
    with pytest.raises(ShapeError, match=r"patterns\[0\] has 50 steps. Needed: more than 101"):
        load_patterns(cell, [torch.zeros(50, 1, dtype=DOUBLE)])
