"""Cells up trees: all nodes of one height in one call."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_input, check_number_format
from recurra.cells.join import JoinCell, advance_joined, cut_rows, slots_of
from recurra.cells.state import map_state
from recurra.cells.trees.forest import Forest
from recurra.cells.trees.reading import Parsed, read_brackets, read_nested
from recurra.errors import ShapeError, UsageError
from recurra.types import State

__all__ = ["Folded", "Forest", "JoinCell", "Parsed", "fold", "read_brackets", "read_nested"]


class Folded(NamedTuple):
    """What a cell gave at the nodes of a forest.

    Attributes:
        y: every node's output, (nodes, output_size), in the order of the nodes' numbers.
        state: every node's state; its tensors are (nodes, ...).
        root_y: the roots' outputs, (trees, output_size), in the order of `forest.roots`.
        root_state: the roots' states; its tensors are (trees, ...).
    """

    y: Tensor
    state: State
    root_y: Tensor
    root_state: State


def fold(cell: JoinCell | Cell, forest: Forest, x: Tensor) -> Folded:
    """Run a cell up the trees of a forest, from the leaves to the roots.

    Equations:
        (y_n, s_n) = cell(x_n, (s_k for the children k of n)); a slot without a child holds the cell's initial state.

    The nodes of one height, in all trees together, are one call of the cell. A cell of a chain (a `Cell`) may be folded
    where no node has more than one child: on a chain of nodes that is what `unroll` gives.

    Args:
        cell: a cell that joins the states of children, or any cell of a chain.
        forest: the trees.
        x: what each node reads; where only leaves have inputs, `forest.from_leaves` gives the others zeros.

    Shapes:
        x (nodes, input_size); every tensor of a node's state is (...), without a batch, as the nodes are the batch.

    Returns:
        the outputs and states of all nodes, and those of the roots. A forest without nodes is allowed.

    Raises:
        UsageError: a node has more children than the cell takes; the message names the node.
        ShapeError: x does not fit.

    Example:
        >>> from recurra.cells.trees import ChildSumTreeLSTM
        >>> forest, _, words = read_brackets("(S (NP the cat) (V sat))", "(S (V go))")
        >>> x = forest.from_leaves(torch.randn(len(words), 3))
        >>> folded = fold(ChildSumTreeLSTM(3, 4), forest, x)
        >>> folded.y.shape, folded.root_y.shape
        (torch.Size([7, 4]), torch.Size([2, 4]))
    """
    slots = slots_of(cell, "fold")
    if not isinstance(forest, Forest):
        raise UsageError(f"forest is {type(forest).__name__}", where="fold", need="a recurra.fold.Forest")
    check_input(x, ("nodes",), cell.input_size, where="fold")
    check_number_format(x, cell, where="fold")
    if x.shape[0] != len(forest):
        raise ShapeError(
            f"x has shape {tuple(x.shape)}",
            where="fold",
            need=f"({len(forest)}, {cell.input_size}), one row a node",
            cure="forest.from_leaves(x)" if x.shape[0] == len(forest.leaves) else None,
        )
    _check_children(cell, forest, slots)
    empty = cell.initial_state(1, dtype=x.dtype, device=x.device)
    if not len(forest):
        none = x.new_zeros(0, cell.output_size)
        state = map_state(lambda part: part[:0], empty)
        return Folded(none, state, none, state)

    plan = _plan(forest, slots)
    order = plan.index(plan.order, x)
    projected = cut_rows(map_state(lambda part: part.index_select(0, order), cell.project(x)), plan.sizes)
    inbox: dict[int, list[State]] = defaultdict(list)
    outputs: list[Tensor] = []
    reached: list[State] = []
    for height, level in enumerate(projected):
        # The children's states, and last the row that stands in an empty slot.
        arrived = map_state(lambda *parts: torch.cat(parts), *inbox.pop(height, []), empty)
        slot, width = plan.index(plan.slots[height], x), len(plan.slots[height]) // plan.sizes[height]

        def take(part: Tensor, slot: Tensor = slot, width: int = width) -> Tensor:
            return part.index_select(0, slot).unflatten(0, (-1, width))

        present = (slot < plan.arrivals[height]).unflatten(0, (-1, width))
        y, state = advance_joined(cell, level, map_state(take, arrived), present)
        outputs.append(y)
        reached.append(state)
        for goal, piece in zip(plan.goals[height], cut_rows(state, list(plan.goals[height].values())), strict=True):
            inbox[goal].append(piece)

    back = plan.index(plan.place, x)
    y = torch.cat(outputs).index_select(0, back)
    state = map_state(lambda *parts: torch.cat(parts).index_select(0, back), *reached)
    return Folded(y, state, forest.at_roots(y), map_state(forest.at_roots, state))


class _Plan:
    """Who is computed when, and where states go.

    Within a level nodes are sorted by the height of their parents, so that one split of a level's states gives a piece
    for each height that waits for some; every state is moved once, whatever the shape of the trees.

    Attributes:
        order: the nodes, level by level.
        place: where each node stands in `order`.
        sizes: the number of nodes at each height.
        goals: for each height, the heights its states go to, with how many; -1 for the roots, which go nowhere.
        arrivals: for each height, how many states arrive.
        slots: for each height, node by node, which of the states that arrive stands in each slot; the number past the
            last one for an empty slot.
    """

    def __init__(self, forest: Forest, slots: int | None):
        heights, parents = forest.heights, forest.parents
        goal = [-1 if parent is None else heights[parent] for parent in parents]
        self.order = sorted(range(len(forest)), key=lambda node: (heights[node], goal[node], node))
        self.place = [0] * len(forest)
        self.sizes = [0] * (1 + max(heights))
        self.goals: list[Counter[int]] = [Counter() for _ in self.sizes]
        arrivals: Counter[int] = Counter()
        number: dict[int, int] = {}
        for place, node in enumerate(self.order):
            self.place[node] = place
            self.sizes[heights[node]] += 1
            self.goals[heights[node]][goal[node]] += 1
            number[node] = arrivals[goal[node]]
            arrivals[goal[node]] += 1
        self.arrivals = [arrivals[height] for height in range(len(self.sizes))]
        widths = [slots or 1] * len(self.sizes)
        if slots is None:
            for node, each in enumerate(forest.children):
                widths[heights[node]] = max(widths[heights[node]], len(each))
        self.slots: list[list[int]] = [[] for _ in self.sizes]
        for node in self.order:
            height, each = heights[node], forest.children[node]
            missing = [self.arrivals[height]] * (widths[height] - len(each))
            self.slots[height] += [number[child] for child in each] + missing

    @staticmethod
    def index(numbers: list[int], beside: Tensor) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=beside.device)


@lru_cache(maxsize=64)
def _plan(forest: Forest, slots: int | None) -> _Plan:
    """The plan; kept, as layers and epochs fold the same trees again."""
    return _Plan(forest, slots)


def _check_children(cell: JoinCell | Cell, forest: Forest, slots: int | None) -> None:
    if slots is None or forest.most_children <= slots:
        return
    node = next(node for node, each in enumerate(forest.children) if len(each) > slots)
    name = type(cell).__name__
    chain = isinstance(cell, Cell)
    raise UsageError(
        f"node {node} has {len(forest.children[node])} children",
        where="fold",
        need=f"at most {slots} a node, as {name} " + ("is a cell of a chain" if chain else f"joins {slots}"),
        cure="a cell for trees" if chain else f"build {name} with max_children={forest.most_children}",
    )
