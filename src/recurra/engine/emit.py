"""From a program to LLVM's language: the loop over time, its stages, and their tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recurra.engine.frame import Frame
from recurra.engine.graph import Node
from recurra.engine.plan import Group, Program
from recurra.engine.products import Block, Products
from recurra.engine.tiles import Layout, lay_out, leaves_of, starts_of
from recurra.engine.values import Values
from recurra.native.machine import Machine
from recurra.native.vectors import I64


@dataclass(frozen=True)
class Code:
    """Emitted code and what it must be given.

    Attributes:
        text: LLVM's language.
        buffers: names of the pointers, in their order.
        layouts: for each stage and group its layout.
        turning: the numbers of the state's parts that stand in one of two places by turns.
    """

    text: str
    buffers: tuple[str, ...]
    layouts: tuple[tuple[Layout, ...], ...]
    turning: frozenset[int]


def emit(
    program: Program,
    machine: Machine,
    *,
    double: bool,
    backward: bool,
    masked: bool,
    resets: bool,
    turning: set[int],
    name: str,
) -> Code:
    """Emit a program's loop as one function.

    The function's arguments: an array of pointers (see `Code.buffers`), the number of steps, of sequences, the first
    sequence and the one past the last, whether time runs from its end, and flags (time, batch), 1 where a step is
    read (used with `masked` only), plus 2 where the state is set to the first one before it (with `resets` only).
    """
    return _Emitter(Frame(program, machine, double, backward, masked, resets, frozenset(turning), name), double).code()


class _Emitter:
    def __init__(self, frame: Frame, double: bool):
        self.f, self.program = frame, frame.program
        self.layouts = tuple(
            tuple(lay_out(group, self.program, s, g, frame.machine, double) for g, group in enumerate(groups))
            for s, groups in enumerate(self.program.stages)
        )
        self.names = self._names()

    def code(self) -> Code:
        f = self.f
        f.begin(self.names)
        self.values = Values(f)
        self.products = Products(f, self.values, [each for layouts in self.layouts for each in layouts if each.panels])
        with f.loop(I64(0), f.steps, 1, "step") as k:
            f.step(k, self.names)
            for groups, layouts in zip(self.program.stages, self.layouts, strict=True):
                for group, layout in zip(groups, layouts, strict=True):
                    if layout.panels:
                        self._group(group, layout)
                    else:
                        self._plain_group(group, layout)
        f.b.ret_void()
        return Code(str(f.module), self.names, self.layouts, f.turning)

    def _names(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        params: dict[str, None] = {}
        seen: set[Node] = set()

        def visit(node: Node, root: bool = False) -> None:
            if node in self.program.given or (node in self.program.places and not root):
                found[self.program.places[node].buffer] = None
                return
            if node in seen:
                return
            seen.add(node)
            if node.op == "input":
                found[node.data[0]] = None
            elif node.op == "param":
                params[f"param{node.data[0]}"] = None
            for arg in node.args:
                visit(arg)

        for groups, layouts in zip(self.program.stages, self.layouts, strict=True):
            for group, layout in zip(groups, layouts, strict=True):
                for store in group.stores:
                    found[store.place.buffer] = None
                    if store.unread not in (None, "zero") and self.f.masked:
                        found[store.unread] = None
                    visit(store.node, True)
                for panel in layout.panels:
                    params[panel.buffer] = None
                    found[self.program.products[panel.product].buffer] = None
        if self.f.resets:
            for name in [name for name in self.program.buffers if name[0] == "s"]:
                found["b" + name[1:]] = None
                if self.f.backward:
                    found["f" + name[1:]] = None
        return (*found, *params)

    def _plain_group(self, group: Group, layout: Layout) -> None:
        """A group without products: row by row, so that memory is read in its order."""
        self.values.started = {}
        with self.f.loop(self.f.first, self.f.last, 1, "row") as row:
            for tile in layout.tiles:
                with self.f.loop(I64(0), I64(tile.count), 1, "tile") as number:
                    column = self.f.b.add(I64(tile.start), self.f.b.mul(number, I64(self.f.lanes)))
                    self.values.stores(group, tile, row, column, {})

    def _group(self, group: Group, layout: Layout) -> None:
        """All tiles and rows of a group: columns outside, so that a tile's weights stay near while rows pass."""
        b = self.f.b
        offsets = {panel.buffer: 0 for panel in layout.panels}
        leaves = leaves_of(group, self.program)
        starts = self.values.started = starts_of(group, self.program, layout.panels)
        for tile in layout.tiles:
            with self.f.loop(I64(0), I64(tile.count), 1, "tile") as number:
                column = b.add(I64(tile.start), b.mul(number, I64(tile.vectors * self.f.lanes)))
                panels = {}
                for panel in layout.panels:
                    rows = self.program.nodes.products[panel.product].rows
                    block = rows * len(panel.columns) * tile.vectors * self.f.lanes * self.f.size
                    start = b.add(I64(offsets[panel.buffer]), b.mul(number, I64(block)))
                    panels[panel.buffer] = b.gep(self.f.bases[panel.buffer], [start])
                # As many blocks as are needed, of sizes as equal as can be.
                rows = b.sub(self.f.last, self.f.first)
                blocks = b.sdiv(b.add(rows, I64(layout.rows - 1)), I64(layout.rows))
                with self.f.loop(I64(0), blocks, 1, "block") as block:
                    row, following = (
                        b.add(self.f.first, b.sdiv(b.mul(rows, each), blocks)) for each in (block, b.add(block, I64(1)))
                    )
                    count = b.sub(following, row)
                    block_of = Block(layout, tile, panels, starts, row, column, block)
                    if self.f.masked:
                        with b.if_then(self._any_read(row, following, layout.rows)):
                            self.products.by_count(count, leaves, block_of)
                    else:
                        self.products.by_count(count, leaves, block_of)
                    with self.f.loop(I64(0), count, 1, "row") as r:
                        for vector in range(tile.vectors):
                            at = b.add(column, I64(vector * self.f.lanes)) if vector else column
                            known = self.products.sums_of(layout, tile, r, vector)
                            self.values.stores(group, tile, b.add(row, r), at, known)
            for panel in layout.panels:
                rows = self.program.nodes.products[panel.product].rows
                span = rows * len(panel.columns) * tile.vectors * self.f.lanes * self.f.size
                offsets[panel.buffer] += span * tile.count

    def _any_read(self, row: Any, following: Any, most: int) -> Any:
        """Whether any of some rows, at most so many, is read at this step."""
        f, b = self.f, self.f.b
        last = b.sub(following, I64(1))
        found = f.flag(row, 1)
        for r in range(1, most):
            each = b.add(row, I64(r))
            found = b.or_(found, f.flag(b.select(b.icmp_signed("<", each, last), each, last), 1))
        return found
