"""Whether a machine's step is compiled, and where it is found."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import in_transform

LEAST = 2048
"""Numbers in the memories of a batch from which on a step is compiled: with fewer, the code would seldom pay."""
COMPILED_PART = f"reading and writing are compiled, from {LEAST:,} numbers of memory in a batch on"
"""What `explain` says."""


def worth_compiling(inputs: Sequence[Tensor], memory: Tensor) -> bool:
    """Whether a step is to be compiled: by where its tensors are and by their sizes alone."""
    if in_transform() or torch.compiler.is_compiling():
        return False
    if memory.device.type != "cpu" or memory.dtype not in (torch.float32, torch.float64):
        return False
    return memory.numel() >= LEAST and all(each.dtype == memory.dtype for each in inputs)


def compiled_step(kind: str, told: Any, memory: Tensor) -> tuple[Any, Any]:
    """A step's two functions, as `own_gradient` takes them.

    Args:
        kind: the file that writes the code.
        told: what it is told of the cell.
        memory: (batch, slots, width).
    """
    # Only what is compiled needs the compiler.
    room = "recurra.cells.external.native"
    made = import_module(f"{room}.call").ready(
        import_module(f"{room}.{kind}").step, told, memory.shape[-2], memory.dtype == torch.float64
    )
    return made.compute, made.pull
