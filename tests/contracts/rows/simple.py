"""Simple recurrent networks, each one step from its paper in float64 numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from row import CellRow, Parts, Weights, gate_input, sigmoid

from rows import delays, levels, orthogonal


def elman(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h = np.tanh(gate_input(w, x, state[0], 0, 1))
    return h, (h,)


def elman_relu(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h = np.maximum(gate_input(w, x, state[0], 0, 1), 0.0)
    return h, (h,)


def indrnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    total = np.einsum("bi,ni->bn", x, w["weight_ih"]) + state[0] * w["weight_hh"][None, :] + w.get("bias_ih", 0.0)
    h = np.where(total > 0, total, 0.0)
    return h, (h,)


def indrnn_tanh(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h = np.tanh(x @ w["weight_ih"].T + state[0] @ np.diag(w["weight_hh"]) + w.get("bias_ih", 0.0))
    return h, (h,)


def jordan(
    w: Weights, x: np.ndarray, state: Parts, mu: float = 0.0, hidden: str = "sigmoid", output: str = "sigmoid"
) -> tuple[np.ndarray, Parts]:
    functions = {"sigmoid": sigmoid, "tanh": np.tanh, "linear": lambda a: a}
    (context,) = state
    h = functions[hidden](gate_input(w, x, context, 0, 1))
    y = functions[output](np.einsum("bh,oh->bo", h, w["weight_out"]) + w.get("bias_out", 0.0))
    return y, (mu * context + y,)


def fully_recurrent(
    w: Weights, x: np.ndarray, state: Parts, visible: int = 4, squash: Any = sigmoid
) -> tuple[np.ndarray, Parts]:
    # One matrix over all lines, as in the paper: inputs, the line that is always 1, units.
    bias = w.get("bias_ih", np.zeros(len(w["weight_ih"])))[:, None]
    matrix = np.concatenate([w["weight_ih"], bias, w["weight_hh"]], 1)
    lines = np.concatenate([x, np.ones((len(x), 1)), state[0]], 1)
    h = squash(np.einsum("bl,kl->bk", lines, matrix))
    return h[:, :visible], (h,)


def second_order(w: Weights, x: np.ndarray, state: Parts, squash: Any = sigmoid) -> tuple[np.ndarray, Parts]:
    (s,) = state
    tensor = w["weight_hh"].reshape(x.shape[1], s.shape[1], s.shape[1])
    total = np.einsum("kij,bj,bk->bi", tensor, s, x) + w.get("bias_ih", 0.0)
    if "weight_first" in w:
        total = total + x @ w["weight_ih"].T + s @ w["weight_first"].T
    h = squash(total)
    return h, (h,)


def multiplicative_rnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    matrices = np.einsum("hf,bf,fg->bhg", w["weight_hf"], x @ w["weight_fx"].T, w["weight_fh"])
    h = np.tanh(np.einsum("bhg,bg->bh", matrices, h) + x @ w["weight_ih"].T + w.get("bias_ih", 0.0))
    return h, (h,)


def recurrent_mlp(
    w: Weights, x: np.ndarray, state: Parts, subnetworks: int = 2, layers: int = 1
) -> tuple[np.ndarray, Parts]:
    size = w["weight_hh"].shape[1]
    after, a = [], x
    for k in range(subnetworks):
        for layer in range(1, layers + 2):
            total = a @ w[f"weight_{k + 1}_{layer}"].T + w.get(f"bias_{k + 1}_{layer}", 0.0)
            if layer == layers + 1:
                rows = slice(k * size, (k + 1) * size)
                total = total + state[0][:, rows] @ w["weight_hh"][rows].T
            a = np.tanh(total)
        after.append(a)
    return a, (np.concatenate(after, 1),)


def scrn(w: Weights, x: np.ndarray, state: Parts, decay: float = 0.95) -> tuple[np.ndarray, Parts]:
    h, s = state
    q = np.diag(sigmoid(w["decay_logit"])) if "decay_logit" in w else decay * np.eye(s.shape[1])
    s = np.einsum("bi,ci,cd->bd", x, w["weight_sx"], np.eye(s.shape[1]) - q) + s @ q
    total = s @ w["weight_hs"].T + x @ w["weight_ih"].T + h @ w["weight_hh"].T + w.get("bias_ih", 0.0)
    h = sigmoid(total)
    return np.concatenate([h, s], 1), (h, s)


ROWS = [
    CellRow("elman", elman),
    CellRow("elman_relu", elman_relu),
    CellRow("indrnn", indrnn),
    CellRow("elman", elman, arguments={"bias": False}),
    CellRow("indrnn", indrnn, arguments={"bias": False}),
    CellRow("indrnn", indrnn, arguments={"longest": 5}),
    CellRow("indrnn_tanh", indrnn_tanh),
    CellRow("indrnn_tanh", indrnn_tanh, arguments={"bias": False}),
    CellRow("jordan", jordan),
    CellRow("jordan", partial(jordan, mu=0.4), arguments={"mu": 0.4, "bias": False}),
    CellRow(
        "jordan",
        partial(jordan, mu=0.7, hidden="tanh", output="linear"),
        lambda hidden: (2,),
        {"mu": 0.7, "output_size": 2, "nonlinearity": "tanh", "output_nonlinearity": "linear"},
    ),
    CellRow("fully_recurrent", fully_recurrent),
    CellRow("fully_recurrent", partial(fully_recurrent, visible=2), arguments={"output_size": 2, "bias": False}),
    CellRow("fully_recurrent", partial(fully_recurrent, squash=np.tanh), arguments={"nonlinearity": "tanh"}),
    CellRow("second_order", second_order, zero_start=False),
    CellRow("second_order", second_order, arguments={"bias": False}, zero_start=False),
    CellRow(
        "second_order",
        partial(second_order, squash=np.tanh),
        arguments={"first_order": True, "nonlinearity": "tanh"},
        zero_start=False,
    ),
    CellRow("multiplicative_rnn", multiplicative_rnn),
    CellRow("multiplicative_rnn", multiplicative_rnn, arguments={"factor_size": 7}),
    CellRow("multiplicative_rnn", multiplicative_rnn, arguments={"bias": False}),
    CellRow("recurrent_mlp", recurrent_mlp, lambda hidden: (2 * hidden,)),
    CellRow(
        "recurrent_mlp",
        partial(recurrent_mlp, subnetworks=3, layers=2),
        lambda hidden: (3 * hidden,),
        {"subnetworks": 3, "feedforward_layers": 2},
        hidden=2,
    ),
    CellRow("recurrent_mlp", recurrent_mlp, lambda hidden: (2 * hidden,), {"bias": False}),
    CellRow("scrn", scrn, lambda hidden: (hidden, hidden)),
    CellRow("scrn", scrn, lambda hidden: (hidden, 2), {"context_size": 2, "learn_decay": True}),
    CellRow("scrn", partial(scrn, decay=0.8), lambda hidden: (hidden, hidden), {"bias": False, "decay": 0.8}),
    *delays.ROWS,
    *levels.ROWS,
    *orthogonal.ROWS,
]
