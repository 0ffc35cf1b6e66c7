"""Memory for the loop's numbers, in large pages where the system has them, and kept for the next call."""

from __future__ import annotations

import ctypes
import functools
import math
import mmap
import os
import threading
from typing import Any

import torch
from torch import Tensor

LARGE = 1 << 22
"""From so many bytes on, large pages are asked for."""
PAGE = 1 << 21
ADVICE = 14  # MADV_HUGEPAGE
SMALL, STEP = 1 << 16, 1 << 16
"""Blocks of so many bytes or more are kept; their sizes are multiples of the second, and of a large page from there
on."""
SPARE = 1 << 28
"""So many bytes at most are kept for the next call."""


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
    if size >= LARGE:
        _large_pages(made.data_ptr(), size)
    return made


def _large_pages(address: int, size: int) -> None:
    """Ask for large pages, as far as memory covers whole ones."""
    start, stop = -(-address // PAGE) * PAGE, (address + size) // PAGE * PAGE
    advise = _advise()
    if advise is not None and stop > start:
        advise(start, stop - start, ADVICE)


def _block(size: int) -> mmap.mmap:
    """Memory of this process alone: Python's default would be shared with processes that are forked from it."""
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, size)


class Spare:
    """Blocks of memory that calls have given back, for the calls that follow.

    A training step wants the same large blocks each time. Given back to the system and asked for again they are filled
    with zeros each time, which took a tenth of a step.

    Args:
        limit: bytes that are kept at most; what is beyond that goes back to the system.
    """

    def __init__(self, limit: int):
        self.limit, self.held = limit, 0
        self.free: dict[int, list[mmap.mmap]] = {}
        self._kinds: dict[int, Any] = {}
        self._new_lock()
        if hasattr(os, "register_at_fork"):
            # Another thread may hold the lock while a process is forked, and is not there to let go of it.
            os.register_at_fork(after_in_child=self._new_lock)

    def _new_lock(self) -> None:
        self._lock = threading.RLock()  # giving back may happen in the midst of taking, when garbage is collected

    def take(self, size: int) -> Any:
        """A block of so many bytes, which comes back by itself when nothing refers to it any more."""
        step = PAGE if size >= LARGE else STEP
        whole = -(-size // step) * step
        with self._lock:
            block = self._pop(whole) if whole in self.free else None
            if whole not in self._kinds:
                self._kinds[whole] = self._kind(whole)
        if block is None:
            block = _block(whole + PAGE * (step == PAGE))
            if step == PAGE:
                _large_pages(ctypes.addressof(ctypes.c_char.from_buffer(block)), whole + PAGE)
        start = -ctypes.addressof(ctypes.c_char.from_buffer(block)) % step if step == PAGE else 0
        lease = self._kinds[whole].from_buffer(block, start)
        lease.block = block
        return lease

    def give(self, block: mmap.mmap, whole: int) -> None:
        """Take a block back; blocks of sizes that were not wanted for longest make room for it."""
        with self._lock:
            if whole > self.limit:
                return
            while self.held + whole > self.limit:
                self._pop(next(iter(self.free)))
            # Put last in the table, as the size that was wanted latest.
            blocks = self.free.pop(whole, [])
            blocks.append(block)
            self.free[whole] = blocks
            self.held += whole

    def _pop(self, whole: int) -> mmap.mmap:
        """One of the blocks of a size, of which there is one."""
        blocks = self.free[whole]
        block = blocks.pop()
        if not blocks:
            del self.free[whole]
        self.held -= whole
        return block

    def _kind(self, whole: int) -> Any:
        spare = self

        class Lease(ctypes.c_char * whole):  # type: ignore[misc]
            def __del__(self) -> None:
                spare.give(self.block, whole)

        return Lease


SPARES = Spare(SPARE)


def own_memory(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory for numbers that no caller ever sees, not filled."""
    count = math.prod(shape)
    if count * dtype.itemsize < SMALL:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(SPARES.take(count * dtype.itemsize), dtype=dtype, count=count).view(shape)
