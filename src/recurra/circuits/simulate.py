"""Circuits with memory along time."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from recurra.cells.circuits.circuit import Circuit
from recurra.cells.time_step import check_choice, check_positive
from recurra.errors import ShapeError, UsageError


class CircuitWithMemory(Protocol):
    """What can be simulated: a circuit, the motion of its memory, and the walls that hold it."""

    circuit: Circuit

    def initial_state(self) -> np.ndarray: ...

    def derivative(self, state: np.ndarray, sources: np.ndarray) -> np.ndarray: ...

    def confine(self, state: np.ndarray) -> np.ndarray: ...


class Trajectory(NamedTuple):
    """A motion.

    Attributes:
        times: in seconds, (steps + 1,).
        states: the memory at those times, (steps + 1, ..., branches).
    """

    times: np.ndarray
    states: np.ndarray


def simulate(
    network: CircuitWithMemory,
    sources: np.ndarray,
    dt: float,
    state: np.ndarray | None = None,
    *,
    steps: int | None = None,
    method: str = "rk4",
) -> Trajectory:
    """The memory of a circuit along time, with the sources held over each step.

    Equations:
        "euler": s + dt F(s, S); "rk4": the classical Runge-Kutta method; then the memory is held between its walls.

    Args:
        network: a `MemristiveNetwork` or a `ResistorCapacitorNetwork`.
        sources: the voltages of each step, or, with `steps`, those of all steps.
        dt: the time of a step, in seconds.
        state: the memory at the start; the network's own when absent.
        steps: how many, where the sources stay as they are.
        method: "euler" or "rk4".

    Shapes:
        sources (steps, ..., branches), or (..., branches) with `steps`; state (..., branches).

    Raises:
        UsageError: dt or steps is not positive, or the method is neither of the two.
        ShapeError: sources or state do not fit.

    Example:
        >>> import numpy as np
        >>> from recurra.circuits import Circuit, ResistorCapacitorNetwork
        >>> network = ResistorCapacitorNetwork(Circuit([(0, 0)]), 1.0, 1.0)
        >>> motion = simulate(network, np.array([1.0]), 0.1, steps=10)
        >>> round(float(motion.states[-1, 0]), 5)  # 1 - exp(-1)
        0.63212
    """
    dt = check_positive(dt, "dt", "simulate")
    check_choice(method, "method", ("euler", "rk4"), "simulate")
    sources = np.asarray(sources, dtype=float)
    if steps is None:
        if sources.ndim < 2:
            raise ShapeError(
                f"sources has shape {sources.shape}",
                where="simulate",
                need=f"(steps, ..., {network.circuit.branches})",
                cure="give steps=... where the sources stay as they are",
            )
        steps, driven = len(sources), sources
    elif isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UsageError(f"steps is {steps!r}", where="simulate", need="a positive whole number")
    else:
        driven = np.broadcast_to(sources, (steps, *sources.shape))
    now = np.asarray(network.initial_state() if state is None else state, dtype=float)
    now = np.broadcast_to(now, np.broadcast_shapes(now.shape, driven.shape[1:]))
    states = [now]
    for given in driven:
        first = network.derivative(now, given)
        change = first
        if method == "rk4":
            second = network.derivative(network.confine(now + 0.5 * dt * first), given)
            third = network.derivative(network.confine(now + 0.5 * dt * second), given)
            fourth = network.derivative(network.confine(now + dt * third), given)
            change = (first + 2.0 * second + 2.0 * third + fourth) / 6.0
        now = network.confine(now + dt * change)
        states.append(now)
    return Trajectory(dt * np.arange(steps + 1), np.stack(states))
