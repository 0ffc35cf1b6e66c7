"""Oja's rules and anti-Hebbian learning: one step as written out, and the principal components that they reach."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import LateralWeights, anti_hebbian, lateral_outputs, oja

AXES = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)).Q
SPREAD = torch.tensor([3.0, 2.0, 1.0, 0.3, 0.1], dtype=torch.float64)


def samples(count: int) -> torch.Tensor:
    """Of a covariance with the rows of AXES as its axes, exactly."""
    drawn = torch.randn(count, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    drawn = drawn - drawn.mean(0)
    white = drawn @ torch.linalg.inv(torch.linalg.cholesky(drawn.mT @ drawn / count)).mT
    return (white * SPREAD) @ AXES


@pytest.mark.parametrize("among", ["alone", "subspace", "ordered"])
def test_a_step_is_the_papers_sum(among: str) -> None:
    rng = np.random.default_rng(0)
    w, x, rate = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), 0.3
    wanted = w.copy()
    for row in x:
        y = w @ row
        for i in range(3):
            heard = {"alone": [i], "subspace": range(3), "ordered": range(i + 1)}[among]
            for j in range(4):
                wanted[i, j] += rate * y[i] * (row[j] - sum(y[k] * w[k, j] for k in heard)) / 6
    found = oja(torch.from_numpy(w), torch.from_numpy(x), rate, among)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-13)
    one = oja(torch.from_numpy(w), torch.from_numpy(x[0]), rate, among)
    np.testing.assert_allclose(one.numpy(), oja(torch.from_numpy(w), torch.from_numpy(x[:1]), rate, among).numpy())


def test_each_rule_reaches_its_principal_components() -> None:
    x, w = samples(200), 0.1 * torch.randn(3, 5, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    found = {}
    for among in ("alone", "subspace", "ordered"):
        found[among] = w
        for _ in range(2000):
            found[among] = oja(found[among], x, 0.02, among)
    first = AXES[:1]
    torch.testing.assert_close(found["alone"].abs(), first.expand(3, 5).abs())
    torch.testing.assert_close(found["subspace"].mT @ found["subspace"], AXES[:3].mT @ AXES[:3])
    torch.testing.assert_close(found["ordered"].abs(), AXES[:3].abs())


def test_anti_hebbian_step_as_written_out_and_uncorrelated_outputs() -> None:
    rng = np.random.default_rng(1)
    q, c, x = rng.normal(size=(2, 5)), rng.normal(size=(2, 2)) * 0.2, rng.normal(size=(4, 5))
    np.fill_diagonal(c, 0.0)
    weights = LateralWeights(torch.from_numpy(q), torch.from_numpy(c))
    new_q, new_c = q.copy(), c.copy()
    for row in x:
        y = np.linalg.inv(np.eye(2) - c) @ q @ row
        for i in range(2):
            new_q[i] += 0.1 * (y[i] * row - q[i] * y[i] ** 2) / 4
            for j in range(2):
                new_c[i, j] -= (0.2 * y[i] * y[j] / 4) if i != j else 0.0
    found = anti_hebbian(weights, torch.from_numpy(x), 0.1, 0.2)
    np.testing.assert_allclose(found.forward.numpy(), new_q, atol=1e-13)
    np.testing.assert_allclose(found.lateral.numpy(), new_c, atol=1e-13)

    data = samples(200)

    def correlation() -> float:
        return abs(float(torch.corrcoef(lateral_outputs(weights, data).mT)[0, 1]))

    before = correlation()
    for _ in range(3000):
        weights = anti_hebbian(weights, data, 0.01, 0.05)
    assert correlation() < 0.02 < 0.5 < before
    basis = torch.linalg.qr(torch.linalg.solve(torch.eye(2) - weights.lateral, weights.forward).mT).Q
    torch.testing.assert_close(basis @ basis.mT, AXES[:2].mT @ AXES[:2], atol=1e-6, rtol=0)


def test_messages() -> None:
    with pytest.raises(UsageError, match="oja: among is 'all'. Needed: 'alone', 'subspace' or 'ordered'"):
        oja(torch.ones(1, 2), torch.ones(2), 0.1, "all")
    with pytest.raises(ShapeError, match=re.escape("oja: x has shape (3,). Needed: (2,) or (batch, 2)")):
        oja(torch.ones(1, 2), torch.ones(3), 0.1)
    weights = LateralWeights(torch.ones(2, 3), torch.zeros(3, 3))
    with pytest.raises(ShapeError, match=re.escape("lateral has shape (3, 3). Needed: (2, 2)")):
        anti_hebbian(weights, torch.ones(3), 0.1, 0.1)
