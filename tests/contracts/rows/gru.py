"""Gated recurrent units and their variants, each one step from its paper in float64 numpy."""

from __future__ import annotations

import numpy as np
from row import CellRow, Parts, Weights, gate_input, rows_of, sigmoid


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


def linear(w: Weights, x: np.ndarray, name: str, gate: int = 0, gates: int = 1) -> np.ndarray:
    return np.einsum("bi,ni->bn", x, rows_of(w, name, gate, gates))


def gate_variant(w: Weights, x: np.ndarray, state: Parts, see_state: bool, see_bias: bool) -> tuple[np.ndarray, Parts]:
    """The GRU of Dey and Salem: z weighs the new value; what the gates do not see is left out."""
    (h,) = state
    blocks = 3 if see_state else 1
    gates = []
    for gate in range(2):
        total = np.zeros_like(h)
        if see_state:
            total = total + linear(w, h, "weight_hh", gate, 3)
        if see_bias:
            total = total + rows_of(w, "bias_ih", gate, 3)
        gates.append(sigmoid(total))
    reset, update = gates
    bias = rows_of(w, "bias_ih", 2, 3) if see_bias else rows_of(w, "bias_ih", 0, 1)
    candidate = np.tanh(linear(w, x, "weight_ih") + linear(w, reset * h, "weight_hh", blocks - 1, blocks) + bias)
    h = (1.0 - update) * h + update * candidate
    return h, (h,)


