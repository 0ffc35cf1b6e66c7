"""How far a search has come: what is needed, beside the tensors, to go on from there."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recurra.errors import FolderError


@dataclass
class SearchProgress:
    """The place in a search. `epoch` counts whole epochs behind; the lists are of the epoch under way."""

    planned_epochs: int
    time_limit: float | None = None
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    evaluations: int = 0
    losses: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    best_loss: float | None = None
    best_epoch: int = 0
    guess_loss: float | None = None
    worse: int = 0
    seconds: float = 0.0
    stopped: str | None = None

    def facts(self) -> dict[str, Any]:
        """JSON-able; `from_facts` gives the same progress back, to the bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_facts(cls, path: Path, facts: Any) -> SearchProgress:
        """The progress that `facts`, read from `path`, came from.

        Raises:
            FolderError: they are no such facts.
        """
        try:
            return cls(**facts)
        except TypeError as error:
            raise FolderError(
                "the saved state does not say how far the search came",
                where=str(path),
                need="a state that recurra train wrote for this search",
                cure="undo the last change to the file, or train anew with another --out",
            ) from error

    def reopen(self, planned_epochs: int, time_limit: float | None) -> None:
        """Go on under bounds that may have been changed since: a longer plan opens an ended search again."""
        wider = time_limit is None or (self.time_limit is not None and time_limit > self.time_limit)
        if self.stopped == "epochs" and planned_epochs > self.planned_epochs:
            self.stopped = None
        if self.stopped == "time limit" and wider and time_limit != self.time_limit:
            self.stopped = None
        if self.stopped is None and self.epoch >= planned_epochs:
            self.stopped = "epochs"
        self.planned_epochs, self.time_limit = planned_epochs, time_limit

    def took_generation(self, best: float, mean: float, evaluations: int) -> None:
        """Count a generation."""
        self.step += 1
        self.step_in_epoch += 1
        self.evaluations = evaluations
        self.losses.append(best)
        self.means.append(mean)

    def guessed(self, loss: float) -> None:
        """Take in what random guessing reached on the validation data."""
        if math.isfinite(loss) and (self.guess_loss is None or loss < self.guess_loss):
            self.guess_loss = loss

    def row(self, metrics: dict[str, float], seconds: float) -> dict[str, Any]:
        """The evaluation row of the epoch under way."""
        count = len(self.losses)
        return {
            "step": self.step,
            "epoch": self.epoch + 1,
            "train_loss": sum(self.losses) / count if count else None,
            "mean_loss": sum(self.means) / count if count else None,
            "valid_loss": metrics["loss"],
            **{f"valid_{name}": value for name, value in metrics.items() if name != "loss"},
            "guess_loss": self.guess_loss,
            "evaluations": self.evaluations,
            "seconds": round(seconds, 3),
        }

    def evaluated(self, row: dict[str, Any]) -> bool:
        """Take in an epoch's row; whether it is the best so far."""
        self.rows.append(row)
        loss = row["valid_loss"]
        better = math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss)
        if better:
            self.best_loss, self.best_epoch, self.worse = loss, self.epoch + 1, 0
        else:
            self.worse += 1
        return better

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch += 1
        self.step_in_epoch = 0
        self.losses, self.means = [], []
