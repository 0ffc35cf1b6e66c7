"""A long table read as series: parts found, gaps filled, what was done said."""

import json

import numpy as np
import polars as pl
import pytest

from recurra.data.forecast_table import (
    ForecastSchema,
    from_arrays,
    learn_schema,
    read_forecast,
    read_series,
    require_future,
)
from recurra.data.source import read_source
from recurra.errors import DataError
from recurra.settings import ForecastData


def days(n, start="2024-01-01"):
    return (np.datetime64(start) + np.arange(n)).tolist()


def test_parts_left_open_are_found_and_said():
    data, schema, card = read_forecast({"when": days(3), "units": [1, 2, 3], "shop": ["a", "a", "a"]})
    assert (schema.time, schema.target, schema.time_kind, schema.frequency) == ("when", ("units",), "date", "1d")
    assert card.notes == [
        "No --time was given; column 'when' holds the only dates and was taken.",
        "No --target was given; 'units' is the only column of numbers left and was taken.",
        "Not used, because no option names it: shop "
        "(--known, --set data.covariates= and data.static= bring columns in).",
        "Frequency: one row a day (1d) in the only series; no gaps.",
    ]
    assert data.names == ["series"] and data.keys.width == 0


def test_a_table_without_times_is_taken_in_its_order():
    data, schema, card = read_forecast(
        {"store": ["b", "a", "b"], "units": [1.0, 2.0, 3.0]}, ForecastData(series=("store",))
    )
    assert (schema.time, schema.time_kind, schema.regular) == (None, "row", True)
    assert data.names == ["a", "b"]
    assert data.target.ravel().tolist() == [2.0, 1.0, 3.0]
    assert data.time.tolist() == [0, 0, 1]
    assert card.frequency is None and card.time_range is None


def test_several_id_columns_name_one_series_and_numbers_sort_as_numbers():
    table = {"shop": [10, 9, 10, 9], "item": ["x", "x", "y", "x"], "t": [1, 1, 1, 2], "units": [1.0, 2.0, 3.0, 4.0]}
    data, _, _ = read_forecast(table, ForecastData(series=("shop", "item"), time="t", target=("units",)))
    assert data.names == ["9 / x", "10 / x", "10 / y"]
    assert data.keys.to_dict(as_series=False) == {"shop": [9, 10, 10], "item": ["x", "x", "y"]}
    assert data.lengths.tolist() == [2, 1, 1]


def test_unsorted_rows_are_sorted_and_said():
    table = {"t": [3, 1, 2], "units": [30.0, 10.0, 20.0]}
    data, _, card = read_forecast(table, ForecastData(time="t"))
    assert data.target.ravel().tolist() == [10.0, 20.0, 30.0]
    assert "The rows were not in the order of 't'; they were sorted." in card.notes


def test_gaps_are_filled_and_categories_go_on_through_them():
    table = {"t": [1, 2, 4], "units": [1.0, 2.0, 4.0], "sky": ["rain", "sun", "rain"], "heat": [1.0, None, 3.0]}
    data, schema, card = read_forecast(table, ForecastData(time="t", target=("units",), covariates=("sky", "heat")))
    assert schema.levels == {"sky": ["rain", "sun"]}
    np.testing.assert_array_equal(data.target.ravel(), [1, 2, np.nan, 4])
    np.testing.assert_array_equal(data.past, [[1, 1], [2, np.nan], [2, np.nan], [1, 3]])
    assert card.gaps == 1 and card.columns[3]["missing"] == 1


def test_leading_rows_without_a_target_and_empty_series_are_left_out():
    table = {"s": ["a"] * 4 + ["b"] * 2, "t": [1, 2, 3, 4, 1, 2], "units": [None, 5.0, None, 7.0, None, None]}
    data, _, card = read_forecast(table, ForecastData(series=("s",), time="t", target=("units",)))
    assert data.names == ["a"]
    assert data.time.tolist() == [2, 3, 4]
    assert "1 series hold no target value and are left out: b." in card.notes
    assert "1 row was left out, before the first target value of a series." in card.notes


