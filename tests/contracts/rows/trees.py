"""Steps of the cells for trees, one node at a time."""

from __future__ import annotations

import numpy as np
from join_row import JoinRow, Parts, Slots, Weights, block, part_of, sigmoid


def leaf(w: Weights, x: np.ndarray, f) -> np.ndarray:
    return f(w["weight_ih"] @ x + w.get("bias_ih", 0.0)) if "weight_ih" in w else x


def recursive_with(f):
    def recursive(w: Weights, x: np.ndarray, slots: Slots) -> tuple[np.ndarray, Parts]:
        if all(state is None for state in slots):
            h = leaf(w, x, f)
        else:
            size = len(w["weight_hh"])
            h = np.zeros(size) + w.get("bias_hh", 0.0)
            for k in range(len(slots)):
                h = h + w["weight_hh"][:, k * size : (k + 1) * size] @ part_of(slots, k, 0, size)
            h = f(h)
        return h, (h,)

    return recursive


def tensor_network(w: Weights, x: np.ndarray, slots: Slots) -> tuple[np.ndarray, Parts]:
    if all(state is None for state in slots):
        h = leaf(w, x, np.tanh)
    else:
        size = len(w["weight_hh"])
        c = np.concatenate([part_of(slots, k, 0, size) for k in range(len(slots))])
        forms = np.array([c @ w["weight_hhh"][unit] @ c for unit in range(size)])
        h = np.tanh(forms + w["weight_hh"] @ c + w.get("bias_hh", 0.0))
    return h, (h,)


def child_sum(w: Weights, x: np.ndarray, slots: Slots) -> tuple[np.ndarray, Parts]:
    size = len(w["weight_hh"]) // 4
    children = [state for state in slots if state is not None]
    total = np.zeros(size)
    for h_k, _ in children:
        total = total + h_k

    def gate(index: int, h: np.ndarray) -> np.ndarray:
        w_x = block(w, "weight_ih", index, size) @ x
        return w_x + block(w, "weight_hh", index, size) @ h + block(w, "bias_ih", index, size)

    c = sigmoid(gate(0, total)) * np.tanh(gate(2, total))
    for h_k, c_k in children:
        c = c + sigmoid(gate(1, h_k)) * c_k
    h = sigmoid(gate(3, total)) * np.tanh(c)
    return h, (h, c)


def n_ary(w: Weights, x: np.ndarray, slots: Slots) -> tuple[np.ndarray, Parts]:
    size = len(w["weight_ih"]) // 4
    count = len(slots)

    def gate(of_x: int, of_h: int) -> np.ndarray:
        total = block(w, "weight_ih", of_x, size) @ x + block(w, "bias_ih", of_x, size)
        for k in range(count):
            u = block(w, "weight_hh", of_h, size)[:, k * size : (k + 1) * size]
            total = total + u @ part_of(slots, k, 0, size)
        return total

    c = sigmoid(gate(0, 0)) * np.tanh(gate(2, count + 1))
    for k in range(count):
        c = c + sigmoid(gate(1, 1 + k)) * part_of(slots, k, 1, size)
    h = sigmoid(gate(3, count + 2)) * np.tanh(c)
    return h, (h, c)


ROWS = [
    JoinRow("recursive", recursive_with(np.tanh)),
    JoinRow("recursive", recursive_with(sigmoid), arguments={"nonlinearity": "sigmoid", "max_children": 3}, slots=3),
    JoinRow("recursive", recursive_with(np.tanh), arguments={"leaf": "identity"}, features=4),
    JoinRow("recursive", recursive_with(np.tanh), arguments={"bias": False}),
    JoinRow("rntn", tensor_network, hidden=3),
    JoinRow("rntn", tensor_network, arguments={"max_children": 3}, slots=3, hidden=2),
    JoinRow("rntn", tensor_network, arguments={"leaf": "identity", "bias": False}, features=3, hidden=3),
    JoinRow("child_sum_tree_lstm", child_sum, parts=2, slots=3),
    JoinRow("child_sum_tree_lstm", child_sum, parts=2, arguments={"bias": False}),
    JoinRow("nary_tree_lstm", n_ary, parts=2),
    JoinRow("nary_tree_lstm", n_ary, parts=2, arguments={"max_children": 3}, slots=3, hidden=3),
    JoinRow("nary_tree_lstm", n_ary, parts=2, arguments={"bias": False}),
]
