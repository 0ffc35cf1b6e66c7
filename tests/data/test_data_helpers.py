"""Missing values, scaling, splits, seasons and leakage checks against plain references."""

import csv
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from recurra.data.forecast_table import read_forecast
from recurra.data.missing import carry_forward, missing_mask, steps_since_seen
from recurra.data.scaling import METHODS, Scaling, fit_scaling
from recurra.data.season import autocorrelation, find_seasons, usual_seasons
from recurra.data.sequence_table import from_sequence_arrays, read_classify
from recurra.data.split import split_sequences
from recurra.settings import ForecastData


@st.composite
def flats(draw, low=-1e6, high=1e6):
    """Flat values (rows, columns) of some series, with missing values, empty series among them."""
    lengths = draw(st.lists(st.integers(0, 8), min_size=1, max_size=5))
    rows, columns = sum(lengths), draw(st.integers(1, 3))
    element = st.one_of(st.just(np.nan), st.floats(low, high).map(lambda x: round(x, 6)), st.sampled_from([0.0, 3.0]))
    values = draw(hn.arrays(np.float64, (rows, columns), elements=element))
    return values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@settings(max_examples=80, deadline=None)
@given(flats())
def test_carrying_forward_equals_the_plain_loop(case):
    values, offsets = case
    expected, since = np.empty_like(values), np.empty_like(values)
    for i in range(len(offsets) - 1):
        for column in range(values.shape[1]):
            last, seen = 9.0, 0
            for row in range(offsets[i], offsets[i + 1]):
                missing = np.isnan(values[row, column])
                last = last if missing else values[row, column]
                seen = seen + 1 if missing else 0
                expected[row, column], since[row, column] = last, seen
    np.testing.assert_array_equal(carry_forward(values, offsets, fill=9.0), expected)
    np.testing.assert_array_equal(steps_since_seen(values, offsets), since)
    np.testing.assert_array_equal(missing_mask(values), values == values)


@settings(max_examples=80, deadline=None)
@given(flats(), st.sampled_from(METHODS))
def test_scaling_is_undone_and_equals_the_plain_formulas(case, method):
    values, offsets = case
    scaling = fit_scaling(values, offsets, method)
    assert (scaling.scale > 0).all() and np.isfinite(scaling.scale).all() and np.isfinite(scaling.center).all()
    scaled = scaling.apply(values, offsets)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(values))
    np.testing.assert_allclose(scaling.undo(scaled, offsets), values, rtol=1e-9, atol=1e-6)
    again = Scaling.from_dict(scaling.to_dict())
    np.testing.assert_array_equal(again.apply(values, offsets), scaled)
    for i in range(len(offsets) - 1):
        for column in range(values.shape[1]):
            part = values[offsets[i] : offsets[i + 1], column]
            part = part[~np.isnan(part)]
            if not len(part):
                assert (scaling.center[i, column], scaling.scale[i, column]) == (0.0, 1.0)
                continue
            quartiles = np.quantile(part, [0.25, 0.5, 0.75])
            center, scale = {
                "mean_abs": (0.0, np.abs(part).mean()),
                "standard": (part.mean(), part.std()),
                "robust": (quartiles[1], (quartiles[2] - quartiles[0]) / 1.349),
            }[method]
            np.testing.assert_allclose(scaling.center[i, column], center, rtol=1e-9, atol=1e-9)
            if scale > 1e-9 * np.abs(part).max():
                np.testing.assert_allclose(scaling.scale[i, column], scale, rtol=1e-6)


def test_scaling_looks_at_the_first_rows_only_when_told():
    values, offsets = np.array([[1.0], [3.0], [1000.0], [5.0]]), np.array([0, 3, 4])
    scaling = fit_scaling(values, offsets, stop=np.array([2, 1]))
    assert scaling.scale.ravel().tolist() == [2.0, 5.0]
    with pytest.raises(ValueError, match="mean_abs, standard, robust"):
        fit_scaling(values, offsets, "minmax")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=6),
    st.integers(0, 5),
    st.sampled_from([(0.2, 0.15), (0.3,), (0.0, 0.2)]),
)
def test_splits_are_stratified_disjoint_whole_and_repeatable(counts, seed, shares):
    label = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split_sequences(label, shares, seed)
    assert len(parts) == len(shares) + 1
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(label)))
    for one, two in zip(parts, split_sequences(label, shares, seed), strict=True):
        np.testing.assert_array_equal(one, two)
    for value, count in enumerate(counts):
        held = [int((label[part] == value).sum()) for part in parts]
        assert held[-1] >= 1
        wanted = [share for share in shares if share]
        if count > len(wanted):
            assert all(h >= 1 for h, share in zip(held, shares, strict=False) if share)
        for h, share in zip(held, shares, strict=False):
            assert h <= np.ceil(share * count) + 1
    for part, share in zip(parts, shares, strict=False):
        assert abs(len(part) - share * len(label)) <= len(counts)


def test_split_refuses_shares_that_leave_nothing():
    with pytest.raises(ValueError, match="leave something"):
        split_sequences(np.zeros(4, dtype=int), [0.6, 0.4], 0)


def test_autocorrelation_equals_the_plain_sums():
    generator = np.random.default_rng(0)
    series = [generator.normal(size=n) for n in (30, 17)]
    series[0][[3, 9]] = np.nan
    r, pairs = autocorrelation(series, 6)
    for lag in range(7):
        total, count = 0.0, 0
        for part in series:
            power = np.nanmean(part**2)
            for t in range(len(part) - lag):
                if not np.isnan(part[t] * part[t + lag]):
                    total += part[t] * part[t + lag] / power
                    count += 1
        assert pairs[lag] == count
        np.testing.assert_allclose(r[lag], total / count, atol=1e-12)


