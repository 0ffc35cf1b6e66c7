"""The tasks of the first LSTM paper with their networks and settings, from its tables 1, 3 and 7 to 11."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from _memory_blocks import Shape
from torch import Tensor
from torch.nn.functional import one_hot

from recurra.problems.long_lag import long_lag
from recurra.problems.marked_pairs import first_adding_problem
from recurra.problems.multiplication import multiplication_problem
from recurra.problems.temporal_order import temporal_order

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor, Tensor]]
"""(batch, generator) to x (time, batch, features), targets (batch, outputs) and lengths (batch,)."""


@dataclass(frozen=True)
class Case:
    """One task with one network.

    Attributes:
        title: of the rows.
        shape, rate: the networks and their learning rate.
        most: sequences after which a seed is given up.
        draw: fresh sequences with a target at the last step; None for the Reber grammar.
        right: greatest error of a right answer.
        wrong: fewer than this many of the last `window` sequences may be wrong.
        mean: the mean error of the last `window` sequences must be below this.
        held: number of fresh sequences that must all be right with the weights held.
        share, sequences, missed: the published share of successes, number of sequences, and wrong ones of 2560 after
            success; "" where the case is not the paper's.
        slope: whether the gradient has the slope of the output units (squared error) or not (cross-entropy).
    """

    title: str
    shape: Shape
    rate: float
    most: int
    draw: Draw | None = None
    right: float = 0.0
    wrong: int = 1
    mean: float = float("inf")
    window: int = 2000
    held: int = 0
    share: str = ""
    sequences: str = ""
    missed: str = ""
    slope: bool = True

    def beside(self, title: str, **changes: object) -> Case:
        """A case that is not the paper's, changed in some of its settings."""
        return replace(self, title=title, share="", sequences="", missed="", **changes)  # type: ignore[arg-type]


def two_classes(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    x, target, lengths = long_lag(50, 50, batch, generator)
    return x, one_hot(target, 2), lengths


def sums(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    x, target, lengths = first_adding_problem(100, batch, generator)
    return x, target.unsqueeze(-1), lengths


def products(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    x, target, lengths = multiplication_problem(100, batch, generator)
    return x, target.unsqueeze(-1), lengths


def orders(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    x, target, lengths = temporal_order(2, batch, generator)
    return x, one_hot(target, 4), lengths


_FOUR = Shape(7, 4, 1, 7, "gates", 0.2, output_gates=(-1.0, -2.0, -3.0, -4.0))
_EIGHT = replace(_FOUR, blocks=8, output_gates=(-1.0, -1.0, -2.0, -2.0, -3.0, -3.0, -4.0, -4.0))
_THREE = Shape(7, 3, 2, 7, "gates", 0.2, output_gates=(-1.0, -2.0, -3.0))
_PAIRS = Shape(2, 2, 2, 1, "all", 0.1, input_gates=(-3.0, -6.0))
_REBER = Case("reber, 4 blocks of 1", _FOUR, 0.5, 30_000, share="0.97", sequences="9,500")
_ADDING = Case(
    "adding, T = 100",
    _PAIRS,
    0.5,
    1_500_000,
    sums,
    0.04,
    mean=0.01,
    share="1 (10 trials)",
    sequences="74,000",
    missed="1",
)
_LAG = Case("long lag, 50 distractors, 50 steps", Shape(54, 2, 1, 2, "none", 0.2), 0.01, 500_000, two_classes, 0.2)
_MULTIPLICATION = Case(
    "multiplication, T = 100", replace(_PAIRS, input_gates=()), 0.1, 2_000_000, products, 0.04, wrong=140
)
_ORDER_SHAPE = Shape(8, 2, 2, 4, "all", 0.1, input_gates=(-2.0, -4.0))
_ORDER = Case("temporal order of 2 symbols", _ORDER_SHAPE, 0.5, 500_000, orders, 0.3, mean=0.1)
CASES = {
    "reber": [
        _REBER,
        replace(_REBER, title="reber, 3 blocks of 2", shape=_THREE, share="1.00", sequences="8,440"),
        _REBER.beside("reber, 4 blocks of 1, outputs biased", shape=replace(_FOUR, biases="all")),
        _REBER.beside("reber, 8 blocks of 1", shape=_EIGHT),
    ],
    "lag": [replace(_LAG, window=1000, held=10_000, share="1 (20 trials)", sequences="30,000")],
    "adding": [_ADDING, _ADDING.beside("adding, T = 100, cross-entropy", slope=False)],
    "multiplication": [replace(_MULTIPLICATION, share="1 (10 trials)", sequences="482,000")],
    "order": [replace(_ORDER, share="1 (20 trials)", sequences="31,390", missed="1")],
}
