"""From a program to LLVM's language: the loop over time, the stages, the tiles, and the arithmetic in each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from recurra.engine.functions import Functions
from recurra.engine.graph import COMPARE, Node
from recurra.engine.machine import Machine
from recurra.engine.plan import Group, Place, Program, Store
from recurra.engine.tiles import Layout, Panel, Tile, lay_out, leaves_of, starts_of
from recurra.engine.vectors import I8, I64

POINTER = I8.as_pointer()

NEAR = 1 << 20
"""Bytes of weights from which on they are fetched ahead."""

# How a buffer's rows of one step are found: at the time step, at the state before or after it, in one of two places by
# turns, or always in the same place.
TIMED, BEFORE, AFTER, TURN, TURNED, FIXED = "timed", "before", "after", "turn", "turned", "fixed"


def moves(buffer: str, turning: frozenset[int]) -> str:
    """How a buffer moves with time; see `make_plan` for the names.

    Args:
        buffer: its name.
        turning: the numbers of the state's parts of which only the last is kept.
    """
    if buffer[0] in "sn" and int(buffer[1:]) in turning:
        return TURNED if buffer[0] == "s" else TURN
    if buffer[0] == "s":
        return BEFORE
    if buffer[0] == "n":
        return AFTER
    if buffer[0] in "tbf":
        return FIXED
    if buffer[0] == "g" and buffer != "gy":
        return TURN
    if buffer[0] == "d" and buffer != "dt":
        return TURNED
    return TIMED


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


@dataclass(frozen=True)
class Block:
    """Some rows of a tile.

    Attributes:
        layout, tile: which.
        panels: the addresses of the tile's weights.
        starts: what products' sums start from.
        row, column: the first.
        number: the block's place among those of its tile.
    """

    layout: Layout
    tile: Tile
    panels: dict[str, Any]
    starts: dict[tuple[Any, ...], Node]
    row: Any
    column: Any
    number: Any


def emit(
    program: Program, machine: Machine, *, double: bool, backward: bool, masked: bool, resets: bool, turning: set[int], name: str
) -> Code:
    """Emit a program's loop as one function.

    The function's arguments: an array of pointers (see `Code.buffers`), the number of steps, of sequences, the first
    sequence and the one past the last, whether time runs from its end, and flags (time, batch), 1 where a step is
    read (used with `masked` only), plus 2 where the state is set to the first one before it (with `resets` only).
    """
    return _Emitter(program, machine, double, backward, masked, resets, frozenset(turning), name).code()


class _Emitter:
    def __init__(
        self,
        program: Program,
        machine: Machine,
        double: bool,
        backward: bool,
        masked: bool,
        resets: bool,
        turning: frozenset[int],
        name: str,
    ):
        self.turning, self.resets = turning, resets
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
        self.v = Functions(self.b, double, machine)
        self.layouts = tuple(
            tuple(lay_out(group, program, s, g, machine, double) for g, group in enumerate(groups))
            for s, groups in enumerate(program.stages)
        )
        self.names = self._names()
        self.bases: dict[str, Any] = {}
        self.started: dict[tuple[int, int], Node] = {}

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
        if self.resets:
            for name in [name for name in self.program.buffers if name[0] == "s"]:
                found["b" + name[1:]] = None
                if self.backward:
                    found["f" + name[1:]] = None
        return (*found, *params)

    def code(self) -> Code:
        b = self.b
        for number, name in enumerate(self.names):
            self.bases[name] = b.load(b.gep(self.table, [I64(number)]))
        count = max((self._sums(layout) for layouts in self.layouts for layout in layouts), default=0)
        if count:
            self.stack = b.alloca(self.v.kind, count)
            self.stack.align = self.aligned = self.lanes * self.size
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
                    if layout.panels:
                        self._group(group, layout)
                    else:
                        self._plain_group(group, layout)
        b.ret_void()
        return Code(str(self.module), self.names, self.layouts, self.turning)

    @staticmethod
    def _sums(layout: Layout) -> int:
        """Vectors of sums that a tile's products give."""
        widest = max((tile.vectors for tile in layout.tiles), default=1)
        return layout.rows * widest * sum(len(panel.columns) for panel in layout.panels)

    # -- addresses

    def _row_base(self, name: str) -> None:
        """The address of a buffer's rows at this step."""
        if name not in self.program.buffers and name[0] != "f":
            return
        where: dict[str, Any] = {
            TIMED: self.time,
            BEFORE: self.before,
            AFTER: self.after,
            TURN: self.turn,
            TURNED: self.turned,
        }
        index = where.get(moves(name, self.turning))
        base = self.bases[name]
        if index is not None:
            width = self.program.buffers[name] * self.size
            base = self.b.gep(base, [self.b.mul(self.b.mul(index, self.batch), I64(width))])
        self.row_bases[name] = base

    def _at(self, place: Place, row: Any, column: Any) -> Any:
        """The address of a column of a row."""
        b = self.b
        offset = b.add(b.mul(row, I64(place.width * self.size)), b.mul(b.add(column, I64(place.start)), I64(self.size)))
        base = self.row_bases[place.buffer]
        if self.resets and place.buffer[0] == "s":
            # Where the state is set to the first one, that is what is read.
            base = b.select(self._flag(row, 2), self.bases["b" + place.buffer[1:]], base)
        return b.gep(base, [offset])

    def _flag(self, row: Any, which: int) -> Any:
        """Whether a row has a flag at this step."""
        b = self.b
        flag = b.load(b.gep(self.flags, [b.add(b.mul(self.time, self.batch), row)]))
        return b.icmp_signed("!=", b.and_(flag, I8(which)), I8(0))

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

    def _plain_group(self, group: Group, layout: Layout) -> None:
        """A group without products: row by row, so that memory is read in its order."""
        self.started = {}
        with self._loop(self.first, self.last, 1, "row") as row:
            for tile in layout.tiles:
                with self._loop(I64(0), I64(tile.count), 1, "tile") as number:
                    column = self.b.add(I64(tile.start), self.b.mul(number, I64(self.lanes)))
                    self._stores(group, tile, row, column, {})

    def _group(self, group: Group, layout: Layout) -> None:
        """All tiles and rows of a group: columns outside, so that a tile's weights stay near while rows pass."""
        b = self.b
        offsets = {panel.buffer: 0 for panel in layout.panels}
        leaves = leaves_of(group, self.program)
        starts = self.started = starts_of(group, self.program, layout.panels)
        for tile in layout.tiles:
            with self._loop(I64(0), I64(tile.count), 1, "tile") as number:
                column = b.add(I64(tile.start), b.mul(number, I64(tile.vectors * self.lanes)))
                panels = {}
                for panel in layout.panels:
                    rows = self.program.nodes.products[panel.product].rows
                    block = rows * len(panel.columns) * tile.vectors * self.lanes * self.size
                    start = b.add(I64(offsets[panel.buffer]), b.mul(number, I64(block)))
                    panels[panel.buffer] = b.gep(self.bases[panel.buffer], [start])
                # As many blocks as are needed, of sizes as equal as can be.
                rows = b.sub(self.last, self.first)
                blocks = b.sdiv(b.add(rows, I64(layout.rows - 1)), I64(layout.rows))
                with self._loop(I64(0), blocks, 1, "block") as block:
                    row, following = (
                        b.add(self.first, b.sdiv(b.mul(rows, each), blocks)) for each in (block, b.add(block, I64(1)))
                    )
                    count = b.sub(following, row)
                    block_of = Block(layout, tile, panels, starts, row, column, block)
                    self._by_count(count, leaves, block_of)
                    with self._loop(I64(0), count, 1, "row") as r:
                        for vector in range(tile.vectors):
                            at = b.add(column, I64(vector * self.lanes)) if vector else column
                            known = self._sums_of(layout, tile, r, vector)
                            self._stores(group, tile, b.add(row, r), at, known)
            for panel in layout.panels:
                rows = self.program.nodes.products[panel.product].rows
                span = rows * len(panel.columns) * tile.vectors * self.lanes * self.size
                offsets[panel.buffer] += span * tile.count

    def _by_count(self, count: Any, leaves: list[Node], block: Block) -> None:
        """The products for each number of rows, of which the one that is there is run."""
        b, most = self.b, block.layout.rows
        end = self.function.append_basic_block("counted")
        blocks = [self.function.append_basic_block(f"rows_{n + 1}") for n in range(most)]
        switch = b.switch(count, blocks[-1])
        for n, each in enumerate(blocks[:-1]):
            switch.add_case(I64(n + 1), each)
        for n, each in enumerate(blocks):
            b.position_at_end(each)
            self._ask(leaves, n + 1, block.tile, block.row, block.column)
            self._products(block, n + 1)
            b.branch(end)
        b.position_at_end(end)

    def _ask(self, leaves: list[Node], rows: int, tile: Tile, row: Any, column: Any) -> None:
        """Have what follows the products fetched while they are computed."""
        for node in leaves:
            place = self.program.places.get(node) or self._input_place(node)
            for r in range(rows):
                start = self._at(place, self.b.add(row, I64(r)) if r else row, column)
                for vector in range(tile.vectors):
                    self.v.prefetch(self.b.gep(start, [I64(vector * self.lanes * self.size)]) if vector else start)

    # -- a tile: some rows by some vectors of columns

    def _far(self, layout: Layout, panel: Panel) -> bool:
        """Whether a panel's weights are too many to stay in the second cache."""
        columns = sum(tile.count * tile.vectors for tile in layout.tiles) * self.lanes * len(panel.columns)
        return columns * self.program.nodes.products[panel.product].rows * self.size > NEAR

    def _slot(self, layout: Layout, tile: Tile, r: Any, number: int) -> Any:
        """Where a vector of sums stands until the rest of its row is computed."""
        count = sum(len(panel.columns) for panel in layout.panels) * tile.vectors
        return self.b.gep(self.stack, [self.b.add(self.b.mul(r, I64(count)), I64(number))])

    def _sums_of(self, layout: Layout, tile: Tile, r: Any, vector: int) -> dict[tuple[int, int], Any]:
        found, number = {}, 0
        for panel in layout.panels:
            for first in panel.columns:
                value = self.b.load(self._slot(layout, tile, r, number + vector))
                value.align = self.aligned
                found[panel.product, first] = value
                number += tile.vectors
        return found

    def _products(self, block: Block, rows: int) -> None:
        """The sums over k of h[row, k] weight[k, column], for all of a tile, onto the stack."""
        layout, tile, panels, starts = block.layout, block.tile, block.panels, block.starts
        row, column = block.row, block.column
        b, v = self.b, self.v
        number = 0
        for panel in layout.panels:
            product, place = self.program.nodes.products[panel.product], self.program.products[panel.product]
            pieces, count = len(panel.columns), product.rows
            line = pieces * tile.vectors
            # With few sums each must wait for its last addition; more of them, over every second or fourth k, do not.
            ways = next((n for n in (4, 2) if rows * line * n <= 8 and count % n == 0), 1)
            sources = [self._at(place, b.add(row, I64(r)) if r else row, I64(0)) for r in range(rows)]
            firsts = [
                [self._start(starts.get((panel.product, first)), layout, tile, r, column, vector) for r in range(rows)]
                for first in panel.columns
                for vector in range(tile.vectors)
            ]
            before = b.block
            body, end = self.function.append_basic_block("k"), self.function.append_basic_block("k_end")
            b.branch(body)
            b.position_at_end(body)
            k = b.phi(I64)
            k.add_incoming(I64(0), before)
            totals = [[[b.phi(v.kind) for _ in range(line)] for _ in range(rows)] for _ in range(ways)]
            for way, of_way in enumerate(totals):
                for r, of_row in enumerate(of_way):
                    for total, start in zip(of_row, firsts, strict=True):
                        total.add_incoming(v.const(0.0) if way else start[r], before)
            sums = []
            if layout.rows > 1 and rows > layout.rows // 2 and self._far(layout, panel):
                # While rows pass, the next tile's weights come nearer, a line a step.
                part = b.select(b.icmp_signed("<", block.number, I64(line - 1)), block.number, I64(line - 1))
                line_number = b.add(b.mul(b.add(part, I64(line)), I64(count)), k)
                v.prefetch(b.gep(panels[panel.buffer], [b.mul(line_number, I64(self.lanes * self.size))]), 2)
            for way in range(ways):
                step = b.add(k, I64(way)) if way else k
                start = b.gep(panels[panel.buffer], [b.mul(step, I64(line * self.lanes * self.size))])
                weights = [v.load(b.gep(start, [I64(n * self.lanes * self.size)]), self.lanes) for n in range(line)]
                for r, source in enumerate(sources):
                    pointer = b.bitcast(b.gep(source, [b.mul(step, I64(self.size))]), v.number.as_pointer())
                    value = v.splat(b.load(pointer))
                    sums.append(
                        [v.fma(value, weight, total) for weight, total in zip(weights, totals[way][r], strict=True)]
                    )
            following = b.add(k, I64(ways))
            k.add_incoming(following, body)
            for way in range(ways):
                for r in range(rows):
                    for total, value in zip(totals[way][r], sums[way * rows + r], strict=True):
                        total.add_incoming(value, body)
            b.cbranch(b.icmp_signed("<", following, I64(count)), body, end)
            b.position_at_end(end)
            for r in range(rows):
                for n in range(line):
                    value = sums[r][n]
                    for way in range(1, ways):
                        value = b.fadd(value, sums[way * rows + r][n])
                    b.store(value, self._slot(layout, tile, I64(r), number + n)).align = self.aligned
            number += line

    def _start(self, node: Node | None, layout: Layout, tile: Tile, r: int, column: Any, vector: int) -> Any:
        """What a vector of sums starts from: nothing, a parameter, or what another product has given."""
        if node is None:
            return self.v.const(0.0)
        if node.op == "param":
            return self._param(node, tile, column, vector)
        while node.op != "product":
            # The sum of a product and what it started from stands where the product does.
            x, y = node.args
            node = x if x.op == "product" and self.started.get(x.data) is y else y
        number = 0
        for panel in layout.panels:
            for first in panel.columns:
                if (panel.product, first) == node.data:
                    found = self.b.load(self._slot(layout, tile, I64(r), number + vector))
                    found.align = self.aligned
                    return found
                number += tile.vectors
        raise AssertionError("a product that is not in this group")

    def _stores(self, group: Group, tile: Tile, row: Any, column: Any, known: dict[tuple[int, int], Any]) -> None:
        b, v = self.b, self.v
        values: dict[Node, Any] = {}
        read = None
        if self.masked and any(store.unread is not None for store in group.stores):
            read = self._flag(row, 1)
        self.own = {store.node for store in group.stores} - self.program.given
        results = [(store, self._value(store.node, tile, row, column, known, values)) for store in group.stores]
        for store, value in results:
            if store.node.op in COMPARE:
                value = b.select(value, v.const(1.0), v.const(0.0))
            if read is not None and store.unread is not None:
                value = b.select(read, value, self._kept(store, row, column, tile.lanes))
            if self.resets and self.backward and moves(store.place.buffer, self.turning) == TURNED:
                value = self._reset(value, store.place, tile, row, column)
            v.store(value, self._at(store.place, row, column), tile.lanes)

    def _reset(self, value: Any, place: Place, tile: Tile, row: Any, column: Any) -> Any:
        """A state's gradient; where the state was set to the first one it goes there, and no further back."""
        b, v = self.b, self.v
        flag, zero = self._flag(row, 2), v.const(0.0)
        first = self._at(Place("f" + place.buffer[1:], place.start, place.width), row, column)
        v.store(b.fadd(v.load(first, tile.lanes), b.select(flag, value, zero)), first, tile.lanes)
        return b.select(flag, zero, value)

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
            found = v.splat(b.load(b.bitcast(self._at(self._input_place(node), row, I64(0)), v.number.as_pointer())))
        elif node.op == "input":
            found = v.load(self._at(self._input_place(node), row, column), tile.lanes)
        elif node.op == "param":
            found = self._param(node, tile, column, 0)
        elif node.op == "product":
            found = known[(node.data[0], node.data[1])]
        else:
            found = self._computed(node, lambda arg: self._value(arg, tile, row, column, known, values))
        values[node] = found
        return found

    def _param(self, node: Node, tile: Tile, column: Any, vector: int) -> Any:
        """A parameter's vector."""
        b, v = self.b, self.v
        base = self.bases[f"param{node.data[0]}"]
        if node.width == 1:
            return v.splat(b.load(b.bitcast(b.gep(base, [I64(node.data[1] * self.size)]), v.number.as_pointer())))
        offset = b.mul(b.add(column, I64(node.data[1] + vector * self.lanes)), I64(self.size))
        return v.load(b.gep(base, [offset]), tile.lanes)

    def _computed(self, node: Node, value: Any) -> Any:
        """An operation on values; a product and a sum in one instruction."""
        b, v = self.b, self.v
        if node.op in ("add", "sub"):
            x, y = node.args
            for one, other in ((x, y), (y, x)):
                if node.op == "add" and one.op == "product" and self.started.get(one.data) is other:
                    return value(one)
            if self._in_place(x):
                rest = value(y) if node.op == "add" else b.fneg(value(y))
                return v.fma(value(x.args[0]), value(x.args[1]), rest)
            if self._in_place(y):
                first = value(y.args[0])
                return v.fma(first if node.op == "add" else b.fneg(first), value(y.args[1]), value(x))
        return v.apply(node.op, [value(arg) for arg in node.args])

    def _in_place(self, node: Node) -> bool:
        """Whether a value is a product of two numbers that does not stand in memory."""
        return node.op == "mul" and node not in self.program.places

    def _input_place(self, node: Node) -> Place:
        return Place(node.data[0], node.data[1], self.program.buffers[node.data[0]])
