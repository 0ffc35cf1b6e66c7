"""What a row of the contract table says, and what the rows' references share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]
"""A cell's parameters and buffers under their own names."""
Parts = tuple[np.ndarray, ...]
"""A cell's state as plain arrays, in the order of its NamedTuple (of nested ones, depth first)."""


@dataclass(frozen=True)
class CellRow:
    """A row: the registered name, an independent step, and what the generic tests must know to make the cell.

    Attributes:
        name: in the table of cells.
        step: one step in float64 numpy, from the paper: `(weights, x, state) -> (y, state)`; for a cell in continuous
            time `(weights, x, state, dt)`, dt (batch, 1) or None for the default.
        widths: of the state's parts at a given number of hidden units; a tuple where a part has several dimensions.
        arguments: of the constructor.
        features, hidden: the sizes the generic tests use.
        state: makes a random state of the right kind from (cell, batch, generator); normal numbers when absent.
        inputs: makes inputs of the right kind from normal ones; the identity when absent.
        differentiable: False where the gradient is by design not that of the step (straight-through estimators), or
            ends (at spikes); a test of the cell's own then proves its gradient.
        input_gradient: whether a gradient of the outputs reaches the inputs; False where spikes stand between them.
        zero_start: whether the first state is all zeros.
        free_weights: whether other weights give other outputs on plain inputs (False for a cell without weights).
        tolerance: of the comparison with the reference.
    """

    name: str
    step: Callable[..., tuple[np.ndarray, Parts]]
    widths: Callable[[int], tuple[Any, ...]] = lambda hidden: (hidden,)
    arguments: dict[str, Any] = field(default_factory=dict)
    features: int = 3
    hidden: int = 4
    state: Callable[..., Any] | None = None
    inputs: Callable[[Any], Any] | None = None
    differentiable: bool = True
    input_gradient: bool = True
    zero_start: bool = True
    free_weights: bool = True
    tolerance: float = 1e-12

    @property
    def id(self) -> str:
        return "-".join([self.name, *(f"{key}={value}" for key, value in self.arguments.items())])


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


def rows_of(weights: Weights, name: str, gate: int, gates: int) -> Any:
    """The block of one gate; 0 for a bias that is not there."""
    if name not in weights:
        return 0.0
    size = len(weights[name]) // gates
    return weights[name][gate * size : (gate + 1) * size]


def gate_input(w: Weights, x: np.ndarray, h: np.ndarray, gate: int, gates: int) -> np.ndarray:
    from_x = np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", gate, gates)) + rows_of(w, "bias_ih", gate, gates)
    from_h = np.einsum("bh,nh->bn", h, rows_of(w, "weight_hh", gate, gates)) + rows_of(w, "bias_hh", gate, gates)
    return from_x + from_h
