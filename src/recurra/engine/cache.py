"""Which kernel serves a cell: one for each structure, number format and processor, made on first use."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.engine.graph import NotCompiled
from recurra.engine.kernel import Kernel
from recurra.engine.survey import survey

_LOCK = threading.RLock()
_KERNELS: dict[Any, Kernel | str] = {}


FEW = 8
"""With fewer sequences than this for each thread, products of the input are made before the loop."""


@dataclass(frozen=True)
class Loop:
    """A compiled loop and the weights that it is to be run with.

    Attributes:
        kernel: the loop.
        weights: a cell's, as they are now.
    """

    kernel: Kernel
    weights: tuple[Tensor, ...]


def loop_for(cell: Cell, dtype: torch.dtype, with_times: bool, batch: int) -> Loop | str:
    """A cell's loop, or the reason why there is none; arguments as in `kernel_for`."""
    key, weights = survey(cell)
    kernel = _kernel(key, cell, dtype, with_times, batch)
    return kernel if isinstance(kernel, str) else Loop(kernel, tuple(weights.values()))


def kernel_for(cell: Cell, dtype: torch.dtype, with_times: bool, batch: int = FEW) -> Kernel | str:
    """The kernel of a cell's structure, or the reason why there is none.

    Args:
        cell: the cell.
        dtype: the input's number format.
        with_times: whether steps are given dt.
        batch: the number of sequences.
    """
    return _kernel(survey(cell)[0], cell, dtype, with_times, batch)


def _kernel(structure: Any, cell: Cell, dtype: torch.dtype, with_times: bool, batch: int) -> Kernel | str:
    hoist = batch < FEW * min(torch.get_num_threads(), batch)
    key = (structure, dtype, with_times, hoist)
    found = _KERNELS.get(key)
    if found is not None:
        return found
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
