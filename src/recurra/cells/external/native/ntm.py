"""The step of a neural Turing machine with one write head, and its gradient, written for this processor."""

from __future__ import annotations

from typing import Any

from recurra.cells.external.native.addressing import Content, Shifting
from recurra.cells.external.native.call import NAME, Shapes, Step, arrays_of, layout
from recurra.cells.external.native.memory import Memory
from recurra.cells.external.ntm_step import Heads
from recurra.native.machine import Machine
from recurra.native.rows import Rows


def step(heads: Heads, slots: int, machine: Machine, double: bool) -> Step:
    """Both directions of `turn`."""
    made = _Turn(heads, slots, machine, double)
    matrix, readers = (heads.width, slots), heads.readers
    inputs: Shapes = {"told": (sum(heads.sizes.values()),), "memory": matrix}
    inputs |= {"last_writing": (1, slots), "last_reading": (readers, slots)}
    outputs: Shapes = {"after": matrix, "writing": (1, slots), "reading": (readers, slots)}
    outputs |= {"reads": (readers, heads.width)}
    arrays, more = arrays_of(inputs, outputs, made.kept, made.room)
    turned = frozenset({"memory", "after"})
    return Step(inputs, outputs, turned, made.kept, made.room, made.forward(arrays), made.backward(more))


