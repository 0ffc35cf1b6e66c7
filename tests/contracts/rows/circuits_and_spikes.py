"""Cells of electrical parts and of units that spike, each one step from its paper in float64 numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from row import CellRow, Parts, Weights

from recurra.cells.circuits.circuit import Circuit
from recurra.cells.liquid import LiquidState
from recurra.cells.state import HiddenState

# Two parts, a dead end, a branch from a node to itself and two parallel branches, turned against each other.
ODD_CIRCUIT = Circuit([(0, 1), (1, 0), (1, 2), (3, 3), (3, 4), (4, 5), (5, 3)])


def drops(incidence: np.ndarray, memory: np.ndarray, voltages: np.ndarray, ratio: float, on: bool) -> np.ndarray:
    """R_off i where a memory of 1 is the on state, else R_on i, by the projection on loop currents of one sample."""
    branches = len(memory)
    loops = np.eye(branches) - incidence @ np.linalg.pinv(incidence)
    factor = -(ratio - 1.0) / ratio if on else ratio - 1.0
    return np.linalg.solve(np.eye(branches) + factor * loops @ np.diag(memory), loops @ voltages)


def memristive(
    default: float = 0.1,
    ratio: float = 10.0,
    decay: float = 0.5,
    scale: float = 1.0,
    on: bool = True,
    method: str = "euler",
    substeps: int = 1,
    current: bool = False,
) -> Callable[..., Any]:
    """The Caravelli-Traversa-Di Ventra equation, with the resistances' ratio R_off / R_on."""

    def sample(w: Weights, x: np.ndarray, h: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
        voltages = w["weight_ih"] @ x + w.get("bias_ih", 0.0)

        def rate(h: np.ndarray) -> np.ndarray:
            driven = drops(w["incidence"], h, voltages, ratio, on) / scale
            return driven - decay * h if on else decay * h - driven

        for _ in range(substeps):
            step = dt / substeps
            if method == "euler":
                change = rate(h)
            elif method == "rk2":
                change = rate(h + step / 2 * rate(h))
            else:
                k1 = rate(h)
                k2 = rate(h + step / 2 * k1)
                k3 = rate(h + step / 2 * k2)
                change = (k1 + 2 * k2 + 2 * k3 + rate(h + step * k3)) / 6
            h = np.minimum(np.maximum(h + step * change, 0.0), 1.0)
        return (drops(w["incidence"], h, voltages, ratio, on) if current else h), h

    def step(w: Weights, x: np.ndarray, state: Parts, dt: Any = None) -> tuple[np.ndarray, Parts]:
        times = np.full(len(x), default) if dt is None else dt[:, 0]
        found = [sample(w, *each) for each in zip(x, state[0], times, strict=True)]
        return np.stack([y for y, _ in found]), (np.stack([h for _, h in found]),)

    return step


def between_the_walls(cell: Any, batch: int, generator: torch.Generator) -> HiddenState:
    return HiddenState(0.3 + 0.4 * torch.rand(batch, cell.hidden_size, dtype=torch.float64, generator=generator))


def liquid(
    membrane: float = 30.0,
    synapse: float = 3.0,
    trace: float = 30.0,
    refractory: float = 3.0,
    threshold: float = 15.0,
    reset: float = 13.5,
    dt: float = 1.0,
) -> Callable[..., Any]:
    """Leaky integrate-and-fire units, one by one: a leak, a synapse, a threshold, a rest."""

    def unit(n: int, w: Weights, x: np.ndarray, parts: list[np.ndarray]) -> tuple[float, ...]:
        voltage, current, silent, spikes, filtered = parts
        arriving = sum(
            value * spikes[source]
            for value, target, source in zip(
                w["weight_hh.values"], w["weight_hh.row"], w["weight_hh.column"], strict=True
            )
            if target == n
        )
        i = current[n] * np.exp(-dt / synapse) + arriving
        outside = w["weight_ih"][n] @ x + (w["bias_ih"][n] if "bias_ih" in w else 0.0)
        left = np.exp(-dt / membrane)
        v = reset if silent[n] > 0 else left * voltage[n] + (1.0 - left) * (i + outside)
        if v >= threshold:
            return reset, i, refractory, 1.0, filtered[n] * np.exp(-dt / trace) + 1.0
        return v, i, max(silent[n] - dt, 0.0), 0.0, filtered[n] * np.exp(-dt / trace)

    def step(w: Weights, x: np.ndarray, state: Parts) -> tuple[np.ndarray, Parts]:
        after = np.array(
            [[unit(n, w, x[b], [part[b] for part in state]) for n in range(state[0].shape[1])] for b in range(len(x))]
        )
        return after[:, :, 4], tuple(after[:, :, part] for part in range(5))

    return step


def in_the_middle(cell: Any, batch: int, generator: torch.Generator) -> LiquidState:
    """Units that have just fired, are silent still, or come near the threshold."""

    def drawn() -> torch.Tensor:
        return torch.rand(batch, cell.hidden_size, dtype=torch.float64, generator=generator)

    fired = (drawn() < 0.3).double()
    silent = cell.refractory * torch.where(fired > 0, fired, (drawn() - 0.6).relu())
    voltage = torch.where(silent > 0, cell.reset, cell.reset + (cell.threshold - cell.reset) * drawn())
    return LiquidState(voltage, drawn() - 0.5, silent, fired, fired + drawn())


def five(hidden: int) -> tuple[int, ...]:
    return (hidden,) * 5


ROWS: list[CellRow] = [
    CellRow("memristive_reservoir", memristive(), hidden=6, state=between_the_walls, zero_start=False),
    CellRow(
        "memristive_reservoir",
        memristive(scale=8.0),
        arguments={"bias": False, "scale": 8.0, "nodes": 4},
        hidden=6,
        state=between_the_walls,
        zero_start=False,
    ),
    CellRow(
        "memristive_reservoir",
        memristive(0.3, 4.0, 0.2, 3.0, on=False, method="rk2", substeps=2, current=True),
        arguments={
            "memory": "off",
            "output": "current",
            "on_resistance": 0.5,
            "off_resistance": 2.0,
            "decay": 0.2,
            "scale": 3.0,
            "dt": 0.3,
            "method": "rk2",
            "substeps": 2,
        },
        hidden=6,
        state=between_the_walls,
        zero_start=False,
    ),
    CellRow(
        "memristive_reservoir",
        memristive(scale=8.0, method="rk4"),
        arguments={"scale": 8.0, "method": "rk4", "circuit": ODD_CIRCUIT},
        hidden=7,
        state=between_the_walls,
        zero_start=False,
    ),
]

# Strong enough that units fire, by the input and by one another, within the few steps that are compared.
LIVELY: dict[str, Any] = {"threshold": 4.0, "reset": 1.0, "start": 2.0, "background": 3.0}
SMALL: dict[str, Any] = {"membrane": 3.0, "reach": 4.0, "weight_scale": 12.0, "input_scale": 10.0, **LIVELY}
BRIEF: dict[str, Any] = {
    "synapse": 1.5,
    "trace": 4.0,
    "refractory": 0.7,
    "dt": 0.5,
    "input_scale": 40.0,
    "wiring_seed": 3,
}

ROWS += [
    CellRow(
        "liquid",
        step,
        five,
        arguments,
        hidden=7,
        state=in_the_middle,
        differentiable=False,
        input_gradient=False,
        zero_start=False,
    )
    for step, arguments in (
        (liquid(3.0, threshold=4.0, reset=1.0), SMALL),
        (liquid(3.0, 1.5, 4.0, 0.7, 4.0, 1.0, 0.5), {**SMALL, **BRIEF, "bias": False}),
    )
]
