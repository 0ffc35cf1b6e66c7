"""The same rows give the same series, whatever they come as and in whatever order."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recurra.data.forecast_table import read_forecast
from recurra.data.source import read_source
from recurra.errors import DataError
from recurra.settings import ForecastData

SETTINGS = ForecastData(
    target=("units",), time="day", series=("store",), known=("price",), covariates=("sky",), static=("region",)
)
MANY = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tables(draw):
    """A table of some stores with gaps in time, missing values and categories."""
    stores = draw(st.lists(st.sampled_from(["a", "b b", "ü", "d,e"]), min_size=1, max_size=3, unique=True))
    numbers = st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 3)))
    columns = {name: [] for name in ("store", "day", "units", "price", "sky", "region")}
    for store in stores:
        steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2]), min_size=4, max_size=9))
        days = np.datetime64("2024-02-25") + np.cumsum([0, 1, 1, *steps])
        for day in days:
            columns["store"].append(store)
            columns["day"].append(day.item())
            columns["units"].append(draw(numbers))
            columns["price"].append(draw(numbers))
            columns["sky"].append(draw(st.sampled_from(["sun", "rain", None])))
            columns["region"].append(store[0])
        columns["units"][-1], columns["price"][-1] = 1.5, 2.5
        columns["sky"][-1] = "sun"
    return pl.DataFrame(columns, schema_overrides={"units": pl.Float64, "price": pl.Float64, "sky": pl.String})


def same(one, two) -> None:
    data, schema, card = one
    other, other_schema, other_card = two
    assert data.names == other.names
    assert data.keys.equals(other.keys)
    for name in ("offsets", "time", "target", "past", "known", "static", "future"):
        np.testing.assert_array_equal(getattr(data, name), getattr(other, name), err_msg=name)
    facts, other_facts = schema.to_dict(), other_schema.to_dict()
    facts.pop("time_format"), other_facts.pop("time_format")
    assert facts == other_facts
    assert (card.gaps, card.frequency, card.columns) == (other_card.gaps, other_card.frequency, other_card.columns)


@MANY
@given(tables())
def test_every_kind_of_source_gives_the_same_series(tmp_path, frame):
    expected = read_forecast(frame, SETTINGS)
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    (tmp_path / "marked.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes())
    (tmp_path / "wide.txt").write_bytes(frame.write_csv(separator=";", null_value="n/a").encode("utf-16"))
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ndjson(tmp_path / "a.ndjson")
    files = [tmp_path / name for name in ("a.csv", "a.tsv", "a.csv.gz", "marked.csv", "a.parquet", "a.ndjson")]
    pandas = frame.to_pandas()
    pandas["day"] = pd.to_datetime(pandas["day"])
    frames = [frame.lazy(), frame.to_arrow(), pandas, pandas.set_index("day"), frame.to_dict()]
    for source in [*files, *frames, str(files[0])]:
        same(expected, read_forecast(source, SETTINGS))
    # Missing texts are written as "n/a" there, and the missing ones among numbers too.
    same(expected, read_forecast(tmp_path / "wide.txt", SETTINGS))


@MANY
@given(tables(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(frame, seed):
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
    same(read_forecast(frame, SETTINGS), read_forecast(shuffled, SETTINGS))


@MANY
@given(tables())
def test_filling_the_grid_and_dropping_the_filled_rows_changes_nothing(frame):
    data, schema, card = read_forecast(frame, SETTINGS)
    assert schema.frequency == "1d"
    rows = {}
    for row in frame.iter_rows(named=True):
        rows[row["store"], row["day"]] = row
    found = 0
    for i, name in enumerate(data.names):
        days = data.time[data.slice(i)].astype("datetime64[D]")
        assert (np.diff(days) == np.timedelta64(1, "D")).all()
        for day, target, known in zip(
            days.tolist(), data.target[data.slice(i)], data.known[data.slice(i)], strict=True
        ):
            row = rows.get((name, day))
            if row is None:
                assert np.isnan(target).all() and np.isnan(known).all()
                continue
            found += 1
            for value, expected in ((target[0], row["units"]), (known[0], row["price"])):
                np.testing.assert_equal(value, np.nan if expected is None else expected)
    assert found == card.rows
    assert data.rows == card.rows + card.gaps


def test_text_columns_keep_what_numbers_would_lose(tmp_path):
    (tmp_path / "a.csv").write_text("code,flag,count,half,word\n007,True,1,1.5,NA\n010,false,,NaN,x\n")
    frame = read_source(tmp_path / "a.csv").frame
    assert frame["code"].to_list() == ["007", "010"]
    assert frame["flag"].to_list() == [True, False]
    assert frame["count"].to_list() == [1, None]
    assert frame["half"].fill_nan(None).to_list() == [1.5, None]
    assert frame["word"].to_list() == ["NA", "x"]


def test_a_utf16_file_is_read_and_said(tmp_path):
    (tmp_path / "a.csv").write_bytes("time,units\n1,2\n2,3\n".encode("utf-16"))
    table = read_source(tmp_path / "a.csv")
    assert table.frame["units"].to_list() == [2, 3]
    assert table.notes == ["a.csv is in UTF-16; it was read as such."]


def test_a_json_array_is_read_as_rows(tmp_path):
    (tmp_path / "a.json").write_text('[{"time": 1, "units": 2.5}, {"time": 2, "units": null}]')
    assert read_source(tmp_path / "a.json").frame["units"].to_list() == [2.5, None]


def test_json_lines_with_a_marker_among_numbers_give_numbers(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"t": 1, "y": 1.5}\n\n{"t": 2, "y": "NA"}\n')
    table = read_source(tmp_path / "a.jsonl")
    assert table.frame["y"].to_list() == [1.5, None]
    assert table.where("y", 1) == "a.jsonl, column 'y', line 3"


def test_pandas_columns_of_mixed_values_name_the_odd_one():
    frame = pd.DataFrame({"time": [1, 2, 3], "units": [1, "two", 3.5]})
    with pytest.raises(DataError, match=r"column 'units', row 1 \(counting from 0\): 'two' is not a number"):
        read_forecast(frame, ForecastData(target=("units",)))


def test_a_pandas_index_of_times_becomes_the_time():
    frame = pd.DataFrame({"units": [1.0, 2.0, 4.0]}, index=pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-04"]))
    data, schema, card = read_forecast(frame)
    assert (schema.time, schema.frequency, card.gaps) == ("time", "1d", 1)
    periods = pd.DataFrame({"units": [1.0, 2.0]}, index=pd.period_range("2024-01", periods=2, freq="M"))
    assert read_forecast(periods)[1].frequency == "1mo"
