"""Windows: what a network may see, and that nothing else decides a forecast."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import recurra
from recurra.tasks.forecast.windows import Plan, cut, split_by_time, train_plans


def waves(series=4, length=150, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    out = []
    for i in range(series):
        t = np.arange(length - 7 * i)
        y = (i + 1) * (5 + np.sin(2 * np.pi * t / 12 + i)) + 0.1 * rng.normal(size=len(t))
        y[rng.random(len(t)) < missing] = np.nan
        out.append(y)
    return out


@pytest.fixture(scope="module")
def fitted():
    return recurra.Forecaster(horizon=6, hidden_size=8, epochs=2).fit(waves())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(4, 200), min_size=1, max_size=6), st.integers(1, 20), st.integers(1, 4), st.integers(0, 3))
def test_parts_follow_one_another_in_time(lengths, horizon, tests, valids):
    rows = np.array(lengths)
    split = split_by_time(rows, horizon, test_windows=tests, valid_windows=valids, least=3)
    for i in range(len(rows)):
        valid = split.valid.origin[split.valid.series == i]
        test = split.test.origin[split.test.series == i]
        ends = [split.train_end[i], *(valid + horizon), *(test + horizon)]
        starts = [0, *valid, *test]
        assert starts[1:] == ends[:-1] and ends[-1] == rows[i]
        assert split.train_end[i] >= min(3, rows[i])
        if rows[i] >= 3 + horizon:
            assert len(test) >= 1


def test_training_batches_show_nothing_of_the_later_parts(fitted):
    problem = fitted._task.build()
    limit = problem.split.train_end
    panel = problem.panel
    # Everything after the training part is made absurd: no loss may notice.
    clean = [problem.batch(plan) for plan in problem.plans(0)[:5]]
    start = panel.start.numpy()
    for i in range(panel.series):
        panel.value[start[i] + limit[i] : start[i] + int(panel.known_rows[i])] = 1e9
    for before, plan in zip(clean, problem.plans(0)[:5], strict=True):
        after = problem.batch(plan)
        with torch.no_grad():
            problem.learner.eval()
            first = problem.learner(before, 0, before.steps, None)[0]
            second = problem.learner(after, 0, after.steps, None)[0]
        assert torch.equal(first, second)


def test_plans_follow_from_seed_and_epoch_alone():
    ends = np.array([50, 80, 20])
    options = dict(count=3, batch_size=4, span=5, forks=2, steps=17)
    one = train_plans(ends, seed=1, epoch=2, **options)
    two = train_plans(ends, seed=1, epoch=2, **options)
    other = train_plans(ends, seed=1, epoch=3, **options)
    assert all(np.array_equal(a, b) for p, q in zip(one, two, strict=True) for a, b in zip(p, q, strict=True))
    assert not all(np.array_equal(a.origin, b.origin) for a, b in zip(one, other, strict=True))
    for plan in one:
        assert (plan.origin < ends[plan.series]).all() and (plan.forks <= 17).all() and (plan.forks >= 12).all()


def test_a_window_is_what_stands_in_the_table(fitted):
    panel = fitted._task.panel
    plan = Plan(np.array([1]), np.array([10]), np.array([4]))
    batch = cut(panel, plan, lags=3, steps=4, horizon=2)
    rows = panel.value[int(panel.start[1]) + 3 : int(panel.start[1]) + 12]
    assert torch.equal(batch.value[0], rows)
    early = cut(panel, Plan(np.array([1]), np.array([2]), np.array([4])), lags=3, steps=4, horizon=2)
    assert early.inside[0].tolist() == [False] * 5 + [True] * 4
    assert not early.seen[0, :5].any()


def test_spans_of_time_add_up_to_the_whole_loss(fitted):
    problem = fitted._task.build()
    network = problem.learner.eval()
    batch = problem.batch(problem.plans(0)[0])
    whole, _ = network(batch, 0, batch.steps, None)
    state, total = None, 0.0
    for start in range(0, batch.steps, 7):
        loss, state = network(batch, start, min(start + 7, batch.steps), state)
        total += float(loss.detach())
    assert total == pytest.approx(float(whole.detach()), rel=1e-5)


def test_forecasts_depend_on_neither_batch_size_nor_order_nor_neighbours(fitted):
    data = waves(seed=5, missing=0.1)
    whole = fitted.predict(data)
    small = fitted.predict(data, batch_size=1)
    assert np.allclose(whole["forecast"], small["forecast"], rtol=1e-6, atol=1e-6)
    alone = fitted.predict([data[2]])
    part = whole.filter(pl.col("series") == whole["series"].unique(maintain_order=True)[2])
    assert np.allclose(part["q0.9"], alone["q0.9"], rtol=1e-6, atol=1e-6)


def test_forecasts_scale_with_the_series(fitted):
    data = waves(seed=8)
    plain = fitted.predict(data)["forecast"].to_numpy()
    scaled = fitted.predict([1000.0 * y for y in data])["forecast"].to_numpy()
    np.testing.assert_allclose(scaled, 1000.0 * plain, rtol=1e-4)


def test_later_rows_never_change_an_earlier_forecast(fitted):
    data = waves(seed=9)
    cut_off = [y[:100] for y in data]
    backtest = fitted.backtest([np.concatenate([y, [1e6] * 6]) for y in cut_off], windows=1)
    made = backtest.predictions.filter(pl.col("step") == 3)["forecast"].to_numpy()
    direct = fitted.predict(cut_off).filter(pl.col("step") == 3)["forecast"].to_numpy()
    np.testing.assert_allclose(made, direct, rtol=1e-6)
