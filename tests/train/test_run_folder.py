"""The run folder: making and finding it, its log, its tables, its settings."""

from __future__ import annotations

import datetime
import errno
import json
import math
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recurra.errors import FolderError, UsageError
from recurra.settings import SECTIONS, ForecastData, TrainSettings
from recurra.train import plain_json, toml
from recurra.train.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_create_makes_the_folder_and_its_parents(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "b")
    assert names(run.path) == ["state"]
    assert (run.model, run.state) == (run.path / "model", run.path / "state")
    (tmp_path / "empty").mkdir()
    RunFolder.create(tmp_path / "empty")


def test_create_refuses_what_is_taken(tmp_path: Path, run: RunFolder) -> None:
    run.log("run", task="forecast")
    with pytest.raises(UsageError, match=f"a run in this folder already.*--resume {run.path}, or name another"):
        RunFolder.create(run.path)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("cat")
    with pytest.raises(UsageError, match="not empty, and what is in it is no run.*nothing has been touched"):
        RunFolder.create(other)
    assert names(other) == ["cat.jpg"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="there is a file of that name"):
        RunFolder.create(tmp_path / "file")
    with pytest.raises(FolderError, match="the folder is not there"):
        RunFolder.create(tmp_path / "file" / "below")


def test_open(tmp_path: Path, run: RunFolder) -> None:
    assert RunFolder.open(run.path).path == run.path
    with pytest.raises(FolderError, match="there is no such folder"):
        RunFolder.open(tmp_path / "nothing")
    (tmp_path / "other").mkdir()
    with pytest.raises(FolderError, match="this folder holds no run"):
        RunFolder.open(tmp_path / "other")
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="this is a file"):
        RunFolder.open(tmp_path / "file")


def test_the_log(run: RunFolder) -> None:
    run.log("note", text="größer\nzwei", path=Path("a/b"), when=datetime.date(2024, 1, 2))
    run.log("odd", values=np.array([1.5, np.nan]), count=np.int64(3), tensor=torch.ones(2), worst=math.inf, pair=(1, 2))
    lines = (run.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    first, second = run.events()
    assert json.loads(lines[0]) == first
    assert (first["event"], first["text"], first["path"]) == ("note", "größer\nzwei", "a/b")
    assert first["when"] == "2024-01-02"
    assert datetime.datetime.fromisoformat(first["at"]).tzinfo is not None
    assert second["values"] == [1.5, None] and second["worst"] is None
    assert (second["count"], second["tensor"], second["pair"]) == (3, [1.0, 1.0], [1, 2])


def test_a_torn_line_is_passed_over_and_the_next_one_is_whole(run: RunFolder) -> None:
    run.log("a", n=1)
    with open(run.path / "log.jsonl", "a") as file:
        file.write('{"event": "b", "at": "20')
    assert [e["event"] for e in RunFolder.open(run.path).events()] == ["a"]
    run.log("c", n=3)
    with open(run.path / "log.jsonl", "ab") as file:
        file.write(b'\n\xff\xfe\n[1]\n"text"\n{"no": "event"}\n')
    assert [e["event"] for e in run.events()] == ["a", "c"]


def test_metrics_with_a_column_that_comes_later(run: RunFolder) -> None:
    run.append_metrics({"step": 1, "loss": 0.1})
    run.append_metrics({"step": 2, "loss": None})
    assert (run.path / "metrics.csv").read_bytes() == b"step,loss\n1,0.1\n2,\n"
    run.append_metrics({"step": 3, "loss": 0.1 + 0.2, "a, b": 'x"y'})
    rows = run.metrics()
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["loss"]) == 0.1 + 0.2
    assert (rows[0]["a, b"], rows[2]["a, b"]) == ("", 'x"y')


def test_rewind_takes_back_what_came_after(run: RunFolder) -> None:
    rows = [{"step": 10, "valid_loss": 1.0}, {"step": 20, "valid_loss": 0.5}]
    run.log("run", seed=0)
    for row in rows:
        run.log("step", step=row["step"])
        run.log("evaluation", **row)
        run.append_metrics(row)
    run.log("step", step=25)
    run.log("note", text="kept")
    run.rewind(20, rows[:1])
    assert [(e["event"], e.get("step")) for e in run.events()] == [
        ("run", None), ("step", 10), ("evaluation", 10), ("step", 20), ("note", None)
    ]  # fmt: skip
    assert run.metrics() == [{"step": "10", "valid_loss": "1.0"}]


def test_writing_files(run: RunFolder) -> None:
    run.write_json("a.json", {"x": [1, float("nan")], "ü": None})
    assert json.loads((run.path / "a.json").read_text(encoding="utf-8")) == {"x": [1, None], "ü": None}
    run.write_file("b.bin", lambda path: path.write_bytes(b"abc"))
    assert (run.path / "b.bin").read_bytes() == b"abc"
    for name in ("../b.txt", "/tmp/b.txt", "state/../../b"):
        with pytest.raises(UsageError, match="leads out of the folder"):
            run.write_text(name, "x")
    assert names(run.path) == ["a.json", "b.bin", "state"]


