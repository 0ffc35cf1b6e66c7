"""Which kernel serves a cell: one for each structure, number format and processor, made on first use."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.engine.graph import NotCompiled
from recurra.engine.kernel import Kernel
from recurra.engine.trace import weight_table

_LOCK = threading.RLock()
_KERNELS: dict[Any, Kernel | str] = {}


def structure(cell: Cell) -> Any:
    """What a cell's step follows from, its weights' numbers apart: classes, settings and shapes of all its parts."""
    parts = []
    for name, part in cell.named_modules():
        # Classes that a parametrisation makes are made anew for each module; what counts is the one they come from.
        kind = type(part).__mro__[1] if hasattr(part, "parametrizations") else type(part)
        settings = tuple(
            (key, repr(value))
            for key, value in sorted(vars(part).items())
            if not key.startswith("_") and not isinstance(value, nn.Module | Tensor)
        )
        parts.append((name, kind, settings))
    shapes = tuple((name, tuple(w.shape), w.dtype) for name, w in weight_table(cell).items())
    return tuple(parts), shapes


FEW = 8
"""With fewer sequences than this for each thread, products of the input are made before the loop."""


def kernel_for(cell: Cell, dtype: torch.dtype, with_times: bool, batch: int = FEW) -> Kernel | str:
    """The kernel of a cell's structure, or the reason why there is none.

    Args:
        cell: the cell.
        dtype: the input's number format.
        with_times: whether steps are given dt.
        batch: the number of sequences.
    """
    hoist = batch < FEW * min(torch.get_num_threads(), batch)
    key = (structure(cell), dtype, with_times, hoist)
    with _LOCK:
        if key not in _KERNELS:
            try:
                with torch.no_grad():
                    _KERNELS[key] = Kernel(cell, dtype, with_times, hoist)
            except NotCompiled as reason:
                _KERNELS[key] = str(reason)
            except Exception as error:  # a step that cannot be traced may fail in any way of its own
                _KERNELS[key] = f"its step cannot be traced ({type(error).__name__}: {str(error).splitlines()[0]:.120})"
        return _KERNELS[key]
