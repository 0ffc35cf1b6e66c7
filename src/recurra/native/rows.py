"""A function over the sequences of a batch while it is being written: its rows of numbers, and loops over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from recurra.native.functions import Functions
from recurra.native.machine import Machine
from recurra.native.vectors import I8, I64

POINTER = I8.as_pointer()

FLAT, DEEP, ACROSS = 16, 4, 8
"""So many vectors of a row are written out one after the other, longer rows in loops of `DEEP`; matrices are gone
through in strips of `ACROSS` vectors, whose sums stay in registers."""

Place = tuple[Any, int]
"""Where a vector's numbers begin, and how many there are."""


class Rows(Functions):
    """Emits a function that does the same for every sequence: arithmetic on rows, whose lengths are known beforehand.

    The function has the arguments of the engine's loops, of which it reads an array of pointers, and the first sequence
    and the one past the last. Numbers that are the same for a whole row are vectors with that number in all lanes.

    Args:
        name: the function's.
        sizes: the arrays in the order of their pointers: how many numbers of each belong to a sequence.
        machine: the processor.
        double: float64 instead of float32.
    """

    def __init__(self, name: str, sizes: dict[str, int], machine: Machine, double: bool):
        module = ir.Module(name)
        module.triple = machine.triple
        kind = ir.FunctionType(ir.VoidType(), [POINTER.as_pointer(), I64, I64, I64, I64, I64, POINTER])
        self.function = ir.Function(module, kind, name)
        table, _, _, first, last, *_ = self.function.args
        b = ir.IRBuilder(self.function.append_basic_block())
        super().__init__(b, double, machine)
        begin = b.block
        self._head, body = (self.function.append_basic_block() for _ in range(2))
        self._end = self.function.append_basic_block()
        b.branch(self._head)
        b.position_at_end(self._head)
        self.row = b.phi(I64)
        self.row.add_incoming(first, begin)
        b.cbranch(b.icmp_signed("<", self.row, last), body, self._end)
        b.position_at_end(body)
        self.base = {}
        for number, (array, size) in enumerate(sizes.items()):
            start = b.bitcast(b.load(b.gep(table, [I64(number)])), self.number.as_pointer())
            self.base[array] = b.gep(start, [b.mul(self.row, I64(size))])

    def text(self) -> str:
        """The finished function, in LLVM's language."""
        b = self.b
        self.row.add_incoming(b.add(self.row, I64(1)), b.block)
        b.branch(self._head)
        b.position_at_end(self._end)
        b.ret_void()
        return str(self.module)

    # -- places

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """A pointer so many numbers further on."""
        for offset in offsets:
            pointer = self.b.gep(pointer, [I64(offset) if isinstance(offset, int) else offset])
        return pointer

    def times(self, index: Any, size: int) -> Any:
        """index * size."""
        return self.b.mul(index, I64(size))

    def one(self, pointer: Any) -> Any:
        """The number there, in all lanes."""
        return self.splat(self.b.load(pointer))

    def put(self, value: Any, pointer: Any) -> None:
        """Write the number that is in all lanes."""
        self.b.store(self.b.extract_element(value, ir.IntType(32)(0)), pointer)

    # -- loops

    def repeat(self, count: int, carried: Sequence[Any], body: Callable[[Any, list[Any]], Sequence[Any]]) -> list[Any]:
        """Do `body(index, values) -> values` for each index from 0 on; returns the last values."""
        b = self.b
        if count == 1:
            return list(body(I64(0), list(carried)))
        before = b.block
        head = self.function.append_basic_block()
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        index.add_incoming(I64(0), before)
        values = [b.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        found = list(body(index, list(values)))
        following = b.add(index, I64(1))
        index.add_incoming(following, b.block)
        for phi, value in zip(values, found, strict=True):
            phi.add_incoming(value, b.block)
        end = self.function.append_basic_block()
        b.cbranch(b.icmp_signed("<", following, I64(count)), head, end)
        b.position_at_end(end)
        return found

    def over(self, count: int, body: Callable[[Any, int], Any], kinds: Sequence[str] = ()) -> list[Any]:
        """Go along a row; of each of the vectors that `body(at, how many)` returns, the sum ("add") or the largest.

        Each result is one number, in all lanes.
        """
        lanes = self.lanes
        neutral = {"add": self.const(0.0), "max": self.const(float("-inf"))}

        def piece(at: Any, size: int, totals: list[Any]) -> list[Any]:
            found = body(at, size) or ()
            if size < lanes:
                pairs = zip(kinds, found, strict=True)
                found = [self.b.select(self.mask(size), value, neutral[kind]) for kind, value in pairs]
            return [self._joined(*each) for each in zip(kinds, totals, found, strict=True)]

        totals = [neutral[kind] for kind in kinds]
        whole, rest = divmod(count, lanes)
        done = 0
        if whole > FLAT:

            def several(index: Any, totals: list[Any]) -> list[Any]:
                start = self.times(index, DEEP * lanes)
                for k in range(DEEP):
                    totals = piece(self.b.add(start, I64(k * lanes)), lanes, totals)
                return totals

            totals = self.repeat(whole // DEEP, totals, several)
            done = whole - whole % DEEP
        for k in range(done, whole):
            totals = piece(I64(k * lanes), lanes, totals)
        if rest:
            totals = piece(I64(whole * lanes), rest, totals)
        return [self.across(kind, total) for kind, total in zip(kinds, totals, strict=True)]

    def sweep(
        self,
        rows: int,
        columns: int,
        start: Callable[[list[Place]], Sequence[Any]],
        body: Callable[[Any, list[Place], list[Any]], Sequence[Any]],
        finish: Callable[[list[Place], list[Any]], Any],
    ) -> None:
        """Go through a matrix strip by strip, row by row, with values that pass from row to row.

        Args:
            rows, columns: of the matrix.
            start: the values before the first row of a strip, from its places.
            body: from the row, the places and the values to the values for the next row.
            finish: what is done with those after the last row.
        """
        lanes = self.lanes
        whole, rest = divmod(columns, lanes)

        def strip(places: list[Place]) -> None:
            finish(places, self.repeat(rows, start(places), lambda row, values: body(row, places, values)))

        strips = whole // ACROSS if whole + bool(rest) > ACROSS else 0
        if strips:

            def each(index: Any, _: Any) -> Sequence[Any]:
                begin = self.times(index, ACROSS * lanes)
                strip([(self.b.add(begin, I64(k * lanes)), lanes) for k in range(ACROSS)])
                return ()

            self.repeat(strips, (), each)
        last = [(I64(k * lanes), lanes) for k in range(strips * ACROSS, whole)]
        if rest:
            last.append((I64(whole * lanes), rest))
        if last:
            strip(last)

    # -- sums

    def _joined(self, kind: str, a: Any, b: Any) -> Any:
        return self.b.fadd(a, b) if kind == "add" else self.apply("maximum", [a, b])

    def across(self, kind: str, value: Any) -> Any:
        """The sum, or the largest, of a vector's numbers, in all lanes."""
        reach = self.lanes // 2
        whole = ir.IntType(32)
        while reach:
            order = ir.Constant(ir.VectorType(whole, self.lanes), [k ^ reach for k in range(self.lanes)])
            value = self._joined(kind, value, self.b.shuffle_vector(value, value, order))
            reach //= 2
        return value

    def clear(self, pointer: Any, count: int) -> None:
        """Zeros."""
        self.over(count, lambda at, size: self.store(self.const(0.0), self.at(pointer, at), size))

    def copy(self, source: Any, into: Any, count: int) -> None:
        """The same numbers elsewhere."""
        self.over(count, lambda at, size: self.store(self.load(self.at(source, at), size), self.at(into, at), size))

    def gather(self, value: Any, pointer: Any, index: Any) -> None:
        """Add a vector to the index-th of a row of vectors, which `total` adds up."""
        place = self.at(pointer, self.times(index, self.lanes))
        self.store(self.b.fadd(self.load(place, self.lanes), value), place, self.lanes)

    def total(self, pointer: Any, index: Any) -> Any:
        """The sum of the index-th vector's numbers, in all lanes."""
        return self.across("add", self.load(self.at(pointer, self.times(index, self.lanes)), self.lanes))

    # -- functions of rows

    def softmax(self, count: int, value: Callable[[Any, int], Any], into: Any) -> None:
        """exp(value(i)) / sum over j of exp(value(j)), value(at, how many) vector by vector."""

        def first(at: Any, size: int) -> list[Any]:
            found = value(at, size)
            self.store(found, self.at(into, at), size)
            return [found]

        (largest,) = self.over(count, first, ("max",))

        def second(at: Any, size: int) -> list[Any]:
            e = self.apply("exp", [self.b.fsub(self.load(self.at(into, at), size), largest)])
            self.store(e, self.at(into, at), size)
            return [e]

        (total,) = self.over(count, second, ("add",))
        inverse = self.b.fdiv(self.const(1.0), total)

        def third(at: Any, size: int) -> None:
            place = self.at(into, at)
            self.store(self.b.fmul(self.load(place, size), inverse), place, size)

        self.over(count, third)

    def unsoftmax(self, count: int, softmax: Any, gradient: Any, into: Any) -> None:
        """softmax(i) (gradient(i) - sum over j of softmax(j) gradient(j)): the gradient of the softmax's argument."""

        def weighted(at: Any, size: int) -> list[Any]:
            return [self.b.fmul(self.load(self.at(softmax, at), size), self.load(self.at(gradient, at), size))]

        (mean,) = self.over(count, weighted, ("add",))

        def body(at: Any, size: int) -> None:
            share, value = (self.load(self.at(each, at), size) for each in (softmax, gradient))
            self.store(self.b.fmul(share, self.b.fsub(value, mean)), self.at(into, at), size)

        self.over(count, body)
