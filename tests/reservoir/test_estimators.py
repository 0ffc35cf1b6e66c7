"""The estimators: scikit-learn's contract, and what is known to go wrong with reservoirs elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import Ridge
from recurra.reservoir import (
    EchoState,
    EchoStateClassifier,
    EchoStateForecaster,
    EchoStateRegressor,
    NextGenerationReservoir,
    run,
)

IN_ORDER = "the rows of a series are steps of time, and the network remembers those before"


def series(lengths: list[int], features: int = 2, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Inputs, and as targets what was read three steps before times what was read two before."""
    rng = np.random.default_rng(seed)
    X = [rng.uniform(-1, 1, size=(length, features)) for length in lengths]
    return X, [np.roll(x[:, 0], 3) * np.roll(x[:, 0], 2) + 0.5 for x in X]


def wave(steps: int, phase: float = 0.0) -> np.ndarray:
    t = np.arange(steps) + phase
    return np.stack([np.sin(0.3 * t), np.cos(0.11 * t)], 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EchoStateRegressor, EchoStateForecaster, EchoStateClassifier])
@pytest.mark.filterwarnings("ignore")
def test_the_contract_of_scikit_learn(kind: type) -> None:
    steps = kind is not EchoStateClassifier
    expected = (
        {"check_methods_sample_order_invariance": IN_ORDER, "check_methods_subset_invariance": IN_ORDER}
        if steps
        else {}
    )
    results = check_estimator(kind(units=20, random_state=0), expected_failed_checks=expected, on_skip=None)
    assert len(results) > 40
    assert {each["check_name"] for each in results if each["status"] == "xfail"} == set(expected)


@pytest.mark.parametrize("kind", [EchoStateRegressor, EchoStateForecaster, EchoStateClassifier])
def test_clones_and_parameters(kind: type) -> None:
    model = kind(units=20, penalty=1e-3, random_state=7, topology="ring")
    copy = clone(model)
    assert copy.get_params() == model.get_params() and copy.get_params()["topology"] == "ring"
    assert copy.set_params(units=30).units == 30 and model.units == 20