def joined(*series):
    return np.concatenate(series), np.concatenate([[0], np.cumsum([len(part) for part in series])])


def test_seasons_are_found_with_and_without_a_frequency():
    generator = np.random.default_rng(0)
    t = np.arange(24 * 7 * 6)
    week = (
        np.where((t // 24) % 7 < 5, 1.0, 0.2) * (1 + np.sin(2 * np.pi * t / 24)) + generator.normal(size=len(t)) * 0.1
    )
    assert set(find_seasons(*joined(week), "1h")) == {24, 168}
    assert 168 in find_seasons(*joined(week))
    months = np.arange(120) * 0.5 + np.tile(generator.normal(size=12), 10)
    months[[5, 50, 51]] = np.nan
    assert find_seasons(*joined(months), "1mo") == [12]
    assert find_seasons(*joined(months)) == [12]
    days = [np.tile(generator.normal(size=7), 30) * 0.5 + generator.normal(size=210) for _ in range(30)]
    assert find_seasons(*joined(*days), "1d")[0] == 7


def test_no_season_is_seen_in_noise_random_walks_and_constants():
    generator = np.random.default_rng(0)
    seen = 0
    for i in range(60):
        noise = generator.normal(size=120)
        seen += bool(find_seasons(*joined(noise if i % 2 else np.cumsum(noise)), "1d"))
    assert seen <= 2
    assert find_seasons(*joined(np.full(100, 3.0)), "1h") == []
    assert find_seasons(np.empty(0), np.array([0])) == []
    assert find_seasons(*joined(np.full(50, np.nan))) == []


def test_usual_seasons_of_frequencies():
    assert usual_seasons("1q") == [4] and usual_seasons("1bd") == [5, 261] and usual_seasons("1w") == [52]
    assert usual_seasons("1y") == [] and usual_seasons(None) == [] and usual_seasons("7") == []


def data_folder() -> Path:
    return Path(os.environ.get("RECURRA_DATA") or Path(__file__).parents[3] / "shared" / "data")


@pytest.mark.skipif(
    not (data_folder() / "m4.tar.xz").exists(), reason="m4.tar.xz is not there (name its folder in RECURRA_DATA)"
)
def test_m4_hourly_has_days_and_weeks():
    with tarfile.open(data_folder() / "m4.tar.xz") as archive:
        text = archive.extractfile("m4/Hourly-train.csv").read().decode()
    rows = list(csv.reader(io.StringIO(text)))[1:]
    series = [np.array([float(x) for x in row[1:] if x]) for row in rows]
    assert len(series) == 414
    assert find_seasons(*joined(*series), "1") == [24, 168]
    assert find_seasons(*joined(*series), "1h") == [24, 168]


def leakage(table, **options):
    card = read_forecast(table, ForecastData(target=("y",), time="time", **options))[2]
    return {check["check"]: (check["passed"], check["detail"]) for check in card.leakage}


def test_a_covariate_made_from_the_target_is_found():
    generator = np.random.default_rng(0)
    y = np.cumsum(generator.normal(size=80))
    table = {
        "time": np.arange(80),
        "y": y,
        "copy": 2 * y + 1,
        "next": np.append(y[1:], 0.0),
        "last": np.append(0.0, y[:-1]),
    }
    table["own"] = generator.normal(size=80)
    found = leakage(table, covariates=("copy", "next", "last", "own"))
    assert found["covariate equals target"] == (False, "'copy' is 'y' under another name")
    assert found["covariate from the future"][0] is False
    assert found["covariate from the future"][1].startswith("'next' holds 'y' of 1 step later")
    assert "'last'" not in found["covariate from the future"][1]
    clean = leakage(table, covariates=("last", "own"))
    assert [passed for passed, _ in clean.values()] == [True, True]
    assert leakage(table) == {}


def test_a_trend_shared_with_the_target_is_no_leak():
    t = np.arange(200.0)
    found = leakage({"time": np.arange(200), "y": 3 * t + np.sin(t), "x": t + np.cos(3 * t)}, covariates=("x",))
    assert [passed for passed, _ in found.values()] == [True, True]


def checks(arrays, labels):
    card = read_classify(from_sequence_arrays(arrays, labels))[2]
    return {check["check"]: (check["passed"], check["detail"]) for check in card.leakage}


def test_features_and_copies_that_give_the_label_away_are_found():
    generator = np.random.default_rng(0)
    labels = [0, 1] * 10
    arrays = [np.column_stack([generator.normal(size=4), np.full(4, 5.0 - label)]) for label in labels]
    arrays[7] = arrays[3]
    found = checks(arrays, labels)
    assert (
        found["feature gives the label away"][0] is False and "'feature_2'" in found["feature gives the label away"][1]
    )
    assert found["same sequence twice"][0] is False and "'3' and '7'" in found["same sequence twice"][1]
    assert found["rows sorted by label"][0] is True
    clean = checks([array[:, :1] + i for i, array in enumerate(arrays)], labels)
    assert all(passed for passed, _ in clean.values())


def test_a_feature_that_counts_sorted_sequences_is_found():
    arrays = [np.array([[float(i), np.sin(i * 7.0)]] * 3) for i in range(20)]
    found = checks(arrays, [0] * 10 + [1] * 10)
    assert found["rows sorted by label"][0] is False and "'feature_1' counts them" in found["rows sorted by label"][1]
