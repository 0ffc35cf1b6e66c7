"""What a person sees while a model trains: one bar that vanishes, and one row an evaluation that stays."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from recurra.cli.terminal import Terminal, duration, number

EXTRA = ("valid_smape", "valid_mase", "valid_pinball", "valid_accuracy", "valid_f1")
"""Metrics that get a column in the table of evaluations, the first one present."""


class TrainingProgress:
    """Takes the events of a run (`on_event`) and shows them.

    In a terminal a bar stands under the table while there is something to wait for. In a pipe there is no bar, and of
    many quick evaluations only one a second is printed, with the first and the last always among them.
    """

    def __init__(self, terminal: Terminal):
        self.terminal = terminal
        self.live = terminal.console.is_terminal and not terminal.quiet
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), console=terminal.console, transient=True
        )
        self.line: TaskID | None = None
        self.metric: str | None = None
        self.epoch = 0
        self.header_shown = False
        self.printed = -1.0
        self.noted: set[str] = set()
        self.waiting: dict[str, Any] | None = None

    def __enter__(self) -> TrainingProgress:
        self._wait("reading the data")
        return self

    def __exit__(self, *_: object) -> None:
        self._print_waiting()
        if self.line is not None:
            self.bar.stop()
            self.line = None

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        show = getattr(self, f"on_{event}", None)
        if show is not None:
            show(facts)

    def on_data(self, facts: dict[str, Any]) -> None:
        for line in card_lines(facts):
            self.terminal.say(line)
        for part, split in facts.get("split", {}).items():
            self.terminal.say(f"{part}: {split['text']}")
        for text in facts.get("notes", ()):
            self.on_note({"text": text})

    def on_note(self, facts: dict[str, Any]) -> None:
        # A task may say what the card said already.
        if facts["text"] not in self.noted:
            self.noted.add(facts["text"])
            self.terminal.say(f"Note: {facts['text']}")

    def on_model(self, facts: dict[str, Any]) -> None:
        layers = facts.get("layers")
        words = [
            f"{layers} layer{'s' if layers != 1 else ''}",
            f"{facts.get('hidden_size')} hidden units",
            *(["both directions"] if facts.get("bidirectional") else []),
            f"{number(facts.get('parameters'))} parameters",
        ]
        self.terminal.say(f"Model: {facts.get('cell')}, {', '.join(words)}")
        self._wait("training")

    def on_step(self, facts: dict[str, Any]) -> None:
        if self.line is not None:
            step, planned = facts["step"], facts.get("planned_steps")
            words = f"epoch {facts.get('epoch', self.epoch + 1)}, "
            if "generation" in facts:
                words += f"generation {facts['generation']}, best {number(facts.get('loss'))}"
                words += f", mean {number(facts.get('mean_loss'))}, {number(facts.get('evaluations'))} evaluations"
            else:
                words += f"loss {number(facts.get('loss'))}"
            self.bar.update(self.line, description=words, completed=step, total=planned)

    def on_evaluation(self, row: dict[str, Any]) -> None:
        self.epoch = int(row.get("epoch") or self.epoch + 1)
        if not self.header_shown:
            self.metric = next((name for name in EXTRA if name in row), None)
            self.terminal.say()
            heads = ["epoch", "step", "train", "valid", _short(self.metric), "gradient", "time"]
            if "evaluations" in row:
                heads = ["epoch", "tried", "best", "valid", _short(self.metric), "guessing", "time"]
            self.terminal.say(self._row(heads), "dim")
            self.header_shown = True
        self.waiting = row
        if self.live or self.printed < 0 or time.monotonic() - self.printed >= 1.0:
            self._print_waiting()
        if self.line is not None:
            self.bar.update(self.line, description=f"epoch {self.epoch} evaluated")

    def on_end(self, facts: dict[str, Any]) -> None:
        self._print_waiting()

    def _print_waiting(self) -> None:
        row, self.waiting = self.waiting, None
        if row is None:
            return
        self.printed = time.monotonic()
        # A search has looked at so many networks, and random guessing at as many; it has no gradient.
        second, sixth = ("evaluations", "guess_loss") if "evaluations" in row else ("step", "gradient_norm")
        cells = [row.get("epoch"), row.get(second), row.get("train_loss"), row.get("valid_loss")]
        cells += [row.get(self.metric) if self.metric else "", row.get(sixth)]
        self.terminal.say(self._row([*map(number, cells), duration(row.get("seconds") or 0.0)]))

    def _row(self, cells: list[str]) -> str:
        return "".join(
            cell.rjust(width) for cell, width in zip(cells, (7, 8, 10, 10, 12, 10, 14), strict=True)
        ).rstrip()

    def _wait(self, words: str) -> None:
        if not self.live:
            return
        if self.line is None:
            self.bar.start()
            self.line = self.bar.add_task(words, total=None)
        else:
            self.bar.update(self.line, description=words, total=None)


def card_lines(facts: dict[str, Any]) -> list[str]:
    """The data card's lines for the terminal, from the facts of the event "data"."""
    import numpy as np

    from recurra.data.card import DataCard

    known = {field.name: facts[field.name] for field in dataclasses.fields(DataCard) if field.name in facts}
    # The event tells the lengths as a histogram; of them the lines need the smallest and the largest.
    ends = np.array([facts["lengths"]["smallest"], facts["lengths"]["largest"]])
    return DataCard(**known | {"lengths": ends}).lines()


def _short(metric: str | None) -> str:
    return (metric or "").removeprefix("valid_")
