"""The options of `fit`, checked once for all kinds of rules."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from recurra.errors import UsageError
from recurra.learn.search.stopping import Stop


@dataclass(frozen=True)
class FitOptions:
    """What `fit` was asked for beside network, data, objective and rule; see there."""

    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    shuffle: bool = True
    valid: Any = None
    evaluate_every: int | None = None
    patience: int | None = None
    stop: Stop | None = None
    optimiser: Any = None
    learning_rate: float | None = None
    clip: float | None = 1.0
    window: int | None = None
    seed: int = 0
    progress: Any = True
    executor: Any = None
    chunk_size: int | None = None

    def check(self) -> None:
        """Refuse what is out of range.

        Raises:
            UsageError: the message names the option.
        """
        for name in ("epochs", "steps", "batch_size", "evaluate_every", "patience", "window", "chunk_size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} is {value!r}", where="fit", need="a whole number, at least 1")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"seed is {self.seed!r}", where="fit", need="a whole number from 0")
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
                raise UsageError(f"{name} is {value!r}", where="fit", need="a number from 0")
        if self.stop is not None and not isinstance(self.stop, Stop):
            need = "criteria such as MinMSE(1e-4) | MaxGenerations(500)"
            raise UsageError(f"stop is {self.stop!r}", where="fit", need=need)
        if self.patience is not None and self.valid is None:
            raise UsageError(
                f"patience is {self.patience} and there are no validation data",
                where="fit",
                need="valid=..., as patience watches the loss on it",
            )
        if self.epochs is not None and self.steps is not None:
            given = f"epochs is {self.epochs} and steps is {self.steps}"
            raise UsageError(given, where="fit", need="one of them")

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, by their names."""
        found = {}
        for f in fields(self):
            value = getattr(self, f.name)
            # Numbers are compared by value; whatever else is given may be tensors, which do not compare to a truth.
            if value is not f.default and not (isinstance(value, int | float) and value == f.default):
                found[f.name] = value
        return found

    def refuse(self, names: tuple[str, ...], kind: str, cure: str | None = None) -> None:
        """Refuse options that a kind of rule cannot use: they would be passed over in silence else."""
        found = [name for name in names if name in self.given()]
        if found:
            given = f"{' and '.join(found)} {'are' if len(found) > 1 else 'is'} given to {kind}"
            raise UsageError(given, where="fit", need=f"{kind} without {'them' if len(found) > 1 else 'it'}", cure=cure)
