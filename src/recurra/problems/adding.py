"""The adding problem: two marked numbers far apart in a long sequence of random ones."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import UsageError

MEAN_PREDICTOR = 1.0 / 6.0
"""Mean squared error of always answering 1: the variance of the sum of two independent uniform numbers."""


def adding_problem(steps: int, batch: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw sequences in which two steps are marked, and the sums of the two marked numbers.

    Equations:
        x_t = (v_t, m_t), v_t uniform in [0, 1); m_t = 1 at one step of the first half and one of the second, else 0;
        target = sum over t of m_t v_t.

    Args:
        steps: length of each sequence; the first half has steps // 2.
        batch: number of sequences.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (steps, batch, 2), target (batch,); float32 on the processor.

    Raises:
        UsageError: steps is below 2 or batch is negative.

    Differs from the paper: the first paper draws v from [-1, 1], marks two steps of the first half, and scales the
    target; this is the form in use since Le et al. (2015), with one mark a half.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780, experiment 4.
        Q. V. Le, N. Jaitly, G. E. Hinton. A simple way to initialize recurrent networks of rectified linear units.
        arXiv:1504.00941 (2015).

    Example:
        >>> x, target = adding_problem(20, 3, torch.Generator().manual_seed(0))
        >>> x.shape, target.shape, x[:10, :, 1].sum(0).tolist(), x[10:, :, 1].sum(0).tolist()
        (torch.Size([20, 3, 2]), torch.Size([3]), [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    """
    if steps < 2 or batch < 0:
        raise UsageError(
            f"steps is {steps} and batch is {batch}", where="adding_problem", need="at least 2 steps, one for each mark"
        )
    values = torch.rand(steps, batch, generator=generator)
    early = torch.randint(0, steps // 2, (1, batch), generator=generator)
    late = torch.randint(steps // 2, steps, (1, batch), generator=generator)
    marks = torch.zeros(steps, batch).scatter(0, early, 1.0).scatter(0, late, 1.0)
    return torch.stack([values, marks], dim=-1), (values * marks).sum(0)
