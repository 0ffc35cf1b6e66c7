"""Steps of the cells for grids, one point at a time."""

from __future__ import annotations

import numpy as np
from join_row import JoinRow, Parts, Slots, Weights, block, part_of, sigmoid


def sums(w: Weights, x: np.ndarray, slots: Slots, index: int, size: int) -> np.ndarray:
    """W x + b and U_k h_k over the dimensions, for one block of units."""
    total = block(w, "weight_ih", index, size) @ x + block(w, "bias_ih", index, size)
    for k in range(len(slots)):
        u = block(w, "weight_hh", index, size)[:, k * size : (k + 1) * size]
        total = total + u @ part_of(slots, k, 0, size)
    return total


def mdrnn_with(f):
    def mdrnn(w: Weights, x: np.ndarray, slots: Slots) -> tuple[np.ndarray, Parts]:
        h = f(sums(w, x, slots, 0, len(w["weight_hh"])))
        return h, (h,)

    return mdrnn


def mdlstm(w: Weights, x: np.ndarray, slots: Slots) -> tuple[np.ndarray, Parts]:
    count = len(slots)
    size = len(w["weight_hh"]) // (3 + count)
    memory = [part_of(slots, d, 1, size) for d in range(count)]
    a_i = sums(w, x, slots, 0, size)
    for d in range(count):
        a_i = a_i + block(w, "weight_ch", 0, size) * memory[d]
    c = sigmoid(a_i) * np.tanh(sums(w, x, slots, 1 + count, size))
    for d in range(count):
        a_f = sums(w, x, slots, 1 + d, size) + block(w, "weight_ch", 1 + d, size) * memory[d]
        c = c + sigmoid(a_f) * memory[d]
    a_o = sums(w, x, slots, 2 + count, size) + block(w, "weight_ch", 1 + count, size) * c
    h = sigmoid(a_o) * np.tanh(c)
    return h, (h, c)


def leaky(w: Weights, x: np.ndarray, slots: Slots) -> tuple[np.ndarray, Parts]:
    count = len(slots)
    size = len(w["weight_hh"]) // (3 + count)
    memory = [part_of(slots, d, 1, size) for d in range(count)]
    if count == 1:
        before = memory[0]
    elif count == 2:
        first = sigmoid(sums(w, x, slots, 0, size))
        before = first * memory[0] + (1.0 - first) * memory[1]
    else:
        weight = [np.exp(sums(w, x, slots, d, size)) for d in range(count - 1)] + [np.ones(size)]
        before = sum(a * b for a, b in zip(weight, memory, strict=True)) / sum(weight)
    forget, written, now, old = (sums(w, x, slots, count - 1 + gate, size) for gate in range(4))
    c = (1.0 - sigmoid(forget)) * np.tanh(written) + sigmoid(forget) * before
    h = np.tanh(sigmoid(now) * c + sigmoid(old) * before)
    return h, (h, c)


def relu(a: np.ndarray) -> np.ndarray:
    return np.where(a > 0, a, 0.0)


ROWS = [
    JoinRow("mdrnn", mdrnn_with(np.tanh)),
    JoinRow("mdrnn", mdrnn_with(np.tanh), arguments={"dimensions": 3}, slots=3),
    JoinRow("mdrnn", mdrnn_with(relu), arguments={"nonlinearity": "relu", "bias": False}),
    JoinRow("mdlstm", mdlstm, parts=2),
    JoinRow("mdlstm", mdlstm, parts=2, arguments={"dimensions": 1}, slots=1),
    JoinRow("mdlstm", mdlstm, parts=2, arguments={"dimensions": 3}, slots=3, hidden=3),
    JoinRow("mdlstm", mdlstm, parts=2, arguments={"bias": False}),
    JoinRow("md_leaky_lp", leaky, parts=2),
    JoinRow("md_leaky_lp", leaky, parts=2, arguments={"dimensions": 1}, slots=1),
    JoinRow("md_leaky_lp", leaky, parts=2, arguments={"dimensions": 3, "bias": False}, slots=3, hidden=3),
]
