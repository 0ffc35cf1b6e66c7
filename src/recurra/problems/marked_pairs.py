"""Long sequences of numbers of which two are marked, and the adding problem in its first form."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import UsageError


def marked_pairs(
    steps: int, batch: int, low: float, neutral: float, generator: torch.Generator | None = None, where: str = ""
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sequences of numbers with two marks, early and in the first half, and return the marked numbers.

    Equations:
        length uniform in steps..steps + steps // 10; x_t = (v_t, m_t), v_t uniform in [low, 1);
        m = 1 at one of the first ten steps and at another of the first steps // 2 - 1 steps that are not yet marked,
        m = -1 at the first and the last step unless marked, else 0. Where the first step is marked, v_0 = neutral.

    Args:
        steps: least length, at least 22.
        batch: number of sequences.
        low: least number.
        neutral: the number at the first step where that is marked.
        generator: of random numbers; torch's own when absent.
        where: who asks, for the message.

    Shapes:
        x (steps + steps // 10, batch, 2), zero past a sequence's end; marked numbers (2, batch), lengths (batch,);
        float32 on the processor, lengths int64.

    Raises:
        UsageError: steps is below 22, which leaves no two places for the marks, or batch is negative.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780, experiments 4, 5.

    Example:
        >>> x, marked, lengths = marked_pairs(100, 3, -1.0, 0.0, torch.Generator().manual_seed(0))
        >>> x.shape, marked.shape, (x[..., 1] == 1).sum(0).tolist()
        (torch.Size([110, 3, 2]), torch.Size([2, 3]), [2, 2, 2])
    """
    if steps < 22 or batch < 0:
        raise UsageError(
            f"steps is {steps} and batch is {batch}",
            where=where or "marked_pairs",
            need="at least 22 steps, so that ten and more are in the first half, and a batch of 0 or more",
        )
    longest = steps + steps // 10
    lengths = torch.randint(steps, longest + 1, (batch,), generator=generator)
    values = low + (1.0 - low) * torch.rand(longest, batch, generator=generator)
    first = torch.randint(0, 10, (1, batch), generator=generator)
    second = torch.randint(0, steps // 2 - 1, (1, batch), generator=generator)
    second = second + (second >= first)
    marks = torch.zeros(longest, batch).scatter(0, lengths.unsqueeze(0) - 1, -1.0)
    marks[0] = -1.0
    marks = marks.scatter(0, first, 1.0).scatter(0, second, 1.0)
    values[0] = torch.where(marks[0] == 1.0, neutral, values[0])
    within = torch.arange(longest).unsqueeze(1) < lengths
    x = torch.stack([values, marks], dim=-1) * within.unsqueeze(-1)
    return x, torch.cat([values.gather(0, first), values.gather(0, second)]), lengths


def first_adding_problem(
    steps: int, batch: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The adding problem as it was first posed: numbers of both signs, two early marks, a target within [0, 1].

    Equations:
        x as in `marked_pairs` with low = -1 and neutral = 0; target = 0.5 + (X_1 + X_2) / 4.

    Args:
        steps: least length of a sequence.
        batch: number of sequences.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (steps + steps // 10, batch, 2), target (batch,), lengths (batch,). The target is for the last step.

    Raises:
        UsageError: steps is below 22 or batch is negative.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780, experiment 4.

    Example:
        >>> x, target, lengths = first_adding_problem(100, 4, torch.Generator().manual_seed(0))
        >>> bool(((x[..., 0] * (x[..., 1] == 1)).sum(0) / 4 + 0.5 - target).abs().max() < 1e-6)
        True
    """
    x, marked, lengths = marked_pairs(steps, batch, -1.0, 0.0, generator, "first_adding_problem")
    return x, 0.5 + marked.sum(0) / 4.0, lengths