class _Turn:
    def __init__(self, heads: Heads, slots: int, machine: Machine, double: bool):
        self.heads, self.slots, self.machine, self.double = heads, slots, machine, double
        self.span, self.memory = 2 * heads.reach + 1, Memory(slots, heads.width, heads.eps)
        n, wide = slots, slots + 2 * heads.reach
        self.told, _ = layout(**heads.sizes)
        self.head, self.head_size = layout(
            gate=1, power=1, scale=1, inverse=1, shifts=self.span, content=n, likeness=n, padded=wide, shifted=n, logs=n
        )
        self.places, self.kept = layout(
            erase=heads.width, lengths=n, later=n, heads=(1 + heads.readers) * self.head_size
        )
        lanes = machine.lanes(double)
        self.rooms, self.room = layout(
            of_weights=n, padded=wide, into=n, along=n, shifts=self.span, sums=2 * heads.width * lanes
        )

    # -- where things stand

    def _part(self, r: Rows, name: str, base: str = "told") -> Any:
        return r.at(r.base[base], self.told[name])

    def _head(self, r: Rows, head: Any, name: str) -> Any:
        return r.at(r.base["kept"], self.places["heads"] + self.head[name], _times(r, head, self.head_size))

    def _content(self, r: Rows, head: Any, lengths: str) -> Content:
        heads = self.heads
        names = ("content", "likeness", "scale", "inverse")
        places = [self._head(r, head, name) for name in names]
        key = r.at(self._part(r, "key"), _times(r, head, heads.width))
        return Content(self.slots, heads.width, heads.eps, key, r.at(r.base["kept"], self.places[lengths]), *places)

    def _shifting(self, r: Rows, head: Any, last: Any, weights: Any) -> Shifting:
        names = ("gate", "power", "shifts", "content", "padded", "shifted", "logs")
        place = {name: self._head(r, head, name) for name in names}
        return Shifting(self.slots, self.heads.reach, **place, last=last, weights=weights)

    # -- forward

    def forward(self, sizes: dict[str, int]) -> str:
        """A step."""
        r = Rows(NAME, sizes, self.machine, self.double)
        base, memory, n = r.base, self.memory, self.slots
        erase, lengths, later = (r.at(base["kept"], self.places[name]) for name in ("erase", "lengths", "later"))
        memory.squash(r, self._part(r, "erase"), erase)
        memory.lengths(r, base["memory"], lengths)
        self._address(r, 0, "lengths", base["memory"], base["last_writing"], base["writing"])
        memory.write(r, base["memory"], base["after"], base["writing"], erase, self._part(r, "add"), later)

        def read(reader: Any, _: Any) -> list[Any]:
            head = r.b.add(reader, reader.type(1))
            last, reading = (r.at(base[name], r.times(reader, n)) for name in ("last_reading", "reading"))
            self._address(r, head, "later", base["after"], last, reading)
            memory.read(r, base["after"], reading, r.at(base["reads"], r.times(reader, memory.width)))
            return []

        r.repeat(self.heads.readers, (), read)
        return r.text()

    def _address(self, r: Rows, head: Any, lengths: str, memory: Any, last: Any, weights: Any) -> None:
        """Where a head goes."""
        span, one = self.span, r.const(1.0)
        told = {name: r.one(r.at(self._part(r, name), head)) for name in ("strength", "gate", "power")}
        r.put(r.apply("sigmoid", [told["gate"]]), self._head(r, head, "gate"))
        r.put(r.b.fadd(one, r.softplus(told["power"])), self._head(r, head, "power"))
        shift = r.at(self._part(r, "shift"), _times(r, head, span))
        r.softmax(span, lambda at, size: r.load(r.at(shift, at), size), self._head(r, head, "shifts"))
        self._content(r, head, lengths).find(r, memory, r.softplus(told["strength"]))
        self._shifting(r, head, last, weights).find(r)

    # -- backward

    def backward(self, sizes: dict[str, int]) -> str:
        """The gradient of a step. The memory's stands in `back_memory` all the while: first that of what is read."""
        r = Rows(NAME, sizes, self.machine, self.double)
        base, memory, n = r.base, self.memory, self.slots
        room = {name: r.at(base["room"], place) for name, place in self.rooms.items()}
        of_memory = base["back_memory"]
        r.copy(base["of_after"], of_memory, n * memory.width)

        def read(reader: Any, _: Any) -> list[Any]:
            head = r.b.add(reader, reader.type(1))
            names = ("reading", "last_reading", "of_reading", "back_last_reading")
            reading, last, of_reading, back = (r.at(base[name], r.times(reader, n)) for name in names)
            of_reads = r.at(base["of_reads"], r.times(reader, memory.width))
            memory.of_reading(r, base["after"], of_reads, of_reading, room["of_weights"])
            content, of_scale = self._unaddress(r, head, "later", last, reading, back, room)
            of_key = r.at(self._part(r, "key", "back_told"), _times(r, head, memory.width))
            memory.give_back(r, of_memory, base["after"], content, of_scale, room, of_key, (reading, of_reads))
            return []

        r.repeat(self.heads.readers, (), read)
        # The memory's gradient is now that of the memory after the step.
        r.copy(base["of_writing"], room["of_weights"], n)
        told = (r.at(base["kept"], self.places["erase"]), self._part(r, "add"))
        back = (self._part(r, "erase", "back_told"), self._part(r, "add", "back_told"))
        writing = base["writing"]
        memory.unwrite(r, of_memory, base["memory"], writing, room["of_weights"], told, back, room["sums"])
        last, of_last = base["last_writing"], base["back_last_writing"]
        content, of_scale = self._unaddress(r, 0, "lengths", last, writing, of_last, room)
        of_key = self._part(r, "key", "back_told")
        memory.give_back(r, of_memory, base["memory"], content, of_scale, room, of_key)
        return r.text()

    def _unaddress(
        self, r: Rows, head: Any, lengths: str, last: Any, weights: Any, back: Any, room: dict[str, Any]
    ) -> tuple[Content, Any]:
        """From the gradient of a head's place to that of what it was told, but its key, and of its last place."""
        b, span, one = r.b, self.span, r.const(1.0)
        shifting, content = self._shifting(r, head, last, weights), self._content(r, head, lengths)
        of_gate, of_power, of_shifts = shifting.pull(r, room["of_weights"], room["padded"], back)
        of_scale, of_strength = content.pull(
            r, lambda at, size: r.load(r.at(room["of_weights"], at), size), room["into"], room["along"]
        )

        def tell(name: str, value: Any) -> None:
            r.put(value, r.at(self._part(r, name, "back_told"), head))

        gate = r.one(shifting.gate)
        tell("gate", b.fmul(of_gate, b.fmul(gate, b.fsub(one, gate))))
        for name, value in (("power", of_power), ("strength", of_strength)):
            tell(name, b.fmul(value, r.apply("sigmoid", [r.one(r.at(self._part(r, name), head))])))
        for j, value in enumerate(of_shifts):
            r.put(value, r.at(room["shifts"], j))
        into = r.at(self._part(r, "shift", "back_told"), _times(r, head, span))
        r.unsoftmax(span, shifting.shifts, room["shifts"], into)
        return content, of_scale


def _times(r: Rows, head: Any, size: int) -> Any:
    return head * size if isinstance(head, int) else r.times(head, size)
