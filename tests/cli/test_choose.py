"""The task is inferred from the options, and the options come together in one order."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from recurra.cli.choose import choose
from recurra.cli.resume import changeable, resumed
from recurra.errors import UsageError

FORECAST = {"target": "units", "horizon": "14"}
CLASSIFY = {"sequence": "id", "label": "speaker"}


@pytest.mark.parametrize(
    ("flags", "sets", "task", "why"),
    [
        (FORECAST, [], "forecast", "--target and --horizon"),
        (CLASSIFY, [], "classify", "--sequence and --label"),
        ({}, ["data.target=units", "horizon=3"], "forecast", "--set"),
        ({"time": "t", **CLASSIFY, "cell": "lstm"}, ["train.clip=2"], "classify", "--sequence and --label"),
    ],
)
def test_the_task_follows_from_the_options(flags: dict, sets: list, task: str, why: str) -> None:
    choice = choose(flags, sets, None)
    assert (choice.task, choice.why) == (task, why)


def test_values_arrive_in_their_own_types() -> None:
    choice = choose(
        FORECAST | {"series": "store, region", "time_limit": "1m30s"}, ["quantiles=0.05,0.5", "clip=0"], None
    )
    assert choice.options == {
        "target": ("units",),
        "horizon": 14,
        "series": ("store", "region"),
        "time_limit": 90.0,
        "quantiles": (0.05, 0.5),
        "clip": 0.0,
    }


def test_a_config_gives_the_task_too(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('task = "classify"\nsource = "a.csv"\n[data]\nsequence = ["id"]\nlabel = "y"\n[train]\nseed = 3\n')
    choice = choose({}, None, file)
    assert choice.task == "classify" and choice.why == str(file)
    assert choice.options == {"sequence": ("id",), "label": "y", "seed": 3}
    assert choose({}, None, tmp_path).options == choice.options, "the run folder itself will do"


def test_later_sources_win(tmp_path: Path) -> None:
    """Defaults, then --config, then flags, then --set: every pair of them."""
    file = tmp_path / "some.toml"
    file.write_text('task = "forecast"\n[train]\nseed = 1\n')
    for with_config, with_flag, with_set in itertools.product((False, True), repeat=3):
        flags = FORECAST | ({"seed": "2"} if with_flag else {})
        choice = choose(flags, ["train.seed=3"] if with_set else [], file if with_config else None)
        wanted = 3 if with_set else 2 if with_flag else 1 if with_config else None
        assert choice.options.get("seed") == wanted


def test_flat_names_are_allowed_in_a_config(tmp_path: Path) -> None:
    file = tmp_path / "flat.toml"
    file.write_text('target = "units"\nhorizon = 7\nclip = 0.5\n')
    assert choose({}, None, file).options == {"target": ("units",), "horizon": 7, "clip": 0.5}


def test_a_resumed_run_keeps_its_settings_but_for_a_few(tmp_path: Path) -> None:
    assert changeable() == ["epochs", "time_limit", "keep_every"]
    (tmp_path / "run.toml").write_text(
        'task = "forecast"\nsource = "sales.csv"\n'
        '[data]\ntarget = ["units"]\nhorizon = 7\n[train]\nepochs = 2\nclip = 0.5\n'
    )
    choice, source = resumed(str(tmp_path), {"epochs": "9"}, ["keep_every=1"], None, None)
    assert source == "sales.csv"
    assert choice.options == {"target": ("units",), "horizon": 7, "epochs": 9, "clip": 0.5, "keep_every": 1.0}
    with pytest.raises(UsageError, match="--seed cannot change"):
        resumed(str(tmp_path), {"seed": "1"}, [], None, None)
