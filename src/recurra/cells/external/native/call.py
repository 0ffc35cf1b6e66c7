"""Calls of a step that was written for this processor."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from recurra.cells.external.own_gradient import Tensors
from recurra.native.compile import compiled
from recurra.native.crew import run_job
from recurra.native.machine import Machine, host

NAME = "step"
"""Of every function."""


Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Step:
    """A step's code.

    Attributes:
        inputs, outputs: the arrays by name, and their shapes for each sequence as they stand in memory.
        turned: the names of those whose last two dimensions the cell has the other way round.
        kept: numbers that the gradient needs besides; the forward function's last array.
        room: numbers that the gradient needs while it is computed.
        forward: reads the inputs, writes the outputs and what is kept; in LLVM's language.
        backward: reads those and the outputs' gradients, writes the inputs' gradients; its last array is the room.
    """

    inputs: Shapes
    outputs: Shapes
    turned: frozenset[str]
    kept: int
    room: int
    forward: str
    backward: str


def sizes_of(shapes: Shapes) -> dict[str, int]:
    """How many numbers of each array belong to a sequence."""
    return {name: math.prod(shape) for name, shape in shapes.items()}


def arrays_of(inputs: Shapes, outputs: Shapes, kept: int, room: int) -> tuple[dict[str, int], dict[str, int]]:
    """The arrays of both functions in their order: `of_` are gradients that come, `back_` those that are given."""
    given, made = sizes_of(inputs), sizes_of(outputs)
    forward = {**given, **made, "kept": kept}
    gradients = {f"of_{name}": size for name, size in made.items()}
    return forward, {**forward, **gradients, **{f"back_{name}": size for name, size in given.items()}, "room": room}


def layout(**sizes: int) -> tuple[dict[str, int], int]:
    """Where parts of these sizes begin that stand one behind the other, and their length."""
    found, place = {}, 0
    for name, size in sizes.items():
        found[name] = place
        place += size
    return found, place


@dataclass(frozen=True)
class Ready:
    """A step that can be called.

    Attributes:
        step: what it reads and writes.
        forward, backward: the functions' addresses.
    """

    step: Step
    forward: int
    backward: int

    def _rows(self, shapes: Shapes, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Tensors as they stand in memory."""
        turned = self.step.turned
        pairs = zip(shapes, tensors, strict=True)
        return [(tensor.mT if name in turned else tensor).contiguous() for name, tensor in pairs]

    def _new(self, shapes: Shapes, like: Tensor) -> list[Tensor]:
        return [like.new_empty(like.shape[0], *shape) for shape in shapes.values()]

    def _seen(self, shapes: Shapes, arrays: Sequence[Tensor]) -> Tensors:
        """Arrays as the cell has them."""
        turned = self.step.turned
        return tuple(array.mT if name in turned else array for name, array in zip(shapes, arrays, strict=True))

    def compute(self, *inputs: Tensor) -> tuple[Tensors, Tensors]:
        """The outputs, and what the gradient needs."""
        step, like = self.step, inputs[0]
        made = self._new(step.outputs, like)
        kept = like.new_empty(like.shape[0], step.kept)
        _run(self.forward, [*self._rows(step.inputs, inputs), *made, kept])
        return self._seen(step.outputs, made), (kept,)

    def pull(self, inputs: Tensors, outputs: Tensors, kept: Tensors, gradients: Tensors) -> Tensors:
        """The inputs' gradients."""
        step, like = self.step, inputs[0]
        back = self._new(step.inputs, like)
        room = like.new_empty(like.shape[0], step.room)
        given = [*self._rows(step.inputs, inputs), *self._rows(step.outputs, outputs), *kept]
        _run(self.backward, [*given, *self._rows(step.outputs, gradients), *back, room])
        return self._seen(step.inputs, back)


def _run(address: int, arrays: Sequence[Tensor]) -> None:
    """Call a function for all sequences."""
    table: Any = (ctypes.c_void_p * len(arrays))(*[array.data_ptr() for array in arrays])
    run_job(address, table, 1, arrays[0].shape[0], False, 0)


Writer = Callable[[Any, int, Machine, bool], Step]


@functools.lru_cache(maxsize=64)
def ready(writer: Writer, told: Any, slots: int, double: bool) -> Ready:
    """A step made ready, once for each structure.

    Args:
        writer: writes the code.
        told: what the cell's own dataclass says of it.
        slots: of the memory.
        double: float64 instead of float32.
    """
    machine = host()
    step = writer(told, slots, machine, double)
    return Ready(step, *(compiled(text, machine, NAME) for text in (step.forward, step.backward)))
