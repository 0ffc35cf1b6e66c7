"""A cell's compiled loop: its plan, its code, and what one call needs."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.engine.compile import compiled
from recurra.engine.crew import run_job
from recurra.engine.emit import Code, emit
from recurra.engine.frame import moves
from recurra.engine.graph import NotCompiled
from recurra.engine.lower import lower
from recurra.engine.machine import Machine, host
from recurra.engine.memory import new_memory
from recurra.engine.outside import Added
from recurra.engine.plan import make_plan
from recurra.engine.tiles import pack
from recurra.engine.trace import trace_step

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


class Call:
    """A program with its weights packed and its memory found, ready to run stretches of time.

    Args:
        code: the emitted code.
        address: of the loop.
        buffers: memory by name.
        batch: sequences.
    """

    def __init__(self, code: Code, address: int, buffers: dict[str, Tensor], batch: int):
        self.address, self.batch = address, batch
        self.held = [buffers[name] for name in code.buffers]
        self.starts = [tensor.data_ptr() for tensor in self.held]
        self.table = (ctypes.c_void_p * max(1, len(self.starts)))(*self.starts)
        self.ahead = [
            (number, tensor[0].numel() * tensor.element_size())
            for number, (name, tensor) in enumerate(zip(code.buffers, self.held, strict=True))
            if moves(name, code.turning) in AHEAD and not name.startswith("p") and tensor.dim() == 3
        ]
        self.local = {name: number for number, name in enumerate(code.buffers)}

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
        self.states, self.batch = traced.states, traced.batch
        self.widths = lowered.widths
        self.output_size = traced.output_size
        self.outside = lowered.outside
        self.plan = make_plan(lowered, traced.states, self.double)
        self.before = self.outside.before()
        self.codes: dict[tuple[str, bool, bool], tuple[Code, int]] = {}
        self._early: dict[tuple[str, ...], Any] = {}

    def code(self, which: str, masked: bool, resets: bool) -> tuple[Code, int]:
        """The code of a program, compiled on first use, and its address."""
        key = (which, masked, resets)
        if key not in self.codes:
            program = self.plan.program(which, masked)
            name = which + "_masked" * masked + "_reset" * resets
            backward = which == "backward"
            with _no_collection():
                code = emit(
                    program,
                    self.machine,
                    double=self.double,
                    backward=backward,
                    masked=masked,
                    resets=resets,
                    turning=self.turning(which, masked),
                    name=name,
                )
            self.codes[key] = (code, compiled(code, self.machine, name))
        return self.codes[key]

    def turning(self, which: str, masked: bool) -> set[int]:
        """The numbers of the state's parts of which a program keeps the last only."""
        if which == "stream" or (which == "forward" and masked):
            return set(range(self.states))
        return set(range(self.states)) - {self.plan.output_from} if which == "forward" else set()

    def early(self, which: str, masked: bool, resets: bool) -> tuple[tuple[str, ...], Any]:
        """The names of the products that a program wants made before it, and a graph that gives their factors."""
        used = tuple(sorted(name for name in self.code(which, masked, resets)[0].buffers if name[0] == "e"))
        if used not in self._early:
            self._early[used] = self.outside.early(used)
        return used, self._early[used]

    def params(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """What nodes and products read of the weights, the same for all steps."""
        found: list[Tensor] = []
        with torch.no_grad():
            for part, origin in zip(self.before(*weights), self.outside.params, strict=True):
                if isinstance(origin, Added):
                    terms = [found[number].reshape(-1)[a : a + origin.width] for number, a in origin.terms]
                    part = sum(terms[1:], start=terms[0])
                elif part is None:
                    assert isinstance(origin, Tensor)
                    part = origin
                elif part.dim() and part.shape[0] == self.batch:
                    # What the trace wrote out for each of its sequences is one row.
                    part = part[0]
                found.append(part.to(self.dtype))
        return found

    def call(
        self,
        which: str,
        masked: bool,
        resets: bool,
        buffers: dict[str, Tensor],
        params: list[Tensor],
        batch: int,
    ) -> Call:
        """A program with its weights packed."""
        program = self.plan.program(which, masked)
        code, address = self.code(which, masked, resets)
        tensors = dict(buffers)
        lanes = self.machine.lanes(self.double)
        for groups, layouts in zip(program.stages, code.layouts, strict=True):
            for group, layout in zip(groups, layouts, strict=True):
                for panel in layout.panels:
                    weight = params[program.nodes.products[panel.product].weight]
                    tensors[panel.buffer] = pack(weight, panel, layout, group.width, lanes)
        for name in program.scratch:
            tensors[name] = self.new(batch, program.buffers[name])
        for name in code.buffers:
            if name.startswith("param"):
                tensors[name] = params[int(name[5:])].contiguous()
        return Call(code, address, tensors, batch)

    def new(self, *shape: int) -> Tensor:
        """Memory for numbers."""
        return new_memory(*shape, dtype=self.dtype)
