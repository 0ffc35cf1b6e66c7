"""References for networks driven by observations at uneven times: one step each in float64 numpy, from the papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from row import Parts, Weights, gate_input, rows_of, sigmoid


def from_input(w: Weights, x: np.ndarray, block: int = 0, blocks: int = 1) -> np.ndarray:
    return np.einsum("bi,ni->bn", x, rows_of(w, "weight_ih", block, blocks)) + rows_of(w, "bias_ih", block, blocks)


def product(matrix: np.ndarray, h: np.ndarray) -> np.ndarray:
    return np.einsum("nm,bm->bn", matrix, h)


def relu(value: np.ndarray) -> np.ndarray:
    return np.maximum(value, 0.0)


def lecun(value: np.ndarray) -> np.ndarray:
    return 1.7159 * np.tanh(0.666 * value)


def ctrnn(method: str, substeps: int = 1, f: Any = sigmoid) -> Callable[..., Any]:
    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
        (h,) = state
        constants = np.exp(w["log_time_constant"])

        def target(h: np.ndarray) -> np.ndarray:
            rates = f(h + w.get("bias_hh", 0.0))
            return product(w["weight_hh"], rates) + np.einsum("bi,ni->bn", x, w["weight_ih"])

        def slope(h: np.ndarray) -> np.ndarray:
            return (target(h) - h) / constants

        length = dt / substeps
        for _ in range(substeps):
            if method == "euler":
                h = h + length * slope(h)
            elif method == "exponential":
                kept = np.exp(-length / constants)
                h = kept * h + (1.0 - kept) * target(h)
            else:
                k1 = length * slope(h)
                k2 = length * slope(h + k1 / 2)
                k3 = length * slope(h + k2 / 2)
                k4 = length * slope(h + k3)
                h = h + k1 / 6 + k2 / 3 + k3 / 3 + k4 / 6
        return h, (h,)

    return step


def mtrnn(taus: list[float], sizes: list[int], sees: set[int], f: Any = sigmoid) -> Callable[..., Any]:
    ends = np.cumsum([0, *sizes])

    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
        (u,) = state
        parts = []
        for group, tau in enumerate(taus):
            mine = slice(ends[group], ends[group + 1])
            total = np.zeros((len(x), sizes[group])) + (w["bias_ih"][mine] if "bias_ih" in w else 0.0)
            for other in range(len(taus)):
                theirs = slice(ends[other], ends[other + 1])
                if abs(group - other) < 2:
                    total = total + f(u[:, theirs]) @ w["weight_hh"][mine, theirs].T
            if group in sees:
                total = total + x @ w["weight_ih"][mine].T
            parts.append((1.0 - dt / tau) * u[:, mine] + dt / tau * total)
        u = np.concatenate(parts, 1)
        return f(u), (u,)

    return step


def leaky(leak: float, f: Any = np.tanh) -> Callable[..., Any]:
    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
        (h,) = state
        rate = sigmoid(w["rate_logit"]) if "rate_logit" in w else w["rate"]
        h = (1.0 - leak * rate * dt) * h + rate * dt * f(from_input(w, x) + product(w["weight_hh"], h))
        return h, (h,)

    return step


def ltc(substeps: int) -> Callable[..., Any]:
    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
        (h,) = state
        for _ in range(substeps):
            f = sigmoid(product(w["weight_hh"], h) + from_input(w, x))
            above = h + dt / substeps * f * w["reversal"]
            h = above / (1.0 + dt / substeps * (1.0 / np.exp(w["log_time_constant"]) + f))
        return h, (h,)

    return step


def cfc(mode: str, layers: int, activation: Any) -> Callable[..., Any]:
    def heads(w: Weights, drive: np.ndarray) -> np.ndarray:
        v = drive + w.get("bias_ih", 0.0)
        for layer in range(1, layers):
            v = product(w[f"weight_backbone_{layer}"], activation(v)) + w.get(f"bias_backbone_{layer}", 0.0)
        return product(w["weight_heads"], activation(v)) + w.get("bias_heads", 0.0) if layers else v

    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
        (h,) = state
        drive = np.einsum("bi,ni->bn", x, w["weight_ih"]) + product(w["weight_hh"], h)
        if mode == "pure":
            speed = np.exp(w["log_rate"]) + sigmoid(heads(w, drive))
            h = w["amplitude"] * np.exp(-speed * dt) * sigmoid(heads(w, -drive)) + w["asymptote"]
            return h, (h,)
        g, k, f, f_0 = np.split(heads(w, drive), 4, 1)
        first, second = sigmoid(-f * dt - f_0), sigmoid(f * dt + f_0)
        h = first * np.tanh(g) + np.tanh(k) * (second if mode == "default" else 1.0)
        return h, (h,)

    return step


def gru_d(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
    h, last, since, begun = state
    m, mean = np.where(np.isnan(x), 0.0, 1.0), w["mean"]
    d = since + dt * begun
    input_decay = np.exp(-np.maximum(0.0, w["weight_input_decay"] * d + w.get("bias_input_decay", 0.0)))
    hidden_decay = np.exp(-np.maximum(0.0, product(w["weight_hidden_decay"], d) + w.get("bias_hidden_decay", 0.0)))
    filled = np.where(m == 1.0, np.nan_to_num(x), input_decay * last + (1.0 - input_decay) * mean)
    h = hidden_decay * h

    def total(gate: int, h: np.ndarray) -> np.ndarray:
        from_h = product(rows_of(w, "weight_hh", gate, 3), h)
        return from_input(w, filled, gate, 3) + from_h + product(rows_of(w, "weight_mask", gate, 3), m)

    reset, update = sigmoid(total(0, h)), sigmoid(total(1, h))
    h = (1.0 - update) * h + update * np.tanh(total(2, reset * h))
    return h, (h, np.where(m == 1.0, np.nan_to_num(x), last), np.where(m == 1.0, 0.0, d), np.ones_like(begun))


def phased_lstm(open_ratio: float, leak: float) -> Callable[..., Any]:
    def gate(w: Weights, time: np.ndarray) -> np.ndarray:
        period = np.exp(w["log_period"])
        phase = np.mod(time - w["shift"], period) / period
        k = leak * phase
        k = np.where(phase < open_ratio, 2.0 - 2.0 * phase / open_ratio, k)
        return np.where(phase < 0.5 * open_ratio, 2.0 * phase / open_ratio, k)

    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
        h, c, time = state
        time = time + dt
        k = gate(w, time)
        i = sigmoid(gate_input(w, x, h, 0, 4) + rows_of(w, "peephole", 0, 3) * c)
        f = sigmoid(gate_input(w, x, h, 1, 4) + rows_of(w, "peephole", 1, 3) * c)
        new = f * c + i * np.tanh(gate_input(w, x, h, 2, 4))
        o = sigmoid(gate_input(w, x, h, 3, 4) + rows_of(w, "peephole", 2, 3) * new)
        h = k * o * np.tanh(new) + (1.0 - k) * h
        return h, (h, k * new + (1.0 - k) * c, time)

    return step


def ode_rnn(method: str, substeps: int) -> Callable[..., Any]:
    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = 1.0) -> tuple[np.ndarray, Parts]:
        (h,) = state

        def slope(h: np.ndarray) -> np.ndarray:
            inner = np.tanh(product(w["weight_ode_in"], h) + w.get("bias_ode_in", 0.0))
            return product(w["weight_ode_out"], inner) + w.get("bias_ode_out", 0.0)

        for _ in range(substeps):
            length = dt / substeps
            h = h + length * slope(h + length / 2 * slope(h) if method == "rk2" else h)
        gru = {name.removeprefix("update."): weight for name, weight in w.items() if name.startswith("update.")}
        reset, update = sigmoid(gate_input(gru, x, h, 0, 3)), sigmoid(gate_input(gru, x, h, 1, 3))
        from_h = product(rows_of(gru, "weight_hh", 2, 3), h) + rows_of(gru, "bias_hh", 2, 3)
        h = (1.0 - update) * np.tanh(from_input(gru, x, 2, 3) + reset * from_h) + update * h
        return h, (h,)

    return step
