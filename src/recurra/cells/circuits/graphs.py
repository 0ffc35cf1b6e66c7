"""Graphs that circuits are built on."""

from __future__ import annotations

import numpy as np

from recurra.cells.base import check_size
from recurra.cells.circuits.circuit import Circuit
from recurra.errors import UsageError


def random_circuit(nodes: int, branches: int, seed: int | None = None) -> Circuit:
    """A ring through all nodes, and branches between random pairs besides: every branch lies on a loop.

    Args:
        nodes: how many.
        branches: how many, at least as many as nodes.
        seed: of the random numbers; 0 is a seed like any other, None draws one.

    Raises:
        UsageError: a number is not positive, or there are fewer branches than nodes.

    Example:
        >>> random_circuit(5, 8, seed=0)
        Circuit(nodes=5, branches=8, loops=4)
    """
    check_size(nodes, "nodes", "random_circuit")
    check_size(branches, "branches", "random_circuit")
    if branches < nodes:
        raise UsageError(
            f"branches is {branches}", where="random_circuit", need=f"at least {nodes}, which the ring of nodes takes"
        )
    chance = np.random.default_rng(seed)
    ring = np.stack([np.arange(nodes), (np.arange(nodes) + 1) % nodes], 1)
    tails = chance.integers(nodes, size=branches - nodes)
    # A shift from 1 to nodes - 1 never comes back to the tail.
    heads = (tails + chance.integers(1, max(nodes, 2), size=branches - nodes)) % nodes
    pairs = np.concatenate([ring, np.stack([tails, heads], 1)])
    flipped = chance.random(branches) < 0.5
    return Circuit(np.where(flipped[:, None], pairs[:, ::-1], pairs), nodes)


def grid_circuit(rows: int, columns: int) -> Circuit:
    """A rectangular grid with a branch between neighbours: first those to the right, then those down.

    Args:
        rows, columns: of nodes, which are numbered row by row.

    Raises:
        UsageError: a number is not positive, or the grid is a single node.

    Example:
        >>> grid_circuit(3, 4)
        Circuit(nodes=12, branches=17, loops=6)
    """
    check_size(rows, "rows", "grid_circuit")
    check_size(columns, "columns", "grid_circuit")
    if rows * columns == 1:
        raise UsageError("rows and columns are 1", where="grid_circuit", need="at least two nodes")
    number = np.arange(rows * columns).reshape(rows, columns)
    right = np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], 1)
    down = np.stack([number[:-1].ravel(), number[1:].ravel()], 1)
    return Circuit(np.concatenate([right, down]), rows * columns)
