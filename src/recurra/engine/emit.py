"""From a program to LLVM's language: the loop over time, the stages, the tiles, and the arithmetic in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from recurra.engine.graph import Node
from recurra.engine.machine import Machine
from recurra.engine.plan import Group, Place, Program, Store
from recurra.engine.tiles import Layout, Tile, lay_out
from recurra.engine.vectors import I8, I64, Vectors

POINTER = I8.as_pointer()

# How a buffer's rows of one step are found: at the time step, at the state before or after it, in one of two places by
# turns, or always in the same place.
TIMED, BEFORE, AFTER, TURN, TURNED, FIXED = "timed", "before", "after", "turn", "turned", "fixed"


def moves(buffer: str) -> str:
    """How a buffer moves with time; see `make_plan` for the names."""
    if buffer[0] == "s":
        return BEFORE
    if buffer[0] == "n":
        return AFTER
    if buffer[0] == "t":
        return FIXED
    if buffer[0] == "g" and buffer != "gy":
        return TURN
    if buffer[0] == "d" and buffer != "dt" and not buffer.startswith("dx"):
        return TURNED
    return TIMED


@dataclass(frozen=True)
class Code:
    """Emitted code and what it must be given.

    Attributes:
        text: LLVM's language.
        buffers: names of the pointers, in their order.
        layouts: for each stage and group its layout.
    """

    text: str
    buffers: tuple[str, ...]
    layouts: tuple[tuple[Layout, ...], ...]


def emit(program: Program, machine: Machine, *, double: bool, backward: bool, masked: bool, name: str) -> Code:
    """Emit a program's loop as one function.

    The function's arguments: an array of pointers (see `Code.buffers`), the number of steps, of sequences, the first
    sequence and the one past the last, whether time runs from its end, and flags (time, batch), 1 where a step is read
    (used with `masked` only).
    """
    return _Emitter(program, machine, double, backward, masked, name).code()


class _Emitter:
    def __init__(self, program: Program, machine: Machine, double: bool, backward: bool, masked: bool, name: str):
        self.program, self.machine, self.double = program, machine, double
        self.backward, self.masked = backward, masked
        self.lanes = machine.lanes(double)
        self.size = 8 if double else 4
        self.module = ir.Module(name)
        self.module.triple = machine.triple
        kind = ir.FunctionType(ir.VoidType(), [POINTER.as_pointer(), I64, I64, I64, I64, I64, POINTER])
        self.function = ir.Function(self.module, kind, name)
        self.table, self.steps, self.batch, self.first, self.last, self.reverse, self.flags = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("start"))
        self.v = Vectors(self.b, double, self.lanes)
        self.layouts = tuple(
            tuple(lay_out(group, program, s, g, machine, double) for g, group in enumerate(groups))
            for s, groups in enumerate(program.stages)
        )
        self.names = self._names()
        self.bases: dict[str, Any] = {}

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
                    if store.unread not in (None, "zero") and self.masked:
                        found[store.unread] = None
                    visit(store.node, True)
                for panel in layout.panels:
                    params[panel.buffer] = None
                    found[self.program.products[panel.product].buffer] = None
        return (*found, *params)

    def code(self) -> Code:
        b = self.b
        for number, name in enumerate(self.names):
            self.bases[name] = b.load(b.gep(self.table, [I64(number)]))
        with self._loop(I64(0), self.steps, 1, "step") as k:
            last = b.sub(b.sub(self.steps, I64(1)), k)
            self.place = last if self.backward else k
            towards = b.icmp_signed("!=", self.reverse, I64(0))
            self.time = b.select(towards, b.sub(b.sub(self.steps, I64(1)), self.place), self.place)
            later = b.add(self.time, I64(1))
            self.before, self.after = b.select(towards, later, self.time), b.select(towards, self.time, later)
            self.turned = b.and_(self.place, I64(1))
            self.turn = b.xor(self.turned, I64(1))
            self.row_bases: dict[str, Any] = {}
            for name in self.names:
                self._row_base(name)
            for groups, layouts in zip(self.program.stages, self.layouts, strict=True):
                for group, layout in zip(groups, layouts, strict=True):
                    self._group(group, layout)
        b.ret_void()
        return Code(str(self.module), self.names, self.layouts)

    # -- addresses

    def _row_base(self, name: str) -> None:
        """The address of a buffer's rows at this step."""
        if name not in self.program.buffers:
            return
        where: dict[str, Any] = {
            TIMED: self.time,
            BEFORE: self.before,
            AFTER: self.after,
            TURN: self.turn,
            TURNED: self.turned,
        }
        index = where.get(moves(name))
        base = self.bases[name]
        if index is not None:
            width = self.program.buffers[name] * self.size
            base = self.b.gep(base, [self.b.mul(self.b.mul(index, self.batch), I64(width))])
        self.row_bases[name] = base

    def _at(self, place: Place, row: Any, column: Any) -> Any:
        """The address of a column of a row."""
        b = self.b
        offset = b.add(b.mul(row, I64(place.width * self.size)), b.mul(b.add(column, I64(place.start)), I64(self.size)))
        return b.gep(self.row_bases[place.buffer], [offset])

    # -- loops

    @contextmanager
    def _loop(self, start: Any, stop: Any, step: int, name: str) -> Iterator[Any]:
        """A counting loop; nothing is done where start is not below stop."""
        b = self.b
        before = b.block
        head, body = self.function.append_basic_block(name), self.function.append_basic_block(f"{name}_body")
        end = self.function.append_basic_block(f"{name}_end")
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        index.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", index, stop), body, end)
        b.position_at_end(body)
        yield index
        index.add_incoming(b.add(index, I64(step)), b.block)
        b.branch(head)
        b.position_at_end(end)

    def _group(self, group: Group, layout: Layout) -> None:
        """All tiles and rows of a group: columns outside, so that a tile's weights stay near while rows pass."""
        b = self.b
        offsets = {panel.buffer: 0 for panel in layout.panels}
        for tile in layout.tiles:
            with self._loop(I64(0), I64(tile.count), 1, "tile") as number:
                column = b.add(I64(tile.start), b.mul(number, I64(tile.vectors * self.lanes)))
                panels = {}
                for panel in layout.panels:
                    rows = self.program.nodes.products[panel.product].rows
                    block = rows * len(panel.columns) * tile.vectors * self.lanes * self.size
                    start = b.add(I64(offsets[panel.buffer]), b.mul(number, I64(block)))
                    panels[panel.buffer] = b.gep(self.bases[panel.buffer], [start])
                whole = self.first
                if layout.rows > 1:
                    count = b.sub(self.last, self.first)
                    whole = b.add(self.first, b.sub(count, b.srem(count, I64(layout.rows))))
                    with self._loop(self.first, whole, layout.rows, "rows") as row:
                        self._tile(
                            group, layout, tile, panels, [b.add(row, I64(r)) for r in range(layout.rows)], column
                        )
                with self._loop(whole, self.last, 1, "row") as row:
                    self._tile(group, layout, tile, panels, [row], column)
            for panel in layout.panels:
                rows = self.program.nodes.products[panel.product].rows
                span = rows * len(panel.columns) * tile.vectors * self.lanes * self.size
                offsets[panel.buffer] += span * tile.count

    # -- a tile: some rows by some vectors of columns

    def _tile(
        self, group: Group, layout: Layout, tile: Tile, panels: dict[str, Any], rows: list[Any], column: Any
    ) -> None:
        found = self._products(layout, tile, panels, rows)
        for r, row in enumerate(rows):
            for vector in range(tile.vectors):
                at = self.b.add(column, I64(vector * self.lanes)) if vector else column
                known = {key: value[r][vector] for key, value in found.items()}
                self._stores(group, tile, row, at, known)

    def _products(
        self, layout: Layout, tile: Tile, panels: dict[str, Any], rows: list[Any]
    ) -> dict[tuple[int, int], list[list[Any]]]:
        """The sums over k of h[row, k] weight[k, column], for all pieces, rows and vectors of a tile."""
        b, v = self.b, self.v
        results: dict[tuple[int, int], list[list[Any]]] = {}
        for panel in layout.panels:
            product, place = self.program.nodes.products[panel.product], self.program.products[panel.product]
            pieces, count = len(panel.columns), product.rows
            sums = len(rows) * pieces * tile.vectors
            # With few sums each must wait for its last addition; more of them, over every second or fourth k, do not.
            ways = next((n for n in (4, 2) if sums * n <= 8 and count % n == 0), 1)
            sources = [self._at(place, row, I64(0)) for row in rows]
            line = pieces * tile.vectors
            before = b.block
            body, end = self.function.append_basic_block("k"), self.function.append_basic_block("k_end")
            b.branch(body)
            b.position_at_end(body)
            k = b.phi(I64)
            k.add_incoming(I64(0), before)
            totals = [[[b.phi(v.kind) for _ in range(line)] for _ in rows] for _ in range(ways)]
            for of_way in totals:
                for row_totals in of_way:
                    for total in row_totals:
                        total.add_incoming(v.const(0.0), before)
            sums_after = []
            for way in range(ways):
                step = b.add(k, I64(way)) if way else k
                start = b.gep(panels[panel.buffer], [b.mul(step, I64(line * self.lanes * self.size))])
                weights = [v.load(b.gep(start, [I64(n * self.lanes * self.size)]), self.lanes) for n in range(line)]
                for r, source in enumerate(sources):
                    pointer = b.bitcast(b.gep(source, [b.mul(step, I64(self.size))]), v.number.as_pointer())
                    value = v.splat(b.load(pointer))
                    sums_after.append(
                        [v.fma(value, weight, total) for weight, total in zip(weights, totals[way][r], strict=True)]
                    )
            following = b.add(k, I64(ways))
            k.add_incoming(following, body)
            for way in range(ways):
                for r in range(len(rows)):
                    for total, value in zip(totals[way][r], sums_after[way * len(rows) + r], strict=True):
                        total.add_incoming(value, body)
            b.cbranch(b.icmp_signed("<", following, I64(count)), body, end)
            b.position_at_end(end)
            for piece, first in enumerate(panel.columns):
                table = []
                for r in range(len(rows)):
                    vectors = []
                    for vector in range(tile.vectors):
                        n = piece * tile.vectors + vector
                        value = sums_after[r][n]
                        for way in range(1, ways):
                            value = b.fadd(value, sums_after[way * len(rows) + r][n])
                        vectors.append(value)
                    table.append(vectors)
                results[(panel.product, first)] = table
        return results

    def _stores(self, group: Group, tile: Tile, row: Any, column: Any, known: dict[tuple[int, int], Any]) -> None:
        b, v = self.b, self.v
        values: dict[Node, Any] = {}
        read = None
        if self.masked and any(store.unread is not None for store in group.stores):
            flag = b.load(b.gep(self.flags, [b.add(b.mul(self.time, self.batch), row)]))
            read = b.icmp_signed("!=", flag, I8(0))
        self.own = {store.node for store in group.stores} - self.program.given
        results = [(store, self._value(store.node, tile, row, column, known, values)) for store in group.stores]
        for store, value in results:
            if read is not None and store.unread is not None:
                value = b.select(read, value, self._kept(store, row, column, tile.lanes))
            v.store(value, self._at(store.place, row, column), tile.lanes)

    def _kept(self, store: Store, row: Any, column: Any, lanes: int) -> Any:
        """What a row that is left out gets."""
        if store.unread == "zero":
            return self.v.const(0.0)
        return self.v.load(self._at(Place(store.unread, store.place.start, store.place.width), row, column), lanes)  # type: ignore[arg-type]

    def _value(
        self, node: Node, tile: Tile, row: Any, column: Any, known: dict[Any, Any], values: dict[Node, Any]
    ) -> Any:
        """A node's vector, computed on demand."""
        b, v = self.b, self.v
        if node in values:
            return values[node]
        # What this group writes itself is not in memory yet.
        place = None if node in self.own else self.program.places.get(node)
        if node.op == "scalar":
            found = v.const(node.data[0])
        elif place is not None and node.width == 1:
            pointer = b.bitcast(self._at(place, row, I64(0)), v.number.as_pointer())
            found = v.splat(b.load(pointer))
        elif place is not None:
            found = v.load(self._at(place, row, column), tile.lanes)
        elif node.op == "input" and node.width == 1:
            at = Place(node.data[0], node.data[1], self.program.buffers[node.data[0]])
            found = v.splat(b.load(b.bitcast(self._at(at, row, I64(0)), v.number.as_pointer())))
        elif node.op == "input":
            at = Place(node.data[0], node.data[1], self.program.buffers[node.data[0]])
            found = v.load(self._at(at, row, column), tile.lanes)
        elif node.op == "param":
            base = self.bases[f"param{node.data[0]}"]
            if node.width == 1:
                pointer = b.gep(base, [I64(node.data[1] * self.size)])
                found = v.splat(b.load(b.bitcast(pointer, v.number.as_pointer())))
            else:
                offset = b.mul(b.add(column, I64(node.data[1])), I64(self.size))
                found = v.load(b.gep(base, [offset]), tile.lanes)
        elif node.op == "product":
            found = known[(node.data[0], node.data[1])]
        else:
            args = [self._value(arg, tile, row, column, known, values) for arg in node.args]
            found = v.apply(node.op, args)
        values[node] = found
        return found
