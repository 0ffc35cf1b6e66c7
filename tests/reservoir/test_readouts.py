"""Readouts, against ridge regression written out, and where the normal equations fail."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from recurra.errors import UsageError
from recurra.learn.closed import ConditionWarning
from recurra.learn.closed.triangular import condition_estimate
from recurra.reservoir import GramReadout, OnlineReadout, OrthogonalReadout, make_readout

DOUBLE = torch.float64


def rows(count: int = 60, features: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, features)) + 2.0
    y = x @ rng.normal(size=(features, 2)) + 5.0 + rng.normal(size=(count, 2))
    return torch.as_tensor(x), torch.as_tensor(y)


def reference(x: torch.Tensor, y: torch.Tensor, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """argmin |X W^T + b - Y|^2 + penalty |W|^2 by stacking the penalty under centred rows."""
    a, b = x.numpy(), y.numpy()
    centred = np.vstack([a - a.mean(0), np.sqrt(penalty) * np.eye(a.shape[1])])
    wanted = np.vstack([b - b.mean(0), np.zeros((a.shape[1], b.shape[1]))])
    weight = np.linalg.lstsq(centred, wanted, rcond=None)[0].T
    return weight, b.mean(0) - weight @ a.mean(0)


@pytest.mark.parametrize("solver", ["tsqr", "svd", "gram"])
@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_ridge_by_every_solver(solver: str, penalty: float) -> None:
    x, y = rows()
    weight, bias = reference(x, y, penalty)
    whole = make_readout(solver, penalty).partial_fit(x, y)
    parts, other = make_readout(solver, penalty), make_readout(solver, penalty)
    for place in range(0, 40, 5):
        parts.partial_fit(x[place : place + 5], y[place : place + 5])
    other.partial_fit(x[40:], y[40:])
    for made in (whole, parts.merge(other)):
        np.testing.assert_allclose(made.weight.numpy(), weight, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(made.bias.numpy(), bias, rtol=1e-9, atol=1e-10)


def test_a_mask_leaves_rows_out() -> None:
    x, y = rows()
    mask = torch.arange(60) % 3 > 0
    for solver in ("tsqr", "gram", "rls", "sgd"):
        masked = make_readout(solver, 0.1).partial_fit(x, y, mask)
        alone = make_readout(solver, 0.1).partial_fit(x[mask], y[mask])
        torch.testing.assert_close(masked.weight, alone.weight)


def test_one_factor_serves_the_path() -> None:
    x, y = rows()
    path = OrthogonalReadout(1.0).partial_fit(x, y).path([0.0, 0.1, 10.0])
    for place, penalty in enumerate([0.0, 0.1, 10.0]):
        np.testing.assert_allclose(path.weight[place].numpy(), reference(x, y, penalty)[0], rtol=1e-9)


def test_rows_taken_in_after_an_answer_count() -> None:
    x, y = rows()
    readout = OrthogonalReadout(0.1).partial_fit(x[:30], y[:30])
    before = readout.weight.clone()
    readout.partial_fit(x[30:], y[30:])
    assert not torch.allclose(readout.weight, before)
    np.testing.assert_allclose(readout.weight.numpy(), reference(x, y, 0.1)[0], rtol=1e-9)


def graded(features: int = 30, least: float = -9.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features whose singular values go down to 10^least, and targets that need all of them."""
    generator = torch.Generator().manual_seed(0)
    u = torch.linalg.qr(torch.randn(400, features, generator=generator, dtype=DOUBLE)).Q
    v = torch.linalg.qr(torch.randn(features, features, generator=generator, dtype=DOUBLE)).Q
    x = u * torch.logspace(0, least, features, dtype=DOUBLE) @ v.mT
    weight = torch.randn(1, features, generator=generator, dtype=DOUBLE)
    return x, x @ weight.mT, weight


def test_gram_blow_up() -> None:
    """The normal equations lose what orthogonal factors keep, and say so rather than answer."""
    x, y, weight = graded()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = OrthogonalReadout(1e-22).partial_fit(x, y)
        assert (kept.weight - weight).abs().max() < 1e-3
    with pytest.warns(ConditionWarning, match="condition number of X.T X is .* Cure: solver='tsqr'"):
        lost = GramReadout(1e-15).partial_fit(*graded(least=-8.5)[:2]).weight
    assert (lost - weight).abs().max() > 0.05
    with pytest.raises(UsageError, match="not positive definite to rounding.*Cure: solver='tsqr'"):
        _ = GramReadout(0.0).partial_fit(x * torch.tensor([0.0] + [1.0] * 29), y).weight


