"""Orthogonal and unitary networks, each one step from its paper in float64 numpy."""

from __future__ import annotations

import numpy as np
from row import CellRow, Parts, Weights


def skew(w: Weights) -> np.ndarray:
    a = np.zeros_like(w["weight_skew"])
    for i in range(len(a)):
        for j in range(i + 1, len(a)):
            a[i, j], a[j, i] = w["weight_skew"][i, j], -w["weight_skew"][i, j]
    return a


def modrelu(s: np.ndarray, b: np.ndarray) -> np.ndarray:
    size = np.abs(s)
    shrunk = np.where(size + b > 0, size + b, 0.0)
    return shrunk * np.where(size > 0, s, 0.0) / np.where(size > 0, size, 1.0)


def step_with(matrix: np.ndarray, w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    s = state[0] @ matrix.T + x @ w["weight_ih"].T + w.get("bias_ih", 0.0)
    h = modrelu(s, w["threshold"]) if "threshold" in w else np.tanh(s)
    return h, (h,)


def exponential(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    # i A is Hermitian: its eigenvalues give the exponential of A.
    values, vectors = np.linalg.eigh(1j * skew(w))
    matrix = (vectors * np.exp(-1j * values)) @ vectors.conj().T
    return step_with(matrix.real, w, x, state)


def cayley(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    a, eye = skew(w), np.eye(len(w["weight_skew"]))
    return step_with(np.linalg.inv(eye + a) @ (eye - a) @ np.diag(w["signs"]), w, x, state)


def unitary_matrix(w: Weights) -> np.ndarray:
    n = w["angles"].shape[1]
    d1, d2, d3 = (np.diag(np.exp(1j * angles)) for angles in w["angles"])
    r1, r2 = (re + 1j * im for re, im in w["reflections"].reshape(2, 2, n))
    reflect1, reflect2 = (np.eye(n) - 2 * np.outer(r, r.conj()) / np.vdot(r, r).real for r in (r1, r2))
    k = np.arange(n)
    fourier = np.exp(-2j * np.pi * np.outer(k, k) / n) / np.sqrt(n)
    permute = np.zeros((n, n))
    permute[k, w["permutation"]] = 1.0
    return d3 @ reflect2 @ fourier.conj().T @ d2 @ permute @ reflect1 @ fourier @ d1


def unitary(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
    n = state[0].shape[1]
    v = w["weight_ih"][:n] + 1j * w["weight_ih"][n:]
    c = w["bias_ih"][:n] + 1j * w["bias_ih"][n:] if "bias_ih" in w else 0.0
    z = (state[0] + 1j * state[1]) @ unitary_matrix(w).T + x @ v.T + c
    h = modrelu(z, w["threshold"])
    return np.concatenate([h.real, h.imag], 1), (h.real, h.imag)


ROWS = [
    CellRow("orthogonal", exponential),
    CellRow("orthogonal", exponential, arguments={"bias": False}, hidden=5),
    CellRow("orthogonal", exponential, arguments={"nonlinearity": "tanh"}, hidden=3),
    CellRow("orthogonal_cayley", cayley),
    CellRow("orthogonal_cayley", cayley, arguments={"bias": False, "negative": 1}, hidden=5),
    CellRow("unitary", unitary, lambda hidden: (hidden, hidden)),
    CellRow("unitary", unitary, lambda hidden: (hidden, hidden), {"bias": False}, hidden=5),
]
