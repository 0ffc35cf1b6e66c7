"""Cells in continuous time, each one step from its paper in float64 numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from row import CellRow, Parts, Weights, rows_of, sigmoid

from rows.continuous_steps import (
    cfc,
    ctrnn,
    from_input,
    gru_d,
    leaky,
    lecun,
    ltc,
    mtrnn,
    ode_rnn,
    phased_lstm,
    product,
    relu,
)


def cornn(default: float, gamma: float, epsilon: float, implicit: bool = False) -> Callable[..., Any]:
    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = None) -> tuple[np.ndarray, Parts]:
        h, z = state
        step = default if dt is None else dt
        driven = np.tanh(product(w["weight_hh"], h) + product(w["weight_velocity"], z) + from_input(w, x))
        if implicit:
            # z_new + step * epsilon * z_new = the rest
            z = (z + step * driven - step * gamma * h) / (1.0 + step * epsilon)
        else:
            z = z + step * driven - step * gamma * h - step * epsilon * z
        h = h + step * z
        return h, (h, z)

    return step


def unicornn(default: float, alpha: float) -> Callable[..., Any]:
    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = None) -> tuple[np.ndarray, Parts]:
        h, z = state
        length = (default if dt is None else dt) * sigmoid(w["time_scale"])
        z = z - length * (np.tanh(w["weight_hh"] * h + from_input(w, x)) + alpha * h)
        h = h + length * z
        return h, (h, z)

    return step


def lem(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
    h, z = state
    memory_step = dt * sigmoid(product(rows_of(w, "weight_hh", 0, 3), h) + from_input(w, x, 0, 4))
    hidden_step = dt * sigmoid(product(rows_of(w, "weight_hh", 1, 3), h) + from_input(w, x, 1, 4))
    written = np.tanh(product(rows_of(w, "weight_hh", 2, 3), h) + from_input(w, x, 2, 4))
    z = (1.0 - memory_step) * z + memory_step * written
    h = (1.0 - hidden_step) * h + hidden_step * np.tanh(product(w["weight_memory"], z) + from_input(w, x, 3, 4))
    return h, (h, z)


def antisymmetric(default: float, gamma: float, gated: bool = False) -> Callable[..., Any]:
    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = None) -> tuple[np.ndarray, Parts]:
        (h,) = state
        one_way, other_way = np.einsum("nm,bm->bn", w["weight_hh"], h), np.einsum("mn,bm->bn", w["weight_hh"], h)
        recurrent = one_way - other_way - gamma * h
        blocks = 2 if gated else 1
        change = np.tanh(recurrent + from_input(w, x, 0, blocks))
        if gated:
            change = change * sigmoid(recurrent + from_input(w, x, 1, blocks))
        h = h + (default if dt is None else dt) * change
        return h, (h,)

    return step


def lipschitz(default: float, beta: float, gamma: float, second_order: bool = False) -> Callable[..., Any]:
    def shaped(m: np.ndarray) -> np.ndarray:
        return (1.0 - beta) * (m + m.T) + beta * (m - m.T) - gamma * np.eye(len(m))

    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = None) -> tuple[np.ndarray, Parts]:
        (h,) = state
        length = default if dt is None else dt

        def rate(h: np.ndarray) -> np.ndarray:
            return product(shaped(w["weight_linear"]), h) + np.tanh(
                product(shaped(w["weight_hh"]), h) + from_input(w, x)
            )

        h = h + length * rate(h + length / 2 * rate(h)) if second_order else h + length * rate(h)
        return h, (h,)

    return step


def tau_gru(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    h, history = state
    now = np.tanh(product(rows_of(w, "weight_hh", 0, 3), h) + from_input(w, x, 0, 4))
    move = sigmoid(product(rows_of(w, "weight_hh", 1, 3), h) + from_input(w, x, 1, 4))
    feedback = sigmoid(product(rows_of(w, "weight_hh", 2, 3), h) + from_input(w, x, 2, 4))
    then = np.tanh(product(w["weight_delayed"], history[:, 0]) + from_input(w, x, 3, 4))
    after = (1.0 - move) * h + move * (now + feedback * then)
    return after, (after, np.stack([*history.swapaxes(0, 1)[1:], h], 1))


def pair(hidden: int) -> tuple[int, int]:
    return hidden, hidden


def gru_d_widths(hidden: int) -> tuple[int, int, int, int]:
    return hidden, 3, 3, 1


def phased_widths(hidden: int) -> tuple[int, int, int]:
    return hidden, hidden, 1


def with_gaps(x: Any) -> Any:
    """NaN in about a third of the places, always the same ones for the same shape."""
    places = np.arange(x.numel()).reshape(x.shape) * 7 % 10 < 3
    return x.masked_fill(x.new_tensor(places).bool(), float("nan"))


ROWS: list[CellRow] = [
    CellRow("cornn", cornn(0.042, 2.7, 4.7), pair),
    CellRow("cornn", cornn(0.042, 2.7, 4.7), pair, {"bias": False}),
    CellRow(
        "cornn", cornn(0.3, 1.5, 0.7, True), pair, {"damping": "implicit", "dt": 0.3, "gamma": 1.5, "epsilon": 0.7}
    ),
    CellRow("unicornn", unicornn(0.19, 30.65), pair),
    CellRow("unicornn", unicornn(0.5, 1.3), pair, {"dt": 0.5, "alpha": 1.3}),
    CellRow("unicornn", unicornn(0.19, 30.65), pair, {"bias": False}),
    CellRow("lem", lem, pair),
    CellRow("lem", lem, pair, {"bias": False}),
    CellRow("antisymmetric_rnn", antisymmetric(0.01, 0.01)),
    CellRow("antisymmetric_rnn", antisymmetric(0.3, 0.2), arguments={"bias": False, "dt": 0.3, "gamma": 0.2}),
    CellRow("gated_antisymmetric_rnn", antisymmetric(0.01, 0.01, True)),
    CellRow(
        "gated_antisymmetric_rnn", antisymmetric(0.3, 0.2, True), arguments={"bias": False, "dt": 0.3, "gamma": 0.2}
    ),
    CellRow("lipschitz_rnn", lipschitz(0.01, 0.8, 0.01)),
    CellRow("lipschitz_rnn", lipschitz(0.4, 0.3, 0.2), arguments={"bias": False, "dt": 0.4, "beta": 0.3, "gamma": 0.2}),
    CellRow("lipschitz_rnn_rk2", lipschitz(0.4, 0.65, 0.1, True), arguments={"dt": 0.4, "beta": 0.65, "gamma": 0.1}),
    CellRow("tau_gru", tau_gru, lambda hidden: (hidden, (10, hidden))),
    CellRow("tau_gru", tau_gru, lambda hidden: (hidden, (1, hidden)), {"delay": 1}),
    CellRow("tau_gru", tau_gru, lambda hidden: (hidden, (3, hidden)), {"bias": False, "delay": 3}),
    CellRow("ctrnn", ctrnn("euler")),
    CellRow("ctrnn", ctrnn("euler", 3, np.tanh), arguments={"bias": False, "substeps": 3, "nonlinearity": "tanh"}),
    CellRow("ctrnn_exponential", ctrnn("exponential")),
    CellRow(
        "ctrnn_exponential", ctrnn("exponential", 2), arguments={"time_constant": [0.5, 1.0, 3.0, 9.0], "substeps": 2}
    ),
    CellRow("ctrnn_rk4", ctrnn("rk4")),
    CellRow("ctrnn_rk4", ctrnn("rk4", 2), arguments={"bias": False, "time_constant": 0.7, "substeps": 2}),
    CellRow("mtrnn", mtrnn([5.0, 70.0], [2, 2], {0})),
    CellRow("mtrnn", mtrnn([5.0, 70.0], [2, 2], {0}), arguments={"bias": False}),
    CellRow(
        "mtrnn",
        mtrnn([2.0, 5.0, 70.0], [1, 2, 1], {0, 2}, np.tanh),
        arguments={
            "time_constants": (2.0, 5.0, 70.0),
            "group_sizes": (1, 2, 1),
            "input_groups": (0, 2),
            "nonlinearity": "tanh",
        },
    ),
    CellRow("leaky", leaky(1.0)),
    CellRow("leaky", leaky(0.6, relu), arguments={"leak": 0.6, "rate": [0.1, 0.2, 0.7, 1.0], "nonlinearity": "relu"}),
    CellRow("leaky", leaky(1.0), arguments={"learn_rate": True, "rate": 0.3}),
    CellRow("leaky", leaky(1.0), arguments={"bias": False}),
    CellRow("ltc", ltc(6)),
    CellRow("ltc", ltc(2), arguments={"bias": False, "substeps": 2, "time_constant": [0.5, 1.0, 3.0, 9.0]}),
    CellRow("cfc", cfc("default", 1, lecun), arguments={"backbone_units": 5}),
    CellRow("cfc", cfc("default", 0, lecun), arguments={"backbone_layers": 0}),
    CellRow(
        "cfc", cfc("default", 2, np.tanh), arguments={"backbone_units": 4, "backbone_layers": 2, "activation": "tanh"}
    ),
    CellRow("cfc", cfc("default", 1, lecun), arguments={"bias": False, "backbone_units": 5}),
    CellRow("cfc_pure", cfc("pure", 1, lecun), arguments={"backbone_units": 5}),
    CellRow("cfc_no_gate", cfc("no_gate", 1, lecun), arguments={"backbone_units": 5}),
    CellRow("gru_d", gru_d, gru_d_widths, {"mean": [0.3, -0.2, 0.1]}, inputs=with_gaps, zero_start=False),
    CellRow("gru_d", gru_d, gru_d_widths),
    CellRow("gru_d", gru_d, gru_d_widths, {"bias": False}, inputs=with_gaps),
    CellRow(
        "phased_lstm", phased_lstm(0.6, 0.05), phased_widths, {"open_ratio": 0.6, "leak": 0.05, "peepholes": False}
    ),
    CellRow("phased_lstm", phased_lstm(0.6, 0.0), phased_widths, {"bias": False, "open_ratio": 0.6, "leak": 0.0}),
    CellRow("phased_lstm", phased_lstm(0.05, 0.001), phased_widths),
    CellRow("ode_rnn", ode_rnn("euler", 4)),
    CellRow("ode_rnn", ode_rnn("rk2", 2), arguments={"bias": False, "ode_units": 5, "method": "rk2", "substeps": 2}),
]
