"""What a training found, and what is told while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class FitProgress:
    """How far a training has come; the same for rules and searches.

    Attributes:
        step: optimiser steps, or generations of a search.
        steps: how many are planned at most; None where only a criterion ends it.
        loss: of the latest batch, or of the best network so far of a search.
        mean: a search's mean loss over the latest population; None with gradients.
        best: the lowest loss so far: on the validation data where there are any, else in training.
        validation: the latest loss on the validation data; None where there are none.
        evaluations: networks evaluated so far: one a step with gradients, a population a generation with a search.
        epoch: from 1; None where batches are made fresh.
        seconds: since the beginning.
        guessing: the lowest loss that random guessing reached with as many evaluations; None with gradients.
    """

    step: int
    steps: int | None
    loss: float
    mean: float | None
    best: float
    validation: float | None
    evaluations: int
    epoch: int | None
    seconds: float
    guessing: float | None = None

    def __str__(self) -> str:
        planned = "" if self.steps is None else f"/{self.steps}"
        searching = self.guessing is not None
        words = [f"{'generation' if searching else 'step'} {self.step}{planned}"]
        words += [] if self.epoch is None else [f"epoch {self.epoch}"]
        words += [f"{'best' if searching else 'loss'} {self.loss:.4g}"]
        words += [] if self.mean is None else [f"mean {self.mean:.4g}"]
        words += [f"{self.evaluations} evaluations"] if searching else []
        words += [] if self.guessing is None else [f"guessing {self.guessing:.4g}"]
        words += [] if self.validation is None else [f"validation {self.validation:.4g}"]
        return ", ".join([*words, f"{self.seconds:.1f} s"])


Listener = Callable[[FitProgress], None]


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives back.

    Attributes:
        network: the network that was given, trained in place; with Evolino the one that holds the read-out it found.
        rule: the rule, as it is written.
        losses: one a step (gradients: the batch's loss before that step), or a generation (the best network so far).
        validation: pairs (step, loss on the validation data); empty where there were none.
        best_loss: the lowest loss on the validation data, whose weights were kept; without such data the lowest of
            `losses`, and the weights are those of the last step (of a search: those of the best network).
        best_step: the step, or generation, of that loss, from 1.
        steps, epochs: optimiser steps or generations; epochs is None where batches were made fresh.
        evaluations: networks evaluated, see `FitProgress`.
        seconds: of training.
        stopped_because: in words.
        guessing: the lowest loss that random guessing reached with as many evaluations; None with gradients.
        guesses: random guessing's lowest loss after each generation.
        details: what a rule has to say beside that.

    Example:
        >>> import torch
        >>> from recurra.learn import MSE, fit
        >>> from recurra.cells import Elman
        >>> found = fit(Elman(1, 1), (torch.zeros(3, 2, 1), torch.zeros(3, 2, 1)), MSE(), steps=2, progress=False)
        >>> found.steps, found.stopped_because
        (2, '2 steps')
    """

    network: nn.Module
    rule: str
    losses: list[float]
    validation: list[tuple[int, float]]
    best_loss: float
    best_step: int
    steps: int
    epochs: int | None
    evaluations: int
    seconds: float
    stopped_because: str
    guessing: float | None = None
    guesses: list[float] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses over steps with matplotlib, on `axes` or on a new figure; returns the axes."""
        from recurra.learn.fitting.plot import plot_losses

        return plot_losses(self, axes)

    def __repr__(self) -> str:
        beside = "" if self.guessing is None else f", guessing={self.guessing:.4g}"
        return (
            f"Fitted(rule={self.rule}, best_loss={self.best_loss:.4g}{beside}, steps={self.steps}, "
            f"evaluations={self.evaluations}, seconds={self.seconds:.1f}, stopped_because={self.stopped_because!r})"
        )
