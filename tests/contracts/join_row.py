"""What a row of the contract tables of trees and grids says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]
Parts = tuple[np.ndarray, ...]
"""The state of one node or point as vectors, in the order of its NamedTuple."""
Slots = list[Parts | None]
"""An earlier state in each slot; None in an empty one."""


@dataclass(frozen=True)
class JoinRow:
    """A row: the registered name, constructor arguments, and the step of one node or point in float64 numpy.

    Attributes:
        name: in the table of cells.
        step: `(weights, x, slots) -> (y, state)`, written from the paper for vectors, not for batches.
        parts: the number of the state's parts.
        arguments: of the constructor.
        features, hidden: the sizes the tests use.
        slots: how many earlier states the tests give (what the cell takes, or any number).
    """

    name: str
    step: Callable[[Weights, np.ndarray, Slots], tuple[np.ndarray, Parts]]
    parts: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)
    features: int = 3
    hidden: int = 4
    slots: int = 2

    @property
    def id(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.arguments.items())])


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


def block(weights: Weights, name: str, index: int, size: int) -> Any:
    """The index-th block of `size` rows; 0 for a bias that is not there."""
    if name not in weights:
        return 0.0
    return weights[name][index * size : (index + 1) * size]


def part_of(slots: Slots, slot: int, part: int, size: int) -> np.ndarray:
    """A part of the state in a slot; zeros in an empty one."""
    state = slots[slot]
    return np.zeros(size) if state is None else state[part]
