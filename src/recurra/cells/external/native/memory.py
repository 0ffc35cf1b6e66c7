"""Reading, writing and what comes back from both, as functions of rows that are written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recurra.cells.external.native.addressing import Content
from recurra.native.rows import Place, Rows


def add_all(r: Rows, values: list[Any]) -> Any:
    """The sum of vectors."""
    total = values[0]
    for value in values[1:]:
        total = r.b.fadd(total, value)
    return total


@dataclass(frozen=True)
class Memory:
    """A memory that stands with its columns as rows, (width, slots).

    Attributes:
        slots, width: its size.
        eps: added to the squares of lengths.
    """

    slots: int
    width: int
    eps: float

    def squash(self, r: Rows, told: Any, erase: Any) -> None:
        """erase = sigmoid(told)."""

        def body(at: Any, size: int) -> None:
            r.store(r.apply("sigmoid", [r.load(r.at(told, at), size)]), r.at(erase, at), size)

        r.over(self.width, body)

    def lengths(self, r: Rows, memory: Any, into: Any) -> None:
        """1 / sqrt(slot . slot + eps) for each slot."""

        def body(k: Any, places: list[Place], squares: list[Any]) -> list[Any]:
            row = r.at(memory, r.times(k, self.slots))
            found = [r.load(r.at(row, at), size) for at, size in places]
            return [r.fma(m, m, square) for m, square in zip(found, squares, strict=True)]

        r.sweep(self.width, self.slots, lambda places: [r.const(0.0)] * len(places), body, self._lengths(r, into))

    def _lengths(self, r: Rows, into: Any) -> Any:
        def finish(places: list[Place], squares: list[Any]) -> None:
            for (at, size), square in zip(places, squares, strict=True):
                r.store(r.apply("rsqrt", [r.b.fadd(square, r.const(self.eps))]), r.at(into, at), size)

        return finish

    def write(self, r: Rows, before: Any, after: Any, writing: Any, erase: Any, add: Any, lengths: Any) -> None:
        """M(i) - w(i) e M(i) + w(i) a, and the inverse lengths of what that gives."""

        def body(k: Any, places: list[Place], squares: list[Any]) -> list[Any]:
            e, a, found = r.one(r.at(erase, k)), r.one(r.at(add, k)), []
            old, new = (r.at(each, r.times(k, self.slots)) for each in (before, after))
            for (at, size), square in zip(places, squares, strict=True):
                m, w = r.load(r.at(old, at), size), r.load(r.at(writing, at), size)
                m = r.fma(w, r.b.fsub(a, r.b.fmul(e, m)), m)
                r.store(m, r.at(new, at), size)
                found.append(r.fma(m, m, square))
            return found

        r.sweep(self.width, self.slots, lambda places: [r.const(0.0)] * len(places), body, self._lengths(r, lengths))

    def read(self, r: Rows, memory: Any, reading: Any, reads: Any) -> None:
        """The sum over slots of w(i) M(i)."""

        def column(k: Any, _: Any) -> list[Any]:
            row = r.at(memory, r.times(k, self.slots))

            def product(at: Any, size: int) -> list[Any]:
                return [r.b.fmul(r.load(r.at(row, at), size), r.load(r.at(reading, at), size))]

            r.put(r.over(self.slots, product, ("add",))[0], r.at(reads, k))
            return []

        r.repeat(self.width, (), column)

    def of_reading(self, r: Rows, memory: Any, of_reads: Any, given: Any, into: Any) -> None:
        """What reading gives back to the weights, and what they were given besides."""

        def body(k: Any, places: list[Place], values: list[Any]) -> list[Any]:
            row, g = r.at(memory, r.times(k, self.slots)), r.one(r.at(of_reads, k))
            pairs = zip(places, values, strict=True)
            return [r.fma(r.load(r.at(row, at), size), g, value) for (at, size), value in pairs]

        def finish(places: list[Place], values: list[Any]) -> None:
            for (at, size), value in zip(places, values, strict=True):
                r.store(value, r.at(into, at), size)

        r.sweep(self.width, self.slots, lambda places: _row(r, given, places), body, finish)

    def unwrite(
        self,
        r: Rows,
        of_memory: Any,
        before: Any,
        writing: Any,
        of_writing: Any,
        told: tuple[Any, Any],
        back: tuple[Any, Any],
        sums: Any,
    ) -> None:
        """From the gradient of the memory after a writing to that before it.

        Args:
            r: the function.
            of_memory: the gradient, changed in its place.
            before: the memory before.
            writing: the weights.
            of_writing: their gradient, added to in its place.
            told: where erase and add stand.
            back: where the gradients go of what erase is the sigmoid of, and of add.
            sums: room for two vectors for each column.
        """
        b, n, (erase, add) = r.b, self.slots, told
        r.clear(sums, 2 * self.width * r.lanes)
        of_adds = r.at(sums, self.width * r.lanes)

        def body(k: Any, places: list[Place], values: list[Any]) -> list[Any]:
            e, a = r.one(r.at(erase, k)), r.one(r.at(add, k))
            row, old = r.at(of_memory, r.times(k, n)), r.at(before, r.times(k, n))
            found, erased, added = [], [], []
            for (at, size), value in zip(places, values, strict=True):
                g, m, w = (r.load(r.at(each, at), size) for each in (row, old, writing))
                found.append(r.fma(g, b.fsub(a, b.fmul(e, m)), value))
                weighted = b.fmul(w, g)
                erased.append(b.fmul(weighted, m))
                added.append(weighted)
                r.store(b.fsub(g, b.fmul(weighted, e)), r.at(row, at), size)
            r.gather(add_all(r, erased), sums, k)
            r.gather(add_all(r, added), of_adds, k)
            return found

        def finish(places: list[Place], values: list[Any]) -> None:
            for (at, size), value in zip(places, values, strict=True):
                r.store(value, r.at(of_writing, at), size)

        r.sweep(self.width, n, lambda places: _row(r, of_writing, places), body, finish)

        def column(k: Any, _: Any) -> list[Any]:
            e = r.one(r.at(erase, k))
            of_erase = b.fmul(r.total(sums, k), b.fmul(e, b.fsub(e, r.const(1.0))))
            r.put(of_erase, r.at(back[0], k))
            r.put(r.total(of_adds, k), r.at(back[1], k))
            return []

        r.repeat(self.width, (), column)

    def give_back(
        self,
        r: Rows,
        of_memory: Any,
        memory: Any,
        content: Content,
        of_scale: Any,
        room: dict[str, Any],
        of_key: Any,
        read: tuple[Any, Any] | None = None,
    ) -> None:
        """Add to the memory's gradient what comes through likenesses, and through what was read; and give the key's.

        Args:
            r: the function.
            of_memory: the gradient, changed in its place.
            memory: where the key was looked for.
            content: how.
            of_scale: the gradient of its scale.
            room: `into` and `along` as `Content.pull` wrote them, and `sums`, room for a vector for each column.
            of_key: where the key's gradient goes.
            read: where the weights stand with which the memory was read, and the gradient of what was read.
        """
        b, n = r.b, self.slots
        r.clear(room["sums"], self.width * r.lanes)

        def body(k: Any, places: list[Place], _: list[Any]) -> list[Any]:
            key = r.one(r.at(content.key, k))
            row, column = r.at(of_memory, r.times(k, n)), r.at(memory, r.times(k, n))
            g = None if read is None else r.one(r.at(read[1], k))
            sums = []
            for at, size in places:
                into, along = (r.load(r.at(room[name], at), size) for name in ("into", "along"))
                m, total = r.load(r.at(column, at), size), r.load(r.at(row, at), size)
                total = r.fma(into, key, b.fsub(total, b.fmul(along, m)))
                if read is not None:
                    total = r.fma(r.load(r.at(read[0], at), size), g, total)
                r.store(total, r.at(row, at), size)
                sums.append(b.fmul(into, m))
            r.gather(add_all(r, sums), room["sums"], k)
            return []

        r.sweep(self.width, n, lambda places: [], body, lambda places, values: None)

        def number(k: Any, _: Any) -> list[Any]:
            r.put(content.of_key(r, k, r.total(room["sums"], k), of_scale), r.at(of_key, k))
            return []

        r.repeat(self.width, (), number)


def _row(r: Rows, pointer: Any, places: list[Place]) -> list[Any]:
    return [r.load(r.at(pointer, at), size) for at, size in places]
