"""Henon's map, Lorenz's flow and flip-flops, term by term and against an independent integration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from recurra.errors import UsageError
from recurra.problems.flip_flop import flip_flop
from recurra.problems.henon import henon_map
from recurra.problems.lorenz import lorenz_field, lorenz_series


def test_henon_term_by_term() -> None:
    rng = np.random.default_rng(0)
    s = rng.normal(size=(4, 3, 2))
    wanted = np.stack([1 - 1.2 * s[..., 0] ** 2 + s[..., 1], 0.4 * s[..., 0]], -1)
    np.testing.assert_allclose(henon_map(torch.from_numpy(s), 1.2, 0.4), wanted, atol=1e-14)


def test_lorenz_equals_an_independent_integration() -> None:
    def field(t: float, s: np.ndarray) -> list[float]:
        x, y, z = s
        return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

    x = lorenz_series(60, dt=0.01, batch=2, skip=3, substeps=4, seed=5)
    assert x.shape == (60, 2, 3) and x.dtype == torch.float64
    for series in x.unbind(1):
        done = solve_ivp(field, (0, 0.59), series[0].numpy(), t_eval=np.arange(60) * 0.01, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(series, done.y.T[: len(series)], atol=1e-5)
    np.testing.assert_allclose(lorenz_field(x[0, 0]), field(0, x[0, 0].numpy()), atol=1e-12)
    assert torch.equal(lorenz_series(5, skip=4, seed=1), lorenz_series(9, skip=0, seed=1)[4:])
    assert lorenz_series(0).shape == (0, 1, 3)


@pytest.mark.parametrize("bits", [1, 3])
def test_flip_flops_remember_the_last_pulse(bits: int) -> None:
    x, targets = flip_flop(300, 5, bits, rate=0.3, seed=2)
    for b in range(5):
        for k in range(bits):
            last = 0.0
            for t in range(300):
                last = float(x[t, b, k]) or last
                assert float(targets[t, b, k]) == last
    assert set(x.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert abs(float((x != 0).float().mean()) - 0.3) < 0.05 and abs(float(x.mean())) < 0.05
    other, _ = flip_flop(300, 5, bits, rate=0.3, seed=3)
    assert not torch.equal(x, other)
    assert flip_flop(0, 2)[1].shape == (0, 2, 3)


def test_messages() -> None:
    with pytest.raises(UsageError, match="rate is 1.5"):
        flip_flop(5, 2, rate=1.5)
    with pytest.raises(UsageError, match="steps is -1, skip is 1000, batch is 1"):
        lorenz_series(-1)
