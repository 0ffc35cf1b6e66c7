"""Where signals count: lengths, masks and weights of many shapes brought to one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import in_transform
from recurra.errors import ShapeError, UsageError


def can_look() -> bool:
    """Whether numbers in tensors may be looked at: neither inside torch.func nor while a compiler traces."""
    return not in_transform() and not torch.compiler.is_compiling()


def check_start(start: Any, where: str) -> int | None:
    """The first step of a window, or None for whole sequences."""
    if start is None:
        return None
    if isinstance(start, bool) or not isinstance(start, int) or start < 0:
        raise UsageError(f"start is {start!r}", where=where, need="a whole number from 0, or None for whole sequences")
    return start


def check_counts(
    counts: Any,
    batch: int,
    most: int | None,
    device: torch.device,
    *,
    name: str,
    where: str,
    cure: str | None = None,
) -> Tensor:
    """Whole numbers (batch,), from 0 to `most` where that is known."""
    need = f"({batch},) whole numbers"
    try:
        counts = torch.as_tensor(counts)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"{name} is {counts!r:.60}", where=where, need=need) from error
    counts = counts if counts.numel() else counts.long()
    if counts.is_floating_point() or counts.is_complex() or counts.dtype == torch.bool:
        raise ShapeError(f"{name} is {counts.dtype}", where=where, need=need, cure=f"{name}.long()")
    if counts.shape != (batch,):
        raise ShapeError(f"{name} has shape {tuple(counts.shape)}", where=where, need=f"({batch},), that is (batch,)")
    if batch and can_look():
        low, high = (int(bound) for bound in torch.aminmax(counts))
        if low < 0 or (most is not None and high > most):
            upper = "" if most is None else f" to {most}"
            given = f"{name} holds {low if low < 0 else high}"
            need = f"whole numbers from 0{upper}"
            raise UsageError(given, where=where, need=need, cure=None if low < 0 else cure)
    return counts.to(device, torch.long)


def last_steps(lengths: Tensor | None, steps: int, batch: int, start: int | None, device: torch.device) -> Tensor:
    """The place of each sequence's last valid step in the window, (batch,); outside of it if the step is elsewhere."""
    if lengths is None:
        return torch.full((batch,), steps - 1, dtype=torch.long, device=device)
    return lengths - 1 - (start or 0)


def pick(x: Tensor, last: Tensor) -> Tensor:
    """x (time, batch, features) at one step of each sequence, (1, batch, features); anything where there is none."""
    if x.shape[0] == 0:
        return x.new_zeros(1, *x.shape[1:])
    index = last.clamp(0, x.shape[0] - 1).reshape(1, -1, 1)
    return x.gather(0, index.expand(1, x.shape[1], x.shape[2]))


def spread(value: Any, shape: tuple[int, int, int], *, in_time: bool, name: str, where: str, flags: bool) -> Tensor:
    """A mask or weights with three dimensions that broadcast to `shape` (time, batch, signals).

    Args:
        value: one number a sequence, (batch,); one a step, (time, batch), where the target has time; or one for each
            signal of those.
    """
    steps, batch, signals = shape
    leading = (steps, batch) if in_time else (batch,)
    words = "(time, batch)" if in_time else "(batch,)"
    first = steps if in_time else 1
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {
        (batch,): (1, batch, 1),
        leading: (first, batch, 1),
        (*leading, signals): (first, batch, signals),
    }
    kind = "booleans" if flags else "numbers"
    need = f"{kind} of one of the shapes " + ", ".join(map(str, shapes)) + f"; the longer ones begin with {words}"
    if not isinstance(value, Tensor) or tuple(value.shape) not in shapes:
        got = f"has shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"is {type(value).__name__}"
        raise ShapeError(f"{name} {got}", where=where, need=need)
    if flags != (value.dtype == torch.bool):
        cure = f"{name}.bool()" if flags else f"{name}.float()"
        raise ShapeError(f"{name} is {value.dtype}", where=where, need=need, cure=cure)
    return value.reshape(shapes[tuple(value.shape)])
