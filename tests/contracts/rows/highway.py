"""Highway-like, additive and composed gated cells, each one step from its paper in float64 numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from row import CellRow, Parts, Weights, gate_input, rows_of, sigmoid

from rows.gru import gru
from rows.lstm import lstm


def rhn(w: Weights, x: np.ndarray, state: Parts, depth: int = 3) -> tuple[np.ndarray, Parts]:
    (s,) = state
    blocks = len(w["weight_ih"]) // s.shape[1]

    def total(block: int, layer: int) -> np.ndarray:
        place = block * depth + layer
        a = np.einsum("bh,nh->bn", s, rows_of(w, "weight_hh", place, blocks * depth))
        a = a + rows_of(w, "bias_ih", place, blocks * depth)
        return a + np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", block, blocks)) if layer == 0 else a

    for layer in range(depth):
        new, transform = np.tanh(total(0, layer)), sigmoid(total(1, layer))
        carry = 1.0 - transform if blocks == 2 else sigmoid(total(2, layer))
        s = new * transform + s * carry
    return s, (s,)


def intersection_rnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    v = np.einsum("bi,ni->bn", x, w["weight_v"]) + w.get("bias_v", 0.0) if "weight_v" in w else x
    new_y, new_h = np.maximum(gate_input(w, v, h, 0, 4), 0.0), np.tanh(gate_input(w, v, h, 1, 4))
    in_depth, in_time = sigmoid(gate_input(w, v, h, 2, 4)), sigmoid(gate_input(w, v, h, 3, 4))
    return in_depth * v + (1.0 - in_depth) * new_y, (in_time * h + (1.0 - in_time) * new_h,)


def ugrnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    gate = sigmoid(gate_input(w, x, h, 1, 2))
    h = gate * h + (1.0 - gate) * np.tanh(gate_input(w, x, h, 0, 2))
    return h, (h,)


def ran(
    w: Weights, x: np.ndarray, state: Parts, squash: Callable[..., np.ndarray] = np.tanh
) -> tuple[np.ndarray, Parts]:
    h, c = state
    from_x = [np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", block, 3)) for block in range(3)]
    from_h = [np.einsum("bh,nh->bn", h, rows_of(w, "weight_hh", block, 2)) for block in range(2)]
    input_gate = sigmoid(from_x[0] + from_h[0] + rows_of(w, "bias_ih", 0, 2))
    forget_gate = sigmoid(from_x[1] + from_h[1] + rows_of(w, "bias_ih", 1, 2))
    c = input_gate * from_x[2] + forget_gate * c
    h = squash(c)
    return h, (h, c)


def fast_slow(
    w: Weights, x: np.ndarray, state: Parts, slow: Callable[..., tuple[np.ndarray, Parts]] = lstm, fast_layers: int = 2
) -> tuple[np.ndarray, Parts]:
    def part(name: str) -> Weights:
        return {key.removeprefix(name): value for key, value in w.items() if key.startswith(name)}

    fast_state, slow_state = state[:2], state[2:]
    y, fast_state = lstm(part("fast.0."), x, fast_state)
    slow_y, slow_state = slow(part("slow."), y, slow_state)
    y, fast_state = lstm(part("fast.1."), slow_y, fast_state)
    for layer in range(2, fast_layers):
        y, fast_state = lstm(part(f"fast.{layer}."), np.zeros((len(x), 1)), fast_state)
    return y, (*fast_state, *slow_state)


ROWS = [
    CellRow("rhn", rhn),
    CellRow("rhn", partial(rhn, depth=1), arguments={"depth": 1}),
    CellRow("rhn", rhn, arguments={"bias": False}),
    CellRow("rhn_uncoupled", partial(rhn, depth=2), arguments={"depth": 2}),
    CellRow("intersection_rnn", intersection_rnn),
    CellRow("intersection_rnn", intersection_rnn, arguments={"bias": False}),
    CellRow("intersection_rnn", intersection_rnn, features=4),
    CellRow("ugrnn", ugrnn),
    CellRow("ugrnn", ugrnn, arguments={"bias": False}),
    CellRow("ran", ran, lambda hidden: (hidden, hidden)),
    CellRow("ran", ran, lambda hidden: (hidden, hidden), {"bias": False}),
    CellRow("ran_identity", partial(ran, squash=np.asarray), lambda hidden: (hidden, hidden)),
    CellRow("fast_slow", fast_slow, lambda hidden: (hidden,) * 4),
    CellRow(
        "fast_slow",
        partial(fast_slow, slow=gru, fast_layers=3),
        lambda hidden: (hidden, hidden, 2),
        {"fast_layers": 3, "slow": "gru", "slow_size": 2},
    ),
    CellRow("fast_slow", fast_slow, lambda hidden: (hidden,) * 4, {"bias": False}),
]
