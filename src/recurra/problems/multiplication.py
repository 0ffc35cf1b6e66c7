"""The multiplication problem: the product of two marked numbers among many others."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.problems.marked_pairs import marked_pairs


def multiplication_problem(
    steps: int, batch: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sequences in which two steps are marked, and the products of the two marked numbers.

    Equations:
        x as in `marked_pairs` with low = 0 and neutral = 1; target = X_1 X_2.

    Args:
        steps: least length of a sequence.
        batch: number of sequences.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (steps + steps // 10, batch, 2), target (batch,), lengths (batch,). The target is for the last step.

    Raises:
        UsageError: steps is below 22 or batch is negative.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780, experiment 5.

    Example:
        >>> x, target, lengths = multiplication_problem(100, 4, torch.Generator().manual_seed(0))
        >>> x.shape, bool((target >= 0).all() and (target <= 1).all())
        (torch.Size([110, 4, 2]), True)
    """
    x, marked, lengths = marked_pairs(steps, batch, 0.0, 1.0, generator, "multiplication_problem")
    return x, marked.prod(0), lengths
