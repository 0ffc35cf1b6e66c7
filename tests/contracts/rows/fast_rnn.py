"""FastRNN and FastGRNN, each one step from their paper in float64 numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from row import CellRow, Parts, Weights, gate_input, sigmoid


def fast_rnn(w: Weights, x: np.ndarray, state: Parts, squash: Any = np.tanh) -> tuple[np.ndarray, Parts]:
    alpha, beta = sigmoid(w["alpha"][0]), sigmoid(w["beta"][0])
    h = alpha * squash(gate_input(w, x, state[0], 0, 1)) + beta * state[0]
    return h, (h,)


def fast_grnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    size = h.shape[1]
    from_x = w["weight_ih"] @ w["weight_ih_right"] if "weight_ih_right" in w else w["weight_ih"]
    from_h = w["weight_hh"] @ w["weight_hh_right"] if "weight_hh_right" in w else w["weight_hh"]
    shared = np.einsum("bi,ni->bn", x, from_x) + np.einsum("bh,nh->bn", h, from_h)
    biases = w.get("bias_ih", np.zeros(2 * size))
    z = sigmoid(shared + biases[:size])
    candidate = np.tanh(shared + biases[size:])
    zeta, nu = sigmoid(w["zeta"][0]), sigmoid(w["nu"][0])
    h = zeta * (1 - z) * candidate + nu * candidate + z * h
    return h, (h,)


ROWS = [
    CellRow("fast_rnn", fast_rnn),
    CellRow("fast_rnn", fast_rnn, arguments={"bias": False}),
    CellRow("fast_rnn", partial(fast_rnn, squash=sigmoid), arguments={"nonlinearity": "sigmoid"}),
    CellRow("fast_grnn", fast_grnn),
    CellRow("fast_grnn", fast_grnn, arguments={"input_rank": 2, "hidden_rank": 1}),
    CellRow("fast_grnn", fast_grnn, arguments={"bias": False, "hidden_rank": 3}),
]
