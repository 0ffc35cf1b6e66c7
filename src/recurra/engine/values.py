"""What is computed of each vector of columns, and written."""

from __future__ import annotations

from typing import Any

from recurra.engine.frame import TURNED, Frame, moves
from recurra.engine.graph import COMPARE, Node
from recurra.engine.plan import Group, Place, Store
from recurra.engine.tiles import Tile
from recurra.native.vectors import I64


class Values:
    """Writes the element-wise part of a function.

    Args:
        frame: the function.

    Attributes:
        started: what products' sums start from, in the group that is being written.
    """

    def __init__(self, frame: Frame):
        self.f = frame
        self.started: dict[Any, Node] = {}

    def stores(self, group: Group, tile: Tile, row: Any, column: Any, known: dict[tuple[int, int], Any]) -> None:
        """What a group writes for a row's vector; `known` are the sums of its products."""
        if not self.f.masked:
            self._computed_stores(group, tile, row, column, known)
            return
        with self.f.b.if_else(self.f.flag(row, 1)) as (read, left):
            with read:
                self._computed_stores(group, tile, row, column, known)
            with left:
                for store in group.stores:
                    if store.unread is not None:
                        self._write(store, self._kept(store, row, column, tile.lanes), tile, row, column)

    def _computed_stores(
        self, group: Group, tile: Tile, row: Any, column: Any, known: dict[tuple[int, int], Any]
    ) -> None:
        b, v = self.f.b, self.f.v
        values: dict[Node, Any] = {}
        self.own = {store.node for store in group.stores} - self.f.program.given
        results = [(store, self._value(store.node, tile, row, column, known, values)) for store in group.stores]
        for store, value in results:
            if store.node.op in COMPARE:
                value = b.select(value, v.const(1.0), v.const(0.0))
            self._write(store, value, tile, row, column)

    def _write(self, store: Store, value: Any, tile: Tile, row: Any, column: Any) -> None:
        if self.f.resets and self.f.backward and moves(store.place.buffer, self.f.turning) == TURNED:
            value = self._reset(value, store.place, tile, row, column)
        self.f.v.store(value, self.f.at(store.place, row, column), tile.lanes)

    def _reset(self, value: Any, place: Place, tile: Tile, row: Any, column: Any) -> Any:
        """A state's gradient; where the state was set to the first one it goes there, and no further back."""
        b, v = self.f.b, self.f.v
        flag, zero = self.f.flag(row, 2), v.const(0.0)
        first = self.f.at(Place("f" + place.buffer[1:], place.start, place.width), row, column)
        v.store(b.fadd(v.load(first, tile.lanes), b.select(flag, value, zero)), first, tile.lanes)
        return b.select(flag, zero, value)

    def _kept(self, store: Store, row: Any, column: Any, lanes: int) -> Any:
        """What a row that is left out gets."""
        if store.unread == "zero":
            return self.f.v.const(0.0)
        return self.f.v.load(self.f.at(Place(store.unread, store.place.start, store.place.width), row, column), lanes)  # type: ignore[arg-type]

    def _value(
        self, node: Node, tile: Tile, row: Any, column: Any, known: dict[Any, Any], values: dict[Node, Any]
    ) -> Any:
        """A node's vector, computed on demand."""
        b, v = self.f.b, self.f.v
        if node in values:
            return values[node]
        # What this group writes itself is not in memory yet.
        place = None if node in self.own else self.f.program.places.get(node)
        if node.op == "scalar":
            found = v.const(node.data[0])
        elif place is not None and node.width == 1:
            pointer = b.bitcast(self.f.at(place, row, I64(0)), v.number.as_pointer())
            found = v.splat(b.load(pointer))
        elif place is not None:
            found = v.load(self.f.at(place, row, column), tile.lanes)
        elif node.op == "input" and node.width == 1:
            found = v.splat(b.load(b.bitcast(self.f.at(self.f.input_place(node), row, I64(0)), v.number.as_pointer())))
        elif node.op == "input":
            found = v.load(self.f.at(self.f.input_place(node), row, column), tile.lanes)
        elif node.op == "param":
            found = self.param(node, tile, column, 0)
        elif node.op == "product":
            found = known[(node.data[0], node.data[1])]
        else:
            found = self._computed(node, lambda arg: self._value(arg, tile, row, column, known, values))
        values[node] = found
        return found

    def param(self, node: Node, tile: Tile, column: Any, vector: int) -> Any:
        """A parameter's vector."""
        b, v = self.f.b, self.f.v
        base = self.f.bases[f"param{node.data[0]}"]
        if node.width == 1:
            return v.splat(b.load(b.bitcast(b.gep(base, [I64(node.data[1] * self.f.size)]), v.number.as_pointer())))
        offset = b.mul(b.add(column, I64(node.data[1] + vector * self.f.lanes)), I64(self.f.size))
        return v.load(b.gep(base, [offset]), tile.lanes)

    def _computed(self, node: Node, value: Any) -> Any:
        """An operation on values; a product and a sum in one instruction."""
        b, v = self.f.b, self.f.v
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
        return node.op == "mul" and node not in self.f.program.places
