"""The step of a differentiable neural computer, and its gradient, written for this processor."""

from __future__ import annotations

from typing import Any

from recurra.cells.external.dnc_step import Interface
from recurra.cells.external.native.addressing import Content
from recurra.cells.external.native.allocation import allocate, pull_allocate, rank
from recurra.cells.external.native.call import NAME, Shapes, Step, arrays_of, layout
from recurra.cells.external.native.links import Links
from recurra.cells.external.native.memory import Memory
from recurra.native.machine import Machine
from recurra.native.rows import Rows
from recurra.native.vectors import I64

I0 = I64(0)


def step(interface: Interface, slots: int, machine: Machine, double: bool) -> Step:
    """Both directions of `compute`."""
    made = _Compute(interface, slots, machine, double)
    matrix, readers = (interface.width, slots), interface.readers
    inputs: Shapes = {"told": (sum(interface.sizes.values()),), "memory": matrix, "usage": (slots,)}
    inputs |= {"link": (slots, slots), "precedence": (slots,), "last_writing": (slots,)}
    inputs |= {"last_reading": (readers, slots)}
    outputs: Shapes = {"after": matrix, "used": (slots,), "links": (slots, slots), "later": (slots,)}
    outputs |= {"writing": (slots,), "reading": (readers, slots), "reads": (readers, interface.width)}
    arrays, more = arrays_of(inputs, outputs, made.kept, made.room)
    turned = frozenset({"memory", "after"})
    return Step(inputs, outputs, turned, made.kept, made.room, made.forward(arrays), made.backward(more))


