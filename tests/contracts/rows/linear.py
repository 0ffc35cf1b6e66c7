"""Linear recurrences and modern cells, each one step from its paper in float64 numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from row import CellRow, Parts, Weights, rows_of, sigmoid


def affine(w: Weights, x: np.ndarray, part: int, parts: int) -> np.ndarray:
    return np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", part, parts)) + rows_of(w, "bias_ih", part, parts)


def qrnn(pooling: str, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    c, past = state
    gates = {"f": 2, "fo": 3, "ifo": 4}[pooling]
    hidden, features, lags = c.shape[1], x.shape[1], past.shape[1]
    # The filter as a convolution has it: one matrix a lag, oldest first.
    window = np.concatenate([past, x[:, None]], axis=1)
    filters = np.zeros((gates, hidden, lags + 1, features))
    filters[:, :, lags] = w["weight_ih"].reshape(gates, hidden, features)
    if lags:
        filters[:, :, :lags] = w["weight_past"].reshape(gates, hidden, lags, features)
    total = np.einsum("blf,gnlf->gbn", window, filters)
    if "bias_ih" in w:
        total = total + w["bias_ih"].reshape(gates, 1, hidden)
    candidate, forget = np.tanh(total[0]), sigmoid(total[1])
    written = sigmoid(total[3]) if pooling == "ifo" else 1.0 - forget
    c = forget * c + written * candidate
    return (c if pooling == "f" else sigmoid(total[2]) * c), (c, window[:, 1:])


def sru(alpha: float, squash: Any, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (c,) = state
    hidden = c.shape[1]
    matrices = w["weight_ih"].reshape(-1, hidden, x.shape[1])
    new, forget, reset = np.einsum("bi,gni->gbn", x, matrices[:3])
    forget, reset = forget + rows_of(w, "bias_ih", 0, 2), reset + rows_of(w, "bias_ih", 1, 2)
    forget, reset = forget + rows_of(w, "weight_hh", 0, 2) * c, reset + rows_of(w, "weight_hh", 1, 2) * c
    forget, reset = sigmoid(forget), sigmoid(reset)
    carried = x if len(matrices) == 3 else np.einsum("bi,ni->bn", x, matrices[3])
    c = forget * c + (1.0 - forget) * new
    return reset * squash(c) + (1.0 - reset) * carried * alpha, (c,)


def lru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    hidden = len(w["log_decay"])
    turn = np.exp(-np.exp(w["log_decay"]) + 1j * np.exp(w["log_angle"]))
    matrix_in = w["weight_ih"][:hidden] + 1j * w["weight_ih"][hidden:]
    matrix_out = w["weight_out"][:, :hidden] + 1j * w["weight_out"][:, hidden:]
    s = turn * (state[0] + 1j * state[1]) + np.exp(w["log_scale"]) * np.einsum("bi,ni->bn", x, matrix_in)
    y = np.einsum("bn,on->bo", s, matrix_out).real + np.einsum("bi,oi->bo", x, w["weight_skip"])
    return y, (s.real, s.imag)


def rg_lru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    matrices = w["weight_ih"].reshape(-1, h.shape[1], x.shape[1])
    recurrence = sigmoid(np.einsum("bi,ni->bn", x, matrices[0]) + rows_of(w, "bias_ih", 0, 2))
    write = sigmoid(np.einsum("bi,ni->bn", x, matrices[1]) + rows_of(w, "bias_ih", 1, 2))
    u = x if len(matrices) == 2 else np.einsum("bi,ni->bn", x, matrices[2])
    a = sigmoid(w["decay"]) ** (8.0 * recurrence)
    h = a * h + np.sqrt(1.0 - a * a) * (write * u)
    return h, (h,)


def above_zero(a: np.ndarray) -> np.ndarray:
    return np.where(a >= 0, a + 0.5, sigmoid(a))


def min_gru(positive: bool, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    update, new = sigmoid(affine(w, x, 0, 2)), affine(w, x, 1, 2)
    h = (1.0 - update) * state[0] + update * (above_zero(new) if positive else new)
    return h, (h,)


def min_lstm(positive: bool, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    forget, write, new = sigmoid(affine(w, x, 0, 3)), sigmoid(affine(w, x, 1, 3)), affine(w, x, 2, 3)
    h = (forget * state[0] + write * (above_zero(new) if positive else new)) / (forget + write)
    return h, (h,)


def slstm(heads: int, forget_gate: str, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c, n, m = state
    hidden = h.shape[1]
    total = np.stack([affine(w, x, gate, 4) for gate in range(4)])
    if "weight_hh" in w:
        width = hidden // heads
        blocks = w["weight_hh"].reshape(4, heads, width, width)
        mixed = np.einsum("bhv,ghuv->gbhu", h.reshape(-1, heads, width), blocks)
        total = total + mixed.reshape(4, -1, hidden)
    # Without a stabiliser, as the paper first states it; the state is divided by the paper's scale afterwards.
    write, new, read = np.exp(total[0]), np.tanh(total[2]), sigmoid(total[3])
    forget = sigmoid(total[1]) if forget_gate == "sigmoid" else np.exp(total[1])
    memory = forget * c * np.exp(m) + write * new
    norm = forget * n * np.exp(m) + write
    m = np.where(n == 0, total[0], np.maximum(np.log(forget) + m, total[0]))
    h = read * memory / norm
    return h, (h, memory * np.exp(-m), norm * np.exp(-m), m)


def slstm_state(cell: Any, batch: int, generator: Any) -> Any:
    start = cell.initial_state(batch)
    h, c, n, m = (torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in start)
    return type(start)(h, c, n.abs() + 0.5, m)


def mlstm(heads: int, forget_gate: str, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    c, n, m = state
    batch, width = len(x), c.shape[-1]

    def by_head(part: int, divided_by: float = 1.0) -> np.ndarray:
        product = np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", part, 4)) / divided_by
        return (product + rows_of(w, "bias_ih", part, 4)).reshape(batch, heads, width)

    query, key, value, read = by_head(0), by_head(1, np.sqrt(width)), by_head(2), sigmoid(by_head(3))
    for_write, for_forget = (
        np.einsum("bi,hi->bh", x, rows_of(w, "weight_gates", part, 2)) + rows_of(w, "bias_gates", part, 2)
        for part in range(2)
    )
    write = np.exp(for_write)
    forget = sigmoid(for_forget) if forget_gate == "sigmoid" else np.exp(for_forget)
    # Without a stabiliser, as the paper first states it; the state is divided by its scale afterwards.
    scale = np.exp(m)
    memory = (forget * scale)[..., None, None] * c + write[..., None, None] * np.einsum("bhv,bhk->bhvk", value, key)
    norm = (forget * scale)[..., None] * n + write[..., None] * key
    found = np.einsum("bhvk,bhk->bhv", memory, query)
    below = np.maximum(np.abs(np.einsum("bhk,bhk->bh", norm, query)), 1.0)
    m = np.maximum(np.maximum(np.log(forget) + m, for_write), 0.0)
    y = (read * found / below[..., None]).reshape(batch, heads * width)
    return y, (memory * np.exp(-m)[..., None, None], norm * np.exp(-m)[..., None], m)


def mlstm_state(cell: Any, batch: int, generator: Any) -> Any:
    start = cell.initial_state(batch)
    c, n, m = (torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in start)
    return type(start)(c, n, m.abs() + 0.1)


def trnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    new = np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", 0, 2))
    forget = sigmoid(np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", 1, 2)) + w.get("bias_ih", 0.0))
    h = forget * state[0] + (1.0 - forget) * new
    return h, (h,)


def typed(w: Weights, x: np.ndarray, last: np.ndarray) -> list[np.ndarray]:
    return [
        affine(w, x, part, 3) + np.einsum("bi,ni->bn", last, rows_of(w, "weight_past", part, 3)) for part in range(3)
    ]


def tgru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    new, forget, out = typed(w, x, state[1])
    h = sigmoid(forget) * state[0] + new * np.tanh(out)
    return h, (h, x)


def tlstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    new, forget, out = typed(w, x, state[1])
    c = sigmoid(forget) * state[0] + (1.0 - sigmoid(forget)) * new
    return c * np.tanh(out), (c, x)


def identity(c: np.ndarray) -> np.ndarray:
    return c


def four(hidden: int) -> tuple[int, ...]:
    return (hidden,) * 4


def with_window(lags: int) -> Any:
    return lambda hidden: (hidden, (lags, 3))


def with_input(hidden: int) -> tuple[int, ...]:
    return (hidden, 3)


def one_matrix(hidden: int) -> tuple[Any, ...]:
    return (1, hidden, hidden), (1, hidden), 1


def two_matrices(hidden: int) -> tuple[Any, ...]:
    return (2, hidden // 2, hidden // 2), (2, hidden // 2), 2


ROWS: list[CellRow] = [
    CellRow("qrnn", partial(qrnn, "fo"), with_window(1)),
    CellRow("qrnn", partial(qrnn, "fo"), with_window(2), {"window": 3}),
    CellRow("qrnn", partial(qrnn, "fo"), with_window(1), {"bias": False}),
    CellRow("qrnn_f", partial(qrnn, "f"), with_window(1)),
    CellRow("qrnn_ifo", partial(qrnn, "ifo"), with_window(1)),
    CellRow("sru", partial(sru, np.sqrt(3.0), identity)),
    CellRow(
        "sru", partial(sru, np.sqrt(1.0 + 2.0 * np.exp(-2.0)), identity), arguments={"highway_bias": -2.0}, features=4
    ),
    CellRow("sru", partial(sru, np.sqrt(3.0), identity), arguments={"bias": False}),
    CellRow("sru_linear", partial(sru, 1.0, np.tanh)),
    CellRow("sru_linear", partial(sru, 1.0, identity), arguments={"activation": "identity"}, features=4),
    CellRow("lru", lru, lambda hidden: (hidden, hidden)),
    CellRow("lru", lru, lambda hidden: (hidden, hidden), {"output_size": 2, "r_min": 0.8, "max_phase": 0.5}),
    CellRow("rg_lru", rg_lru),
    CellRow("rg_lru", rg_lru, arguments={"sharpness": 8.0}, features=4),
    CellRow("rg_lru", rg_lru, arguments={"bias": False}),
    CellRow("min_gru", partial(min_gru, False)),
    CellRow("min_gru", partial(min_gru, True), arguments={"positive": True}),
    CellRow("min_gru", partial(min_gru, False), arguments={"bias": False}),
    CellRow("min_lstm", partial(min_lstm, False)),
    CellRow("min_lstm", partial(min_lstm, True), arguments={"positive": True}),
    CellRow("min_lstm", partial(min_lstm, False), arguments={"bias": False}),
    CellRow("slstm", partial(slstm, 1, "sigmoid"), four, state=slstm_state),
    CellRow("slstm", partial(slstm, 2, "exp"), four, {"num_heads": 2, "forget_gate": "exp"}, state=slstm_state),
    CellRow("slstm", partial(slstm, 4, "sigmoid"), four, {"num_heads": 4, "bias": False}, state=slstm_state),
    CellRow("slstm_linear", partial(slstm, 1, "sigmoid"), four, state=slstm_state),
    CellRow("slstm_linear", partial(slstm, 1, "exp"), four, {"forget_gate": "exp"}, state=slstm_state),
    CellRow("mlstm", partial(mlstm, 1, "sigmoid"), one_matrix, state=mlstm_state),
    CellRow("mlstm", partial(mlstm, 2, "exp"), two_matrices, {"num_heads": 2, "forget_gate": "exp"}, state=mlstm_state),
    CellRow("mlstm", partial(mlstm, 1, "sigmoid"), one_matrix, {"bias": False}, state=mlstm_state),
    CellRow("trnn", trnn),
    CellRow("trnn", trnn, arguments={"bias": False}),
    CellRow("tgru", tgru, with_input),
    CellRow("tgru", tgru, with_input, {"bias": False}),
    CellRow("tlstm", tlstm, with_input),
    CellRow("tlstm", tlstm, with_input, {"bias": False}),
]
