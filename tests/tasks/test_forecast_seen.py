"""Windows of the past that training has seen are not called held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recurra


def sales(days: int, kind: str) -> pl.DataFrame:
    rng = np.random.default_rng(4)
    day = np.datetime64("2024-01-01") + np.arange(days)
    time = day if kind == "dates" else np.arange(days) * 3
    units = 50 + 10 * np.sin(2 * np.pi * np.arange(days) / 7) + rng.normal(size=days)
    both = [
        pl.DataFrame({"time": time, "store": store, "units": units * scale}) for store, scale in (("a", 1), ("b", 2))
    ]
    return pl.concat(both)


@pytest.mark.parametrize("kind", ["dates", "numbers"])
def test_a_backtest_says_which_windows_training_knew(kind: str, tmp_path: Path) -> None:
    options = {"target": "units", "time": "time", "series": "store", "horizon": 7}
    fitted = recurra.Forecaster(**options, epochs=1, hidden_size=4, windows=2)
    fitted.fit(sales(200, kind), out=tmp_path / "run")
    last = "2024-07-04" if kind == "dates" else "555"  # two test windows of 7 days before the end, on day 185
    for model in (fitted, recurra.load(tmp_path / "run")):
        for windows, seen in ((1, 0), (2, 0), (3, 2), (5, 6)):
            judgement = model.backtest(sales(200, kind), windows=windows)
            told = f"{seen} of these {2 * windows} windows lie in the time up to {last}, which"
            assert judgement.held_out == (seen == 0)
            assert (told in (judgement.warnings or [""])[0]) == (seen > 0), judgement.warnings
            said = " ".join(judgement.sentences + judgement.warnings)
            assert ("held-out" in said) == (seen == 0)
        later = sales(230, kind)
        assert model.backtest(later, windows=4).held_out, "28 days, all after the 186 that training knew"
    first = sales(100, kind)
    assert fitted.backtest(first, windows=2).warnings[0].startswith("all of these windows lie in the time up to")


def test_without_times_nothing_is_said() -> None:
    table = sales(120, "dates").drop("time")
    model = recurra.Forecaster(target="units", series="store", horizon=7, epochs=1, hidden_size=4).fit(table)
    assert model.backtest(table, windows=5).held_out
