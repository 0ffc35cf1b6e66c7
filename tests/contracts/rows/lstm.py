"""Long short-term memory and its variants, each one step from its paper in float64 numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from row import CellRow, Parts, Weights, gate_input, rows_of, sigmoid


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


def peephole_lstm(
    w: Weights, x: np.ndarray, state: Parts, squash: Callable[..., np.ndarray]
) -> tuple[np.ndarray, Parts]:
    h, c = state
    hidden = c.shape[1]
    to_input, to_forget, to_output = (w["peephole"][k * hidden : (k + 1) * hidden] for k in range(3))
    input_gate = sigmoid(gate_input(w, x, h, 0, 4) + to_input[None, :] * c)
    forget_gate = sigmoid(gate_input(w, x, h, 1, 4) + to_forget[None, :] * c)
    c = forget_gate * c + input_gate * squash(gate_input(w, x, h, 2, 4))
    h = sigmoid(gate_input(w, x, h, 3, 4) + to_output[None, :] * c) * squash(c)
    return h, (h, c)


def lstm_1997(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c = state
    c = c + sigmoid(gate_input(w, x, h, 0, 3)) * (4.0 * sigmoid(gate_input(w, x, h, 1, 3)) - 2.0)
    h = sigmoid(gate_input(w, x, h, 2, 3)) * (2.0 * sigmoid(c) - 1.0)
    return h, (h, c)


def coupled_lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c = state
    input_gate = sigmoid(gate_input(w, x, h, 0, 3) + rows_of(w, "peephole", 0, 2) * c)
    forget_gate = 1.0 - input_gate
    c = forget_gate * c + input_gate * np.tanh(gate_input(w, x, h, 1, 3))
    h = sigmoid(gate_input(w, x, h, 2, 3) + rows_of(w, "peephole", 1, 2) * c) * np.tanh(c)
    return h, (h, c)


def layer_norm(a: np.ndarray, gain: np.ndarray, bias: np.ndarray | float, eps: float = 1e-5) -> np.ndarray:
    return gain * (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + eps) + bias


def layer_norm_lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c = state
    from_x = layer_norm(np.einsum("bi,ni->bn", x, w["weight_ih"]), w["gain_ih"], w.get("bias_ih", 0.0))
    from_h = layer_norm(np.einsum("bh,nh->bn", h, w["weight_hh"]), w["gain_hh"], w.get("bias_hh", 0.0))
    input_gate, forget_gate, written, output_gate = np.split(from_x + from_h, 4, axis=1)
    c = sigmoid(forget_gate) * c + sigmoid(input_gate) * np.tanh(written)
    h = sigmoid(output_gate) * np.tanh(layer_norm(c, w["gain_c"], w.get("bias_c", 0.0)))
    return h, (h, c)


def recurrent_output_lstm(
    w: Weights, x: np.ndarray, state: Parts, squash: Callable[..., np.ndarray] = np.asarray
) -> tuple[np.ndarray, Parts]:
    h, c, y = state
    h, (_, c) = lstm(w, x, (h, c))
    from_y = np.einsum("bo,no->bn", y, w["weight_yy"])
    y = squash(np.einsum("bh,oh->bo", h, w["weight_hy"]) + from_y + w.get("bias_y", 0.0))
    return y, (h, c, y)


def multiplicative_lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c = state
    m = np.einsum("ni,bi,nh,bh->bn", w["weight_mx"], x, w["weight_mh"], h)
    return lstm(w, x, (m, c))


def janet(w: Weights, x: np.ndarray, state: Parts, beta: float = 1.0) -> tuple[np.ndarray, Parts]:
    (h,) = state
    s = gate_input(w, x, h, 0, 2)
    h = sigmoid(s) * h + (1.0 - sigmoid(s - beta)) * np.tanh(gate_input(w, x, h, 1, 2))
    return h, (h,)


def shares(a: np.ndarray) -> np.ndarray:
    return np.exp(a) / np.exp(a).sum()


def mc_lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    """Sample by sample, and giver by giver."""
    (c,) = state
    size, auxiliary = c.shape[1], w["weight_ih"].shape[1]
    masses = x.shape[1] - auxiliary
    after, out = np.zeros_like(c), np.zeros_like(c)
    for b in range(len(x)):
        norm = np.abs(c[b]).sum()
        steering = w["weight_ih"] @ x[b, masses:] + w["weight_hh"] @ (c[b] / norm if norm else c[b])
        steering = (steering + w.get("bias_ih", 0.0)).reshape(masses + 1 + size, size)
        held = np.zeros(size)
        for giver in range(masses):
            held = held + shares(steering[giver]) * x[b, giver]
        for giver in range(size):
            held = held + shares(steering[masses + 1 + giver]) * c[b, giver]
        output_gate = sigmoid(steering[masses])
        after[b], out[b] = (1.0 - output_gate) * held, output_gate * held
    return out, (after,)


def wmc_lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c = state

    def seen(c: np.ndarray, gate: int) -> np.ndarray:
        return np.tanh(np.einsum("bc,nc->bn", c, rows_of(w, "weight_ch", gate, 3)))

    input_gate = sigmoid(gate_input(w, x, h, 0, 4) + seen(c, 0))
    forget_gate = sigmoid(gate_input(w, x, h, 1, 4) + seen(c, 1))
    c = forget_gate * c + input_gate * np.tanh(gate_input(w, x, h, 2, 4))
    h = sigmoid(gate_input(w, x, h, 3, 4) + seen(c, 2)) * np.tanh(c)
    return h, (h, c)


def elstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (c,) = state
    f, z, o = (
        np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", gate, 3)) + rows_of(w, "bias_ih", gate, 3)
        for gate in range(3)
    )
    forget_gate = sigmoid(f + rows_of(w, "weight_hh", 0, 2) * c)
    c = forget_gate * c + (1.0 - forget_gate) * np.tanh(z + rows_of(w, "weight_hh", 1, 2) * c)
    return sigmoid(o + np.einsum("bc,nc->bn", c, w["weight_co"])) * c, (c,)


def res_lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c = state
    input_gate = sigmoid(gate_input(w, x, h, 0, 4) + rows_of(w, "peephole", 0, 3) * c)
    forget_gate = sigmoid(gate_input(w, x, h, 1, 4) + rows_of(w, "peephole", 1, 3) * c)
    c = forget_gate * c + input_gate * np.tanh(gate_input(w, x, h, 2, 4))
    output_gate = sigmoid(gate_input(w, x, h, 3, 4) + rows_of(w, "peephole", 2, 3) * c)
    shortcut = np.einsum("bi,ni->bn", x, w["weight_shortcut"]) if "weight_shortcut" in w else x
    h = output_gate * (np.einsum("bc,nc->bn", np.tanh(c), w["weight_hr"]) + shortcut)
    return h, (h, c)


def nas(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    """The tree from its leaves up, two leaves a branch."""
    h, c = state
    a = [np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", k, 8)) for k in range(8)]
    b = [np.einsum("bh,nh->bn", h, rows_of(w, "weight_hh", k, 8)) + rows_of(w, "bias_hh", k, 8) for k in range(8)]
    leaves = [
        sigmoid(a[0] + b[0]),
        np.maximum(a[1] + b[1], 0.0),
        sigmoid(a[2] + b[2]),
        np.maximum(a[3] * b[3], 0.0),
        np.tanh(a[4] + b[4]),
        sigmoid(a[5] + b[5]),
        np.tanh(a[6] + b[6]),
        sigmoid(a[7] + b[7]),
    ]
    branches = [
        np.tanh(leaves[0] * leaves[1]),
        np.tanh(leaves[2] + leaves[3]),
        np.tanh(leaves[4] * leaves[5]),
        sigmoid(leaves[6] + leaves[7]),
    ]
    c = np.tanh(branches[0] + c) * branches[1]
    h = np.tanh(c * np.tanh(branches[2] + branches[3]))
    return h, (h, c)


def extended_lstm(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, c, step = state
    longest = len(w["scale"])
    now = np.rint(step[:, 0]).astype(int)
    factors = np.stack([w["scale"][place] for place in now])
    written = np.tanh(gate_input(w, x, h, 2, 4)) * sigmoid(gate_input(w, x, h, 0, 4))
    c = sigmoid(gate_input(w, x, h, 1, 4)) * c + factors * written
    h = sigmoid(gate_input(w, x, h, 3, 4)) * np.tanh(c)
    return h, (h, c, step + 1.0 - longest * (np.rint(step) == longest - 1))


def at_some_step(cell: Any, batch: int, generator: torch.Generator) -> Any:
    """A state in the middle of a sequence, each sample at a step of its own."""
    start = cell.initial_state(batch)
    h, c = (torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in start[:2])
    return type(start)(h, c, torch.arange(batch, dtype=h.dtype)[:, None] % cell.longest)


def two(hidden: int) -> tuple[int, int]:
    return hidden, hidden


def counted(hidden: int) -> tuple[int, int, int]:
    return hidden, hidden, 1


ROWS = [
    CellRow("lstm", lstm, lambda hidden: (hidden, hidden)),
    CellRow("lstm", lstm, lambda hidden: (2, hidden), {"proj_size": 2}),
    CellRow("lstm", lstm, lambda hidden: (2, hidden), {"proj_size": 2, "bias": False}),
    CellRow("peephole_lstm", partial(peephole_lstm, squash=np.tanh), lambda hidden: (hidden, hidden)),
    CellRow(
        "peephole_lstm",
        partial(peephole_lstm, squash=np.asarray),
        lambda hidden: (hidden, hidden),
        {"squash": "identity", "bias": False},
    ),
    CellRow("lstm_1997", lstm_1997, two),
    CellRow("lstm_1997", lstm_1997, two, {"bias": False}),
    CellRow("coupled_lstm", coupled_lstm, two),
    CellRow("coupled_lstm", coupled_lstm, two, {"bias": False}),
    CellRow("coupled_peephole_lstm", coupled_lstm, two),
    CellRow("layer_norm_lstm", layer_norm_lstm, two),
    CellRow("layer_norm_lstm", layer_norm_lstm, two, {"bias": False}),
    CellRow("recurrent_output_lstm", recurrent_output_lstm, lambda hidden: (hidden, hidden, hidden)),
    CellRow(
        "recurrent_output_lstm",
        partial(recurrent_output_lstm, squash=np.tanh),
        lambda hidden: (hidden, hidden, 2),
        {"output_size": 2, "squash": "tanh"},
    ),
    CellRow("recurrent_output_lstm", recurrent_output_lstm, lambda hidden: (hidden,) * 3, {"bias": False}),
    CellRow("multiplicative_lstm", multiplicative_lstm, two),
    CellRow("multiplicative_lstm", multiplicative_lstm, two, {"bias": False}),
    CellRow("janet", janet),
    CellRow("janet", partial(janet, beta=0.0), arguments={"beta": 0.0, "bias": False}),
    CellRow("mc_lstm", mc_lstm),
    CellRow("mc_lstm", mc_lstm, arguments={"mass_size": 2, "bias": False}),
    CellRow("mc_lstm", mc_lstm, arguments={"mass_size": 3}),
    CellRow("wmc_lstm", wmc_lstm, two),
    CellRow("wmc_lstm", wmc_lstm, two, {"bias": False}),
    CellRow("elstm", elstm),
    CellRow("elstm", elstm, arguments={"bias": False}),
    CellRow("res_lstm", res_lstm, two),
    CellRow("res_lstm", res_lstm, two, {"bias": False}, features=4),
    CellRow("nas", nas, two),
    CellRow("nas", nas, two, {"bias": False}),
    CellRow("extended_lstm", extended_lstm, counted, {"longest": 3}, state=at_some_step),
    CellRow("extended_lstm", extended_lstm, counted, {"longest": 1}, state=at_some_step),
    CellRow("extended_lstm", extended_lstm, counted, {"longest": 4, "bias": False}, state=at_some_step),
]
