"""Kirchhoff's laws by sparse nodal analysis."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from recurra.cells.circuits.circuit import Circuit
from recurra.errors import ShapeError

# The matrix is symmetric and diagonally dominant: it needs no pivoting, and so keeps the order it is given.
NO_PIVOTING: dict[str, Any] = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


class NodalSolver:
    """The currents of a resistive circuit, by one sparse factorisation with as many unknowns as nodes.

    Equations:
        i = G (S + A p), A^T i = 0, so (A^T G A) p = -A^T G S,
        with G = diag(conductances), S the sources and A the incidence matrix. One node of each connected part has p =
        0.

    The matrix is symmetric and positive definite. Its pattern is that of the graph and is laid out once; a matrix of
    branches times branches is never formed.

    Args:
        circuit: the graph.

    Shapes:
        conductances and sources (..., branches), in siemens and volts, with leading dimensions that broadcast; currents
        the same, in amperes. A source drives current from the branch's tail to its head.

    Raises:
        ShapeError: an array does not end in as many numbers as there are branches.

    Reference:
        C. W. Ho, A. E. Ruehli, P. A. Brennan. The modified nodal approach to network analysis. IEEE Transactions on
        Circuits and Systems 22 (1975) 504-509.

    Example:
        >>> import numpy as np
        >>> ring = NodalSolver(Circuit([(0, 1), (1, 2), (2, 0)]))
        >>> ring.currents(np.array([1.0, 0.5, 0.25]), np.array([7.0, 0.0, 0.0])).round(6)
        array([1., 1., 1.])
    """

    def __init__(self, circuit: Circuit):
        self.circuit = circuit
        self._lay_out(circuit.free_nodes)
        if self._size:
            # An order of elimination with few new entries is looked for once, and the nodes are put in it.
            ones = self.laplacian(np.ones(circuit.branches))
            order = linalg.splu(ones, permc_spec="MMD_AT_PLUS_A", **NO_PIVOTING).perm_c
            self._lay_out(self.free[np.argsort(order)])

    def _lay_out(self, free: np.ndarray) -> None:
        """The pattern of the matrix for the free nodes in this order."""
        circuit = self.circuit
        self.free = free
        self.reduced: Any = sparse.csr_array(circuit.incidence[:, free])
        self.gathered: Any = sparse.csr_array(self.reduced.T)
        place = np.full(circuit.nodes, -1)
        place[free] = np.arange(len(free))
        tails, heads = place[circuit.tails], place[circuit.heads]
        # Branch k adds g_k to the diagonal at its two ends and -g_k between them: four entries, less where an end is
        # grounded, none where the ends are one.
        rows = np.concatenate([tails, heads, tails, heads])
        columns = np.concatenate([tails, heads, heads, tails])
        signs = np.repeat([1.0, 1.0, -1.0, -1.0], circuit.branches)
        kept = (rows >= 0) & (columns >= 0) & np.tile(tails != heads, 4)
        size = len(free)
        keys, slot = np.unique(columns[kept] * size + rows[kept], return_inverse=True)
        # A row for each entry of the matrix, in the order of compressed columns.
        branch = np.tile(np.arange(circuit.branches), 4)[kept]
        self._entries: Any = sparse.csr_array((signs[kept], (slot, branch)), shape=(len(keys), circuit.branches))
        self._rows = (keys % size if size else keys).astype(np.int32)
        self._starts = np.searchsorted(keys, np.arange(size + 1) * size).astype(np.int32)
        self._size = size

    def laplacian(self, conductances: np.ndarray) -> Any:
        """A^T G A without the grounded nodes, sparse, for conductances (branches,)."""
        entries = self._entries @ conductances
        return sparse.csc_array((entries, self._rows, self._starts), shape=(self._size, self._size))

    def factor(self, conductances: np.ndarray) -> Any:
        """The factors of `laplacian`, to be solved with; None where every node is grounded."""
        if self._size == 0:
            return None
        return linalg.splu(self.laplacian(conductances), permc_spec="NATURAL", **NO_PIVOTING)

    def potentials(self, conductances: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The potentials p of all nodes, (..., nodes), in volts."""
        conductances, sources, leading = self._check(conductances, sources)
        found = np.zeros((len(sources), self.circuit.nodes))
        for index, (g, s) in enumerate(zip(conductances, sources, strict=True)):
            if self._size:
                found[index, self.free] = self.factor(g).solve(-(self.gathered @ (g * s)))
        return found.reshape(*leading, self.circuit.nodes)

    def currents(self, conductances: np.ndarray, sources: np.ndarray) -> np.ndarray:
        """The currents i of all branches, (..., branches), in amperes."""
        across = self.potentials(conductances, sources)
        return conductances * (sources + across[..., self.circuit.tails] - across[..., self.circuit.heads])

    def project(self, voltages: np.ndarray) -> np.ndarray:
        """Omega v: the part of v (..., branches) in the space of loop currents, by one sparse solve.

        Omega = I - A (A^T A)^+ A^T is the orthogonal projection that the Caravelli-Traversa-Di Ventra equation is
        written with; it is the currents that v drives through resistors of one ohm.
        """
        return self.currents(np.ones(self.circuit.branches), voltages)

    def projector(self) -> np.ndarray:
        """Omega as a dense matrix (branches, branches): for looking at small circuits, not for running them."""
        columns = np.eye(self.circuit.branches)
        if self._size == 0:
            return columns
        factors = self.factor(np.ones(self.circuit.branches))
        return columns - self.reduced @ factors.solve(np.ascontiguousarray(self.reduced.T.toarray()))

    def _check(self, conductances: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        for name, array in (("conductances", conductances), ("sources", sources)):
            check_branches(array, self.circuit, name, "NodalSolver")
        both = np.broadcast_arrays(np.asarray(conductances, dtype=float), np.asarray(sources, dtype=float))
        first, second = (np.ascontiguousarray(array).reshape(-1, self.circuit.branches) for array in both)
        return first, second, both[0].shape[:-1]


def check_branches(array: np.ndarray, circuit: Circuit, name: str, where: str) -> None:
    """Check that an array holds one number for each branch, after any leading dimensions."""
    shape = np.shape(array)
    if not shape or shape[-1] != circuit.branches:
        raise ShapeError(
            f"{name} has shape {shape}", where=where, need=f"(..., {circuit.branches}), one for each branch"
        )
