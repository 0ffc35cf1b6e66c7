"""Networks of memristors and resistors, and the equation of motion of their internal memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.cells.circuits.circuit import Circuit
from recurra.cells.circuits.memristive_reservoir import MEMORIES
from recurra.cells.time_step import check_choice, check_not_negative, check_positive
from recurra.circuits.nodal import NodalSolver, check_branches
from recurra.errors import ShapeError, UsageError

POLARITIES = ("directed", "both")


class MemristiveNetwork:
    """A circuit of memristors, or of memristors and resistors, with a voltage source in series with each branch.

    Equations:
        With memory="off", a memory of 1 is the off state (the Caravelli-Traversa-Di Ventra equation as published):
            R(w) = R_on (1 - w) + R_off w,  dw/dt = alpha w - (R_on / beta) i,
            R_on i = (I + xi Omega W)^-1 Omega S,  xi = (R_off - R_on) / R_on.
        With memory="on", a memory of 1 is the on state, w = 1 - x:
            R(x) = R_off (1 - x) + R_on x,  dx/dt = -alpha x + (R_off / beta) i,
            R_off i = (I - chi Omega X)^-1 Omega S,  chi = (R_off - R_on) / R_off.
        W = diag(w), Omega is the orthogonal projection on loop currents (`NodalSolver.project`), S the sources. In
        both, current from tail to head switches on, alpha switches off, and the memory stays within 0 and 1. With alpha
        = 0 the two are one motion where beta_on / beta_off = R_off / R_on; else they differ in where the decay is slow:
        at the on state in the first, at the off state in the second.

        Branches that are resistors keep R and have no memory. With D = diag(R_on of memristors, R of resistors), xi = 0
        at resistors, and Omega the projection on D^(1/2) times the loop currents, the first equation becomes
            D^(1/2) i = (I + xi Omega W)^-1 Omega D^(-1/2) S,
        and so with the second. `currents` gives i from the nodal equations, whose unknowns are as many as the nodes:
        neither the inverse nor Omega is formed.

    Args:
        circuit: the graph.
        on_resistance, off_resistance: R_on < R_off, a positive number or one for each branch, in ohms.
        decay: alpha, per second; 0 keeps the memory without end.
        scale: beta, in volt seconds.
        memory: "off" or "on", the state that a memory of 1 stands for.
        resistors: the resistance in ohms of each branch that is a resistor, NaN at those that are memristors; all are
            memristors when absent.
        polarity: "directed": current from head to tail switches off; "both": it switches on in either direction, as in
            two memristors back to back.

    Shapes:
        memory and sources (..., branches); at resistors the memory is 0 and stays so.

    Raises:
        UsageError: a number is not positive, R_off is not above R_on, or a word is neither of the two.
        ShapeError: an array does not have one number for each branch.

    Differs from the paper: the resistances may differ from branch to branch, resistors may stand among the memristors,
    and the walls at 0 and 1, which the equation leaves out, hold the memory (`confine`).

    Reference:
        F. Caravelli, F. L. Traversa, M. Di Ventra. Complex dynamics of memristive circuits: analytical results and
        universal slow relaxation. Physical Review E 95 (2017) 022140.
        F. Barrows, F. C. Sheldon, F. Caravelli. Network analysis of memristive device circuits: dynamics, stability and
        correlations. arXiv:2402.16015 (2024).

    Example:
        >>> import numpy as np
        >>> network = MemristiveNetwork(Circuit([(0, 1), (1, 0)]), 1.0, 10.0, scale=2.0, memory="on")
        >>> network.resistances(np.array([1.0, 0.5])).tolist()
        [1.0, 5.5]
        >>> network.derivative(np.array([1.0, 0.5]), np.array([13.0, 0.0])).round(6).tolist()
        [10.0, 10.0]
    """

    def __init__(
        self,
        circuit: Circuit,
        on_resistance: float | Sequence[float] | np.ndarray = 1.0,
        off_resistance: float | Sequence[float] | np.ndarray = 100.0,
        *,
        decay: float = 0.0,
        scale: float = 1.0,
        memory: str = "on",
        resistors: Sequence[float] | np.ndarray | None = None,
        polarity: str = "directed",
    ):
        where = "MemristiveNetwork"
        self.circuit = circuit
        self.solver = NodalSolver(circuit)
        self.decay = check_not_negative(decay, "decay", where)
        self.scale = check_positive(scale, "scale", where)
        self.memory = check_choice(memory, "memory", MEMORIES, where)
        self.polarity = check_choice(polarity, "polarity", POLARITIES, where)
        self.is_memristor = np.ones(circuit.branches, dtype=bool)
        given = np.full(circuit.branches, np.nan)
        if resistors is not None:
            given = np.asarray(resistors, dtype=float)
            if given.shape != (circuit.branches,):
                raise ShapeError(f"resistors has shape {given.shape}", where=where, need=f"({circuit.branches},)")
            self.is_memristor = np.isnan(given)
        fixed = per_branch(np.where(self.is_memristor, 1.0, given), circuit, "resistors")
        on = per_branch(on_resistance, circuit, "on_resistance")
        off = per_branch(off_resistance, circuit, "off_resistance")
        if not (on < off)[self.is_memristor].all():
            raise UsageError(
                "off_resistance is not above on_resistance", where=where, need="R_on < R_off at every memristor"
            )
        self.on_resistance = np.where(self.is_memristor, on, fixed)
        self.off_resistance = np.where(self.is_memristor, off, fixed)

    def initial_state(self, value: float = 0.5) -> np.ndarray:
        """The same memory in every memristor, (branches,)."""
        return np.where(self.is_memristor, float(value), 0.0)

    def resistances(self, state: np.ndarray) -> np.ndarray:
        """R of every branch in ohms, from the memory."""
        check_branches(state, self.circuit, "state", "MemristiveNetwork")
        on, off = self.on_resistance, self.off_resistance
        return on + (off - on) * state if self.memory == "off" else off + (on - off) * state

    def currents(self, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The currents in amperes, from tail to head, that Kirchhoff's laws ask for."""
        return self.solver.currents(1.0 / self.resistances(state), sources)

    def derivative(self, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The right-hand side of the equation of motion, per second."""
        current = self.currents(state, sources)
        push = np.abs(current) if self.polarity == "both" else current
        if self.memory == "off":
            rate = self.decay * state - self.on_resistance * push / self.scale
        else:
            rate = -self.decay * state + self.off_resistance * push / self.scale
        return np.where(self.is_memristor, rate, 0.0)

    def confine(self, state: np.ndarray) -> np.ndarray:
        """The memory held within 0 and 1."""
        return np.clip(state, 0.0, 1.0)

    def power(self, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The power in watts that turns into heat, (...)."""
        return (self.resistances(state) * self.currents(state, sources) ** 2).sum(-1)

    def lyapunov(self, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """A function of the memory that falls along every motion between the walls, while the sources stay as they are.

        Equations:
            memory="on":  L = (alpha/3) sum x^3 - (alpha chi/4) (x^2)^T Omega x^2 - (1/(2 beta)) (x^2)^T Omega S,
                          dL/dt = -x'^T (X - chi X Omega X) x' <= 0;
            memory="off": L = -(alpha/3) sum w^3 - (alpha xi/4) (w^2)^T Omega w^2 + (1/(2 beta)) (w^2)^T Omega S,
                          dL/dt = -w'^T (W + xi W Omega W) w' <= 0.
            Under clipping at 0 and 1 this is not proven.

        Shapes:
            state and sources (..., branches); L (...).

        Raises:
            UsageError: the circuit has resistors, resistances that differ, or polarity "both".
        """
        on, off = self.on_resistance, self.off_resistance
        alike = bool((on == on[0]).all() and (off == off[0]).all())
        if not (alike and self.is_memristor.all()) or self.polarity == "both":
            raise UsageError(
                "this circuit has no known Lyapunov function here",
                where="lyapunov",
                need="memristors alone, all with the same two resistances, and polarity 'directed'",
            )
        square = np.asarray(state) ** 2
        cubes = self.decay / 3.0 * (square * state).sum(-1)
        looped = self.decay / 4.0 * (square * self.solver.project(square)).sum(-1)
        driven = (square * self.solver.project(sources)).sum(-1) / (2.0 * self.scale)
        if self.memory == "on":
            return cubes - (off[0] - on[0]) / off[0] * looped - driven
        return driven - cubes - (off[0] - on[0]) / on[0] * looped

    def __repr__(self) -> str:
        memristors = int(self.is_memristor.sum())
        return f"MemristiveNetwork({self.circuit!r}, memristors={memristors}, memory={self.memory!r})"


def per_branch(value: Any, circuit: Circuit, name: str, where: str = "MemristiveNetwork") -> np.ndarray:
    """A positive number for each branch, from one number or that many, or an error that names the argument."""
    numbers = np.asarray(value, dtype=float)
    if numbers.shape not in ((), (circuit.branches,)):
        raise ShapeError(
            f"{name} has shape {numbers.shape}", where=where, need=f"a number, or ({circuit.branches},), one a branch"
        )
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        raise UsageError(f"{name} holds {numbers.min()}", where=where, need="positive numbers of ohms")
    return np.broadcast_to(numbers, (circuit.branches,)).copy()
