"""Networks of resistors and capacitors: the linear relative of a memristive network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recurra.cells.circuits.circuit import Circuit
from recurra.circuits.memristive import per_branch
from recurra.circuits.nodal import NodalSolver, check_branches


class ResistorCapacitorNetwork:
    """A circuit whose every branch is a source, a resistor and a capacitor in series.

    Equations:
        q is the charge of the capacitors, i the currents that S - q / C drives through the resistors:
        dq/dt = i = G (S - q/C + A p), A^T i = 0; with one R for all branches, dq/dt = Omega (S - q/C) / R.

    One number of memory a branch and one nodal solve a step, as in a memristive network; but the motion is linear in
    the charge and the sources, so that answers to two inputs add up, and no product of inputs can be read from it.

    Args:
        circuit: the graph.
        resistance: R, in ohms, a number or one for each branch.
        capacitance: C, in farads, likewise.

    Shapes:
        charge and sources (..., branches), in coulombs and volts.

    Raises:
        UsageError: a number is not positive.
        ShapeError: an array does not have one number for each branch.

    Reference:
        L. O. Chua, C. A. Desoer, E. S. Kuh. Linear and Nonlinear Circuits. McGraw-Hill (1987).

    Example:
        >>> import numpy as np
        >>> network = ResistorCapacitorNetwork(Circuit([(0, 1), (1, 0)]), 2.0, 1.0)
        >>> network.derivative(np.array([0.0, 1.0]), np.array([5.0, 0.0])).tolist()
        [1.0, 1.0]
    """

    def __init__(
        self,
        circuit: Circuit,
        resistance: float | Sequence[float] | np.ndarray = 1.0,
        capacitance: float | Sequence[float] | np.ndarray = 1.0,
    ):
        self.circuit = circuit
        self.solver = NodalSolver(circuit)
        self.resistance = per_branch(resistance, circuit, "resistance", "ResistorCapacitorNetwork")
        self.capacitance = per_branch(capacitance, circuit, "capacitance", "ResistorCapacitorNetwork")

    def initial_state(self, value: float = 0.0) -> np.ndarray:
        """The same charge on every capacitor, (branches,)."""
        return np.full(self.circuit.branches, float(value))

    def currents(self, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The currents in amperes, from tail to head."""
        check_branches(state, self.circuit, "state", "ResistorCapacitorNetwork")
        return self.solver.currents(1.0 / self.resistance, sources - np.asarray(state) / self.capacitance)

    def derivative(self, state: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The right-hand side: the currents."""
        return self.currents(state, sources)

    def confine(self, state: np.ndarray) -> np.ndarray:
        """The charge as it is: nothing bounds it."""
        return state

    def __repr__(self) -> str:
        return f"ResistorCapacitorNetwork({self.circuit!r})"