def test_rows_of_the_future_are_told_from_the_past():
    table = {
        "s": ["a"] * 5 + ["b"] * 4,
        "day": days(5) + days(4),
        "units": [1.0, 2.0, None, None, None] + [1.0, 2.0, 3.0, None],
        "price": [1.0, 2.0, None, 4.0, 5.0] + [1.0, 1.0, 1.0, 2.0],
    }
    settings = ForecastData(series=("s",), target=("units",), known=("price",))
    data, schema, card = read_forecast(table, settings)
    assert data.future.tolist() == [2, 1] and data.history.tolist() == [3, 3]
    assert str(data.last_time(0))[:10] == "2024-01-03"
    require_future(data, schema, 1)
    with pytest.raises(DataError, match="series 'b' has 1 future row of price; the forecast needs 2"):
        require_future(data, schema, 2)
    missing = {column["name"]: column["missing"] for column in card.columns}
    assert missing == {"s": 0, "day": 0, "units": 1, "price": 1}


def test_short_series_are_kept_and_said_constant_ones_too():
    table = {"s": ["a"] * 6 + ["b"] * 2, "t": [*range(6), 0, 1], "units": [1.0, 2, 3, 4, 5, 6, 7, 7]}
    data, _, card = read_forecast(table, ForecastData(series=("s",), time="t", target=("units",), horizon=3))
    assert data.n == 2
    assert any("1 of 2 series are shorter than the 4 rows that a horizon of 3 needs" in note for note in card.notes)
    assert "The target 'units' is constant in 1 of 2 series (the first is 'b')." in card.notes
    flat = read_forecast({"t": [1, 2, 3], "units": [5.0, 5.0, 5.0]}, ForecastData(time="t"))[2]
    assert any(note.startswith("Warning: the target 'units' is constant in every series") for note in flat.notes)


def test_irregular_times_stay_where_they_are():
    times = np.array([0, 61, 125, 180, 249, 300, 366]) * 1_000_000
    data, schema, card = read_forecast({"time": times.astype("datetime64[us]"), "units": np.arange(7.0)})
    assert (schema.regular, schema.frequency, schema.step) == (False, None, 62.5)
    assert data.rows == 7 and card.irregular
    assert any("The times are irregular" in note and "1.04 minutes" in note for note in card.notes)


def test_a_sparse_table_is_irregular_unless_a_frequency_is_asked_for():
    table = {"t": [1, 2, 10, 11, 30], "units": np.arange(5.0)}
    assert not read_forecast(table, ForecastData(time="t"))[1].regular
    data, schema, card = read_forecast(table, ForecastData(time="t", frequency="1"))
    assert schema.regular and card.gaps == 25 and data.rows == 30


def test_alternating_steps_are_laid_on_their_common_divisor():
    times = np.cumsum([0, 10, 20, 10, 20, 10, 20, 20])
    _, schema, card = read_forecast({"time": times, "units": np.arange(8.0)})
    assert (schema.frequency, card.gaps) == ("10", 4)


def test_business_days_have_no_weekends_and_holidays_are_gaps():
    all_days = np.arange("2024-01-01", "2024-02-01", dtype="datetime64[D]")
    working = all_days[np.is_busday(all_days)]
    data, schema, card = read_forecast({"day": np.delete(working, 7), "units": np.arange(len(working) - 1.0)})
    assert (schema.frequency, card.gaps) == ("1bd", 1)
    np.testing.assert_array_equal(data.time.astype("datetime64[D]"), working)


def test_a_later_table_is_read_by_what_was_learned():
    settings = ForecastData(series=("s",), target=("units",), covariates=("sky",), static=("region",))
    table = {"s": ["a"] * 3, "day": days(3), "units": [1, 2, 3], "sky": ["x", "y", "x"], "region": ["n"] * 3}
    _, schema, _ = read_forecast(table, settings)
    schema = ForecastSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    later = read_source({"s": ["z"], "day": days(1, "2025-06-01"), "units": [None], "sky": ["fog"], "region": ["w"]})
    with pytest.raises(DataError, match="no row holds a value of the target"):
        read_series(later, schema, settings, fitting=False)
    later = read_source({"s": ["z"], "day": days(1, "2025-06-01"), "units": [4], "sky": ["fog"], "region": ["w"]})
    data, card = read_series(later, schema, settings, fitting=False)
    assert data.past.tolist() == [[0.0]] and data.static.tolist() == [[0.0]]
    assert "Column 'sky' has 1 value that the model never saw (fog); read as unknown." in card.notes


