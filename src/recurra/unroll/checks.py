"""Checks of what goes with a sequence: lengths and flags."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import in_transform
from recurra.errors import ShapeError, UsageError


def within_lengths(lengths: Tensor, steps: int) -> Tensor:
    """True at the steps before each sequence's length: (time, batch)."""
    return torch.arange(steps, device=lengths.device).unsqueeze(1) < lengths


def check_flags(flags: Any, x: Tensor, name: str, *, where: str) -> Tensor:
    """Check booleans (time, batch) for x (time, batch, features)."""
    need = f"{tuple(x.shape[:2])} of booleans, that is (time, batch)"
    if not isinstance(flags, Tensor) or flags.shape != x.shape[:2]:
        got = f"has shape {tuple(flags.shape)}" if isinstance(flags, Tensor) else f"is {type(flags).__name__}"
        raise ShapeError(f"{name} {got}", where=where, need=need)
    if flags.dtype != torch.bool:
        raise ShapeError(f"{name} is {flags.dtype}", where=where, need=need, cure=f"{name}.bool()")
    return flags.to(x.device)


def bounds_of(lengths: Tensor) -> tuple[int, int]:
    """The least and the largest of whole numbers; for a few on the processor, without torch's cost of a call."""
    if lengths.device.type == "cpu" and lengths.numel() <= 256:
        each = lengths.tolist()
        return min(each), max(each)
    low, high = torch.aminmax(lengths)
    return int(low), int(high)


def check_lengths(lengths: Any, x: Tensor, *, where: str) -> Tensor:
    """Check whole numbers (batch,) from 0 to the time of x (time, batch, features), and bring them beside x."""
    steps, batch = x.shape[:2]
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"lengths is {lengths!r:.60}", where=where, need=f"({batch},) whole numbers") from error
    lengths = lengths if lengths.numel() else lengths.long()
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise ShapeError(f"lengths is {lengths.dtype}", where=where, need="whole numbers", cure="lengths.long()")
    if lengths.shape != (batch,):
        raise ShapeError(f"lengths has shape {tuple(lengths.shape)}", where=where, need=f"({batch},), that is (batch,)")
    # Inside torch.func the numbers cannot be looked at; a length that is too long counts as `steps` there.
    if batch and not in_transform() and not torch.compiler.is_compiling():
        low, high = bounds_of(lengths)
        if low < 0 or high > steps:
            raise UsageError(
                f"lengths holds {low if low < 0 else high}",
                where=where,
                need=f"whole numbers from 0 to {steps}, the time steps of x",
            )
    return lengths.to(x.device, torch.long)
