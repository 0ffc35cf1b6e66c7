"""The contract table of cells: one row a cell, with one step written from the paper's equations in float64 numpy.

A new cell adds a row here; the generic tests of `test_cells.py` follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Weights = dict[str, np.ndarray]
Parts = tuple[np.ndarray, ...]
"""A cell's state as plain arrays in the order of its NamedTuple."""


@dataclass(frozen=True)
class CellRow:
    """A row: the registered name, constructor arguments, an independent step, and the widths of the state's parts."""

    name: str
    step: Callable[[Weights, np.ndarray, Parts], tuple[np.ndarray, Parts]]
    widths: Callable[[int], tuple[int, ...]] = lambda hidden: (hidden,)
    arguments: dict[str, Any] = field(default_factory=dict)

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


def elman(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h = np.tanh(gate_input(w, x, state[0], 0, 1))
    return h, (h,)


def elman_relu(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h = np.maximum(gate_input(w, x, state[0], 0, 1), 0.0)
    return h, (h,)


def lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c = state
    input_gate = sigmoid(gate_input(w, x, h, 0, 4))
    forget_gate = sigmoid(gate_input(w, x, h, 1, 4))
    written = np.tanh(gate_input(w, x, h, 2, 4))
    output_gate = sigmoid(gate_input(w, x, h, 3, 4))
    c = forget_gate * c + input_gate * written
    h = output_gate * np.tanh(c)
    if "weight_hr" in w:
        h = np.einsum("bc,pc->bp", h, w["weight_hr"])
    return h, (h, c)


def gru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    reset = sigmoid(gate_input(w, x, h, 0, 3))
    update = sigmoid(gate_input(w, x, h, 1, 3))
    from_x = np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", 2, 3)) + rows_of(w, "bias_ih", 2, 3)
    from_h = np.einsum("bh,nh->bn", h, rows_of(w, "weight_hh", 2, 3)) + rows_of(w, "bias_hh", 2, 3)
    h = (1.0 - update) * np.tanh(from_x + reset * from_h) + update * h
    return h, (h,)


def gru_reset_before(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    reset = sigmoid(gate_input(w, x, h, 0, 3))
    update = sigmoid(gate_input(w, x, h, 1, 3))
    candidate = np.tanh(gate_input(w, x, reset * h, 2, 3))
    h = update * h + (1.0 - update) * candidate
    return h, (h,)


def indrnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    total = np.einsum("bi,ni->bn", x, w["weight_ih"]) + state[0] * w["weight_hh"][None, :] + w.get("bias_ih", 0.0)
    h = np.where(total > 0, total, 0.0)
    return h, (h,)


TABLE = [
    CellRow("elman", elman),
    CellRow("elman_relu", elman_relu),
    CellRow("lstm", lstm, lambda hidden: (hidden, hidden)),
    CellRow("lstm", lstm, lambda hidden: (2, hidden), {"proj_size": 2}),
    CellRow("gru", gru),
    CellRow("gru_reset_before", gru_reset_before),
    CellRow("indrnn", indrnn),
    CellRow("elman", elman, arguments={"bias": False}),
    CellRow("lstm", lstm, lambda hidden: (2, hidden), {"proj_size": 2, "bias": False}),
    CellRow("gru_reset_before", gru_reset_before, arguments={"bias": False}),
    CellRow("indrnn", indrnn, arguments={"bias": False}),
]