def test_an_integer_category_is_a_category_only_when_listed():
    table = {"t": [1, 2, 3], "units": [1.0, 2.0, 3.0], "kind": [10, 9, 10]}
    settings = ForecastData(time="t", target=("units",), covariates=("kind",))
    assert read_forecast(table, settings)[0].past.ravel().tolist() == [10.0, 9.0, 10.0]
    settings = ForecastData(time="t", target=("units",), covariates=("kind",), categorical=("kind",))
    data, schema, _ = read_forecast(table, settings)
    assert schema.levels == {"kind": ["9", "10"]} and data.past.ravel().tolist() == [2.0, 1.0, 2.0]


def test_arrays_are_series_of_equal_steps():
    arrays = [np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]]), np.array([[7.0, 8.0], [9.0, 1.0]])]
    data, schema, _ = read_forecast(from_arrays(arrays))
    assert schema.target == ("target_1", "target_2") and schema.time_kind == "integer"
    np.testing.assert_array_equal(data.target, np.concatenate(arrays))
    cube = np.arange(24.0).reshape(2, 4, 3)
    np.testing.assert_array_equal(read_forecast(from_arrays(cube))[0].target, cube.reshape(8, 3))


def test_windows_and_subsets_of_a_series_set():
    data, _, _ = read_forecast(from_arrays([[1.0, 2.0, 3.0], [4.0, 5.0]]))
    target, past, known = data.window(0, stop=2, length=4)
    np.testing.assert_array_equal(target.ravel(), [np.nan, np.nan, 1, 2])
    assert past.shape == known.shape == (4, 0)
    taken = data.take(np.array([1]))
    assert (
        taken.names == ["1"] and taken.target.ravel().tolist() == [4.0, 5.0] and taken.keys["series"].to_list() == [1]
    )
    assert len(data) == data.n == 2 and data.rows == 5


def test_the_card_says_what_was_read():
    table = pl.DataFrame({"s": ["a"] * 3 + ["b"] * 2, "day": days(3) + days(2), "units": [1.0, None, 3.0, 4.0, 5.0]})
    _, _, card = read_forecast(table, ForecastData(series=("s",)))
    assert card.lines() == [
        "table: 5 rows, 2 series of 2 to 3 steps",
        "time: 2024-01-01 to 2024-01-03",
        "frequency: one row a day (1d); no gaps",
        "target: units (20.0% missing)",
    ]
    event = json.loads(json.dumps(card.event()))
    assert event["lengths"] == {"smallest": 2, "median": 2.5, "largest": 3, "edges": [2.0, 3.0, 4.0], "counts": [1, 1]}
    assert event["columns"][2] == {
        "name": "units",
        "role": "target",
        "kind": "number",
        "missing": 1,
        "missing_fraction": 0.2,
    }


def test_one_odd_series_among_thousands_is_filled_not_refused():
    n = 2000
    table = pl.DataFrame({"s": np.repeat(np.arange(n), 8), "t": np.tile(np.arange(8), n), "y": np.arange(8.0 * n)})
    odd = pl.DataFrame({"s": np.full(8, n), "t": np.arange(8) * 2, "y": np.arange(8.0)})
    _, schema, card = read_forecast(pl.concat([table, odd]), ForecastData(series=("s",), time="t", target=("y",)))
    assert schema.frequency == "1" and card.gaps == 7


@pytest.mark.slow
def test_ten_thousand_series_are_read_and_gridded(tmp_path):
    import resource

    n, steps = 10_000, 500
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "store": np.repeat([f"s{i:05d}" for i in range(n)], steps),
            "hour": np.tile(np.arange(steps) * 3_600_000_000, n).astype("datetime64[us]"),
            "units": generator.normal(size=n * steps),
        }
    ).filter(pl.Series(generator.random(n * steps) > 0.01))
    frame.write_parquet(tmp_path / "big.parquet")
    rows = frame.height
    del frame
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings = ForecastData(series=("store",), horizon=24)
    table = read_source(tmp_path / "big.parquet")
    schema = learn_schema(table, settings)
    data, card = read_series(table, schema, settings, fitting=True)
    assert data.n == n and card.rows == rows and schema.frequency == "1h"
    assert data.rows == rows + card.gaps == int(np.isfinite(data.target).sum()) + card.gaps
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 3_000_000, f"reading took {grown / 1e6:.1f} GB"
