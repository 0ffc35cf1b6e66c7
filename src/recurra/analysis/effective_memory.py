"""Effective memory: how many of the last steps are enough for what a network gives at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.systems import CellMap
from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.unroll import check_lengths, unroll

ROWS = 4096
"""Sequences that run at a time."""


@dataclass(frozen=True)
class EffectiveMemory:
    """The error of a network that begins anew shortly before the end.

    Attributes:
        lags: numbers of last steps that are read, rising.
        error: the relative error of the last output for each.
        steps: the least number of steps among `lags` from which on the error stays within the tolerance; None where
            that is so of no number that leaves out a step.
        tolerance: the largest error that counts as the same.
    """

    lags: list[int]
    error: list[float]
    steps: int | None
    tolerance: float

    @property
    def text(self) -> str:
        """One plain sentence."""
        if self.steps is None:
            return f"No part of the sequences gives the last output to {100 * self.tolerance:.0f} %: all steps count."
        steps = "step is" if self.steps == 1 else f"{self.steps} steps are"
        return f"The last {steps} enough for the last output to {100 * self.tolerance:.0f} %."

    def draw(self, axes: Any) -> None:
        """Draw error against steps on matplotlib's axes."""
        axes.plot(self.lags, self.error, "o-", markersize=3)
        axes.axhline(self.tolerance, linewidth=0.8, color="grey")
        axes.set_xlabel("last steps read")
        axes.set_ylabel("relative error of the last output")


def effective_memory(
    cell: Cell, x: Tensor, lengths: Any = None, tolerance: float = 0.05, count: int = 40
) -> EffectiveMemory:
    """Measure how many of a sequence's last steps are enough for the last output.

    Equations:
        error(k) = sqrt( sum over sequences of |y_T - y_T(k)|^2 / sum of |y_T|^2 ),
        y_T(k) the output at the last step T of a cell that begins in its initial state k steps before the end.

    A network whose state forgets its beginning (a stable one) can be cut so without loss; one that has learned to
    carry something from the first step cannot.

    Args:
        cell: any cell; it is copied.
        x: sequences.
        lengths: the steps of each; all when absent. A sequence shorter than k steps is read whole.
        tolerance: the largest relative error that counts as the same.
        count: about how many numbers k are tried: all small ones, then ever fewer.

    Shapes:
        x (time, batch, input_size).

    Raises:
        UsageError: x holds no step, or the tolerance is not between 0 and 1.

    Reference:
        J. Miller, M. Hardt. Stable recurrent models. ICLR (2019), on models cut to their last k steps.

    Example:
        >>> import torch
        >>> from recurra.cells import IndRNN
        >>> cell = IndRNN(1, 1)
        >>> for weight, value in zip(cell.parameters(), (1.0, 0.5, 0.0), strict=True):
        ...     _ = weight.data.fill_(value)
        >>> found = effective_memory(cell, torch.ones(20, 1, 1))
        >>> [round(error, 3) for error in found.error[:3]], found.steps  # 0.5^k of the sum is lost
        ([0.5, 0.25, 0.125], 5)
    """
    where = "effective_memory"
    if not 0 < tolerance < 1:
        raise UsageError(f"tolerance is {tolerance!r}", where=where, need="a number between 0 and 1")
    step = CellMap(cell)
    x = step.check_x(x, ("time", "batch"), where)
    sizes = torch.full((x.shape[1],), len(x)) if lengths is None else check_lengths(lengths, x, where=where).cpu()
    x, sizes = x[:, sizes > 0], sizes[sizes > 0]
    if not len(sizes):
        raise UsageError("x holds no step", where=where, need="at least one sequence with at least one step")
    longest = int(sizes.max())
    lags = sorted({round(longest ** (k / count)) for k in range(count + 1)} | set(range(1, min(longest, 8) + 1)))
    whole = _last(step.cell, x, sizes, longest)
    size = float(whole.square().sum())
    error = []
    for lag in lags:
        lost = float((_last(step.cell, x, sizes, lag) - whole).square().sum())
        error.append((lost / size) ** 0.5 if size > 0 else 0.0)
    steps = None
    for lag, value in zip(reversed(lags), reversed(error), strict=True):
        if value > tolerance:
            break
        steps = lag
    return EffectiveMemory(lags, error, None if steps == longest else steps, tolerance)


def _last(cell: Cell, x: Tensor, sizes: Tensor, lag: int) -> Tensor:
    """The outputs at the last steps of sequences of which only the last `lag` steps are read."""
    found = []
    with torch.no_grad():
        for some, length in zip(x.split(ROWS, 1), sizes.split(ROWS), strict=True):
            kept = length.clamp(max=lag)
            place = (length - kept) + torch.arange(int(kept.max())).unsqueeze(1)
            cut = some.gather(0, place.clamp(max=len(some) - 1).unsqueeze(-1).expand(-1, -1, some.shape[-1]))
            y, _ = unroll(cell, cut, lengths=kept)
            found.append(y[kept - 1, torch.arange(len(kept))])
    return torch.cat(found)