def test_the_readout_is_ridge_regression_of_the_states() -> None:
    """All series, all steps past the washout, and nothing else."""
    X, y = series([40, 25, 12])
    model = EchoStateRegressor(units=15, rate=0.6, washout=10, penalty=0.1, random_state=3).fit(X, y)
    rows, targets = [], []
    for x, target in zip(X, y, strict=True):
        h = run(model.cell_.cell, torch.as_tensor(x).unsqueeze(1))[0][:, 0].numpy()
        rows.append(np.hstack([x, h])[10:])
        targets.append(target[10:])
    a, b = np.vstack(rows), np.concatenate(targets)
    weight = np.linalg.solve((c := a - a.mean(0)).T @ c + 0.1 * np.eye(17), c.T @ (b - b.mean()))
    np.testing.assert_allclose(model.coef_[0], weight, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(model.intercept_[0], b.mean() - a.mean(0) @ weight, rtol=1e-7)
    np.testing.assert_allclose(model.predict(X)[0], _features(model, X[0]), rtol=1e-9)


def _features(model: EchoStateRegressor, x: np.ndarray) -> np.ndarray:
    h = run(model.cell_.cell, torch.as_tensor(x).unsqueeze(1))[0][:, 0].numpy()
    return np.hstack([x, h]) @ model.coef_[0] + model.intercept_[0]


def test_forms_of_the_input_agree() -> None:
    X, y = series([30, 30, 30])
    model = EchoStateRegressor(units=20, random_state=0)
    listed = model.fit(X, y).predict(X)
    cube = model.fit(np.stack(X), np.stack(y)).predict(np.stack(X))
    assert cube.shape == (3, 30)
    np.testing.assert_allclose(cube, np.stack(listed), rtol=1e-9)
    one = model.fit(X[0], y[0]).predict(X[0])
    np.testing.assert_allclose(one, model.predict([X[0]])[0], rtol=1e-12)
    two = model.fit(X[0], np.stack([y[0], -y[0]], 1)).predict(X[0])
    assert two.shape == (30, 2)
    np.testing.assert_allclose(two[:, 0], -two[:, 1], atol=1e-12)
    assert model.fit(torch.as_tensor(X[0]), torch.as_tensor(y[0])).predict(X[0]).shape == (30,)


def test_state_leaking_between_series() -> None:
    """What was fitted or predicted before, and what stands beside a series, changes nothing."""
    X, y = series([50, 9, 33, 50, 21])
    model = EchoStateRegressor(units=25, random_state=0).fit(X, y)
    together = model.predict(X)
    for place in (4, 1, 0):
        np.testing.assert_allclose(model.predict([X[place]])[0], together[place], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.predict(X[::-1])[::-1][2], together[2], rtol=1e-9, atol=1e-12)
    first = model.coef_.copy()
    model.predict(X)
    np.testing.assert_allclose(model.fit(X[::-1], y[::-1]).coef_, first, rtol=1e-6, atol=1e-9)
    forecaster = EchoStateForecaster(units=25, random_state=0).fit([wave(80), wave(60, 9.0)])
    alone = forecaster.forecast(5, wave(30))
    forecaster.forecast(9, wave(44, 3.0))
    np.testing.assert_array_equal(forecaster.forecast(5, wave(30)), alone)
    np.testing.assert_allclose(forecaster.forecast(5, [wave(12), wave(30)])[1], alone, rtol=1e-9)


@pytest.mark.parametrize("kind", [EchoStateRegressor, EchoStateForecaster])
def test_seed_0_is_a_seed(kind: type) -> None:
    X, y = series([40])

    def weights(random_state) -> np.ndarray:
        return kind(units=20, random_state=random_state).fit(X, y).coef_

    np.testing.assert_array_equal(weights(0), weights(0))
    assert not np.array_equal(weights(0), weights(1))
    assert not np.array_equal(weights(None), weights(None))
    np.testing.assert_array_equal(weights(np.random.RandomState(0)), weights(0))
    before = torch.random.get_rng_state()
    weights(0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_partial_fit_is_fit() -> None:
    X, y = series([40, 25, 60])
    whole = EchoStateRegressor(units=20, washout=5, random_state=0).fit(X, y)
    parts = EchoStateRegressor(units=20, washout=5, random_state=0)
    for x, target in zip(X, y, strict=True):
        parts.partial_fit(x, target)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-6, atol=1e-9)
    with pytest.raises(ShapeError, match="X has 1 features, but EchoStateRegressor is expecting 2 features"):
        parts.partial_fit(X[0][:, :1], y[0])
    assert parts.fit(X[:1], y[:1]).readout_.ridge.rows == 35


@pytest.mark.parametrize("solver", ["svd", "gram", "rls", "sgd"])
def test_every_solver_learns(solver: str) -> None:
    X, _ = series([300, 200])
    y = [np.roll(x[:, 0], 2) for x in X]
    model = EchoStateRegressor(units=30, input_scale=0.5, washout=10, solver=solver, random_state=0).fit(X, y)
    assert model.score(X, y) > (0.8 if solver == "sgd" else 0.95)


def test_a_grid_search_runs() -> None:
    X, y = series([60])
    found = GridSearchCV(EchoStateRegressor(units=10, random_state=0), {"rate": [0.3, 1.0]}, cv=3).fit(X[0], y[0])
    assert found.best_params_["rate"] in (0.3, 1.0)


def test_the_washout_is_what_is_asked_for() -> None:
    X, y = series([30, 20, 8])
    model = EchoStateRegressor(units=5, washout=12, random_state=0).fit(X, y)
    assert model.readout_.ridge.rows == 18 + 8
    assert len(model.predict(X)[2]) == 8
    with pytest.raises(ShapeError, match="the longest series has 30 steps.*more than the washout of 30"):
        EchoStateRegressor(units=5, washout=30).fit(X, y)


def test_thousands_of_series_at_once() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(2000, 12, 1))
    y = np.roll(X[:, :, 0], 1, axis=1)
    model = EchoStateRegressor(units=20, input_scale=0.3, washout=2, random_state=0).fit(X, y)
    assert model.readout_.ridge.rows == 20_000
    assert model.score(X[:50], y[:50]) > 0.99


