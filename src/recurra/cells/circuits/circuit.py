"""The graph of an electrical circuit: which node each branch leaves and which it enters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from recurra.errors import ShapeError, UsageError


class Circuit:
    """A directed graph of two-ended branches, each with a voltage source in series.

    Equations:
        A_ki = 1 where branch k leaves node i, -1 where it enters it (a branch from a node to itself has a row of
        zeros). Kirchhoff's current law is A^T i = 0; his voltage law is v = A p for node potentials p, where v_k is the
        voltage that branch k meets from its tail to its head.

    Args:
        branches: pairs (tail, head) of node numbers; parallel branches are allowed.
        nodes: how many there are; by default one more than the largest number named.

    Attributes:
        tails, heads: node numbers, (branches,).
        nodes, branches: how many.
        loops: the dimension of the space of loop currents, branches - nodes + components.

    Raises:
        UsageError: there is no branch, or a number is not one of the nodes'.
        ShapeError: the branches are not pairs.

    Reference:
        G. Kirchhoff. Ueber die Aufloesung der Gleichungen, auf welche man bei der Untersuchung der linearen Vertheilung
        galvanischer Stroeme gefuehrt wird. Annalen der Physik 148 (1847) 497-508.

    Example:
        >>> triangle = Circuit([(0, 1), (1, 2), (2, 0)])
        >>> triangle.nodes, triangle.branches, triangle.loops
        (3, 3, 1)
    """

    def __init__(self, branches: Sequence[tuple[int, int]] | np.ndarray, nodes: int | None = None):
        pairs = np.asarray(branches)
        if pairs.size == 0:
            raise UsageError("branches is empty", where="Circuit", need="at least one pair (tail, head)")
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ShapeError(f"branches has shape {pairs.shape}", where="Circuit", need="pairs, (branches, 2)")
        if not np.issubdtype(pairs.dtype, np.integer):
            raise UsageError(f"branches holds {pairs.dtype}", where="Circuit", need="whole numbers of nodes")
        count = int(pairs.max()) + 1 if nodes is None else nodes
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"nodes is {nodes!r}", where="Circuit", need="a positive whole number")
        if pairs.min() < 0 or pairs.max() >= count:
            wrong = int(pairs.min()) if pairs.min() < 0 else int(pairs.max())
            raise UsageError(f"branches names the node {wrong}", where="Circuit", need=f"nodes from 0 to {count - 1}")
        self.tails, self.heads = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
        self.nodes, self.branches = count, len(pairs)

    @cached_property
    def incidence(self) -> Any:
        """A, a sparse matrix (branches, nodes)."""
        rows = np.arange(self.branches)
        ones = np.ones(self.branches)
        place = (np.concatenate([rows, rows]), np.concatenate([self.tails, self.heads]))
        # Entries of the same place add up: a branch from a node to itself comes to zero.
        return sparse.csr_array((np.concatenate([ones, -ones]), place), shape=(self.branches, self.nodes))

    @cached_property
    def component_of(self) -> np.ndarray:
        """The number of the connected part that each node belongs to, (nodes,)."""
        ones = np.ones(self.branches)
        graph = sparse.csr_array((ones, (self.tails, self.heads)), shape=(self.nodes, self.nodes))
        return csgraph.connected_components(graph, directed=False)[1]

    @property
    def loops(self) -> int:
        return self.branches - self.nodes + int(self.component_of.max()) + 1

    @cached_property
    def free_nodes(self) -> np.ndarray:
        """All nodes but the first of each connected part, whose potential is taken for zero."""
        _, first = np.unique(self.component_of, return_index=True)
        return np.setdiff1d(np.arange(self.nodes), first)

    def __repr__(self) -> str:
        return f"Circuit(nodes={self.nodes}, branches={self.branches}, loops={self.loops})"
