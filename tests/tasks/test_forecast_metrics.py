"""Measures of forecasts against their formulas, written out one number at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.tasks.forecast import conformal, metrics


def _smape_by_hand(actual, forecast):
    terms = []
    for y, f in zip(actual, forecast, strict=True):
        if not np.isnan(y):
            terms.append(0.0 if y == 0 and f == 0 else abs(y - f) / (abs(y) + abs(f)))
    return 200 * sum(terms) / len(terms)


def test_smape_and_mase_by_hand():
    rng = np.random.default_rng(3)
    actual, forecast = rng.normal(size=(5, 7)), rng.normal(size=(5, 7))
    actual[2, 3] = np.nan
    actual[4, 0] = forecast[4, 0] = 0.0
    expected = [_smape_by_hand(a, f) for a, f in zip(actual, forecast, strict=True)]
    np.testing.assert_allclose(metrics.smape(actual, forecast), expected, rtol=1e-12)
    scale = np.array([1.0, 2.0, 0.5, 0.0, 3.0])
    got = metrics.mase(actual, forecast, scale)
    assert np.isnan(got[3])
    assert got[1] == pytest.approx(np.mean(np.abs(actual[1] - forecast[1])) / 2.0)
    assert got[2] == pytest.approx(np.nanmean(np.abs(actual[2] - forecast[2])) / 0.5)


def test_pinball_and_coverage_by_hand():
    actual = np.array([[1.0, 2.0, np.nan]])
    levels = np.array([0.1, 0.5, 0.9])
    quantiles = np.array([[[0.0, 1.5, 3.0], [2.5, 3.0, 4.0], [0.0, 0.0, 0.0]]])
    losses = []
    for t in range(2):
        for i, q in enumerate(levels):
            error = actual[0, t] - quantiles[0, t, i]
            losses.append(q * error if error >= 0 else (q - 1) * error)
    assert metrics.pinball(actual, quantiles, levels) == pytest.approx(2 * np.mean(losses) / 1.5)
    assert metrics.coverage(actual, quantiles) == 0.5


def test_mase_scale_is_the_seasonal_difference_and_falls_back():
    history = np.array([1.0, 5.0, 2.0, 7.0, np.nan, 9.0])
    assert metrics.mase_scale(history, 2) == pytest.approx(np.mean([1.0, 2.0, 2.0]))
    assert metrics.mase_scale(history[:2], 7) == 4.0
    assert metrics.mase_scale(np.array([3.0]), 1) == 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(3, 40))
def test_calibrated_quantiles_never_cross_and_keep_the_median(seed, horizon, windows):
    rng = np.random.default_rng(seed)
    levels = np.array([0.05, 0.25, 0.5, 0.8, 0.95])
    quantiles = np.sort(rng.normal(size=(windows, horizon, 5)), -1)
    actual = rng.normal(size=(windows, horizon)) * 3
    moved = conformal.apply_factors(quantiles, levels, conformal.fit_factors(actual, quantiles, levels))
    assert (np.diff(moved, axis=-1) >= 0).all()
    np.testing.assert_array_equal(moved[..., 2], quantiles[..., 2])


def test_calibration_brings_wrong_widths_to_nominal_coverage_on_fresh_data():
    rng = np.random.default_rng(1)
    levels = np.array([0.1, 0.5, 0.9])

    def draw(windows):
        spread = np.exp(rng.normal(size=(windows, 1)))
        actual = spread * rng.normal(size=(windows, 6)) * np.arange(1, 7) ** 0.5
        far = np.array([-0.5, 0.0, 2.5])
        return actual, spread[..., None] * far * np.ones((windows, 6, 1))

    actual, quantiles = draw(2000)
    factors = conformal.fit_factors(actual, quantiles, levels)
    later, made = draw(2000)
    before = metrics.coverage(later, made)
    after = metrics.coverage(later, conformal.apply_factors(made, levels, factors))
    assert abs(after - 0.8) < 0.02 < abs(before - 0.8)