def test_feedback_is_taught_by_the_targets_and_then_left_to_itself() -> None:
    t = np.arange(400)
    u, y = np.sin(0.2 * t)[:, None], np.sin(0.1 * t + 0.3)
    model = EchoStateRegressor(units=60, feedback=True, inputs=False, penalty=1e-4, washout=50, random_state=1)
    model.fit(u, y)
    free = model.predict(u, history=y[:100])
    assert np.abs(free[100:300] - y[100:300]).max() < 0.05
    # By hand: the loop, step by step.
    cell, state, last = model.cell_, model.cell_.initial_state(1), 0.0
    for step in range(104):
        x = torch.tensor([[u[step, 0], last]])
        features, state = cell(x, state)
        said = float(features[0].numpy() @ model.coef_[0] + model.intercept_[0])
        assert said == pytest.approx(free[step], rel=1e-6, abs=1e-9)
        last = y[step] if step < 100 else said
    assert model.predict([u, u[:30]])[1].shape == (30,)
    with pytest.raises(ShapeError, match=r"history has shapes \[\(500, 1\)\]"):
        model.predict(u, history=np.zeros(500))
    with pytest.raises(UsageError, match="history was given. Needed: feedback=True"):
        EchoStateRegressor(units=5).fit(u, y).predict(u, history=y[:3])


@pytest.mark.parametrize("increments", [False, True])
def test_forecasts_step_by_step(increments: bool) -> None:
    model = EchoStateForecaster(
        units=80, input_scale=0.2, washout=50, penalty=1e-6, increments=increments, random_state=0
    ).fit([wave(300), wave(250, 77.0)])
    said = model.forecast(40, warmup=wave(100, 300.0))
    assert said.shape == (40, 2)
    np.testing.assert_allclose(said, wave(140, 300.0)[100:], atol=0.02)
    history = wave(100, 300.0)
    for step in range(4):
        following = model.predict(history)[-1]
        np.testing.assert_allclose(following, said[step], rtol=1e-7, atol=1e-9)
        history = np.vstack([history, following])
    assert model.forecast(3, np.stack([wave(50), wave(50, 5.0)])).shape == (2, 3, 2)
    assert model.score(wave(100, 20.0)) > 0.99


def test_increments_need_the_inputs() -> None:
    with pytest.raises(UsageError, match="increments was asked for, and the readout does not see the inputs"):
        EchoStateForecaster(units=10, inputs=False, increments=True).fit(wave(50))


def test_deep_and_parallel() -> None:
    X, y = series([80])
    model = EchoStateRegressor(units=10, layers=3, reservoirs=2, random_state=0).fit(X, y)
    assert model.coef_.shape == (1, 2 + 60)


def test_a_cell_of_ones_own() -> None:
    cell = NextGenerationReservoir(2, delays=4, order=2)
    X, y = series([200, 100])
    model = EchoStateRegressor(cell=cell, washout=4, penalty=1e-9, random_state=0)
    assert clone(model).fit(X, y).score(X, y) > 0.999999  # the target is one of the features
    assert model.fit(X, y).coef_.shape[1] == cell.output_size
    with pytest.raises(ShapeError, match="X has 1 features. Needed: 2, the input_size of the cell given"):
        model.fit(X[0][:, :1], y[0])
    own = EchoStateRegressor(cell=EchoState(2, 9, dtype=torch.float64)).fit(X, y)
    assert own.coef_.shape[1] == 11


