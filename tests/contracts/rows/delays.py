"""Networks with delay lines and local filters, each one step from its paper in float64 numpy."""

from __future__ import annotations

import numpy as np
from row import CellRow, Parts, Weights


def narx(w: Weights, x: np.ndarray, state: Parts, squash: str = "linear") -> tuple[np.ndarray, Parts]:
    outputs, inputs = state
    features, size = x.shape[1], len(w["weight_out"])
    total = x @ w["weight_ih"].T + w.get("bias_ih", 0.0)
    for d in range(inputs.shape[1] // features):
        columns = slice(d * features, (d + 1) * features)
        total = total + np.einsum("bi,ni->bn", inputs[:, columns], w["weight_taps"][:, columns])
    for k in range(outputs.shape[1] // size):
        columns = slice(k * size, (k + 1) * size)
        total = total + np.einsum("bo,no->bn", outputs[:, columns], w["weight_hh"][:, columns])
    y = np.tanh(total) @ w["weight_out"].T + w.get("bias_out", 0.0)
    y = np.tanh(y) if squash == "tanh" else y
    kept_outputs = np.concatenate([y, outputs], 1)[:, : outputs.shape[1]]
    kept_inputs = np.concatenate([x, inputs], 1)[:, : inputs.shape[1]]
    return y, (kept_outputs, kept_inputs)


def narx_tanh(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    return narx(w, x, state, "tanh")


def fir(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    (inputs,) = state
    units, features = w["weight_ih"].shape
    line = np.concatenate([x, inputs], 1)
    filters = np.concatenate([w["weight_ih"], w["weight_taps"]], 1)
    y = np.zeros((len(x), units))
    for n in range(units):
        for m in range(features):
            y[:, n] += line[:, m::features] @ filters[n, m::features]
    return np.tanh(y + w.get("bias_ih", 0.0)), (line[:, : inputs.shape[1]],)


def iir(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    synapses, inputs = state
    units, features = w["weight_ih"].shape
    line = np.concatenate([x, inputs], 1)
    filters = np.concatenate([w["weight_ih"], w["weight_taps"]], 1) if "weight_taps" in w else w["weight_ih"]
    past = synapses.reshape(len(x), -1, units, features)
    feedback = w["weight_feedback"].reshape(-1, units, features)
    now = np.zeros((len(x), units, features))
    for n in range(units):
        for m in range(features):
            moving_average = line[:, m::features] @ filters[n, m::features]
            now[:, n, m] = moving_average + past[:, :, n, m] @ feedback[:, n, m]
    y = np.tanh(now.sum(2) + w.get("bias_ih", 0.0))
    flat = now.reshape(len(x), -1)
    return y, (np.concatenate([flat, synapses], 1)[:, : synapses.shape[1]], line[:, : inputs.shape[1]])


def local_feedback(w: Weights, x: np.ndarray, state: Parts, feedback: str = "activation") -> tuple[np.ndarray, Parts]:
    (past,) = state
    units = len(w["weight_ih"])
    s = x @ w["weight_ih"].T + w.get("bias_ih", 0.0)
    for unit in range(units):
        s[:, unit] += past[:, unit::units] @ w["weight_hh"][unit::units]
    y = np.tanh(s)
    newest = s if feedback == "activation" else y
    return y, (np.concatenate([newest, past], 1)[:, : past.shape[1]],)


def local_output_feedback(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    return local_feedback(w, x, state, "output")


ROWS = [
    CellRow("narx", narx, lambda hidden: (2 * hidden, 6)),
    CellRow(
        "narx",
        narx_tanh,
        lambda hidden: (6, 3),
        {"output_nonlinearity": "tanh", "input_delays": 1, "output_delays": 3, "output_size": 2},
    ),
    CellRow(
        "narx",
        narx,
        lambda hidden: (2, 9),
        {"bias": False, "input_delays": 3, "output_delays": 1, "output_size": 2},
    ),
    CellRow("fir", fir, lambda hidden: (6,)),
    CellRow("fir", fir, lambda hidden: (12,), {"order": 4}),
    CellRow("fir", fir, lambda hidden: (6,), {"bias": False}),
    CellRow("iir", iir, lambda hidden: (6 * hidden, 3)),
    CellRow("iir", iir, lambda hidden: (3 * hidden, 6), {"input_order": 2, "feedback_order": 1}),
    CellRow("iir", iir, lambda hidden: (9 * hidden, 3), {"bias": False, "feedback_order": 3}, hidden=3),
    CellRow("local_feedback", local_feedback),
    CellRow("local_feedback", local_feedback, lambda hidden: (3 * hidden,), {"order": 3}),
    CellRow("local_feedback", local_feedback, arguments={"bias": False}),
    CellRow("local_output_feedback", local_output_feedback, lambda hidden: (2 * hidden,), {"order": 2}),
]
