"""Many small copies between tensors of different layouts, by one call of one compiled function."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from recurra.native.machine import host
from recurra.native.vectors import I8, I64

POINTER = I8.as_pointer()
NESTED = 4
COPY, ADD, ZERO = 0, 1, 2
FIELDS = ("what", "source", "start", "place", *(f"{kind}{n}" for kind in "nsd" for n in range(NESTED)))


@dataclass(frozen=True)
class Move:
    """A copy with strides, four loops deep; all counted in numbers.

    Attributes:
        source: the number of the tensor that is read, -1 where zeros are written.
        start: the first number that is read.
        place: the first that is written.
        sizes: of the loops, the outermost first.
        reads, writes: their strides.
        adds: whether to add to what stands there.
    """

    source: int
    start: int
    place: int
    sizes: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    adds: bool = False

    def row(self) -> tuple[int, ...]:
        """As the compiled function reads it."""
        more = NESTED - len(self.sizes)
        what = ZERO if self.source < 0 else ADD if self.adds else COPY
        parts = ((1,) * more + self.sizes, (0,) * more + self.reads, (0,) * more + self.writes)
        return (what, max(self.source, 0), self.start, self.place, *(each for part in parts for each in part))


def table_of(moves: Sequence[Move]) -> np.ndarray[Any, Any]:
    """Moves as an array."""
    return np.array([move.row() for move in moves], dtype=np.int64).reshape(len(moves), len(FIELDS))


def _module(double: bool) -> str:
    """One function: an array of moves, how many, an array of sources, the memory that is written."""
    module = ir.Module("strides")
    module.triple = host().triple
    number = ir.DoubleType() if double else ir.FloatType()
    size = 8 if double else 4
    kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, POINTER, POINTER])
    function = ir.Function(module, kind, "move_all")
    together = module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, I64])
    moves, count, sources, memory = function.args
    b = ir.IRBuilder(function.append_basic_block("start"))

    @contextmanager
    def loop(stop: Any) -> Iterator[Any]:
        before = b.block
        head, body, end = (function.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        index.add_incoming(I64(0), before)
        b.cbranch(b.icmp_signed("<", index, stop), body, end)
        b.position_at_end(body)
        yield index
        index.add_incoming(b.add(index, I64(1)), b.block)
        b.branch(head)
        b.position_at_end(end)

    def at(pointer: Any, offset: Any) -> Any:
        return b.gep(pointer, [b.mul(offset, I64(size))])

    def nested(depth: int, reading: Any, writing: Any, move: dict[str, Any]) -> None:
        if depth < NESTED - 1:
            with loop(move[f"n{depth}"]) as k:
                reads = at(reading, b.mul(k, move[f"s{depth}"]))
                nested(depth + 1, reads, at(writing, b.mul(k, move[f"d{depth}"])), move)
            return
        with b.if_else(move["whole"]) as (copied, one_by_one):
            with copied:
                b.call(together, [writing, reading, b.mul(move["n3"], I64(size)), ir.IntType(1)(0)])
            with one_by_one, loop(move["n3"]) as k:
                place = b.bitcast(at(writing, b.mul(k, move["d3"])), number.as_pointer())
                with b.if_else(move["zero"]) as (nothing, something):
                    with nothing:
                        b.store(number(0.0), place)
                    with something:
                        value = b.load(b.bitcast(at(reading, b.mul(k, move["s3"])), number.as_pointer()))
                        b.store(b.select(move["adds"], b.fadd(value, b.load(place)), value), place)

    with loop(count) as each:
        row = b.bitcast(b.gep(moves, [b.mul(each, I64(8 * len(FIELDS)))]), I64.as_pointer())
        move = {name: b.load(b.gep(row, [I64(n)])) for n, name in enumerate(FIELDS)}
        source = b.load(b.gep(b.bitcast(sources, POINTER.as_pointer()), [move["source"]]))
        copies, move["adds"], move["zero"] = (
            b.icmp_signed("==", move["what"], I64(what)) for what in (COPY, ADD, ZERO)
        )
        lines = [b.icmp_signed("==", move[name], I64(1)) for name in ("s3", "d3")]
        move["whole"] = b.and_(copies, b.and_(*lines))
        nested(0, at(source, move["start"]), at(memory, move["place"]), move)
    b.ret_void()
    return str(module)


@functools.cache
def mover(double: bool) -> Any:
    """The compiled function, for float32 or float64."""
    machine = host()
    module = llvm.parse_assembly(_module(double))
    engine = llvm.create_mcjit_compiler(module, machine.target())
    engine.finalize_object()
    arguments = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p]
    function: Any = ctypes.CFUNCTYPE(None, *arguments)(engine.get_function_address("move_all"))
    function.engine = engine  # the code lives as long as what holds it
    return function
