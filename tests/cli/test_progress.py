"""The progress display: rows that stay, one bar that vanishes, nothing but lines in a pipe."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

from recurra.cli.progress import TrainingProgress
from recurra.cli.terminal import PipeSafeConsole, Terminal, duration, finite, number
from recurra.data.card import DataCard


def shown(*, terminal: bool, quiet: bool = False, evaluations: int = 5) -> str:
    out = io.StringIO()
    screen = Terminal(quiet=quiet)
    screen.console = PipeSafeConsole(
        file=out, force_terminal=terminal, width=100, highlight=False, soft_wrap=True, color_system=None
    )
    with TrainingProgress(screen) as progress:
        card = DataCard(rows=300, sequences=3, lengths=np.array([90, 100, 110]), columns=[], notes=["one is missing"])
        progress("data", card.event() | {"split": {"train": {"text": "80 steps a series"}}})
        progress("note", {"text": "one is missing"})
        progress("model", {"cell": "gru", "layers": 1, "hidden_size": 32, "bidirectional": False, "parameters": 4321})
        for epoch in range(evaluations):
            progress(
                "step",
                {"step": epoch * 10, "loss": 0.5, "gradient_norm": 1.0, "learning_rate": 0.01, "planned_steps": 50},
            )
            row = {
                "step": epoch * 10 + 10,
                "epoch": epoch + 1,
                "train_loss": 0.5,
                "valid_loss": 0.25,
                "valid_mase": 0.9,
            }
            progress("evaluation", row | {"gradient_norm": 1.5, "seconds": epoch})
        progress("something_new", {"text": "is passed over"})
        progress("end", {"seconds": 1.0})
    return out.getvalue()


def test_in_a_terminal_every_evaluation_stays_and_the_bar_vanishes() -> None:
    text = shown(terminal=True)
    erased = re.sub(r"[^\n]*\r\x1b\[2K", "", text)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", erased)
    assert len(re.findall(r"^ +\d+ +\d+ +0\.5 +0\.25 +0\.9 +1\.5 ", plain, flags=re.MULTILINE)) == 5
    assert "━" in text and plain.count("━") == plain.splitlines()[-2].count("━"), "only the last line still has a bar"
    assert text.rstrip("\n").endswith("\x1b[2K"), "the bar's line is erased at the end"


def test_in_a_pipe_there_are_only_lines_at_a_sensible_rate() -> None:
    text = shown(terminal=False)
    assert "\x1b" not in text and "\r" not in text
    rows = [line.split()[0] for line in text.splitlines() if re.match(r" +\d", line)]
    assert rows == ["1", "5"], "the first and the last; the others came within a second"
    assert "table: 300 rows, 3 series of 90 to 110 steps\n" in text and "train: 80 steps a series\n" in text
    assert text.count("Note: one is missing\n") == 1, "what the card said is not said again"
    assert "Model: gru, 1 layer, 32 hidden units, 4,321 parameters" in text


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_prints_nothing(terminal: bool) -> None:
    assert shown(terminal=terminal, quiet=True) == ""


def test_one_voice_under_torchrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    terminal = Terminal()
    terminal.say("hello")
    terminal.headline("verdict", True)
    terminal.json({"a": 1})
    assert capsys.readouterr() == ("", "")


def test_numbers_and_durations_are_written_as_people_write_them() -> None:
    values = [0.0, 0.123456, 12.3456, 123456.0, 1e-9, float("nan"), None, 1234567, True]
    texts = ["0", "0.1235", "12.35", "123,456", "1.00e-09", "-", "-", "1,234,567", "True"]
    assert [number(value) for value in values] == texts
    assert [duration(s) for s in (0.25, 8.4, 59.4, 200, 3900)] == ["0.2 s", "8.4 s", "59 s", "3 min 20 s", "1 h 5 min"]


def test_json_knows_no_infinite_numbers() -> None:
    assert finite({"a": [float("inf"), 1.0], "b": (float("nan"),)}) == {"a": [None, 1.0], "b": [None]}
