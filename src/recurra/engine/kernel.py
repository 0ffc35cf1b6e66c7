"""A cell's compiled loop: its plan, its code, and what one call needs."""

from __future__ import annotations

import ctypes
import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.engine.emit import Code, emit
from recurra.engine.frame import moves
from recurra.engine.graph import NotCompiled
from recurra.engine.lower import lower
from recurra.engine.memory import new_memory, own_memory
from recurra.engine.parameters import Parameters
from recurra.engine.plan import Program, make_plan
from recurra.engine.prepare import Prepare, panel_moves, panel_size
from recurra.engine.survey import weight_table
from recurra.engine.trace import trace_step
from recurra.native.compile import compiled
from recurra.native.crew import run_job
from recurra.native.machine import Machine, host

AHEAD = {"timed": 1, "before": 1, "after": 1}
"""How a buffer's place moves from step to step, in steps; the others stay."""


@contextmanager
def _no_collection() -> Iterator[None]:
    """Emitting makes many small objects that all stay; to look through them for garbage took most of its time."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


@dataclass(frozen=True)
class Ready:
    """A program that is compiled.

    Attributes:
        code: what was emitted.
        address: of the loop.
        prepare: lays the weights out.
        local: the number of each buffer.
        ahead: numbers and names of the buffers that move with time.
    """

    code: Code
    address: int
    prepare: Prepare
    local: dict[str, int]
    ahead: list[tuple[int, str]]


class Call:
    """A program with its weights prepared and its memory found, ready to run stretches of time.

    Args:
        ready: the program.
        memory: for its weights.
        sources: what it reads of the weights.
        buffers: memory by name.
        batch: sequences.
    """

    def __init__(self, ready: Ready, memory: Tensor, sources: Sequence[Tensor], buffers: dict[str, Tensor], batch: int):
        places = ready.prepare.run(sources, memory)
        self.address, self.batch, self.local, self.held = ready.address, batch, ready.local, (memory, buffers)
        self.starts = [places[name] if name in places else buffers[name].data_ptr() for name in ready.code.buffers]
        self.table = (ctypes.c_void_p * max(1, len(self.starts)))(*self.starts)
        self.ahead = [
            (number, buffers[name][0].numel() * ready.prepare.dtype.itemsize)
            for number, name in ready.ahead
            if buffers[name].dim() == 3
        ]

    def run(self, first: int, steps: int, reverse: bool, flags: Tensor | None, stretch: dict[str, Tensor]) -> None:
        """Run some steps.

        Args:
            first: the first step.
            steps: how many.
            reverse: whether time runs from its end.
            flags: (time, batch), 1 where a step is read, or None.
            stretch: memory that holds these steps alone, by name.
        """
        for number, size in self.ahead:
            self.table[number] = self.starts[number] + first * size
        for name, tensor in stretch.items():
            if name in self.local:
                self.table[self.local[name]] = tensor.data_ptr()
        read = 0 if flags is None else flags.data_ptr() + first * self.batch
        run_job(self.address, self.table, steps, self.batch, reverse, read)


class Kernel:
    """The compiled loop of one cell structure, in one number format.

    Args:
        cell: the cell; only its structure is kept.
        dtype: the number format.
        with_times: whether a step is given dt.
        hoist: whether products of the input are made before the loop, as is best for few sequences.
        machine: the processor that code is made for.

    Raises:
        NotCompiled: the step holds what the engine does not compile.
    """

    def __init__(
        self, cell: Cell, dtype: torch.dtype, with_times: bool, hoist: bool = True, machine: Machine | None = None
    ):
        self.machine = machine or host()
        if dtype not in (torch.float32, torch.float64):
            raise NotCompiled(f"numbers are {dtype}")
        self.dtype, self.double = dtype, dtype == torch.float64
        try:
            traced = trace_step(cell, dtype, with_times)
            lowered = lower(traced, hoist)
        except NotCompiled:
            # Once more, to say which line stands against it.
            traced = trace_step(cell, dtype, with_times, lines=True)
            lowered = lower(traced, hoist)
        self.states = traced.states
        self.widths = lowered.widths
        self.output_size = traced.output_size
        self.outside = lowered.outside
        self.plan = make_plan(lowered, traced.states, self.double)
        self.parameters = Parameters(self.outside, traced.batch, dtype, list(weight_table(cell).values()))
        self._ready: dict[tuple[str, bool, bool], Ready] = {}
        self._early: dict[tuple[str, ...], Any] = {}

    def ready(self, which: str, masked: bool, resets: bool) -> Ready:
        """A program, compiled on first use."""
        key = (which, masked, resets)
        if key not in self._ready:
            program = self.plan.program(which, masked)
            name = which + "_masked" * masked + "_reset" * resets
            with _no_collection():
                code = emit(
                    program,
                    self.machine,
                    double=self.double,
                    backward=which == "backward",
                    masked=masked,
                    resets=resets,
                    turning=self.turning(which, masked),
                    name=name,
                )
            ahead = [
                (number, buffer)
                for number, buffer in enumerate(code.buffers)
                if moves(buffer, code.turning) in AHEAD and not buffer.startswith("p")
            ]
            local = {buffer: number for number, buffer in enumerate(code.buffers)}
            prepare = self._prepare(program, code)
            self._ready[key] = Ready(code, compiled(code.text, self.machine, name), prepare, local, ahead)
        return self._ready[key]

    def _prepare(self, program: Program, code: Code) -> Prepare:
        """How a program's weights are laid out."""
        prepare, lanes = Prepare(self.dtype), self.machine.lanes(self.double)
        for groups, layouts in zip(program.stages, code.layouts, strict=True):
            for group, layout in zip(groups, layouts, strict=True):
                for panel in layout.panels:
                    product = program.nodes.products[panel.product]
                    place = prepare.room(panel.buffer, panel_size(panel, product.rows, layout, lanes))
                    (view,) = self.parameters.terms[product.weight]
                    prepare.moves += panel_moves(view, panel, layout, group.width, lanes, place)
        for name in code.buffers:
            if name.startswith("param"):
                views = self.parameters.terms[int(name[5:])]
                place = prepare.room(name, math.prod(views[0].sizes))
                for number, view in enumerate(views):
                    prepare.moves += [replace(move, adds=number > 0) for move in view.moves(place)]
        return prepare.finish()

    def turning(self, which: str, masked: bool) -> set[int]:
        """The numbers of the state's parts of which a program keeps the last only."""
        if which == "stream" or (which == "forward" and masked):
            return set(range(self.states))
        return set(range(self.states)) - {self.plan.output_from} if which == "forward" else set()

    def early(self, which: str, masked: bool, resets: bool) -> tuple[tuple[str, ...], Any]:
        """The names of the products that a program wants made before it, and a graph that gives their factors."""
        used = tuple(sorted(name for name in self.ready(which, masked, resets).code.buffers if name[0] == "e"))
        if used not in self._early:
            self._early[used] = self.outside.early(used)
        return used, self._early[used]

    def call(
        self,
        which: str,
        masked: bool,
        resets: bool,
        buffers: dict[str, Tensor],
        sources: Sequence[Tensor],
        batch: int,
    ) -> Call:
        """A program with its weights prepared, from `parameters.sources(weights)`."""
        program = self.plan.program(which, masked)
        scratch = {name: self.own(batch, program.buffers[name]) for name in program.scratch}
        ready = self.ready(which, masked, resets)
        return Call(ready, self.own(ready.prepare.size), sources, buffers | scratch, batch)

    def new(self, *shape: int) -> Tensor:
        """Memory for numbers that a caller may see."""
        return new_memory(*shape, dtype=self.dtype)

    def own(self, *shape: int) -> Tensor:
        """Memory for numbers that stay within the call and its gradient."""
        return own_memory(*shape, dtype=self.dtype)
