"""How a verdict is printed: line one says it, in red where a baseline wins; the rows stand in order."""

from __future__ import annotations

import io

import pytest

from recurra.cli.judgement import judgement_facts, print_judgement
from recurra.cli.terminal import PipeSafeConsole, Terminal
from recurra.types import Judgement


def judgement(*, beats: bool, higher: bool = False) -> Judgement:
    return Judgement(
        metric="mase",
        higher_is_better=higher,
        metrics={"mase": 0.9 if beats is not higher else 1.4, "mae": float("nan")},
        baselines={"naive": {"mase": 1.2, "mae": 3.0}, "drift": {"mase": 1.1, "mae": 4.0}},
        headline="Do not use this model" if not beats else "The model wins",
        sentences=["More is said here."],
        warnings=["few data"],
        beats_baselines=beats,
        predictions=None,
        facts={},
    )


def printed(found: Judgement, *, color: bool = False, quiet: bool = False) -> str:
    out = io.StringIO()
    terminal = Terminal(quiet=quiet)
    terminal.console = PipeSafeConsole(file=out, force_terminal=color, width=100, highlight=False, soft_wrap=True)
    print_judgement(terminal, found)
    return out.getvalue()


@pytest.mark.parametrize("beats", [True, False])
def test_line_one_is_the_headline(beats: bool) -> None:
    lines = printed(judgement(beats=beats)).strip().splitlines()
    assert lines[0] == ("The model wins" if beats else "Do not use this model")
    assert lines[1] == "More is said here."
    assert lines[-1] == "Careful: few data"


@pytest.mark.parametrize(
    ("beats", "higher", "order"),
    [
        (True, False, ["model", "drift", "naive"]),
        (False, False, ["drift", "naive", "model"]),
        (True, True, ["model", "naive", "drift"]),
        (False, True, ["naive", "drift", "model"]),
    ],
)
def test_the_best_row_stands_first(beats: bool, higher: bool, order: list[str]) -> None:
    text = printed(judgement(beats=beats, higher=higher))
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    assert rows[0] == ["mase*", "mae"]
    assert [row[0] for row in rows[1:4]] == order
    assert next(row for row in rows if row[0] == "model")[2] == "-", "what is not a number is not printed as one"


def test_a_lost_comparison_is_red_and_a_won_one_green() -> None:
    assert "\x1b[1;31mDo not use this model" in printed(judgement(beats=False), color=True)
    assert "\x1b[1;32mThe model wins" in printed(judgement(beats=True), color=True)


def test_quiet_is_the_headline_alone() -> None:
    assert printed(judgement(beats=False), quiet=True) == "Do not use this model\n"


def test_the_facts_for_json() -> None:
    facts = judgement_facts("forecast", judgement(beats=True), "runs/x")
    assert facts["task"] == "forecast" and facts["run"] == "runs/x" and facts["beats_baselines"] is True
    assert set(facts["baselines"]) == {"naive", "drift"}
