"""A cell's compiled loop: its plan, its code, and what one call needs."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.engine.compile import compiled
from recurra.engine.emit import Code, emit
from recurra.engine.graph import NotCompiled
from recurra.engine.lower import lower
from recurra.engine.machine import Machine, host
from recurra.engine.plan import Place, Program, make_plan
from recurra.engine.tiles import pack
from recurra.engine.trace import trace_step

_POOL: dict[int, ThreadPoolExecutor] = {}


def _pool(count: int) -> ThreadPoolExecutor:
    if count not in _POOL:
        _POOL[count] = ThreadPoolExecutor(count, thread_name_prefix="recurra")
    return _POOL[count]


class Kernel:
    """The compiled loop of one cell structure, in one number format.

    Args:
        cell: the cell; only its structure is kept.
        projected: what `cell.project` gives, its parts (time, batch, columns).
        with_times: whether a step is given dt.
        machine: the processor that code is made for.

    Raises:
        NotCompiled: the step holds what the engine does not compile.
    """

    def __init__(self, cell: Cell, projected: Sequence[Tensor], with_times: bool, machine: Machine | None = None):
        self.machine = machine or host()
        dtype = projected[0].dtype
        if dtype not in (torch.float32, torch.float64):
            raise NotCompiled(f"numbers are {dtype}")
        self.dtype, self.double = dtype, dtype == torch.float64
        traced = trace_step(cell, list(projected), with_times)
        lowered = lower(traced)
        self.projected, self.states = traced.projected, traced.states
        self.widths, self.batch = lowered.widths, traced.batch
        self.output_size = traced.output_size
        self.before, self.after = lowered.before, lowered.after
        self.plan = make_plan(lowered, traced.projected, traced.states)
        self.codes: dict[tuple[str, bool], tuple[Code, Any]] = {}

    def code(self, which: str, masked: bool) -> tuple[Code, Any]:
        """The code of a program, compiled on first use."""
        key = (which, masked)
        if key not in self.codes:
            program = getattr(self.plan, which)
            name = f"{which}_masked" if masked else which
            backward = which == "backward"
            code = emit(program, self.machine, double=self.double, backward=backward, masked=masked, name=name)
            self.codes[key] = (code, compiled(code, self.machine, name))
        return self.codes[key]

    def params(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """What nodes and products read of the weights, the same for all steps."""
        with torch.no_grad():
            found = [part.to(self.dtype) for part in self.before(*weights)]
            # What the trace wrote out for each of its sequences is one row.
            rows = [part[0] if part.dim() == 2 and part.shape[0] == self.batch else part for part in found]
            return [part.contiguous() for part in rows]

    def run(
        self,
        which: str,
        buffers: dict[str, Tensor],
        params: list[Tensor],
        size: tuple[int, int],
        reverse: bool,
        flags: Any,
    ) -> None:
        """Run a program over all steps."""
        steps, batch = size
        if not steps or not batch:
            return
        code, function = self.code(which, flags is not None)
        program: Program = getattr(self.plan, which)
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
                tensors[name] = params[int(name[5:])]
        pointers = (ctypes.c_void_p * len(code.buffers))(*(tensors[name].data_ptr() for name in code.buffers))
        table = ctypes.cast(pointers, ctypes.c_void_p)
        read = None if flags is None else flags.data_ptr()
        count = max(1, min(torch.get_num_threads(), batch))
        cuts = [batch * part // count for part in range(count + 1)]
        jobs = [
            (table, steps, batch, first, last, int(reverse), read) for first, last in zip(cuts, cuts[1:], strict=False)
        ]
        if count == 1:
            function(*jobs[0])
            return
        submit: Any = _pool(count - 1).submit
        waiting = [submit(function, *job) for job in jobs[1:]]
        function(*jobs[0])
        for job in waiting:
            job.result()

    def new(self, *shape: int) -> Tensor:
        """Memory for numbers."""
        return torch.empty(shape, dtype=self.dtype)


def sequence_of(place: Place, columns: int, buffers: dict[str, Tensor], reverse: bool) -> Tensor:
    """The rows of all steps that stand at a place, one below the other."""
    whole = buffers[place.buffer]
    if place.buffer[0] == "s":
        whole = whole[1:] if reverse else whole[:-1]
    return whole.reshape(-1, whole.shape[-1])[:, place.start : place.start + columns]
