"""Addressing by content and by shifts, and its gradient, as functions of rows that are written out.

A memory stands here with its columns as rows, (width, slots), so that the slots of a row go into the lanes of vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recurra.cells.external.addressing import SMALLEST
from recurra.native.rows import Place, Rows


@dataclass
class Content:
    """Addressing by content: where things stand.

    Attributes:
        slots, width: of the memory.
        eps: in the cosine.
        key: what is looked for.
        lengths: the inverse lengths of the memory's slots.
        weights, likeness: what is found, and the cosines times the key's length.
        scale, inverse: strength over the key's length, and 1 over that; one number each.
    """

    slots: int
    width: int
    eps: float
    key: Any
    lengths: Any
    weights: Any
    likeness: Any
    scale: Any
    inverse: Any

    def find(self, r: Rows, memory: Any, strength: Any) -> None:
        """Write the weights, and what their gradient needs."""

        def square(at: Any, size: int) -> list[Any]:
            key = r.load(r.at(self.key, at), size)
            return [r.b.fmul(key, key)]

        (length,) = r.over(self.width, square, ("add",))
        inverse = r.apply("rsqrt", [r.b.fadd(length, r.const(self.eps))])
        scale = r.b.fmul(strength, inverse)
        r.put(inverse, self.inverse)
        r.put(scale, self.scale)

        def start(places: list[Place]) -> list[Any]:
            return [r.const(0.0)] * len(places)

        def body(k: Any, places: list[Place], dots: list[Any]) -> list[Any]:
            key, row = r.one(r.at(self.key, k)), r.at(memory, r.times(k, self.slots))
            pairs = zip(places, dots, strict=True)
            return [r.fma(r.load(r.at(row, at), size), key, dot) for (at, size), dot in pairs]

        def finish(places: list[Place], dots: list[Any]) -> None:
            for (at, size), dot in zip(places, dots, strict=True):
                r.store(r.b.fmul(dot, r.load(r.at(self.lengths, at), size)), r.at(self.likeness, at), size)

        r.sweep(self.width, self.slots, start, body, finish)
        r.softmax(self.slots, lambda at, size: r.b.fmul(r.load(r.at(self.likeness, at), size), scale), self.weights)

    def pull(self, r: Rows, of_weights: Callable[[Any, int], Any], into: Any, along: Any) -> tuple[Any, Any]:
        """Write what comes back to each slot's key and to its own length; the gradients of scale and strength.

        Args:
            r: the function.
            of_weights: the weights' gradient, vector by vector.
            into: what a slot's likeness gives back, times 1 / its length: the key's gradient is the sum over slots of
                this times the slot, and a slot's gradient this times the key, less `along` times the slot.
            along: see into.
        """
        b = r.b

        def weighted(at: Any, size: int) -> list[Any]:
            return [b.fmul(r.load(r.at(self.weights, at), size), of_weights(at, size))]

        (mean,) = r.over(self.slots, weighted, ("add",))
        scale = r.one(self.scale)

        def likenesses(at: Any, size: int) -> list[Any]:
            likeness, length = (r.load(r.at(each, at), size) for each in (self.likeness, self.lengths))
            g = b.fmul(r.load(r.at(self.weights, at), size), b.fsub(of_weights(at, size), mean))
            scaled = b.fmul(b.fmul(g, scale), length)
            r.store(scaled, r.at(into, at), size)
            r.store(b.fmul(b.fmul(scaled, likeness), length), r.at(along, at), size)
            return [b.fmul(g, likeness)]

        (of_scale,) = r.over(self.slots, likenesses, ("add",))
        return of_scale, b.fmul(of_scale, r.one(self.inverse))

    def of_key(self, r: Rows, k: Any, found: Any, of_scale: Any) -> Any:
        """The gradient of the key's k-th number, from the sum over the slots and the scale's gradient."""
        inverse = r.one(self.inverse)
        shrunk = r.b.fmul(r.b.fmul(of_scale, r.one(self.scale)), r.b.fmul(inverse, inverse))
        return r.b.fsub(found, r.b.fmul(r.one(r.at(self.key, k)), shrunk))


@dataclass
class Shifting:
    """Mixing with the last weights, shifting round and round, and sharpening: where things stand.

    Attributes:
        slots: of the memory.
        reach: the farthest shift.
        gate, power: one number each.
        shifts: 2 reach + 1 numbers.
        content, last: the weights that are mixed.
        padded: the mixture with `reach` more numbers at each end.
        shifted, logs: what is sharpened, and its logarithm.
        weights: what is found.
    """

    slots: int
    reach: int
    gate: Any
    power: Any
    shifts: Any
    content: Any
    last: Any
    padded: Any
    shifted: Any
    logs: Any
    weights: Any

    def _wrap(self, r: Rows, padded: Any) -> None:
        """The last numbers before the first, and the first behind the last."""
        for k in range(self.reach):
            r.b.store(r.b.load(r.at(padded, self.slots + k)), r.at(padded, k))
            r.b.store(r.b.load(r.at(padded, self.reach + k)), r.at(padded, self.reach + self.slots + k))

    def find(self, r: Rows) -> None:
        """Write the weights, and what their gradient needs."""
        gate, power = r.one(self.gate), r.one(self.power)
        shifts = [r.one(r.at(self.shifts, j)) for j in range(2 * self.reach + 1)]

        def mix(at: Any, size: int) -> None:
            content, last = (r.load(r.at(each, at), size) for each in (self.content, self.last))
            r.store(r.fma(gate, r.b.fsub(content, last), last), r.at(self.padded, at, self.reach), size)

        r.over(self.slots, mix)
        self._wrap(r, self.padded)

        def sharpen(at: Any, size: int) -> Any:
            total = None
            for j, share in enumerate(shifts):
                mixed = r.load(r.at(self.padded, at, 2 * self.reach - j), size)
                total = r.b.fmul(mixed, share) if total is None else r.fma(mixed, share, total)
            log = r.log_within(r.apply("maximum", [total, r.const(SMALLEST)]))
            r.store(total, r.at(self.shifted, at), size)
            r.store(log, r.at(self.logs, at), size)
            return r.b.fmul(log, power)

        r.softmax(self.slots, sharpen, self.weights)

    def pull(self, r: Rows, of_weights: Any, room: Any, of_last: Any) -> tuple[Any, Any, list[Any]]:
        """The gradients of gate, power and shifts; those of the last weights are written.

        Args:
            r: the function.
            of_weights: where the weights' gradient stands; the content's is written there.
            room: as many numbers as `padded` has.
            of_last: where the last weights' gradient goes.
        """
        b, reach = r.b, self.reach
        gate, power = r.one(self.gate), r.one(self.power)
        shifts = [r.one(r.at(self.shifts, j)) for j in range(2 * reach + 1)]

        def weighted(at: Any, size: int) -> list[Any]:
            return [b.fmul(r.load(r.at(self.weights, at), size), r.load(r.at(of_weights, at), size))]

        (mean,) = r.over(self.slots, weighted, ("add",))

        def unsharpen(at: Any, size: int) -> list[Any]:
            g = b.fmul(r.load(r.at(self.weights, at), size), b.fsub(r.load(r.at(of_weights, at), size), mean))
            shifted = r.load(r.at(self.shifted, at), size)
            there = r.apply("gt", [shifted, r.const(SMALLEST)])
            safe = b.select(there, shifted, r.const(1.0))
            back = b.select(there, b.fdiv(b.fmul(g, power), safe), r.const(0.0))
            r.store(back, r.at(room, at, reach), size)
            mixed = [r.load(r.at(self.padded, at, 2 * reach - j), size) for j in range(len(shifts))]
            return [b.fmul(g, r.load(r.at(self.logs, at), size)), *(b.fmul(back, each) for each in mixed)]

        of_power, *of_shifts = r.over(self.slots, unsharpen, ("add",) * (1 + len(shifts)))
        self._wrap(r, room)

        def unmix(at: Any, size: int) -> list[Any]:
            total = None
            for j, share in enumerate(shifts):
                back = r.load(r.at(room, at, j), size)
                total = b.fmul(back, share) if total is None else r.fma(back, share, total)
            content, last = (r.load(r.at(each, at), size) for each in (self.content, self.last))
            of_content = b.fmul(total, gate)
            r.store(of_content, r.at(of_weights, at), size)
            r.store(b.fsub(total, of_content), r.at(of_last, at), size)
            return [b.fmul(total, b.fsub(content, last))]

        (of_gate,) = r.over(self.slots, unmix, ("add",))
        return of_gate, of_power, of_shifts
