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


def kernel_for(cell: Cell, projected: Any, with_times: bool) -> Kernel | str:
    """The kernel of a cell's structure, or the reason why there is none.

    Args:
        cell: the cell.
        projected: what `cell.project` gives for all steps, (time, batch, columns), or a tuple of such.
        with_times: whether steps are given dt.
    """
    parts = [projected] if isinstance(projected, Tensor) else list(projected)
    if not all(isinstance(part, Tensor) and part.dim() == 3 for part in parts):
        return "what `project` gives is not one row a step and sequence"
    key = (structure(cell), tuple((part.shape[-1], part.dtype) for part in parts), with_times)
    with _LOCK:
        if key not in _KERNELS:
            try:
                with torch.no_grad():
                    _KERNELS[key] = Kernel(cell, parts, with_times)
            except NotCompiled as reason:
                _KERNELS[key] = str(reason)
            except Exception as error:  # a step that cannot be traced may fail in any way of its own
                _KERNELS[key] = f"its step cannot be traced ({type(error).__name__}: {str(error).splitlines()[0]:.120})"
        return _KERNELS[key]
