"""Where things are: the function that is being written, its loops, and the addresses of columns of rows at a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from recurra.engine.graph import Node
from recurra.engine.plan import Place, Program
from recurra.native.functions import Functions
from recurra.native.machine import Machine
from recurra.native.vectors import I8, I64

POINTER = I8.as_pointer()

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


class Frame:
    """A function that is being written.

    Args:
        program: what the loop does.
        machine: the processor.
        double: float64 instead of float32.
        backward: whether steps are made from the last place to the first.
        masked: whether steps are left out.
        resets: whether states are set back to first ones.
        turning: the numbers of the state's parts of which only the last is kept.
        name: the function's.
    """

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
        self.program, self.machine, self.backward = program, machine, backward
        self.masked, self.resets, self.turning = masked, resets, turning
        self.lanes, self.size = machine.lanes(double), 8 if double else 4
        self.aligned = self.lanes * self.size
        self.module = ir.Module(name)
        self.module.triple = machine.triple
        kind = ir.FunctionType(ir.VoidType(), [POINTER.as_pointer(), I64, I64, I64, I64, I64, POINTER])
        self.function = ir.Function(self.module, kind, name)
        self.table, self.steps, self.batch, self.first, self.last, self.reverse, self.flags = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("start"))
        self.v = Functions(self.b, double, machine)
        self.bases: dict[str, Any] = {}
        self.row_bases: dict[str, Any] = {}

    def begin(self, names: tuple[str, ...]) -> None:
        """Read the table of pointers."""
        for number, name in enumerate(names):
            self.bases[name] = self.b.load(self.b.gep(self.table, [I64(number)]))

    def step(self, k: Any, names: tuple[str, ...]) -> None:
        """Find where memory stands at the step that is made k-th."""
        b = self.b
        last = b.sub(self.steps, I64(1))
        place = b.sub(last, k) if self.backward else k
        towards = b.icmp_signed("!=", self.reverse, I64(0))
        self.time = b.select(towards, b.sub(last, place), place)
        later = b.add(self.time, I64(1))
        turned = b.and_(place, I64(1))
        where: dict[str, Any] = {
            TIMED: self.time,
            BEFORE: b.select(towards, later, self.time),
            AFTER: b.select(towards, self.time, later),
            TURN: b.xor(turned, I64(1)),
            TURNED: turned,
        }
        for name in names:
            index = where.get(moves(name, self.turning))
            base = self.bases[name]
            if index is not None and name in self.program.buffers:
                width = self.program.buffers[name] * self.size
                base = b.gep(base, [b.mul(b.mul(index, self.batch), I64(width))])
            self.row_bases[name] = base

    def at(self, place: Place, row: Any, column: Any) -> Any:
        """The address of a column of a row."""
        b = self.b
        offset = b.add(b.mul(row, I64(place.width * self.size)), b.mul(b.add(column, I64(place.start)), I64(self.size)))
        base = self.row_bases[place.buffer]
        if self.resets and place.buffer[0] == "s":
            # Where the state is set to the first one, that is what is read.
            base = b.select(self.flag(row, 2), self.bases["b" + place.buffer[1:]], base)
        return b.gep(base, [offset])

    def flag(self, row: Any, which: int) -> Any:
        """Whether a row has a flag at this step."""
        b = self.b
        flag = b.load(b.gep(self.flags, [b.add(b.mul(self.time, self.batch), row)]))
        return b.icmp_signed("!=", b.and_(flag, I8(which)), I8(0))

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int, name: str) -> Iterator[Any]:
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

    def input_place(self, node: Node) -> Place:
        """Where an input stands."""
        return Place(node.data[0], node.data[1], self.program.buffers[node.data[0]])
