"""Memory for the loop's numbers, in large pages where the system has them."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

import torch
from torch import Tensor

LARGE = 1 << 22
"""From so many bytes on, large pages are asked for."""
PAGE = 1 << 21
ADVICE = 14  # MADV_HUGEPAGE


@functools.cache
def _advise() -> Any:
    try:
        function = ctypes.CDLL(None, use_errno=True).madvise
        function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        return function
    except (OSError, AttributeError):
        return None


def new_memory(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory for numbers, not filled.

    A first write to fresh memory costs the system a visit for each page; pages of 2 MB make that 512 times rarer.
    """
    made = torch.empty(shape, dtype=dtype)
    size = math.prod(shape) * made.element_size()
    if size >= LARGE and (advise := _advise()) is not None:
        start = -(-made.data_ptr() // PAGE) * PAGE
        stop = (made.data_ptr() + size) // PAGE * PAGE
        if stop > start:
            advise(start, stop - start, ADVICE)
    return made
