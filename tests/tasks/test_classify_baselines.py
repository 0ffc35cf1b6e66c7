"""The baselines and the input channels, against scikit-learn, numpy and pandas-like loops."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from recurra.data.sequence_set import SequenceSet
from recurra.tasks.classify.baselines import baseline_predictions, fit_baselines, summaries
from recurra.tasks.classify.features import Features, learn_features, make_channels
from recurra.tasks.classify.plan import class_weights


def _set(seed: int = 0, count: int = 60) -> SequenceSet:
    """Two numbers with missing values and one category of three levels."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 8, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.normal(size=(offsets[-1], 3)) * [1.0, 5.0, 1.0] + [0.0, 20.0, 0.0]
    values[rng.random(len(values)) < 0.2, 0] = np.nan
    values[:, 2] = rng.integers(0, 4, len(values))
    gap = rng.exponential(size=len(values))
    label = rng.integers(0, 3, count)
    keys = pl.DataFrame({"id": np.arange(count)})
    return SequenceSet([str(i) for i in range(count)], keys, offsets, values, gap, label)


def test_summaries_are_mean_deviation_and_shares_of_levels() -> None:
    data = _set()
    found = summaries(data, [0, 1], [(2, 3)])
    for i in range(len(data)):
        rows = data.values[data.slice(i)]
        seen = rows[~np.isnan(rows[:, 0]), 0]
        wanted = [
            seen.mean() if len(seen) else np.nan,
            seen.std() if len(seen) else np.nan,
            rows[:, 1].mean(),
            rows[:, 1].std(),
            *((rows[:, 2] == level).mean() for level in (1, 2, 3)),
        ]
        assert found[i] == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, classes, 90)
    table = rng.normal(size=(90, 4)) + label[:, None] * [1.0, 0.0, 0.5, 0.0]
    fitted = json.loads(json.dumps(fit_baselines(table, label, classes, np.ones(classes))))
    new = rng.normal(size=(20, 4))
    scaler = StandardScaler().fit(table)
    model = LogisticRegression(max_iter=2000).fit(scaler.transform(table), label)
    found, said = baseline_predictions(fitted, new, np.ones(classes))["logistic_regression"]
    assert found == pytest.approx(model.predict_proba(scaler.transform(new)), abs=1e-9)
    assert np.array_equal(said, model.predict(scaler.transform(new)))


def test_majority_gives_the_frequencies() -> None:
    label = np.array([0, 1, 1, 2, 1])
    fitted = fit_baselines(np.zeros((5, 1)), label, 3, np.ones(3))
    found, said = baseline_predictions(fitted, np.zeros((2, 1)), np.ones(3))["majority"]
    assert found[0] == pytest.approx([0.2, 0.6, 0.2], abs=1e-3)
    assert said.tolist() == [1, 1]


def test_a_class_unseen_in_training_and_missing_summaries_are_survived() -> None:
    label = np.array([0, 0, 2, 2])
    table = np.array([[0.0, np.nan], [0.1, np.nan], [1.0, np.nan], [1.1, np.nan]])
    fitted = fit_baselines(table, label, 3, np.ones(3))
    found, said = baseline_predictions(fitted, table, np.ones(3))["logistic_regression"]
    assert said.tolist() == [0, 0, 2, 2]
    assert np.isfinite(found).all() and found.sum(1) == pytest.approx(1.0) and found[:, 1].max() < 1e-6


def test_class_weights_are_inverse_bounded_and_one_on_average() -> None:
    label = np.repeat([0, 1, 2], [600, 60, 3])
    weight, imbalance = class_weights(label, 3, True)
    assert imbalance == pytest.approx(200.0)
    assert weight[1] / weight[0] == pytest.approx(10.0) and weight[2] / weight[0] == pytest.approx(20.0)
    assert weight[label].mean() == pytest.approx(1.0)
    assert np.all(class_weights(label, 3, False)[0] == 1.0)
    assert np.all(class_weights(np.repeat([0, 1], [15, 10]), 2, True)[0] == 1.0)


def test_channels_are_standardised_carried_masked_and_learned_from_training_alone() -> None:
    data = _set(3)
    chosen = np.arange(0, 60, 2)
    features = learn_features(data, chosen, ["a", "b", "c"], {"c": ["p", "q", "r"]})
    assert Features.from_dict(json.loads(json.dumps(features.to_dict()))) == features
    assert features.channel_names == ["a", "b", "a missing", "gap"] and features.levels == (3,)
    part = data.take(chosen)
    assert features.mean[1] == pytest.approx(part.values[:, 1].mean())
    assert features.scale[0] == pytest.approx(np.nanstd(part.values[:, 0]))
    values, codes = make_channels(data, features)
    assert values.shape == (data.rows, 4) and values.dtype == np.float32
    assert np.array_equal(codes[:, 0], data.values[:, 2])
    for i in range(len(data)):
        last = np.nan
        for row in range(data.offsets[i], data.offsets[i + 1]):
            raw = data.values[row, 0]
            last = last if np.isnan(raw) else raw
            wanted = 0.0 if np.isnan(last) else (last - features.mean[0]) / features.scale[0]
            assert values[row, 0] == pytest.approx(wanted, abs=1e-6)
            assert values[row, 2] == float(np.isnan(raw))
    changed = _set(3)
    others = np.repeat(~np.isin(np.arange(60), chosen), changed.lengths)
    changed.values[others] += 100.0
    assert learn_features(changed, chosen, ["a", "b", "c"], {"c": ["p", "q", "r"]}) == features
