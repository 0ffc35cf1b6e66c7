"""Where the columns of a value come from, and where values are cut so that every piece is computed alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from recurra.engine.graph import NotCompiled
from recurra.engine.sort import ROW, Sorted, op_args, op_name, told

MOVES = {
    "view",
    "_unsafe_view",
    "reshape",
    "slice",
    "select",
    "getitem",
    "cat",
    "permute",
    "expand",
    "unsqueeze",
    "squeeze",
    "slice_scatter",
    "select_scatter",
    "index_select",
    "flip",
    "repeat",
    "stack",
    "roll",
    "as_strided",
}
"""Operations that only move numbers."""
SPLITS = {"split_with_sizes", "split", "unbind"}
FAR = 1 << 40  # more than there are columns


@dataclass(frozen=True)
class Run:
    """Columns of a value that come from neighbouring columns of another, or all from one.

    Attributes:
        source: the other value.
        place: the first column in the other value.
        start, stop: the columns here.
        step: 1 where columns run along, 0 where all come from one.
    """

    source: fx.Node
    place: int
    start: int
    stop: int
    step: int


def numbered(value: Tensor, offset: int, batch: int) -> Tensor:
    """A value's own numbers of rows and columns, in its shape."""
    count = value.numel()
    if value.dim() and value.shape[0] % batch == 0 and count:
        width = count // batch
        rows = torch.arange(batch).unsqueeze(1) * FAR + torch.arange(width) + offset
        return rows.reshape(value.shape)
    return (torch.arange(count) + offset).reshape(value.shape)


def movement(sorted_values: Sorted, node: fx.Node) -> list[Run]:
    """The runs of an operation that only moves numbers, found by letting it move their places.

    Raises:
        NotCompiled: it mixes sequences.
    """
    batch = sorted_values.traced.batch
    target = node
    if op_name(node) == "getitem":
        target = op_args(node)[0]
    sources = [arg for arg in target.all_input_nodes if sorted_values.kind[arg] == ROW or arg in sorted_values.width]
    offsets, place = {}, 0
    for source in sources:
        offsets[source] = place
        place += sorted_values.width[source]
    if len(sources) != len(target.all_input_nodes):
        raise NotCompiled(told(node, "moves numbers of weights among those of sequences"))
    places = {source: numbered(source.meta["val"], offsets[source], batch) for source in sources}
    args = torch.fx.node.map_arg(target.args, lambda each: places[each])
    call: Any = target.target
    moved = call(*args, **target.kwargs)
    if target is not node:
        moved = moved[op_args(node)[1]]
    return runs_of(moved, {(offsets[s], offsets[s] + sorted_values.width[s]): s for s in sources}, batch, node)


def broadcast(sorted_values: Sorted, arg: fx.Node, node: fx.Node) -> list[Run]:
    """Where each column of `node`, an element-wise operation, finds its operand in `arg`."""
    batch = sorted_values.traced.batch
    value, shape = arg.meta["val"], node.meta["val"].shape
    places = numbered(value, 0, batch)
    count = sorted_values.width[arg] if arg in sorted_values.width else value.numel()
    # A batch of 1 in the operand (a weight) is one row for all.
    return runs_of(places.expand(shape), {(0, max(count, 1)): arg}, batch, node, arg in sorted_values.width)


def runs_of(moved: Tensor, sources: dict[Any, fx.Node], batch: int, node: fx.Node, rows: bool = True) -> list[Run]:
    """Numbers of places, in the shape of the result, as runs."""
    if moved.numel() == 0:
        return []
    table = moved.reshape(batch, -1)
    first = table[0] % FAR
    wanted = first + torch.arange(batch).unsqueeze(1) * (FAR if rows else 0)
    if not torch.equal(table, wanted.expand_as(table)):
        raise NotCompiled(told(node, "mixes sequences"))
    columns, runs, start = first.tolist(), [], 0
    while start < len(columns):
        bounds, source = next((b, s) for b, s in sources.items() if b[0] <= columns[start] < b[1])
        step = 1 if start + 1 < len(columns) and columns[start + 1] == columns[start] + 1 else 0
        stop = start + 1
        if step or (stop < len(columns) and columns[stop] == columns[start]):
            while stop < len(columns) and columns[stop] == columns[stop - 1] + step and columns[stop] < bounds[1]:
                stop += 1
        else:
            step = 1
        runs.append(Run(source, columns[start] - bounds[0], start, stop, step))
        start = stop
    return runs


class Cuts:
    """The columns at which each value of rows is cut.

    Args:
        sorted_values: the step's values.
        elementwise: names of the operations that work number by number.
        single: values whose every column is used on its own.
    """

    def __init__(self, sorted_values: Sorted, elementwise: set[str], single: set[fx.Node]):
        self.sorted = sorted_values
        self.runs: dict[tuple[fx.Node, Any], list[Run]] = {}
        self.at: dict[fx.Node, set[int]] = {}
        rows = [node for node in sorted_values.order if node in sorted_values.width]
        for node in rows:
            self.at[node] = {0, sorted_values.width[node]}
            name = op_name(node)
            if node in single:
                self.at[node] = set(range(sorted_values.width[node] + 1))
            if sorted_values.kind[node] != ROW:
                continue
            if name in MOVES and not (name == "getitem" and op_name(op_args(node)[0]) not in SPLITS):
                self.runs[node, None] = movement(sorted_values, node)
            elif name in elementwise:
                for arg in node.all_input_nodes:
                    self.runs[node, arg] = broadcast(sorted_values, arg, node)
            elif name in ("mm", "addmm"):
                left, right = op_args(node)[-2:]
                if right.meta["val"].dim() == 2:
                    rows_in, columns = right.meta["val"].shape
                    self.at[node] |= set(range(0, sorted_values.width[node], columns))
                    if left in self.at:
                        self.at[left] |= set(range(0, sorted_values.width[left], max(1, rows_in)))
                if name == "addmm" and isinstance(op_args(node)[0], fx.Node):
                    bias = op_args(node)[0]
                    self.runs[node, bias] = broadcast(sorted_values, bias, node)
        for (node, _), runs in self.runs.items():
            self.at[node] |= {run.start for run in runs}
        self._settle()

    def _settle(self) -> None:
        changed = True
        while changed:
            before = sum(map(len, self.at.values()))
            for (node, _), runs in self.runs.items():
                self._share(node, runs)
            for (node, _), runs in reversed(self.runs.items()):
                self._share(node, runs)
            changed = sum(map(len, self.at.values())) != before
            if before > 20000:
                raise NotCompiled("its step works on too many separate columns")

    def _share(self, node: fx.Node, runs: list[Run]) -> None:
        """Pass cuts between a value and what it is made of."""
        here = self.at[node]
        for run in runs:
            there = self.at.get(run.source)
            if there is None:
                continue
            if run.step == 0:
                there |= {run.place, run.place + 1}
                continue
            shift, stop = run.start - run.place, run.place + run.stop - run.start
            here |= {cut + shift for cut in there if run.place <= cut <= stop}
            there |= {cut - shift for cut in here if run.start <= cut <= run.stop}

    def spans(self, node: fx.Node) -> list[tuple[int, int]]:
        """The pieces of a value, first column and the one past the last."""
        cuts = sorted(self.at[node])
        return list(zip(cuts, cuts[1:], strict=False))

    def run(self, node: fx.Node, key: Any, start: int) -> Run:
        """The run that holds a column."""
        return next(run for run in self.runs[node, key] if run.start <= start < run.stop)
