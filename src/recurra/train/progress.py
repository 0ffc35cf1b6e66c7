"""How far a training has come: what is needed, beside the tensors, to go on from there; and what it returns."""

from __future__ import annotations

import dataclasses
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recurra.errors import FolderError
from recurra.train.schedule import Schedule


@dataclass(frozen=True)
class History:
    """What a training did.

    Attributes:
        rows: one dict an evaluation, as in metrics.csv.
        stopped: why it ended: "epochs", "patience", "time limit" or "interrupted".
        best_loss, best_epoch: the lowest validation loss and its epoch, counted from 1.
        seconds: training time, those before a resume included.
        steps: optimiser steps.
    """

    rows: list[dict[str, Any]]
    stopped: str
    best_loss: float
    best_epoch: int
    seconds: float
    steps: int


@dataclass
class Progress:
    """The place in a training. `epoch` counts whole epochs behind; the lists are of the epoch under way."""

    schedule: Schedule
    planned_epochs: int
    time_limit: float | None = None
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    clipped: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best_loss: float | None = None
    best_epoch: int = 0
    worse: int = 0
    seconds: float = 0.0
    stopped: str | None = None

    def facts(self) -> dict[str, Any]:
        """JSON-able; `from_facts` gives the same progress back, to the bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_facts(cls, path: Path, facts: Any) -> Progress:
        """The progress that `facts`, read from `path`, came from.

        Errors: FolderError when they are no such facts.
        """
        try:
            return cls(**{**facts, "schedule": Schedule(**facts["schedule"])})
        except (KeyError, TypeError) as error:
            raise FolderError(
                "the saved state does not say how far training came",
                where=str(path),
                need="a state that recurra train wrote",
                cure="undo the last change to the file, or train anew with another --out",
            ) from error

    def reopen(self, planned_epochs: int, time_limit: float | None, steps_an_epoch: int) -> None:
        """Go on under bounds that may have been changed since: a longer plan opens an ended training again."""
        wider = time_limit is None or (self.time_limit is not None and time_limit > self.time_limit)
        if self.stopped == "epochs" and planned_epochs > self.planned_epochs:
            self.stopped = None
        if self.stopped == "time limit" and wider and time_limit != self.time_limit:
            self.stopped = None
        if self.stopped is None and (planned_epochs, time_limit) != (self.planned_epochs, self.time_limit):
            self.schedule = self.schedule.change(self.step, max(planned_epochs * steps_an_epoch, self.step))
        if self.stopped is None and self.epoch >= planned_epochs:
            self.stopped = "epochs"
        self.planned_epochs, self.time_limit = planned_epochs, time_limit

    def full_steps(self, steps_an_epoch: int) -> int:
        """The steps of all planned epochs, which a time limit may cut."""
        return self.planned_epochs * steps_an_epoch

    def took_step(self, loss: float, norm: float, clipped: bool) -> None:
        """Count a step."""
        self.step += 1
        self.step_in_epoch += 1
        self.losses.append(loss)
        self.norms.append(norm)
        self.clipped += clipped

    def row(self, metrics: dict[str, float], learning_rate: float, seconds: float) -> dict[str, Any]:
        """The evaluation row of the epoch under way."""
        steps = len(self.losses)
        return {
            "step": self.step,
            "epoch": self.epoch + 1,
            "train_loss": sum(self.losses) / steps if steps else None,
            "valid_loss": metrics["loss"],
            **{f"valid_{name}": value for name, value in metrics.items() if name != "loss"},
            "learning_rate": learning_rate,
            "gradient_norm": statistics.median(self.norms) if steps else None,
            "clipped": self.clipped / steps if steps else None,
            "seconds": round(seconds, 3),
        }

    def evaluated(self, row: dict[str, Any]) -> bool:
        """Take in an epoch's row; whether it is the best so far."""
        self.rows.append(row)
        loss = row["valid_loss"]
        better = loss == loss and abs(loss) != float("inf") and (self.best_loss is None or loss < self.best_loss)
        if better:
            self.best_loss, self.best_epoch, self.worse = loss, self.epoch + 1, 0
        else:
            self.worse += 1
        return better

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch += 1
        self.step_in_epoch, self.clipped = 0, 0
        self.losses, self.norms = [], []
