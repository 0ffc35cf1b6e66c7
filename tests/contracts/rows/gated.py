"""Other gated cells, each one step from its paper in float64 numpy."""

from __future__ import annotations

from functools import partial

import numpy as np
from row import CellRow, Parts, Weights, gate_input, rows_of, sigmoid

from rows import fast_rnn, highway


def product(w: Weights, x: np.ndarray, name: str, block: int = 0, blocks: int = 1) -> np.ndarray:
    return np.einsum("bi,ni->bn", x, rows_of(w, name, block, blocks))


def atr(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    p = product(w, x, "weight_ih") + w.get("bias_ih", 0.0)
    q = product(w, h, "weight_hh")
    h = sigmoid(p + q) * p + sigmoid(p - q) * h
    return h, (h,)


def bistable(
    w: Weights, x: np.ndarray, h: np.ndarray, for_feedback: np.ndarray, for_update: np.ndarray
) -> tuple[np.ndarray, Parts]:
    feedback = 1.0 + np.tanh(product(w, x, "weight_ih", 0, 3) + for_feedback + rows_of(w, "bias_ih", 0, 2))
    update = sigmoid(product(w, x, "weight_ih", 1, 3) + for_update + rows_of(w, "bias_ih", 1, 2))
    h = update * h + (1.0 - update) * np.tanh(product(w, x, "weight_ih", 2, 3) + feedback * h)
    return h, (h,)


def br(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    return bistable(w, x, h, rows_of(w, "weight_hh", 0, 2) * h, rows_of(w, "weight_hh", 1, 2) * h)


def nbr(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    return bistable(w, x, h, product(w, h, "weight_hh", 0, 2), product(w, h, "weight_hh", 1, 2))


def cfn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    gates = [
        product(w, x, "weight_ih", gate, 3) + product(w, h, "weight_hh", gate, 2) + rows_of(w, "bias_ih", gate, 2)
        for gate in range(2)
    ]
    h = sigmoid(gates[0]) * np.tanh(h) + sigmoid(gates[1]) * np.tanh(product(w, x, "weight_ih", 2, 3))
    return h, (h,)


def hard_sigmoid(a: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(0.2 * a + 0.5, 0.0), 1.0)


def sgu(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    factor = product(w, x, "weight_ih", 1, 2) + rows_of(w, "bias_ih", 1, 2)
    inner = np.tanh(product(w, factor * h, "weight_hh", 1, 2))
    new = np.log1p(np.exp(inner * h))
    gate = product(w, x, "weight_ih", 0, 2) + rows_of(w, "bias_ih", 0, 2) + product(w, h, "weight_hh", 0, 2)
    h = (1.0 - hard_sigmoid(gate)) * h + hard_sigmoid(gate) * new
    return h, (h,)


def dsgu(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    factor = product(w, x, "weight_ih", 1, 2) + rows_of(w, "bias_ih", 1, 2)
    inner = np.tanh(product(w, factor * h, "weight_hh", 1, 3))
    new = sigmoid(product(w, inner * h, "weight_hh", 2, 3))
    gate = product(w, x, "weight_ih", 0, 2) + rows_of(w, "bias_ih", 0, 2) + product(w, h, "weight_hh", 0, 3)
    h = (1.0 - hard_sigmoid(gate)) * h + hard_sigmoid(gate) * new
    return h, (h,)


def sgrn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    from_x = product(w, x, "weight_ih")
    forget = sigmoid(from_x + product(w, h, "weight_hh") + w.get("bias_ih", 0.0))
    h = np.tanh((1.0 - forget) * from_x + forget * h)
    return h, (h,)


def miru1(w: Weights, x: np.ndarray, state: Parts, kept: float = 0.5) -> tuple[np.ndarray, Parts]:
    (h,) = state
    reset = sigmoid(gate_input(w, x, h, 0, 2))
    h = kept * h + (1.0 - kept) * np.tanh(gate_input(w, x, reset * h, 1, 2))
    return h, (h,)


def miru2(w: Weights, x: np.ndarray, state: Parts, kept: float = 0.5, seen: float = 0.5) -> tuple[np.ndarray, Parts]:
    (h,) = state
    h = kept * h + (1.0 - kept) * np.tanh(gate_input(w, x, seen * h, 0, 1))
    return h, (h,)


def minimal_rnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    new = np.tanh(product(w, x, "weight_ih") + w.get("bias_ih", 0.0))
    update = sigmoid(product(w, h, "weight_hh") + product(w, new, "weight_nh") + w.get("bias_hh", 0.0))
    h = update * h + (1.0 - update) * new
    return h, (h,)


def star(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    new = np.tanh(product(w, x, "weight_ih", 1, 2) + rows_of(w, "bias_ih", 1, 2))
    gate = sigmoid(product(w, x, "weight_ih", 0, 2) + product(w, h, "weight_hh") + rows_of(w, "bias_ih", 0, 2))
    h = np.tanh((1.0 - gate) * h + gate * new)
    return h, (h,)


def plrnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (z,) = state
    phi = np.maximum(z, 0.0)
    if "thresholds" in w:
        branches = [a * np.maximum(z - h, 0.0) for a, h in zip(w["slopes"], w["thresholds"], strict=True)]
        phi = np.sum(branches, axis=0)
    coupling = w["weight_hh"].copy()
    np.fill_diagonal(coupling, 0.0)
    z = (
        z * w["weight_self"]
        + product(w, x, "weight_ih")
        + w.get("bias_ih", 0.0)
        + np.einsum("bn,mn->bm", phi, coupling)
    )
    return z, (z,)


def srnn(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    inner = np.maximum(product(w, x, "weight_ih") + w.get("bias_ih", 0.0), 0.0)
    for layer, weight in enumerate(w.get("weight_network", ())):
        shift = w["bias_network"][layer] if "bias_network" in w else 0.0
        inner = np.maximum(np.einsum("bi,ni->bn", inner, weight) + shift, 0.0)
    gate = sigmoid(product(w, x, "weight_gate") + w.get("bias_gate", 0.0))
    added = (product(w, inner, "weight_out") + w.get("bias_out", 0.0)) * gate
    shuffle = np.zeros((h.shape[1], h.shape[1]))
    for unit in range(h.shape[1]):
        shuffle[(unit + 1) % h.shape[1], unit] = 1.0
    h = np.maximum(np.einsum("bn,mn->bm", h, shuffle) + added, 0.0)
    return h, (h,)


def su_rnn(base: str, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, time = state
    time = time + 1.0
    inner = {name.removeprefix("inner."): weight for name, weight in w.items() if name.startswith("inner.")}
    if base == "elman":
        moved = np.tanh(gate_input(inner, x, h, 0, 1))
    else:
        reset, keep = sigmoid(gate_input(inner, x, h, 0, 3)), sigmoid(gate_input(inner, x, h, 1, 3))
        from_x = product(inner, x, "weight_ih", 2, 3) + rows_of(inner, "bias_ih", 2, 3)
        from_h = product(inner, h, "weight_hh", 2, 3) + rows_of(inner, "bias_hh", 2, 3)
        moved = (1.0 - keep) * np.tanh(from_x + reset * from_h) + keep * h
    rhythm = np.zeros_like(h) + w["offset"]
    for place, frequency in enumerate(w["frequency"]):
        rhythm = rhythm + w["amplitude"][:, place] * np.sin(frequency * time + w["phase"][:, place])
    h = np.where(rhythm > 0, moved, h)
    return h, (h, time)


def with_time(hidden: int) -> tuple[int, ...]:
    return (hidden, 1)


ROWS: list[CellRow] = [
    CellRow("atr", atr),
    CellRow("atr", atr, arguments={"bias": False}),
    CellRow("br", br),
    CellRow("br", br, arguments={"bias": False}),
    CellRow("nbr", nbr),
    CellRow("nbr", nbr, arguments={"bias": False}),
    CellRow("cfn", cfn),
    CellRow("cfn", cfn, arguments={"bias": False}),
    CellRow("sgu", sgu),
    CellRow("sgu", sgu, arguments={"bias": False}),
    CellRow("dsgu", dsgu),
    CellRow("dsgu", dsgu, arguments={"bias": False}),
    CellRow("sgrn", sgrn),
    CellRow("sgrn", sgrn, arguments={"bias": False}),
    CellRow("miru1", miru1),
    CellRow("miru1", miru1, arguments={"bias": False}),
    CellRow("miru2", miru2),
    CellRow("miru2", miru2, arguments={"bias": False}),
    CellRow("minimal_rnn", minimal_rnn),
    CellRow("minimal_rnn", minimal_rnn, arguments={"bias": False}),
    CellRow("star", star),
    CellRow("star", star, arguments={"bias": False}),
    CellRow("miru1", partial(miru1, kept=0.8), arguments={"update_coefficient": 0.8}),
    CellRow(
        "miru2",
        partial(miru2, kept=0.2, seen=0.9),
        arguments={"update_coefficient": 0.2, "reset_coefficient": 0.9},
    ),
    *highway.ROWS,
    *fast_rnn.ROWS,
    CellRow("plrnn", plrnn),
    CellRow("plrnn", plrnn, arguments={"bias": False}),
    CellRow("dendritic_plrnn", plrnn),
    CellRow("dendritic_plrnn", plrnn, arguments={"branches": 1, "bias": False}),
    CellRow("srnn", srnn, arguments={"network_size": 6}),
    CellRow("srnn", srnn, arguments={"network_size": 5, "network_layers": 3}),
    CellRow("srnn", srnn, arguments={"network_size": 5, "network_layers": 2, "bias": False}),
    CellRow("su_rnn", partial(su_rnn, "elman"), with_time, differentiable=False),
    CellRow("su_rnn", partial(su_rnn, "elman"), with_time, {"harmonics": 3, "bias": False}, differentiable=False),
    CellRow("su_gru", partial(su_rnn, "gru"), with_time, differentiable=False),
]