def test_a_problem_without_an_answer_is_told_and_solved_by_the_pseudo_inverse() -> None:
    x = torch.ones(20, 2, dtype=DOUBLE) * torch.arange(20.0, dtype=DOUBLE).unsqueeze(1)
    with pytest.warns(ConditionWarning, match="rounding decides some weights"):
        weight = OrthogonalReadout(0.0).partial_fit(x, 4.0 * x[:, :1]).weight
    torch.testing.assert_close(weight, torch.full((1, 2), 2.0, dtype=DOUBLE))


def test_condition_estimate() -> None:
    generator = torch.Generator().manual_seed(0)
    for least in (0.0, -3.0, -10.0):
        x = torch.randn(80, 20, generator=generator, dtype=DOUBLE) * torch.logspace(0, least, 20, dtype=DOUBLE)
        triangle = torch.linalg.qr(x, mode="r").R
        true = torch.linalg.cond(triangle).item()
        assert 0.8 * true < condition_estimate(triangle) < 1.0001 * true
    assert condition_estimate(torch.diag(torch.tensor([1.0, 0.0]))) == float("inf")


def test_recursive_least_squares_is_ridge() -> None:
    """With the bias penalised as the weights are."""
    x, y = rows()
    readout = OnlineReadout("rls", penalty=0.5).partial_fit(x[:20], y[:20]).partial_fit(x[20:], y[20:])
    a = np.hstack([x.numpy(), np.ones((60, 1))])
    expected = np.linalg.solve(a.T @ a + 0.5 * np.eye(8), a.T @ y.numpy()).T
    found = torch.cat([readout.weight, readout.bias.unsqueeze(1)], 1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8)


def test_gradient_descent_step_by_step() -> None:
    x, y = rows()
    readout = OnlineReadout("sgd", step=0.3).partial_fit(x, y)
    weight, bias = np.zeros((2, 7)), np.zeros(2)
    for row, target in zip(x.numpy(), y.numpy(), strict=True):
        error = target - weight @ row - bias
        size = 0.3 / (1.0 + row @ row)
        weight, bias = weight + size * np.outer(error, row), bias + size * error
    np.testing.assert_allclose(readout.weight.numpy(), weight, rtol=1e-10)
    np.testing.assert_allclose(readout.bias.numpy(), bias, rtol=1e-10)


def test_wrong_arguments() -> None:
    for solver in ("tsqr", "svd", "gram", "sgd"):
        with pytest.raises(UsageError, match="no rows were given"):
            _ = make_readout(solver, 0.1).weight
    with pytest.raises(UsageError, match="solver is 'qr'. Needed: 'tsqr', 'svd', 'gram', 'rls' or 'sgd'"):
        make_readout("qr", 0.1)
    with pytest.raises(UsageError, match="penalty is -1"):
        make_readout("tsqr", -1)
    with pytest.raises(UsageError, match="step is 2. Needed: a number between 0 and 2"):
        OnlineReadout("sgd", step=2)


def test_rows_are_the_callers_to_change() -> None:
    """What was handed in counts as it was then, whenever the answer is worked out."""
    x, y = rows()
    for penalty in (0.1, 1e-30):
        given, wanted = x.clone(), y.clone()
        readout = OrthogonalReadout(penalty).partial_fit(given, wanted)
        given.zero_()
        wanted.zero_()
        np.testing.assert_allclose(readout.weight.numpy(), reference(x, y, penalty)[0], rtol=1e-9)


def test_held_or_reduced_to_a_factor_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = rows()
    x = x + 1000.0  # a mean that is large beside what the rows differ by
    weight, bias = reference(x, y, 0.3)
    held = OrthogonalReadout(0.3).partial_fit(x[:20], y[:20]).partial_fit(x[20:], y[20:])
    path = held.path([0.3, 2.0])
    monkeypatch.setattr("recurra.reservoir.orthogonal_readout.HELD", 50)
    reduced = OrthogonalReadout(0.3).partial_fit(x[:20], y[:20]).partial_fit(x[20:], y[20:])
    assert reduced.ridge.factor is not None and reduced.rows == held.rows == reduced.ridge.rows == 60
    for made in (held, reduced):
        np.testing.assert_allclose(made.weight.numpy(), weight, rtol=1e-8)
        np.testing.assert_allclose(made.bias.numpy(), bias, rtol=1e-7)
    for one, other in zip(path, reduced.path([0.3, 2.0]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=0.0)
    np.testing.assert_allclose(path.weight[1].numpy(), reference(x, y, 2.0)[0], rtol=1e-8)


def test_rows_of_other_sizes() -> None:
    x, y = rows()
    readout = OrthogonalReadout(0.3).partial_fit(x[:20], y[:20])
    with pytest.raises(UsageError, match="these rows have 6 features and 2 outputs. Needed: 7 features and 2 outputs"):
        readout.partial_fit(x[20:, 1:], y[20:])
