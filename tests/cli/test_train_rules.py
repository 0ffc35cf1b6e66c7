"""`recurra train --rule`: gradient rules and searches for both tasks, what is shown, resuming, and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = ("--epochs", "1", "--hidden-size", "2", "--set", "device=cpu", "--set", "batch_size=2")
FORECAST = ("--target", "units", "--time", "date", "--series", "store", "--horizon", "7", "--set", "context=8")
CLASSIFY = ("--sequence", "id", "--time", "t", "--label", "turn")


def logged(run: Path, event: str) -> list[dict[str, Any]]:
    facts = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [fact for fact in facts if fact["event"] == event]


@pytest.mark.parametrize("task", [pytest.param("forecast", marks=pytest.mark.slow), "classify"])
def test_a_search(task: str, sales: Path, gestures: Path, tmp_path: Path, recurra: Callable) -> None:
    data, options = (sales, FORECAST) if task == "forecast" else (gestures, CLASSIFY)
    result = recurra("train", data, *options, *SMALL, "--rule", "cosyne(population=4)", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    row = logged(tmp_path / "run", "evaluation")[-1]
    assert row["evaluations"] == 4 * row["step"] and row["guess_loss"] > 0 and "gradient_norm" not in row
    head = next(line for line in result.out.splitlines() if line.startswith("  epoch"))
    assert head.split()[:4] == ["epoch", "tried", "best", "valid"] and head.split()[-2:] == ["guessing", "time"]
    shown = next(line.split() for line in result.out.splitlines() if re.match(r" +1 +\d", line))
    assert shown[1] == f"{row['evaluations']:,}"
    assert "cosyne searches" in result.out and "guessed at random" in result.out
    settings = (tmp_path / "run" / "run.toml").read_text()
    assert 'rule = "cosyne(population=4)"' in settings
    page = (tmp_path / "run" / "report.html").read_text()
    assert "--rule" in page and "Learning" in page
    assert recurra("predict", tmp_path / "run", data, "--quiet", "-o", tmp_path / "out.csv").code == 0


SLOW = ("rtrl", "onlineadjoint(2)")


@pytest.mark.parametrize("rule", ["snap1", *(pytest.param(each, marks=pytest.mark.slow) for each in SLOW)])
def test_an_on_line_rule(rule: str, gestures: Path, tmp_path: Path, recurra: Callable) -> None:
    result = recurra("train", gestures, *CLASSIFY, *SMALL, "--rule", rule, "--quiet", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    row = logged(tmp_path / "run", "evaluation")[-1]
    assert row["gradient_norm"] > 0 and "evaluations" not in row


@pytest.mark.slow
def test_the_adjoint_graph_trains_forecasts_too(sales: Path, tmp_path: Path, recurra: Callable) -> None:
    result = recurra("train", sales, *FORECAST, *SMALL, "--rule", "adjoint", "--quiet", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert logged(tmp_path / "run", "evaluation")[-1]["gradient_norm"] > 0


@pytest.mark.slow
def test_a_search_goes_on_where_it_stopped(sales: Path, tmp_path: Path, recurra: Callable) -> None:
    """A run of two epochs, and one of a single epoch that is resumed for a second, hold the same model."""
    options = (*FORECAST, "--hidden-size", "2", "--set", "device=cpu", "--set", "batch_size=2", "--quiet")
    rule = ("--rule", "ga(population=4)")
    assert recurra("train", sales, *options, *rule, "--epochs", "2", "--out", tmp_path / "whole").code == 0
    assert recurra("train", sales, *options, *rule, "--epochs", "1", "--out", tmp_path / "parts").code == 0
    assert recurra("train", "--resume", tmp_path / "parts", "--epochs", "2", "--quiet").code == 0
    files = [(tmp_path / run / "model" / "weights.safetensors").read_bytes() for run in ("whole", "parts")]
    assert files[0] == files[1]
    rows = [logged(tmp_path / run, "evaluation") for run in ("whole", "parts")]
    keys = ("step", "epoch", "train_loss", "mean_loss", "valid_loss", "guess_loss", "evaluations")
    assert [[row[key] for key in keys] for row in rows[0]] == [[row[key] for key in keys] for row in rows[1]]
    changed = recurra("train", "--resume", tmp_path / "parts", "--rule", "ga")
    assert changed.code == 2 and "--rule cannot change in a run that goes on" in changed.err


REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a name": (("--rule", "rtlr"), ("'rtlr' is neither a gradient rule nor a search", "did you mean 'rtrl'?")),
    "a search of graphs": (("--rule", "neat"), ("neat finds a network of its own", "recurra.learn.search.neat.NEAT")),
    "an argument": (("--rule", "ga(populaton=4)"), ("GA: 'populaton' is no argument", "'population'")),
    "both directions": (
        ("--rule", "rtrl", "--set", "bidirectional=true"),
        ("the rule rtrl cannot train this network", "both directions"),
    ),
    "a learning rate to be found": (
        ("--rule", "ga", "--set", "find_learning_rate=true"),
        ("train.rule ga: find_learning_rate was asked for", "a gradient rule"),
    ),
    "bf16": (("--rule", "ga", "--set", "precision=bf16"), ("precision is bf16", "float32")),
    "a fitness of its own": (("--rule", "ga(fitness=1/mse)"), ("fitness='-loss' and no stop",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_is_refused(case: str, gestures: Path, tmp_path: Path, recurra: Callable) -> None:
    options, parts = REFUSED[case]
    result = recurra("train", gestures, *CLASSIFY, *SMALL, *options, "--out", tmp_path / "run")
    assert result.code == 2, result.err
    message = " ".join(result.err.split())
    for part in parts:
        assert part in message
