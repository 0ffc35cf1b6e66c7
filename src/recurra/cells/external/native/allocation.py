"""Where a memory has room, and the gradient of that, as functions of rows that are written out."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from recurra.native.rows import Rows
from recurra.native.vectors import I64


def rank(r: Rows, slots: int, usage: Any, order: Any, room: Any) -> None:
    """The slots in the order of their usage, of equals the first one first; as numbers of this format.

    A slot's place is the number of slots before it: as many comparisons as a link matrix has numbers, but of vectors.
    """
    b, one, zero = r.b, r.const(1.0), r.const(0.0)

    def clear(at: Any, size: int) -> None:
        r.store(zero, r.at(room, at), size)

    r.over(slots, clear)

    def against(other: Any, _: Any) -> list[Any]:
        least, number = r.one(r.at(usage, other)), r.splat(b.sitofp(other, r.number))

        def count(at: Any, size: int) -> None:
            own = r.load(r.at(usage, at), size)
            place = b.fadd(r.splat(b.sitofp(at, r.number)), _lanes(r))
            tie = b.and_(b.fcmp_ordered("==", least, own), b.fcmp_ordered("<", number, place))
            before = b.or_(b.fcmp_ordered("<", least, own), tie)
            known = r.load(r.at(room, at), size)
            r.store(b.fadd(known, b.select(before, one, zero)), r.at(room, at), size)

        r.over(slots, count)
        return []

    r.repeat(slots, (), against)

    def put(slot: Any, _: Any) -> list[Any]:
        place = b.fptosi(b.load(r.at(room, slot)), I64)
        b.store(b.sitofp(slot, r.number), r.at(order, place))
        return []

    r.repeat(slots, (), put)


def _lanes(r: Rows) -> Any:
    return ir.Constant(r.kind, [float(k) for k in range(r.lanes)])


def allocate(r: Rows, slots: int, usage: Any, order: Any, before: Any, room: Any) -> None:
    """room(phi_j) = (1 - u(phi_j)) * product over i < j of u(phi_i), and these products."""
    b = r.b

    def step(place: Any, values: list[Any]) -> list[Any]:
        slot = b.fptosi(b.load(r.at(order, place)), I64)
        (product,), used = values, b.load(r.at(usage, slot))
        b.store(product, r.at(before, place))
        b.store(b.fmul(product, b.fsub(r.number(1.0), used)), r.at(room, slot))
        return [b.fmul(product, used)]

    r.repeat(slots, [r.number(1.0)], step)


def pull_allocate(r: Rows, slots: int, usage: Any, order: Any, before: Any, of_room: Any, of_usage: Any) -> None:
    """Add the gradient of the usage.

    Without dividing by u, which may be 0: with R_j = sum over k > j of g_k (1 - u_k) times the product of the u between
    j and k, it is P_j (R_j - g_j), P_j the product of the u before j, and R_{j-1} = g_j (1 - u_j) + u_j R_j.
    """
    b = r.b

    def step(index: Any, values: list[Any]) -> list[Any]:
        place = b.sub(I64(slots - 1), index)
        slot = b.fptosi(b.load(r.at(order, place)), I64)
        (rest,), used, g = values, b.load(r.at(usage, slot)), b.load(r.at(of_room, slot))
        found = b.fmul(b.load(r.at(before, place)), b.fsub(rest, g))
        into = r.at(of_usage, slot)
        b.store(b.fadd(b.load(into), found), into)
        return [b.fadd(b.fmul(g, b.fsub(r.number(1.0), used)), b.fmul(used, rest))]

    r.repeat(slots, [r.number(0.0)], step)