def test_the_path_of_penalties() -> None:
    X, y = series([100])
    model = EchoStateRegressor(units=10, penalty=0.5, random_state=0).fit(X, y)
    assert isinstance(model.readout_.ridge, Ridge)
    np.testing.assert_allclose(model.readout_.path([0.5]).weight[0].numpy(), model.coef_, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("pooling", ["mean", "last", "mean_and_last"])
def test_classification(pooling: str) -> None:
    rng = np.random.default_rng(0)

    def draw(count: int) -> tuple[list[np.ndarray], list[str]]:
        X, y = [], []
        for place in range(count):
            speed = (0.15, 0.3, 0.6)[place % 3]
            t = np.arange(rng.integers(40, 70)) + rng.uniform(0, 40)
            X.append(np.sin(speed * t)[:, None] + 0.05 * rng.normal(size=(len(t), 1)))
            y.append(("slow", "even", "fast")[place % 3])
        return X, y

    model = EchoStateClassifier(units=40, washout=10, pooling=pooling, random_state=0)
    model.fit(*draw(90))
    X, y = draw(60)
    assert model.classes_.tolist() == ["even", "fast", "slow"] and model.score(X, y) > (
        0.6 if pooling == "last" else 0.9
    )
    scores = model.decision_function(X)
    np.testing.assert_allclose(model.decision_function(X[3:4])[0], scores[3], rtol=1e-8, atol=1e-10)
    # The pooled features of one series by hand.
    h = model.cell_.shown(torch.as_tensor(X[0]), run(model.cell_.cell, torch.as_tensor(X[0]).unsqueeze(1))[0][:, 0])
    mean, last = h[10:].mean(0), h[-1]
    pooled = {"mean": mean, "last": last, "mean_and_last": torch.cat([mean, last])}[pooling]
    np.testing.assert_allclose(scores[0], model.coef_ @ pooled.numpy() + model.intercept_, rtol=1e-8, atol=1e-10)


def test_classes_that_come_later() -> None:
    X = np.random.default_rng(0).normal(size=(30, 8)) + 2.0 * (np.arange(30) % 2)[:, None]
    y = np.arange(30) % 2
    parts = EchoStateClassifier(units=10, random_state=0).partial_fit(X[:1], y[:1], classes=[0, 1])
    parts.partial_fit(X[1:], y[1:])
    whole = EchoStateClassifier(units=10, random_state=0).fit(X, y)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-6, atol=1e-9)
    assert whole.decision_function(X).shape == (30,) and whole.score(X, y) > 0.9
    with pytest.raises(UsageError, match="y holds .*2.* Needed: one of the classes .0, 1."):
        whole.partial_fit(X, y + 1)


def test_what_does_not_fit_is_told() -> None:
    X, y = series([10, 12])
    with pytest.raises(ShapeError, match=r"y\[1\] has shape \(9,\). Needed: \(12,\) or \(12, outputs\)"):
        EchoStateRegressor().fit(X, [y[0], y[1][:9]])
    with pytest.raises(ShapeError, match="y has 1 series. Needed: 2, as X"):
        EchoStateRegressor().fit(X, y[:1])
    with pytest.raises(ShapeError, match=r"X\[1\] has shape \(12, 1\). Needed: \(time, 2\), as the first series"):
        EchoStateRegressor().fit([X[0], X[1][:, :1]], y)
    X[1][3, 0] = np.nan
    with pytest.raises(ShapeError, match=r"X\[1\] contains NaN"):
        EchoStateRegressor().fit(X, y)
    with pytest.raises(ShapeError, match="a series has 8 steps.*more than the washout of 8 in every series"):
        EchoStateClassifier(washout=8).fit(np.zeros((4, 8)), [0, 1, 0, 1])
    with pytest.raises(UsageError, match="pooling is 'max'"):
        EchoStateClassifier(units=5, pooling="max").fit(np.zeros((4, 8)), [0, 1, 0, 1])
    with pytest.raises(UsageError, match="solver is 'qr'"):
        EchoStateRegressor(solver="qr").fit(np.zeros((9, 2)), np.zeros(9))
    with pytest.raises(UsageError, match="horizon is 0. Needed: a positive whole number"):
        EchoStateForecaster(units=5).fit(wave(20)).forecast(0, wave(5))
