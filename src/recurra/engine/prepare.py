"""A program's weights laid out as its loop reads them, anew at every call, by one compiled function."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.engine.strides import NESTED, Move, mover, table_of
from recurra.engine.tiles import Layout, Panel

LINE = 64
"""Bytes of a cache line: what the loop reads begins at one."""
ACROSS = 16
"""Where the source's rows lie across, so many are read at a time: as many as share a cache line."""


@dataclass(frozen=True)
class View:
    """A parameter as numbers of a tensor.

    Attributes:
        tensor: the tensor's number.
        start: its first number.
        sizes, strides: of the view.
    """

    tensor: int
    start: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    def columns(self, first: int, width: int) -> View | None:
        """Some of its numbers, counted as if they stood in one row; None where they do not stand at equal steps."""
        wide = [(size, stride) for size, stride in zip(self.sizes, self.strides, strict=True) if size > 1]
        step = wide[-1][1] if wide else 1
        for (_, outer), (size, inner) in zip(wide, wide[1:], strict=False):
            if outer != size * inner:
                return None
        return View(self.tensor, self.start + first * step, (width,), (step,))

    def moves(self, place: int) -> list[Move]:
        """Copy it, row by row, to a place."""
        writes: list[int] = []
        count = 1
        for size in reversed(self.sizes):
            writes.insert(0, count)
            count *= size
        return [Move(self.tensor, self.start, place, self.sizes, self.strides, tuple(writes))]


def view_of(part: Tensor, number: int, whole: Tensor) -> View | None:
    """A tensor as numbers of another, if it is."""
    if part.dim() > NESTED or not part.numel() or part.dtype != whole.dtype:
        return None
    if part.untyped_storage().data_ptr() != whole.untyped_storage().data_ptr():
        return None
    start = int(part.storage_offset() - whole.storage_offset())
    return View(number, start, tuple(part.shape), part.stride())


def panel_moves(view: View, panel: Panel, layout: Layout, width: int, lanes: int, place: int) -> list[Move]:
    """Lay a product's weights (rows, columns) out as the loop reads them: tile by tile, row by row, piece by piece."""
    rows, (down, along) = view.sizes[0], view.strides
    count, moves = len(panel.columns), []
    for tile in layout.tiles:
        span = tile.vectors * lanes
        line = count * span
        if tile.lanes < lanes:
            moves.append(Move(-1, 0, place, (rows * line,), (0,), (1,)))
        for number, column in enumerate(panel.columns):
            start = view.start + (column + tile.start) * along
            wide, to = min(span, width - tile.start), place + number * span
            if along == 1 or down != 1:
                sizes, reads, writes = (tile.count, rows, wide), (span * along, down, along), (rows * line, line, 1)
                moves.append(Move(view.tensor, start, to, sizes, reads, writes))
                continue
            for first, deep in ((0, rows - rows % ACROSS), (rows - rows % ACROSS, rows % ACROSS)):
                if deep:
                    at_once = min(deep, ACROSS)
                    moves.append(
                        Move(
                            view.tensor,
                            start + first * down,
                            to + first * line,
                            (tile.count, deep // at_once, wide, at_once),
                            (span * along, at_once * down, along, down),
                            (rows * line, at_once * line, 1, line),
                        )
                    )
        place += tile.count * rows * line
    return moves


def panel_size(panel: Panel, rows: int, layout: Layout, lanes: int) -> int:
    """Numbers of a panel."""
    return rows * len(panel.columns) * lanes * sum(tile.count * tile.vectors for tile in layout.tiles)


class Prepare:
    """Writes what a program reads of the weights into one piece of memory.

    Args:
        dtype: of all numbers.
    """

    def __init__(self, dtype: torch.dtype):
        self.dtype, self.size = dtype, 0
        self.places: dict[str, int] = {}
        self.moves: list[Move] = []

    def room(self, name: str, count: int) -> int:
        """Where a buffer of so many numbers begins."""
        line = LINE // self.dtype.itemsize
        self.places[name] = self.size
        self.size += -(-count // line) * line
        return self.places[name]

    def finish(self) -> Prepare:
        """No more is added."""
        self._table = table_of(self.moves)
        self._address, self._move = self._table.ctypes.data, mover(self.dtype == torch.float64)
        return self

    def run(self, sources: Sequence[Tensor], memory: Tensor) -> dict[str, int]:
        """Write, and return the buffers' addresses.

        Args:
            sources: the tensors by number, whole and of this number format.
            memory: `size` numbers.
        """
        start = memory.data_ptr()
        pointers: Any = (ctypes.c_void_p * len(sources))(*[each.data_ptr() for each in sources])
        self._move(self._address, len(self.moves), ctypes.addressof(pointers), start)
        step = self.dtype.itemsize
        return {name: start + place * step for name, place in self.places.items()}
