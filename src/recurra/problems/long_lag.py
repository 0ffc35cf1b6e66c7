"""Long time lags: one early symbol must be known at the end, after hundreds of random others."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import UsageError


def long_lag(
    distractors: int, lag: int, batch: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sequences (b, x or y, distractors ..., e), after which the second symbol is asked for.

    Equations:
        b, then x or y with probability 1/2 each, then lag + k distractors drawn evenly, then e;
        P(k) = 0.1 * 0.9^k; class = 0 for x, 1 for y.

    The class is to be named at the step at which e is read, so an error must flow back over lag + 1 steps or more, and
    no shorter sequence is ever seen.

    Args:
        distractors: number of different random symbols (p in the paper).
        lag: least number of distractors in a sequence (q in the paper).
        batch: number of sequences.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (longest, batch, distractors + 4), one feature a symbol: the distractors, e, b, x, y; zero past a sequence's
        end; class (batch,), lengths (batch,) = lag + k + 3. x is float32, the others int64, on the processor.

    Raises:
        UsageError: distractors or lag is not positive, or batch is below 1.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780, experiment 2c.

    Example:
        >>> x, target, lengths = long_lag(50, 40, 3, torch.Generator().manual_seed(0))
        >>> x.shape[1:], bool((lengths >= 43).all()), x[1, :, 52:].argmax(-1).equal(target)
        (torch.Size([3, 54]), True, True)
    """
    if distractors < 1 or lag < 1 or batch < 1:
        raise UsageError(
            f"distractors is {distractors}, lag is {lag} and batch is {batch}",
            where="long_lag",
            need="positive numbers",
        )
    # The number of failures before the first success, by the inverse of its distribution function.
    drawn = torch.rand(batch, generator=generator, dtype=torch.float64)
    extra = (torch.log1p(-drawn) / torch.log(torch.tensor(0.9, dtype=torch.float64))).floor().long()
    lengths = lag + extra + 3
    longest = int(lengths.max())
    target = torch.randint(0, 2, (batch,), generator=generator)
    symbols = torch.randint(0, distractors, (longest, batch), generator=generator)
    symbols[0] = distractors + 1
    symbols[1] = distractors + 2 + target
    symbols = symbols.scatter(0, lengths.unsqueeze(0) - 1, distractors)
    x = torch.nn.functional.one_hot(symbols, distractors + 4).float()
    return x * (torch.arange(longest).unsqueeze(1) < lengths).unsqueeze(-1), target, lengths
