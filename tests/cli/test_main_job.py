"""The main job from the command line, small: every verb, every file, the exit codes, and what is printed where."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from recurra.cli.main import main

SMALL = ("--epochs", "2", "--hidden-size", "8", "--set", "device=cpu")
FORECAST = ("--target", "units", "--time", "date", "--series", "store", "--horizon", "7")
CLASSIFY = ("--sequence", "id", "--time", "t", "--label", "turn")
FILES = {
    "model",
    "state",
    "run.toml",
    "environment.json",
    "log.jsonl",
    "metrics.csv",
    "predictions.parquet",
    "report.html",
}


class Trained(NamedTuple):
    """A run that was made once for all tests of this file, and what the command printed."""

    task: str
    data: Path
    run: Path
    out: str
    err: str


@pytest.fixture(scope="module", params=["forecast", "classify"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sales: Path, gestures: Path
) -> Trained:
    data, options = (sales, FORECAST) if request.param == "forecast" else (gestures, CLASSIFY)
    run = tmp_path_factory.mktemp("runs") / "run"
    done = subprocess.run(
        [sys.executable, "-m", "recurra", "train", data, *options, *SMALL, "--out", run],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return Trained(request.param, data, run, done.stdout, done.stderr)


def test_the_run_folder_holds_what_it_promises(trained: Trained) -> None:
    assert {path.name for path in trained.run.iterdir()} == FILES
    model = {"config.json", "weights.safetensors", "preprocess.json", "README.md"}
    assert {path.name for path in (trained.run / "model").iterdir()} == model


def test_what_a_pipe_sees_is_plain_lines(trained: Trained) -> None:
    assert "\x1b" not in trained.out and "\r" not in trained.out
    assert trained.err == ""
    lines = trained.out.splitlines()
    assert lines[0].startswith(f"Task: {trained.task} (because of --")
    assert any(line.startswith(f"{trained.data.name}: ") for line in lines), "the data card"
    assert any(line.startswith("Model: ") for line in lines)
    assert any(line.startswith("  epoch    step") for line in lines)
    assert any(line.startswith(f"Report: {trained.run}/report.html") for line in lines)
    assert lines[-1].startswith(f"Use it: recurra predict {trained.run} {trained.data} -o ")


def test_the_verdict_is_the_headline_then_the_table(trained: Trained) -> None:
    facts = [json.loads(line) for line in (trained.run / "log.jsonl").read_text().splitlines()]
    verdict = next(fact for fact in facts if fact["event"] == "verdict")
    assert f"\n{verdict['headline']}\n" in trained.out
    for name in ("model", *verdict["baselines"]):
        assert f"\n  {name} " in trained.out
    assert f" {verdict['metric']}*" in trained.out


def test_the_report_knows_the_command(trained: Trained) -> None:
    text = (trained.run / "report.html").read_text()
    assert f"recurra train {trained.data}" in text


@pytest.mark.parametrize("form", ["run", "model"])
def test_evaluate_prints_one_json_object(trained: Trained, form: str, recurra: Callable) -> None:
    model = trained.run if form == "run" else trained.run / "model"
    result = recurra("evaluate", model, trained.data, "--json")
    assert result.code == 0
    facts = json.loads(result.out)
    assert facts["task"] == trained.task and facts["run"] == str(model)
    assert set(facts["metrics"]) == set(next(iter(facts["baselines"].values())))
    assert facts["metric"] in facts["metrics"]
    table = recurra("evaluate", model, trained.data)
    assert table.code == 0 and facts["headline"] in table.out
    assert recurra("evaluate", model, trained.data, "--quiet").out == facts["headline"] + "\n"


def test_backtest_is_for_forecasters(trained: Trained, recurra: Callable) -> None:
    result = recurra("backtest", trained.run, trained.data, "--windows", "3", "--json")
    if trained.task == "forecast":
        facts = json.loads(result.out)
        assert result.code == 0 and facts["windows"] == 3 and facts["baselines"]
    else:
        assert result.code == 2 and result.out == ""
        assert "this model's task is classify" in result.err and "recurra evaluate" in result.err


def test_predictions_are_the_same_in_every_format(trained: Trained, tmp_path: Path, recurra: Callable) -> None:
    printed = recurra("predict", trained.run, trained.data)
    assert printed.code == 0 and printed.err == ""
    (tmp_path / "printed.csv").write_text(printed.out)
    wanted = pl.read_csv(tmp_path / "printed.csv")
    assert wanted.height == (3 * 7 if trained.task == "forecast" else 60)
    for file, read in (("p.csv", pl.read_csv), ("p.parquet", pl.read_parquet), ("p.ndjson", pl.read_ndjson)):
        result = recurra("predict", trained.run, trained.data, "-o", tmp_path / file)
        assert result.code == 0 and result.out == f"{wanted.height} rows of predictions: {tmp_path / file}\n"
        found = read(tmp_path / file)
        assert found.columns == wanted.columns and found.height == wanted.height
        number = next(name for name in reversed(wanted.columns) if wanted[name].dtype == pl.Float64)
        assert (found[number] - wanted[number]).abs().max() < 1e-6
    assert not list(tmp_path.glob(".*")), "what was written aside is gone"


@pytest.mark.slow
def test_predict_survives_a_reader_who_leaves(trained: Trained) -> None:
    command = f"{sys.executable} -m recurra predict {trained.run} {trained.data} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stderr == "" and done.stdout.splitlines()[1] == "0"


@pytest.mark.slow
def test_train_goes_on_when_the_reader_leaves(trained: Trained, tmp_path: Path) -> None:
    options = FORECAST if trained.task == "forecast" else CLASSIFY
    words = " ".join([*options, *SMALL, "--out", str(tmp_path / "run")])
    command = f"{sys.executable} -m recurra train {trained.data} {words} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert done.stderr == "" and done.stdout.splitlines()[1] == "0"
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


def test_info_tells_of_the_model(trained: Trained, recurra: Callable) -> None:
    assert f"task  {' ' * 10}" in recurra("info", trained.run).out
    facts = json.loads(recurra("info", trained.run, "--json").out)
    assert facts["task"] == trained.task and facts["parameters"] > 100
    assert facts["options"]["model.hidden_size"] == 8


def test_report_draws_the_page_again(trained: Trained, recurra: Callable) -> None:
    page = trained.run / "report.html"
    before = page.read_bytes()
    page.unlink()
    result = recurra("report", trained.run)
    assert (result.code, result.out) == (0, f"{page}\n")
    assert page.read_bytes() == before


def test_an_earlier_runs_settings_repeat_the_run(trained: Trained, tmp_path: Path, recurra: Callable) -> None:
    config = trained.run / "run.toml"
    result = recurra("train", trained.data, "--config", config, "--out", tmp_path / "again", "--json")
    assert result.code == 0, result.err
    facts = json.loads(result.out)
    first = [json.loads(line) for line in (trained.run / "log.jsonl").read_text().splitlines()]
    assert facts["metrics"] == pytest.approx(next(f for f in first if f["event"] == "verdict")["metrics"], rel=0, abs=0)
    weights = "model/weights.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (trained.run / weights).read_bytes()


def test_json_is_one_object_and_all_else_is_elsewhere(
    trained: Trained, tmp_path: Path, recurra: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = FORECAST if trained.task == "forecast" else CLASSIFY
    result = recurra("train", trained.data, *options, *SMALL, "--json")
    facts = json.loads(result.out)
    assert result.out.count("\n") == 1
    needed = {"task", "metrics", "baselines", "run", "beats_baselines", "headline", "files", "seconds"}
    assert needed <= set(facts)
    assert all(Path(file).exists() for file in facts["files"].values())
    assert Path(facts["run"]).parent == Path("runs") and facts["run"].endswith(f"-{trained.task}-{trained.data.stem}")
    assert facts["headline"] in result.err and "Model: " in result.err
    quiet = recurra("train", trained.data, *options, *SMALL, "--quiet")
    assert (quiet.out, quiet.err) == (facts["headline"] + "\n", "")
    assert len(list(Path("runs").iterdir())) == 2, "an earlier run is never written over"


def test_check_says_what_the_data_are(trained: Trained, recurra: Callable) -> None:
    options = FORECAST if trained.task == "forecast" else CLASSIFY
    result = recurra("check", trained.data, *options)
    assert result.code == 0 and result.err == ""
    assert f"{trained.data.name}: " in result.out and "Training would take at most " in result.out
    assert ("passed: " if trained.task == "classify" else "Leakage: no other column") in result.out
    facts = json.loads(recurra("check", trained.data, *options, "--json").out)
    assert facts["task"] == trained.task and facts["leaks"] == 0 and facts["data"]["rows"] > 0 and facts["plan"]
    columns = recurra("check", trained.data)
    assert columns.code == 0 and "--target COLUMN" in columns.out
    assert len(recurra("check", trained.data, *options, "--quiet").out.splitlines()) == 1


def test_a_finished_run_can_go_on(trained: Trained, tmp_path: Path, recurra: Callable) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    result = recurra("train", trained.data, "--resume", run, "--epochs", "3", "--json")
    assert result.code == 0, result.err
    assert len((run / "metrics.csv").read_text().splitlines()) == 4


def test_a_problem_in_the_data_is_exit_code_3_and_leaves_nothing(
    trained: Trained, tmp_path: Path, recurra: Callable
) -> None:
    options = FORECAST if trained.task == "forecast" else CLASSIFY
    broken = tmp_path / "broken.csv"
    broken.write_text(trained.data.read_text().splitlines()[0] + "\n")
    for verb, more in (("train", ["--out", tmp_path / "run"]), ("check", [])):
        result = recurra(verb, broken, *options, *more)
        assert result.code == 3 and result.err.startswith("Error: ") and "Traceback" not in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_interrupted_is_saved_and_goes_on(sales: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "recurra", "train", sales, *FORECAST, "--hidden-size", "8", "--epochs", "2000"]
    command += ["--set", "patience=2000", "--set", "device=cpu", "--out", run]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        deadline = time.monotonic() + 120
        while not (run / "metrics.csv").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert f"recurra train --resume {run}" in out
    epochs = len((run / "metrics.csv").read_text().splitlines()) - 1
    done = subprocess.run(
        [sys.executable, "-m", "recurra", "train", "--resume", run, "--epochs", str(epochs + 1), "--json"],
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len((run / "metrics.csv").read_text().splitlines()) == epochs + 2


def test_main_returns_a_code_and_does_not_exit() -> None:
    assert main(["info", "cells"]) == 0


def test_the_only_number_column_is_the_target(tmp_path: Path, recurra: Callable) -> None:
    lines = ["day,passengers", *(f"2024-{1 + i // 28:02d}-{1 + i % 28:02d},{10 + i % 7}" for i in range(84))]
    (tmp_path / "trains.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "run"
    done = recurra(
        "train", tmp_path / "trains.csv", "--horizon", 7, "--epochs", 1, "--hidden-size", 4, "--out", out, "--json"
    )
    assert done.code == 0, done.err
    assert 'target = ["passengers"]' in (out / "run.toml").read_text()
