"""Hebb's, Storkey's and the pseudo-inverse rule, unit by unit as the papers write them, and what each can store."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import hebbian, pseudo_inverse, storkey


def draw(patterns: int, units: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (patterns, units), generator=generator, dtype=torch.float64) - 1.0


def hebb_by_units(x: np.ndarray, diagonal: bool) -> np.ndarray:
    patterns, units = x.shape
    w = np.zeros((units, units))
    for i in range(units):
        for j in range(units):
            if i != j or diagonal:
                w[i, j] = sum(x[p, i] * x[p, j] for p in range(patterns)) / units
    return w


def storkey_by_units(x: np.ndarray, order: int, diagonal: bool, w: np.ndarray | None = None) -> np.ndarray:
    units = x.shape[1]
    w = np.zeros((units, units)) if w is None else w.copy()
    for pattern in x:
        last = w.copy()

        def h(i: int, j: int, last: np.ndarray = last, pattern: np.ndarray = pattern) -> float:
            return sum(last[i, k] * pattern[k] for k in range(units) if k not in (i, j))

        for i in range(units):
            for j in range(units):
                if i == j and not diagonal:
                    continue
                w[i, j] += (pattern[i] * pattern[j] - pattern[i] * h(j, i) - h(i, j) * pattern[j]) / units
                if order == 2:
                    w[i, j] += h(i, j) * h(j, i) / units
    return w


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize(("patterns", "units"), [(1, 1), (3, 7), (6, 5)])
def test_the_rules_are_the_papers_formulas(patterns: int, units: int, diagonal: bool) -> None:
    x = draw(patterns, units)
    found = {
        "hebbian": (hebbian(x, self_connections=diagonal), hebb_by_units(x.numpy(), diagonal)),
        "first": (storkey(x, self_connections=diagonal), storkey_by_units(x.numpy(), 1, diagonal)),
        "second": (storkey(x, order=2, self_connections=diagonal), storkey_by_units(x.numpy(), 2, diagonal)),
    }
    for name, (ours, formula) in found.items():
        np.testing.assert_allclose(ours.numpy(), formula, atol=1e-13, err_msg=name)
        assert torch.equal(ours, ours.mT), name
        assert diagonal or not ours.diagonal().any(), name


@pytest.mark.parametrize("order", [1, 2])
def test_storing_goes_on_where_it_stopped(order: int) -> None:
    x = draw(6, 9)
    torch.testing.assert_close(storkey(x[4:], storkey(x[:4], order=order), order), storkey(x, order=order))
    torch.testing.assert_close(hebbian(x[4:], hebbian(x[:4])), hebbian(x))
    # Weights from elsewhere, with a diagonal and not symmetric: the formula still holds as it stands.
    w = torch.randn(9, 9, dtype=torch.float64)
    np.testing.assert_allclose(storkey(x, w, order).numpy(), storkey_by_units(x.numpy(), order, False, w.numpy()), 1e-9)


def test_the_pseudo_inverse_projects_onto_the_patterns() -> None:
    x = draw(8, 20)
    x = torch.cat([x, x[:1], (x[:1] + x[1:2]) / 2])  # dependent patterns too
    w = pseudo_inverse(x)
    np.testing.assert_allclose(w.numpy(), np.linalg.pinv(x.numpy()) @ x.numpy(), atol=1e-12)
    torch.testing.assert_close(x @ w, x)
    torch.testing.assert_close(w @ w, w)
    assert torch.equal(w, w.mT) and abs(float(w.trace()) - 8.0) < 1e-12
    bare = pseudo_inverse(x, self_connections=False)
    torch.testing.assert_close(bare, w - torch.diag(w.diagonal()))


@pytest.mark.parametrize("alpha", [0.10, 0.138, 0.15, 0.18])
def test_hebbian_recall_errs_at_the_rate_that_follows_from_crosstalk(alpha: float) -> None:
    """One step from a stored pattern flips a unit with probability erfc(1 / sqrt(2 alpha)) / 2."""
    units = 1000
    x = draw(round(alpha * units), units, seed=1)
    wrong = ((x @ hebbian(x)) * x <= 0).double().mean().item()
    expected = 0.5 * math.erfc(1.0 / math.sqrt(2.0 * alpha))
    spread = math.sqrt(expected / x.numel())
    assert abs(wrong - expected) < 6 * spread + 0.1 * expected


def recalled(w: torch.Tensor, x: torch.Tensor, flips: int) -> float:
    """Share of patterns that are reached exactly from themselves with some units flipped, one unit at a time."""
    state = x.clone()
    for row in range(len(x)):
        state[row, torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(row))[:flips]] *= -1
    for _ in range(10):
        for unit in range(x.shape[1]):
            field = state @ w[unit]
            state[:, unit] = torch.where(field == 0, state[:, unit], field.sign())
    return (state == x).all(-1).double().mean().item()


def test_storkey_and_the_pseudo_inverse_store_more_than_hebb() -> None:
    """At 0.2 N patterns Hebb's rule has broken down; at 0.4 N the first-order Storkey rule too, not the projection."""
    x = draw(20, 100, seed=2)
    assert recalled(hebbian(x), x, 5) < 0.5
    assert recalled(storkey(x), x, 5) > 0.9
    assert recalled(storkey(x, order=2), x, 5) > 0.9
    assert recalled(pseudo_inverse(x, self_connections=False), x, 5) > 0.9
    few = draw(5, 100, seed=2)
    assert recalled(hebbian(few), few, 5) == 1.0
    many = draw(90, 100, seed=2)
    assert bool(((many @ pseudo_inverse(many)).sign() == many).all()), "every pattern is a fixed point up to N"
    assert recalled(hebbian(many), many, 0) == 0.0


def test_messages() -> None:
    with pytest.raises(ShapeError, match=r"hebbian: patterns is of shape \(3,\). Needed: a tensor \(patterns, units\)"):
        hebbian(torch.ones(3))
    with pytest.raises(ShapeError, match="pseudo_inverse: patterns is list"):
        pseudo_inverse([[1.0]])  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"storkey: weight has shape \(2, 2\). Needed: \(3, 3\)"):
        storkey(torch.ones(1, 3), torch.zeros(2, 2))
    with pytest.raises(UsageError, match="storkey: order is 3. Needed: 1 or 2"):
        storkey(torch.ones(1, 3), order=3)
    assert hebbian(torch.ones(2, 3, dtype=torch.int64)).dtype == torch.get_default_dtype()
    assert not pseudo_inverse(torch.zeros(0, 4)).any() and not storkey(torch.zeros(0, 4)).any()
