"""Corrected normal equations, against least squares by another way in more digits, and where they must not answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra.learn.closed import Ridge
from recurra.learn.closed.normal_equations import refined_path, refined_ridge
from recurra.learn.closed.triangular import penalised_factor

DOUBLE = torch.float64


def problem(least: float, rows: int = 301, features: int = 37, outputs: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Features with singular values from 1 down to 10^least, about a mean that is not zero, and noisy targets."""
    rng = np.random.default_rng(5)
    u = np.linalg.qr(rng.normal(size=(rows, features)))[0]
    v = np.linalg.qr(rng.normal(size=(features, features)))[0]
    x = (u * np.logspace(0, least, features)) @ v.T + 0.01
    y = x @ rng.normal(size=(features, outputs)) + 2.0 + 1e-3 * rng.normal(size=(rows, outputs))
    return torch.as_tensor(x), torch.as_tensor(y)


def exact(x: torch.Tensor, y: torch.Tensor, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The penalty stacked under centred rows, by singular values, in numbers of 64 bits' mantissa."""
    a, b = x.numpy().astype(np.longdouble), y.numpy().astype(np.longdouble)
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    # Householder reflections in long double, which LAPACK does not know.
    tall = np.vstack([a, np.sqrt(np.longdouble(penalty)) * np.eye(a.shape[1], dtype=np.longdouble)])
    side = np.vstack([b, np.zeros((a.shape[1], b.shape[1]), dtype=np.longdouble)])
    n = a.shape[1]
    for k in range(n):
        v = tall[k:, k].copy()
        v[0] += np.copysign(np.sqrt((v * v).sum()), v[0])
        v = v / np.sqrt((v * v).sum())
        tall[k:] -= 2 * np.outer(v, v @ tall[k:])
        side[k:] -= 2 * np.outer(v, v @ side[k:])
    w = np.zeros((n, b.shape[1]), dtype=np.longdouble)
    for k in reversed(range(n)):
        w[k] = (side[k] - tall[k, k + 1 : n] @ w[k + 1 :]) / tall[k, k]
    return w.T.astype(np.float64), (mean_b - mean_a @ w).astype(np.float64)


@pytest.mark.parametrize("least, penalty", [(-1.0, 0.0), (-3.0, 0.0), (-5.0, 0.0), (-9.0, 1e-10), (-12.0, 1e-2)])
def test_as_exact_as_orthogonal_factors(least: float, penalty: float) -> None:
    x, y = problem(least)
    found = refined_ridge([(x[:100], y[:100]), (x[100:], y[100:])], penalty)
    assert found is not None
    weight, bias = exact(x, y, penalty)
    factor = Ridge(penalty).partial_fit(x, y)
    size = np.abs(weight).max()
    own = np.abs(found[0].numpy() - weight).max() / size
    other = np.abs(factor.weight.numpy() - weight).max() / size
    plain = x - x.mean(0)
    squared = torch.linalg.solve(plain.mT @ plain + penalty * torch.eye(37, dtype=DOUBLE), plain.mT @ (y - y.mean(0)))
    assert own < 10.0 * other + 1e-13, (own, other)
    if least in (-5.0, -9.0):  # without corrections it is far from that
        assert np.abs(squared.mT.numpy() - weight).max() / size > 30.0 * own
    np.testing.assert_allclose(found[1].numpy(), bias, rtol=1e-6)


@pytest.mark.parametrize("least, penalty", [(-8.0, 0.0), (-12.0, 1e-16), (-12.0, 0.0)])
def test_no_answer_where_the_square_is_not_to_be_had(least: float, penalty: float) -> None:
    x, y = problem(least)
    assert refined_ridge([(x, y)], penalty) is None
    assert refined_path([(x, y)], [1.0, penalty]) is None


def test_no_answer_for_columns_that_are_the_same() -> None:
    x, y = problem(-1.0)
    assert refined_ridge([(torch.cat([x, x[:, :1]], 1), y)], 0.0) is None
    assert refined_ridge([(torch.cat([x, x.new_zeros(len(x), 1)], 1), y)], 0.0) is None
    few = x[:20]
    assert refined_ridge([(few, y[:20])], 0.0) is None
    found = refined_ridge([(few, y[:20])], 0.1)
    assert found is not None
    np.testing.assert_allclose(found[0].numpy(), exact(few, y[:20], 0.1)[0], rtol=1e-10)


def test_the_path_is_that_of_singular_values() -> None:
    x, y = problem(-4.0)
    penalties = [10.0, 1e-3, 1e-7, 3e-9]
    found = refined_path([(x[:7], y[:7]), (x[7:], y[7:])], penalties)
    assert found is not None
    whole = Ridge().partial_fit(x, y).path(penalties)
    for name in found._fields:
        torch.testing.assert_close(getattr(found, name), getattr(whole, name), rtol=1e-7, atol=0.0)
    for place, penalty in enumerate(penalties):
        np.testing.assert_allclose(found.weight[place].numpy(), exact(x, y, penalty)[0], rtol=1e-8, atol=1e-10)


def test_single_precision_has_its_own_limit() -> None:
    x, y = problem(-3.0)
    assert refined_ridge([(x.float(), y.float())], 0.0) is None
    found = refined_ridge([(x.float(), y.float())], 1e-2)
    assert found is not None and found[0].dtype == torch.float32
    np.testing.assert_allclose(found[0].numpy(), exact(x.float(), y.float(), 1e-2)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("size", [1, 5, 70])
def test_a_penalty_under_a_factor(dtype: torch.dtype, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    rows = torch.randn(3 * size, size, generator=generator, dtype=dtype)
    factor = torch.linalg.qr(rows, mode="r").R
    beside = torch.randn(size, 3, generator=generator, dtype=dtype)
    given = factor.clone(), beside.clone()
    solved, turned = penalised_factor(factor, beside, 0.7)
    assert torch.equal(factor, given[0]) and torch.equal(beside, given[1])
    assert torch.equal(solved, solved.triu())
    a, b = factor.double().numpy(), beside.double().numpy()
    expected = np.linalg.solve(a.T @ a + 0.7 * np.eye(size), a.T @ b)
    found = torch.linalg.solve_triangular(solved, turned, upper=True)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)
