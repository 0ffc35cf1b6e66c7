"""Trees as plain data: which node is whose child."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError


@dataclass(frozen=True)
class Forest:
    """Any number of rooted, ordered trees over the nodes 0, 1, ..., n - 1.

    It is Python data: no gradient goes through it, and one forest may be used with any number of inputs and cells.

    Args:
        children: for each node its children, in order; () for a leaf.

    Raises:
        UsageError: a child is no node, a node has two parents, or nodes form a cycle; the message names the nodes.

    Example:
        >>> forest = Forest([(1, 2), (), ()])
        >>> forest == Forest.from_parents([None, 0, 0])
        True
        >>> forest.roots, forest.leaves, forest.heights
        ((0,), (1, 2), (1, 0, 0))
    """

    children: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "children", tuple(_checked(self.children)))
        _ = self.heights  # a cycle is an error now, not at the first use

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self.children)

    @classmethod
    def from_parents(cls, parents: Iterable[int | None]) -> Forest:
        """From each node's parent, None or -1 for a root; children stand in the order of their numbers.

        Raises:
            UsageError: a parent is no node, or nodes form a cycle.
        """
        given = [-1 if parent is None else parent for parent in parents]
        children: list[list[int]] = [[] for _ in given]
        for node, parent in enumerate(given):
            if isinstance(parent, bool) or not isinstance(parent, int) or not -1 <= parent < len(given):
                raise UsageError(
                    f"the parent of node {node} is {parent!r}",
                    where="Forest",
                    need=f"a node from 0 to {len(given) - 1}, or None for a root",
                )
            if parent >= 0:
                children[parent].append(node)
        return cls(tuple(tuple(each) for each in children))

    @classmethod
    def join(cls, forests: Iterable[Forest]) -> Forest:
        """One forest of many: the nodes of the first, then those of the second, and so on.

        Example:
            >>> Forest.join([Forest([(1,), ()]), Forest([()])]).children
            ((1,), (), ())
        """
        joined: list[tuple[int, ...]] = []
        for forest in forests:
            start = len(joined)
            joined += [tuple(start + child for child in each) for each in forest.children]
        return cls(tuple(joined))

    @cached_property
    def parents(self) -> tuple[int | None, ...]:
        """Each node's parent, None for a root."""
        found: list[int | None] = [None] * len(self)
        for node, each in enumerate(self.children):
            for child in each:
                found[child] = node
        return tuple(found)

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """The nodes without a parent, in the order of their numbers: one a tree."""
        return tuple(node for node, parent in enumerate(self.parents) if parent is None)

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """The nodes without children, in the order of their numbers."""
        return tuple(node for node, each in enumerate(self.children) if not each)

    @cached_property
    def most_children(self) -> int:
        """The largest number of children that a node has; 0 for a forest without nodes."""
        return max(map(len, self.children), default=0)

    @cached_property
    def heights(self) -> tuple[int, ...]:
        """For each node the number of steps down to its deepest leaf; 0 for a leaf."""
        heights, waiting = [0] * len(self), [len(each) for each in self.children]
        ready = list(self.leaves)
        for node in ready:  # grows while it is read: a node follows its last child
            parent = self.parents[node]
            if parent is not None:
                heights[parent] = max(heights[parent], heights[node] + 1)
                waiting[parent] -= 1
                if not waiting[parent]:
                    ready.append(parent)
        if len(ready) < len(self):
            self._refuse_cycle(next(node for node, left in enumerate(waiting) if left))
        return tuple(heights)

    def from_leaves(self, x: Tensor, absent: Tensor | None = None) -> Tensor:
        """Inputs for all nodes from inputs for the leaves.

        Args:
            x: one row a leaf, in the order of `leaves`.
            absent: what inner nodes read; zeros when absent.

        Shapes:
            x (leaves, features), absent (features,); the result (nodes, features).

        Raises:
            ShapeError: x has not one row a leaf.

        Example:
            >>> Forest([(1, 2), (), ()]).from_leaves(torch.tensor([[5.0], [6.0]])).flatten()
            tensor([0., 5., 6.])
        """
        if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[0] != len(self.leaves):
            got = f"has shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"is {type(x).__name__}"
            raise ShapeError(
                f"x {got}",
                where="Forest.from_leaves",
                need=f"({len(self.leaves)}, features), one row a leaf of the {len(self)} nodes",
            )
        row = x.new_zeros(x.shape[1]) if absent is None else absent
        place = {leaf: index for index, leaf in enumerate(self.leaves)}
        index = [place.get(node, len(place)) for node in range(len(self))]
        return torch.cat([x, row.unsqueeze(0)]).index_select(0, _indices(index, x))

    def at_roots(self, y: Tensor) -> Tensor:
        """The rows of the roots, (trees, ...), of what has one row a node, (nodes, ...).

        Example:
            >>> Forest([(1,), (), ()]).at_roots(torch.tensor([10, 11, 12]))
            tensor([10, 12])
        """
        return y.index_select(0, _indices(self.roots, y))

    def _refuse_cycle(self, node: int) -> None:
        """What is left when the leaves are peeled off are the cycles alone, as no node has two parents."""
        path = [node]
        while self.parents[path[-1]] != node:
            path.append(self.parents[path[-1]])  # type: ignore[arg-type]
        shown = " -> ".join(map(str, [node, *reversed(path)]))
        raise UsageError(
            f"nodes form a cycle, from parent to child {shown}",
            where="Forest",
            need="trees: from every node up to a root",
        )


def _indices(numbers: Sequence[int], beside: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=torch.long, device=beside.device)


def _checked(children: Any) -> list[tuple[int, ...]]:
    """The children as tuples, or an error that names the node."""
    given = [tuple(each) for each in children]
    parents: dict[int, int] = {}
    for node, each in enumerate(given):
        for child in each:
            if isinstance(child, bool) or not isinstance(child, int) or not 0 <= child < len(given):
                raise UsageError(
                    f"{child!r} is given as a child of node {node}",
                    where="Forest",
                    need=f"nodes from 0 to {len(given) - 1}",
                )
            if child in parents:
                raise UsageError(
                    f"node {child} is a child of node {parents[child]} and again of node {node}",
                    where="Forest",
                    need="one parent a node",
                )
            parents[child] = node
    return given