def test_a_failed_write_leaves_the_file_before(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write_text("report.html", "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match=r"report.html: the disk is full"):
        run.write_text("report.html", "new")
    with pytest.raises(FolderError, match="the disk is full"):
        run.write_file("report.html", lambda path: path.write_text("new"))
    assert (run.path / "report.html").read_text() == "old"
    assert names(run.path) == ["report.html", "state"]


def test_the_folder_goes_away(run: RunFolder) -> None:
    run.state.rmdir()
    run.path.rmdir()
    with pytest.raises(FolderError, match="the folder is not there"):
        run.log("note", text="x")
    with pytest.raises(FolderError, match="do not move or remove the folder"):
        run.write_text("a.txt", "x")
    assert run.events() == [] and run.metrics() == []


def test_settings_come_back(run: RunFolder) -> None:
    data = ForecastData(target=("units", 'a "b"\\'), time="d\u00e4te", season=(7, 365))
    train = TrainSettings(seed=3, learning_rate=1e-3, time_limit=90.0, rule="tbptt(2,4)")
    extra = {"source": "C:\\data\\sales\n2.csv", "command": "recurra train 'x'", "nothing": None}
    run.write_settings("forecast", {"data": data, "model": {"cell": "gru", "layers": None}, "train": train}, extra)
    found = run.read_settings()
    assert (found["task"], found["source"], found["command"]) == ("forecast", extra["source"], extra["command"])
    assert "nothing" not in found and found["model"] == {"cell": "gru"}
    sections = SECTIONS["forecast"]
    assert sections["train"](**found["train"]) == train
    assert found["data"]["target"] == ["units", 'a "b"\\'] and found["data"]["season"] == [7, 365]
    assert "horizon" not in found["data"]


def test_settings_that_are_missing_or_damaged(run: RunFolder) -> None:
    with pytest.raises(FolderError, match="there is no run.toml"):
        run.read_settings()
    (run.path / "run.toml").write_text("task = ")
    with pytest.raises(FolderError, match=r"run.toml: this is no TOML"):
        run.read_settings()
    (run.path / "run.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FolderError, match=r"this is no TOML"):
        run.read_settings()


@pytest.mark.parametrize(
    "value",
    [
        0, -7, 10**15, True, False, 0.0, -0.0, 1.0, 0.1 + 0.2, 1e-7, 1e300, 5e-324, 123456789012345680.0, math.inf,
        -math.inf, "", "plain", 'quo"te', "back\\slash", "line\nend\r\ttab", "\x00\x07\x1f\x7f", "# no comment",
        "größe 温度 🙂 \u2028 e\u0301",
        '"""', "'''", [], [1, 2], [0.5, 1.0], ["a", 'b"', ""], [[1], [2, 3]], [True],
    ],
    ids=repr,
)  # fmt: skip
def test_toml_values_come_back(value: Any) -> None:
    text = toml.dumps({"top": value, "section": {"inner": value, "absent": None}})
    found = tomllib.loads(text)
    assert found == {"top": value, "section": {"inner": value}}
    assert type(found["top"]) is type(value)
    assert repr(found["top"]) == repr(value)


def test_toml_odd_keys_and_odd_values() -> None:
    odd = {"a b": 1, "ü": 2, "": 3, 'q"': 4, "s.t": {"x": 5, "y.z": 6}}
    assert tomllib.loads(toml.dumps(odd)) == odd
    assert math.isnan(tomllib.loads(toml.dumps({"x": math.nan}))["x"])
    assert tomllib.loads(toml.dumps({"x": "\ud800"})) == {"x": "\ufffd"}
    assert tomllib.loads(toml.dumps({"x": (1, 2)})) == {"x": [1, 2]}
    assert toml.dumps({"x": None}) == ""
    assert tomllib.loads(toml.dumps({"x": None, "s": {"y": None}})) == {"s": {}}
    with pytest.raises(TypeError, match="object has no TOML form"):
        toml.dumps({"x": object()})


def test_plain_json_says_what_it_cannot_write() -> None:
    with pytest.raises(TypeError, match="object has no plain form"):
        plain_json.dumps({"x": object()})
    assert plain_json.dumps({"s": {2, 1}, "t": datetime.timedelta(minutes=1)}) == '{"s": [1, 2], "t": 60.0}'
    assert plain_json.plain(np.array(["2024-01-02T03"], dtype="datetime64[us]")) == ["2024-01-02T03:00:00.000000"]
    assert json.loads(plain_json.dumps([math.inf], keep_all=True)) == [math.inf]


def test_environment(run: RunFolder) -> None:
    run.write_environment("cpu")
    text = (run.path / "environment.json").read_text()
    facts = json.loads(text)
    assert facts["packages"]["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads() and facts["device"] == "cpu"
    assert facts["processor"] and facts["cores"] == os.cpu_count()
    for private in (str(Path.home()), str(run.path.parent), str(Path.cwd())):
        assert private not in text
