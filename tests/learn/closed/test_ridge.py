"""Ridge and recursive least squares against the normal equations, numpy, sklearn and each other."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SklearnRidge

from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import ConditionWarning, RecursiveLeastSquares, Ridge, least_squares, triangular_factor

GENERATOR = np.random.default_rng(3)


def data(rows: int = 57, features: int = 7, outputs: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x = GENERATOR.normal(size=(rows, features)) + GENERATOR.normal(size=features) * 3
    y = x @ GENERATOR.normal(size=(features, outputs)) + 0.3 * GENERATOR.normal(size=(rows, outputs)) - 2.0
    return torch.from_numpy(x), torch.from_numpy(y)


def normal_equations(x: np.ndarray, y: np.ndarray, penalty: float, bias: bool) -> tuple[np.ndarray, np.ndarray]:
    """(X^T X + penalty I) W^T = X^T Y, about the means where there is a bias."""
    means = (x.mean(0), y.mean(0)) if bias else (np.zeros(x.shape[1]), np.zeros(y.shape[1]))
    a, b = x - means[0], y - means[1]
    w = np.linalg.solve(a.T @ a + penalty * np.eye(x.shape[1]), a.T @ b).T
    return w, means[1] - w @ means[0]


def close(given: torch.Tensor, wanted: np.ndarray, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(given.numpy(), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("penalty", [0.0, 1e-3, 2.5, 1e4])
def test_ridge_solves_the_normal_equations_and_equals_sklearn(penalty: float, bias: bool) -> None:
    x, y = data()
    ridge = Ridge(penalty, bias).fit(x, y)
    weight, b = normal_equations(x.numpy(), y.numpy(), penalty, bias)
    close(ridge.weight, weight)
    close(ridge.bias, b)
    peer = SklearnRidge(alpha=penalty, fit_intercept=bias).fit(x.numpy(), y.numpy())
    close(ridge.weight, peer.coef_, 1e-8)
    close(ridge.predict(x), peer.predict(x.numpy()), 1e-8)
    close(ridge.linear()(x).detach(), peer.predict(x.numpy()), 1e-8)


def test_portions_merged_parts_and_all_at_once_are_the_same() -> None:
    x, y = data(91, 5, 2)
    whole = Ridge(0.1).fit(x, y)
    portions = Ridge(0.1)
    for part in (slice(0, 3), slice(3, 4), slice(4, 60), slice(60, 91)):
        portions.partial_fit(x[part], y[part])
    merged = Ridge(0.1).merge(Ridge(0.1).partial_fit(x[:2], y[:2])).merge(Ridge(0.1).partial_fit(x[2:], y[2:]))
    assert whole.rows == portions.rows == merged.rows == 91
    for other in (portions, merged):
        close(other.weight, whole.weight.numpy())
        close(other.bias, whole.bias.numpy())
        close(other.path([0.1]).error, whole.path([0.1]).error.numpy())
    assert whole.fit(x[:10], y[:10]).rows == 10
    close(whole.weight, normal_equations(x[:10].numpy(), y[:10].numpy(), 0.1, True)[0])


def test_blocks_of_rows_and_sequences_with_a_mask() -> None:
    x, y = data(5000, 3, 1)
    mask = torch.from_numpy(GENERATOR.random(5000) < 0.7)
    spoilt = torch.where(mask.unsqueeze(-1), x, torch.full_like(x, math.nan))
    ridge = Ridge(1.0).fit(spoilt.reshape(500, 10, 3), y.reshape(500, 10, 1), mask.reshape(500, 10))
    close(ridge.weight, normal_equations(x[mask].numpy(), y[mask].numpy(), 1.0, True)[0])
    assert ridge.rows == int(mask.sum())


@pytest.mark.parametrize("bias", [True, False])
def test_a_path_holds_for_each_penalty_what_a_fit_of_its_own_gives(bias: bool) -> None:
    x, y = data(40, 6, 2)
    penalties = [0.0, 1e-2, 1.0, 30.0]
    path = Ridge(bias=bias).fit(x, y).path(penalties)
    centred = x.numpy() - (x.numpy().mean(0) if bias else 0.0)
    for k, penalty in enumerate(penalties):
        weight, b = normal_equations(x.numpy(), y.numpy(), penalty, bias)
        close(path.weight[k], weight)
        close(path.bias[k], b)
        error = ((y.numpy() - x.numpy() @ weight.T - b) ** 2).mean(0)
        close(path.error[k], error)
        # Degrees of freedom: the trace of the matrix that maps targets to predictions.
        hat = (
            centred @ np.linalg.solve(centred.T @ centred + penalty * np.eye(6), centred.T)
            + bias * np.ones((40, 40)) / 40
        )
        degrees = np.trace(hat)
        close(path.degrees_of_freedom[k], degrees)
        close(path.generalised_error[k], error / (1 - degrees / 40) ** 2)


def test_without_a_penalty_dependent_features_give_the_shortest_answer() -> None:
    x, y = data(30, 4, 2)
    twice = torch.cat([x, x], -1)
    wanted = np.linalg.lstsq(twice.numpy(), y.numpy(), rcond=None)[0].T
    close(least_squares(twice, y), wanted)
    with pytest.warns(ConditionWarning, match=re.escape("the condition number of the features is")):
        close(Ridge(0.0, bias=False).fit(twice, y).weight, wanted)
    few = Ridge(0.0, bias=False).fit(x[:3], y[:3])
    with pytest.warns(ConditionWarning, match="3 rows do not determine 4 weights for each output.*a penalty above 0"):
        close(few.weight, np.linalg.lstsq(x[:3].numpy(), y[:3].numpy(), rcond=None)[0].T)
    assert torch.isinf(few.path([0.0]).generalised_error).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.isfinite(Ridge(1e-6, bias=False).fit(x[:3], y[:3]).weight).all()


def test_nearly_dependent_features_are_solved_where_the_normal_equations_fail() -> None:
    # Columns of a Vandermonde matrix: condition number about 1e10, its square beyond float64.
    t = np.linspace(0, 1, 200)
    x = torch.from_numpy(np.vander(t, 14))
    true = np.ones((1, 14))
    y = torch.from_numpy(x.numpy() @ true.T)
    ridge = Ridge(0.0, bias=False).fit(x, y)
    assert 1e9 < ridge.condition_number < 1e12
    assert abs(ridge.condition_number / np.linalg.cond(x.numpy()) - 1) < 1e-3
    ours = np.abs(ridge.weight.numpy() - true).max()
    gram = np.abs(np.linalg.solve(x.numpy().T @ x.numpy(), x.numpy().T @ y.numpy()).T - true).max()
    assert ours < 1e-4 and gram > 100 * ours


def test_least_squares_of_many_problems_at_once() -> None:
    x = torch.from_numpy(GENERATOR.normal(size=(4, 2, 20, 3)))
    y = torch.from_numpy(GENERATOR.normal(size=(4, 2, 20, 5)))
    for penalty in (0.0, 0.7):
        found = least_squares(x, y, penalty)
        assert found.shape == (4, 2, 5, 3)
        for i in range(4):
            for j in range(2):
                close(found[i, j], normal_equations(x[i, j].numpy(), y[i, j].numpy(), penalty, False)[0])
    each = torch.func.vmap(torch.func.vmap(least_squares))(x, y)
    close(each, least_squares(x, y).numpy())


@pytest.mark.parametrize("rows", [0, 1, 4, 11])
def test_a_triangular_factor_keeps_the_inner_products(rows: int) -> None:
    x = torch.from_numpy(GENERATOR.normal(size=(2, rows, 4)))
    r = triangular_factor(x)
    assert r.shape == (2, 4, 4) and bool((r.tril(-1) == 0).all())
    close(r.mT @ r, (x.mT @ x).numpy())


def test_recursive_least_squares_equals_ridge_after_every_row() -> None:
    x, y = data(40, 5, 2)
    rls = RecursiveLeastSquares(5, 2, penalty=0.3)
    for t in range(40):
        before = rls.weight.clone()
        error = rls.update(x[t : t + 1], y[t : t + 1])
        close(error[0], y[t].numpy() - before.numpy() @ x[t].numpy())
        close(rls.weight, normal_equations(x[: t + 1].numpy(), y[: t + 1].numpy(), 0.3, False)[0], 1e-9)
    close(rls.covariance, np.linalg.inv(x.numpy().T @ x.numpy() + 0.3 * np.eye(5)), 1e-9)
    close(Ridge(0.3, bias=False).fit(x, y).weight, rls.weight.numpy(), 1e-9)
    at_once = RecursiveLeastSquares(5, 2, penalty=0.3).partial_fit(x.reshape(8, 5, 5), y.reshape(8, 5, 2))
    close(at_once.weight, rls.weight.numpy(), 1e-9)
    close(at_once.predict(x), x.numpy() @ rls.weight.numpy().T, 1e-9)


def test_forgetting_weighs_rows_by_their_age() -> None:
    x, y = (part.numpy() for part in data(30, 4, 1))
    f, penalty = 0.9, 0.5
    first = GENERATOR.normal(size=(1, 4))
    rls = RecursiveLeastSquares(4, 1, penalty, f, weight=torch.from_numpy(first))
    rls.partial_fit(torch.from_numpy(x), torch.from_numpy(y))
    weights = f ** np.arange(29, -1, -1.0)
    left = (x * weights[:, None]).T @ x + f**30 * penalty * np.eye(4)
    right = (x * weights[:, None]).T @ y + f**30 * penalty * first.T
    close(rls.weight, np.linalg.solve(left, right).T, 1e-9)
    close(rls.covariance, np.linalg.inv(left), 1e-9)


def test_the_bias_of_recursive_least_squares_is_a_feature_of_ones() -> None:
    x, y = data(30, 3, 2)
    rls = RecursiveLeastSquares(3, 2, 1e-2, bias=True).partial_fit(x, y)
    weight, _ = normal_equations(np.hstack([x.numpy(), np.ones((30, 1))]), y.numpy(), 1e-2, False)
    close(torch.cat([rls.weight, rls.bias.unsqueeze(-1)], -1), weight, 1e-9)


def test_the_square_root_outlives_a_time_without_excitation() -> None:
    """While features stay in a plane, P grows without end across it; the plain form in float32 never comes back."""
    f, time = 0.9, torch.arange(300.0)
    waves = torch.sin(0.1 * time), torch.cos(0.1 * time)
    plane = torch.stack([waves[0], 2 * waves[0] + waves[1], waves[1]], -1)
    x = torch.cat([plane, torch.randn(100, 3, generator=torch.Generator().manual_seed(0))])
    rls = RecursiveLeastSquares(3, 1, 1e-2, f, dtype=torch.float32).partial_fit(x, x.sum(-1, keepdim=True))
    plain = np.eye(3, dtype=np.float32) * np.float32(100)
    for row in x.numpy():
        seen = plain @ row
        plain = (plain - np.outer(seen, row @ plain) / (np.float32(f) + row @ seen)) / np.float32(f)
    exact = x.double().numpy()
    exact = np.linalg.inv(exact.T @ (exact * (f ** np.arange(399, -1, -1.0))[:, None]))
    close(rls.covariance.double(), exact, 1e-2)
    assert np.abs(plain - exact).max() > 0.1 * np.abs(exact).max()


def test_messages() -> None:
    x, y = data(10, 3, 1)
    with pytest.raises(UsageError, match="penalty is -1.0. Needed: zero or a positive number"):
        Ridge(-1.0)
    with pytest.raises(UsageError, match="no rows were given. Cure: call fit or partial_fit first"):
        _ = Ridge().weight
    with pytest.raises(ShapeError, match=re.escape("features (10, 3) and targets (10,) differ before the last")):
        Ridge().fit(x, y[:, 0])
    with pytest.raises(UsageError, match="these rows have 2 features and 1 outputs. Needed: 3 features and 1 outputs"):
        Ridge().fit(x, y).partial_fit(x[:, :2], y)
    with pytest.raises(UsageError, match="one has a bias and the other has none"):
        Ridge().merge(Ridge(bias=False).fit(x, y))
    with pytest.raises(ShapeError, match="targets are not finite in 1 of 10 rows, first in row 4.*leave such rows out"):
        Ridge().fit(x, y.index_fill(0, torch.tensor([4]), math.nan))
    with pytest.raises(ShapeError, match=r"mask is torch.bool of shape \(3,\). Needed: booleans of shape \(10,\)"):
        Ridge().fit(x, y, torch.ones(3, dtype=torch.bool))
    with pytest.raises(UsageError, match="forgetting is 1.5. Needed: a number above 0 and at most 1"):
        RecursiveLeastSquares(3, 1, forgetting=1.5)
    with pytest.raises(ShapeError, match="features are 2 and outputs 1. Needed: 3 features and 1 outputs"):
        RecursiveLeastSquares(3, 1).update(x[:, :2], y)
    with pytest.raises(ShapeError, match=r"weight has shape \(1, 2\). Needed: \(1, 3\)"):
        RecursiveLeastSquares(3, 1, weight=torch.zeros(1, 2))
    assert repr(Ridge(0.5).fit(x, y)) == "Ridge(penalty=0.5, bias=True, rows=10)"