class _Compute:
    def __init__(self, interface: Interface, slots: int, machine: Machine, double: bool):
        self.interface, self.slots, self.machine, self.double = interface, slots, machine, double
        n, readers, width = slots, interface.readers, interface.width
        self.memory, self.links = Memory(n, width, interface.eps), Links(n, readers)
        self.told, _ = layout(**interface.sizes)
        self.head, self.head_size = layout(content=n, likeness=n, scale=1, inverse=1)
        heads = (1 + readers) * self.head_size
        self.places, self.kept = layout(
            erase=width,
            free=readers,
            allocate=1,
            gate=1,
            modes=readers * 3,
            lengths=n,
            later=n,
            order=n,
            before=n,
            room=n,
            forward=readers * n,
            backward=readers * n,
            heads=heads,
        )
        sums = max(2 * width * machine.lanes(double), n)
        self.rooms, self.room = layout(
            of_reading=n,
            into=n,
            along=n,
            of_forward=readers * n,
            of_backward=readers * n,
            of_writing=n,
            modes=3,
            sums=sums,
        )

    # -- where things stand

    def _part(self, r: Rows, name: str, base: str = "told") -> Any:
        return r.at(r.base[base], self.told[name])

    def _kept(self, r: Rows, name: str) -> Any:
        return r.at(r.base["kept"], self.places[name])

    def _content(self, r: Rows, head: Any, key: Any, lengths: str) -> Content:
        """The head's addressing by content: the write head's is the first."""
        offset = head * self.head_size if isinstance(head, int) else r.times(head, self.head_size)
        names = ("content", "likeness", "scale", "inverse")
        places = [r.at(self._kept(r, "heads"), self.head[name], offset) for name in names]
        return Content(self.slots, self.interface.width, self.interface.eps, key, self._kept(r, lengths), *places)

    # -- forward

    def forward(self, sizes: dict[str, int]) -> str:
        """A step."""
        r = Rows(NAME, sizes, self.machine, self.double)
        base, b, n, memory, one = r.base, r.b, self.slots, self.memory, r.const(1.0)
        erase, room, lengths, later = (self._kept(r, name) for name in ("erase", "room", "lengths", "later"))
        memory.squash(r, self._part(r, "erase"), erase)
        gates = []
        for part, into in (("allocate", "allocate"), ("write_gate", "gate")):
            gates.append(r.apply("sigmoid", [r.one(self._part(r, part))]))
            r.put(gates[-1], self._kept(r, into))

        def prepare(head: Any, _: Any) -> list[Any]:
            free = r.apply("sigmoid", [r.one(r.at(self._part(r, "free"), head))])
            r.put(free, r.at(self._kept(r, "free"), head))
            modes, into = (r.at(each, r.times(head, 3)) for each in (self._part(r, "mode"), self._kept(r, "modes")))
            r.softmax(3, lambda at, size: r.load(r.at(modes, at), size), into)
            return []

        r.repeat(self.interface.readers, (), prepare)
        self._use(r)
        rank(r, n, base["used"], self._kept(r, "order"), room)
        allocate(r, n, base["used"], self._kept(r, "order"), self._kept(r, "before"), room)

        memory.lengths(r, base["memory"], lengths)
        content = self._content(r, 0, self._part(r, "write_key"), "lengths")
        strength = b.fadd(one, r.softplus(r.one(self._part(r, "write_strength"))))
        content.find(r, base["memory"], strength)

        def place(at: Any, size: int) -> list[Any]:
            found, free = (r.load(r.at(each, at), size) for each in (content.weights, room))
            w = b.fmul(gates[1], r.fma(gates[0], b.fsub(free, found), found))
            r.store(w, r.at(base["writing"], at), size)
            return [w]

        (written,) = r.over(n, place, ("add",))
        memory.write(r, base["memory"], base["after"], base["writing"], erase, self._part(r, "write"), later)
        self.links.update(r, base["link"], base["links"], base["writing"], base["precedence"])
        self.links.follow(r, base["links"], base["last_reading"], self._kept(r, "forward"), self._kept(r, "backward"))
        rest = b.fsub(one, written)

        def precede(at: Any, size: int) -> None:
            p, w = (r.load(r.at(base[name], at), size) for name in ("precedence", "writing"))
            r.store(r.fma(rest, p, w), r.at(base["later"], at), size)

        r.over(n, precede)
        r.repeat(self.interface.readers, (), lambda head, _: self._read(r, head))
        return r.text()

    def _use(self, r: Rows) -> None:
        """The usage after the last writing, and after what was read and is free now."""
        b, base = r.b, r.base
        frees = [r.one(r.at(self._kept(r, "free"), k)) for k in range(self.interface.readers)]

        def body(at: Any, size: int) -> None:
            usage, writing = (r.load(r.at(base[name], at), size) for name in ("usage", "last_writing"))
            used = b.fsub(b.fadd(usage, writing), b.fmul(usage, writing))
            for left in self._left(r, frees, at, size):
                used = b.fmul(used, left)
            r.store(used, r.at(base["used"], at), size)

        r.over(self.slots, body)

    def _left(self, r: Rows, frees: list[Any], at: Any, size: int) -> list[Any]:
        """1 - f w(i) for each head."""
        found = []
        for k, free in enumerate(frees):
            w = r.load(r.at(r.base["last_reading"], at, k * self.slots), size)
            found.append(r.b.fsub(r.const(1.0), r.b.fmul(free, w)))
        return found

    def _read(self, r: Rows, head: Any) -> list[Any]:
        base, b, n, width = r.base, r.b, self.slots, self.interface.width
        key = r.at(self._part(r, "read_key"), r.times(head, width))
        content = self._content(r, b.add(head, head.type(1)), key, "later")
        strength = b.fadd(r.const(1.0), r.softplus(r.one(r.at(self._part(r, "read_strength"), head))))
        content.find(r, base["after"], strength)
        shift = r.times(head, n)
        reading = r.at(base["reading"], shift)
        ways = self._ways(r, head, content)

        def mix(at: Any, size: int) -> None:
            total = None
            for way, share in ways:
                value = b.fmul(share, r.load(r.at(way, at), size))
                total = value if total is None else b.fadd(total, value)
            r.store(total, r.at(reading, at), size)

        r.over(n, mix)
        self.memory.read(r, base["after"], reading, r.at(base["reads"], r.times(head, width)))
        return []

    def _ways(self, r: Rows, head: Any, content: Content) -> list[tuple[Any, Any]]:
        """What a head's weights are mixed of, and the shares: backward, by content, forward."""
        shift, modes = r.times(head, self.slots), r.at(self._kept(r, "modes"), r.times(head, 3))
        places = [r.at(self._kept(r, "backward"), shift), content.weights, r.at(self._kept(r, "forward"), shift)]
        return [(place, r.one(r.at(modes, k))) for k, place in enumerate(places)]

    # -- backward

    def backward(self, sizes: dict[str, int]) -> str:
        """The gradient of a step. `back_memory` holds the memory's all the while: first that of what is read."""
        r = Rows(NAME, sizes, self.machine, self.double)
        base, b, n, memory = r.base, r.b, self.slots, self.memory
        room = {name: r.at(base["room"], place) for name, place in self.rooms.items()}
        of_memory, of_writing = base["back_memory"], room["of_writing"]
        r.copy(base["of_after"], of_memory, n * memory.width)
        r.clear(base["back_last_reading"], self.interface.readers * n)
        r.repeat(self.interface.readers, (), lambda head, _: self._unread(r, head, room))
        self._unlink(r, room)

        told = (self._kept(r, "erase"), self._part(r, "write"))
        back = (self._part(r, "erase", "back_told"), self._part(r, "write", "back_told"))
        memory.unwrite(r, of_memory, base["memory"], base["writing"], of_writing, told, back, room["sums"])

        # Where it was written: by content, and where there is room.
        share, gate = r.one(self._kept(r, "allocate")), r.one(self._kept(r, "gate"))
        content = self._content(r, 0, self._part(r, "write_key"), "lengths")
        free, of_room = self._kept(r, "room"), room["of_reading"]

        def where(at: Any, size: int) -> list[Any]:
            g, found, other = (r.load(r.at(each, at), size) for each in (of_writing, content.weights, free))
            apart = b.fsub(other, found)
            of_where = b.fmul(g, gate)
            of_other = b.fmul(of_where, share)
            r.store(of_other, r.at(of_room, at), size)
            r.store(b.fsub(of_where, of_other), r.at(of_writing, at), size)
            return [b.fmul(g, r.fma(share, apart, found)), b.fmul(of_where, apart)]

        of_gate, of_share = r.over(n, where, ("add", "add"))
        for part, value, squashed in (("write_gate", of_gate, gate), ("allocate", of_share, share)):
            self._tell_squashed(r, part, I0, value, squashed)
        of_scale, of_strength = content.pull(
            r, lambda at, size: r.load(r.at(of_writing, at), size), room["into"], room["along"]
        )
        self._tell_strength(r, "write_strength", I0, of_strength)
        of_key = self._part(r, "write_key", "back_told")
        memory.give_back(r, of_memory, base["memory"], content, of_scale, room, of_key)
        self._unuse(r, of_room, room["sums"])
        return r.text()

    def _tell_squashed(self, r: Rows, part: str, index: Any, value: Any, squashed: Any) -> None:
        slope = r.b.fmul(squashed, r.b.fsub(r.const(1.0), squashed))
        r.put(r.b.fmul(value, slope), r.at(self._part(r, part, "back_told"), index))

    def _tell_strength(self, r: Rows, part: str, index: Any, value: Any) -> None:
        slope = r.apply("sigmoid", [r.one(r.at(self._part(r, part), index))])
        r.put(r.b.fmul(value, slope), r.at(self._part(r, part, "back_told"), index))

    def _unread(self, r: Rows, head: Any, room: dict[str, Any]) -> list[Any]:
        """The gradients of what a read head was told, and of what its weights are mixed of."""
        base, b, n, width = r.base, r.b, self.slots, self.interface.width
        shift, of_reading = r.times(head, n), room["of_reading"]
        of_reads = r.at(base["of_reads"], r.times(head, width))
        self.memory.of_reading(r, base["after"], of_reads, r.at(base["of_reading"], shift), of_reading)
        key = r.at(self._part(r, "read_key"), r.times(head, width))
        content = self._content(r, b.add(head, head.type(1)), key, "later")
        ways = self._ways(r, head, content)
        into = [r.at(room[name], shift) for name in ("of_backward", "of_forward")]

        def mixed(at: Any, size: int) -> list[Any]:
            g = r.load(r.at(of_reading, at), size)
            r.store(b.fmul(g, ways[0][1]), r.at(into[0], at), size)
            r.store(b.fmul(g, ways[2][1]), r.at(into[1], at), size)
            return [b.fmul(g, r.load(r.at(way, at), size)) for way, _ in ways]

        for k, value in enumerate(r.over(n, mixed, ("add",) * 3)):
            r.put(value, r.at(room["modes"], k))
        three = r.times(head, 3)
        into_modes = r.at(self._part(r, "mode", "back_told"), three)
        r.unsoftmax(3, r.at(self._kept(r, "modes"), three), room["modes"], into_modes)
        of_scale, of_strength = content.pull(
            r, lambda at, size: b.fmul(r.load(r.at(of_reading, at), size), ways[1][1]), room["into"], room["along"]
        )
        self._tell_strength(r, "read_strength", head, of_strength)
        of_key = r.at(self._part(r, "read_key", "back_told"), r.times(head, width))
        reading = r.at(base["reading"], shift)
        self.memory.give_back(
            r, base["back_memory"], base["after"], content, of_scale, room, of_key, (reading, of_reads)
        )
        return []

    def _unlink(self, r: Rows, room: dict[str, Any]) -> None:
        """The gradients that come along the links, and those of the precedence."""
        base, b, n = r.base, r.b, self.slots

        def sums(at: Any, size: int) -> list[Any]:
            g, p, w = (r.load(r.at(base[name], at), size) for name in ("of_later", "precedence", "writing"))
            return [b.fmul(g, p), w]

        turned, written = r.over(n, sums, ("add", "add"))
        rest = b.fsub(r.const(1.0), written)

        def begin(at: Any, size: int) -> None:
            g, given = (r.load(r.at(base[name], at), size) for name in ("of_later", "of_writing"))
            r.store(b.fsub(b.fadd(g, given), turned), r.at(room["of_writing"], at), size)
            r.store(b.fmul(g, rest), r.at(base["back_precedence"], at), size)

        r.over(n, begin)
        places = {name: base[name] for name in ("link", "links", "writing", "precedence", "of_links", "back_link")}
        places |= {name: room[name] for name in ("of_forward", "of_backward", "of_writing")}
        places |= {"reading": base["last_reading"], "of_reading": base["back_last_reading"]}
        self.links.pull(r, places | {"of_precedence": base["back_precedence"]})

    def _unuse(self, r: Rows, of_room: Any, of_used: Any) -> None:
        """The gradients of the usage, of what frees it, and of where heads stood."""
        base, b, one = r.base, r.b, r.const(1.0)
        r.copy(base["of_used"], of_used, self.slots)
        order, before = self._kept(r, "order"), self._kept(r, "before")
        pull_allocate(r, self.slots, base["used"], order, before, of_room, of_used)
        readers = range(self.interface.readers)
        frees = [r.one(r.at(self._kept(r, "free"), k)) for k in readers]

        def body(at: Any, size: int) -> list[Any]:
            g, usage, writing = (r.load(r.at(e, at), size) for e in (of_used, base["usage"], base["last_writing"]))
            used = b.fsub(b.fadd(usage, writing), b.fmul(usage, writing))
            left = self._left(r, frees, at, size)
            of_left, sums = b.fmul(g, used), []
            for k in readers:
                others = of_left
                for j in readers:
                    others = others if j == k else b.fmul(others, left[j])
                w = r.load(r.at(base["last_reading"], at, k * self.slots), size)
                known = r.at(base["back_last_reading"], at, k * self.slots)
                r.store(b.fsub(r.load(known, size), b.fmul(others, frees[k])), known, size)
                sums.append(b.fneg(b.fmul(others, w)))
            for each in left:
                g = b.fmul(g, each)
            r.store(b.fmul(g, b.fsub(one, usage)), r.at(base["back_last_writing"], at), size)
            r.store(b.fmul(g, b.fsub(one, writing)), r.at(base["back_usage"], at), size)
            return sums

        for k, value in enumerate(r.over(self.slots, body, ("add",) * len(readers))):
            self._tell_squashed(r, "free", I64(k), value, frees[k])