def gru1(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    return gate_variant(w, x, state, see_state=True, see_bias=True)


def gru2(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    return gate_variant(w, x, state, see_state=True, see_bias=False)


def gru3(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    return gate_variant(w, x, state, see_state=False, see_bias=True)


def minimal_update(forget: np.ndarray, h: np.ndarray, candidate: np.ndarray) -> tuple[np.ndarray, Parts]:
    h = (1.0 - forget) * h + forget * candidate
    return h, (h,)


def mgu(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    forget = sigmoid(gate_input(w, x, h, 0, 2))
    return minimal_update(forget, h, np.tanh(gate_input(w, x, forget * h, 1, 2)))


def mgu1(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    forget = sigmoid(linear(w, h, "weight_hh", 0, 2) + rows_of(w, "bias_ih", 0, 2))
    from_h = linear(w, forget * h, "weight_hh", 1, 2)
    return minimal_update(forget, h, np.tanh(linear(w, x, "weight_ih") + from_h + rows_of(w, "bias_ih", 1, 2)))


def mgu2(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    forget = sigmoid(linear(w, h, "weight_hh", 0, 2))
    from_h = linear(w, forget * h, "weight_hh", 1, 2)
    return minimal_update(forget, h, np.tanh(linear(w, x, "weight_ih") + from_h + w.get("bias_ih", 0.0)))


def mgu3(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    forget = np.broadcast_to(sigmoid(w["bias_ih"][: h.shape[1]]), h.shape)
    from_h = linear(w, forget * h, "weight_hh")
    bias = w["bias_ih"][h.shape[1] :]
    return minimal_update(forget, h, np.tanh(linear(w, x, "weight_ih") + from_h + bias))


def mut1(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    update = sigmoid(linear(w, x, "weight_ih", 0, 3) + rows_of(w, "bias_ih", 0, 3))
    reset = linear(w, x, "weight_ih", 1, 3) + linear(w, h, "weight_hh", 0, 2) + rows_of(w, "bias_ih", 1, 3)
    from_h = linear(w, sigmoid(reset) * h, "weight_hh", 1, 2)
    candidate = np.tanh(from_h + np.tanh(linear(w, x, "weight_ih", 2, 3)) + rows_of(w, "bias_ih", 2, 3))
    h = candidate * update + h * (1.0 - update)
    return h, (h,)


def mut2(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    update = sigmoid(gate_input(w, x, h, 0, 3))
    reset = sigmoid(gate_input(w, x, h, 1, 3))
    h = np.tanh(gate_input(w, x, reset * h, 2, 3)) * update + h * (1.0 - update)
    return h, (h,)


def mut3(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    update = sigmoid(gate_input(w, x, np.tanh(h), 0, 3))
    reset = sigmoid(gate_input(w, x, h, 1, 3))
    h = np.tanh(gate_input(w, x, reset * h, 2, 3)) * update + h * (1.0 - update)
    return h, (h,)


def ligru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    sums = []
    for gate in range(2):
        from_x = linear(w, x, "weight_ih", gate, 2)
        if "norm_weight" in w:
            spread = np.sqrt(((from_x - from_x.mean(1, keepdims=True)) ** 2).mean(1, keepdims=True) + 1e-5)
            from_x = rows_of(w, "norm_weight", gate, 2) * (from_x - from_x.mean(1, keepdims=True)) / spread
        sums.append(from_x + linear(w, h, "weight_hh", gate, 2) + rows_of(w, "bias_ih", gate, 2))
    update, candidate = sigmoid(sums[0]), np.maximum(sums[1], 0.0)
    h = update * h + (1.0 - update) * candidate
    return h, (h,)


def light_ru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    forget = sigmoid(linear(w, x, "weight_ih", 0, 2) + linear(w, h, "weight_hh") + w.get("bias_ih", 0.0))
    return minimal_update(forget, h, np.tanh(linear(w, x, "weight_ih", 1, 2)))


def layer_norm_gru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (h,) = state
    cut = 2 * h.shape[1]

    def normal(a: np.ndarray, side: str, part: slice) -> np.ndarray:
        spread = np.sqrt(a.var(1, keepdims=True) + 1e-5)
        shift = w[f"bias_{side}"][part] if f"bias_{side}" in w else 0.0
        return w[f"gain_{side}"][part] * (a - a.mean(1, keepdims=True)) / spread + shift

    def products(part: slice) -> tuple[np.ndarray, np.ndarray]:
        from_x = np.einsum("bi,ni->bn", x, w["weight_ih"][part])
        from_h = np.einsum("bh,nh->bn", h, w["weight_hh"][part])
        return normal(from_x, "ih", part), normal(from_h, "hh", part)

    reset, update = np.split(sigmoid(sum(products(slice(0, cut)))), 2, axis=1)
    from_x, from_h = products(slice(cut, None))
    h = (1.0 - update) * h + update * np.tanh(from_x + reset * from_h)
    return h, (h,)


ROWS = [
    CellRow("gru", gru),
    CellRow("gru_reset_before", gru_reset_before),
    CellRow("gru_reset_before", gru_reset_before, arguments={"bias": False}),
    CellRow("gru1", gru1),
    CellRow("gru1", gru1, arguments={"bias": False}),
    CellRow("gru2", gru2),
    CellRow("gru2", gru2, arguments={"bias": False}),
    CellRow("gru3", gru3),
    CellRow("mgu", mgu),
    CellRow("mgu", mgu, arguments={"bias": False}),
    CellRow("mgu1", mgu1),
    CellRow("mgu1", mgu1, arguments={"bias": False}),
    CellRow("mgu2", mgu2),
    CellRow("mgu2", mgu2, arguments={"bias": False}),
    CellRow("mgu3", mgu3),
    CellRow("mut1", mut1),
    CellRow("mut1", mut1, arguments={"bias": False}),
    CellRow("mut2", mut2),
    CellRow("mut2", mut2, arguments={"bias": False}),
    CellRow("mut3", mut3),
    CellRow("mut3", mut3, arguments={"bias": False}),
    CellRow("ligru", ligru),
    CellRow("ligru", ligru, arguments={"layer_norm": True}),
    CellRow("ligru", ligru, arguments={"bias": False}),
    CellRow("ligru", ligru, arguments={"layer_norm": True, "bias": False}),
    CellRow("light_ru", light_ru),
    CellRow("light_ru", light_ru, arguments={"bias": False}),
    CellRow("layer_norm_gru", layer_norm_gru),
    CellRow("layer_norm_gru", layer_norm_gru, arguments={"bias": False}),
]
