"""Links between slots in the order of their writing, and their gradient, as functions of rows that are written out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recurra.native.rows import Rows


@dataclass(frozen=True)
class Links:
    """A link matrix, (slots, slots), and the heads that read along it.

    Attributes:
        slots: rows and columns.
        readers: heads.
    """

    slots: int
    readers: int

    def update(self, r: Rows, link: Any, links: Any, writing: Any, precedence: Any) -> None:
        """(1 - w(i) - w(j)) L(i, j) + w(i) p(j), without the diagonal."""
        b, n, one = r.b, self.slots, r.const(1.0)

        def row(i: Any, _: Any) -> list[Any]:
            w = r.one(r.at(writing, i))
            rest = b.fsub(one, w)
            old, new = (r.at(each, r.times(i, n)) for each in (link, links))

            def body(at: Any, size: int) -> None:
                share = b.fsub(rest, r.load(r.at(writing, at), size))
                p = b.fmul(w, r.load(r.at(precedence, at), size))
                r.store(r.fma(share, r.load(r.at(old, at), size), p), r.at(new, at), size)

            r.over(n, body)
            b.store(r.number(0.0), r.at(new, i))
            return []

        r.repeat(n, (), row)

    def follow(self, r: Rows, links: Any, reading: Any, forward: Any, backward: Any) -> None:
        """For each head forward(i) = sum over j of L(i, j) w(j), and backward(j) = sum over i of L(i, j) w(i)."""
        b, n = r.b, self.slots
        r.clear(backward, self.readers * n)

        def row(i: Any, _: Any) -> list[Any]:
            line = r.at(links, r.times(i, n))

            def head(k: Any, _: Any) -> list[Any]:
                shift = r.times(k, n)
                weights, back = r.at(reading, shift), r.at(backward, shift)
                w = r.one(r.at(weights, i))

                def body(at: Any, size: int) -> list[Any]:
                    value, place = r.load(r.at(line, at), size), r.at(back, at)
                    r.store(r.fma(value, w, r.load(place, size)), place, size)
                    return [b.fmul(value, r.load(r.at(weights, at), size))]

                r.put(r.over(n, body, ("add",))[0], r.at(forward, shift, i))
                return []

            r.repeat(self.readers, (), head)
            return []

        r.repeat(n, (), row)

    def pull(self, r: Rows, place: dict[str, Any]) -> None:
        """From the gradients of the links and of what heads followed to those of what they were made of.

        Read are link, links, writing, precedence, reading, of_links, of_forward and of_backward; written back_link;
        added to of_writing, of_precedence and of_reading.
        """
        b, n, one = r.b, self.slots, r.const(1.0)
        reading, of_reading = place["reading"], place["of_reading"]

        def row(i: Any, _: Any) -> list[Any]:
            line = r.times(i, n)
            given, back, link, links = (r.at(place[name], line) for name in ("of_links", "back_link", "link", "links"))
            r.copy(given, back, n)

            def head(k: Any, _: Any) -> list[Any]:
                shift = r.times(k, n)
                weights, of_weights, forth, to = (
                    r.at(each, shift) for each in (reading, of_reading, place["of_forward"], place["of_backward"])
                )
                w, f = r.one(r.at(weights, i)), r.one(r.at(forth, i))

                def body(at: Any, size: int) -> list[Any]:
                    c, value = r.load(r.at(to, at), size), r.load(r.at(links, at), size)
                    g = r.fma(f, r.load(r.at(weights, at), size), r.load(r.at(back, at), size))
                    r.store(r.fma(w, c, g), r.at(back, at), size)
                    known = r.at(of_weights, at)
                    r.store(r.fma(f, value, r.load(known, size)), known, size)
                    return [b.fmul(value, c)]

                (along,) = r.over(n, body, ("add",))
                own = r.at(of_weights, i)
                r.put(b.fadd(r.one(own), along), own)
                return []

            r.repeat(self.readers, (), head)
            b.store(r.number(0.0), r.at(back, i))
            w = r.one(r.at(place["writing"], i))
            rest = b.fsub(one, w)

            def body(at: Any, size: int) -> list[Any]:
                g, value = r.load(r.at(back, at), size), r.load(r.at(link, at), size)
                lost = b.fmul(g, value)
                share = b.fsub(rest, r.load(r.at(place["writing"], at), size))
                r.store(b.fmul(g, share), r.at(back, at), size)
                known = r.at(place["of_precedence"], at)
                r.store(r.fma(g, w, r.load(known, size)), known, size)
                known = r.at(place["of_writing"], at)
                r.store(b.fsub(r.load(known, size), lost), known, size)
                return [b.fsub(b.fmul(g, r.load(r.at(place["precedence"], at), size)), lost)]

            (total,) = r.over(n, body, ("add",))
            own = r.at(place["of_writing"], i)
            r.put(b.fadd(r.one(own), total), own)
            return []

        r.repeat(n, (), row)
