"""The temporal order problem: which of X and Y came first, with many other symbols between."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import UsageError

SYMBOLS = "abcdEBXY"
"""The eight symbols, in the order of the features."""

_PLACES = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}


def temporal_order(
    relevant: int, batch: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sequences with two or three symbols X or Y at unknown places, whose order is the class.

    Equations:
        length uniform in 100..110; E first, B last, X or Y (each with probability 1/2) at one place drawn from each of
        10..20 and 50..60, or of 10..20, 33..43 and 66..76; elsewhere a, b, c or d. Places count from 0.
        class = sum over j of 2^(relevant - 1 - j) [the j-th relevant symbol is Y].

    Args:
        relevant: number of X and Y, 2 or 3.
        batch: number of sequences.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (110, batch, 8), one feature a symbol in the order of `SYMBOLS`, zero past a sequence's end; class (batch,)
        from 0 to 2^relevant - 1, lengths (batch,). x is float32, the others int64, on the processor.

    Raises:
        UsageError: relevant is not 2 or 3, or batch is negative.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780, experiment 6.

    Example:
        >>> x, target, lengths = temporal_order(2, 5, torch.Generator().manual_seed(0))
        >>> x.shape, x[..., 6:].sum((0, 2)).tolist(), bool((target < 4).all())
        (torch.Size([110, 5, 8]), [2.0, 2.0, 2.0, 2.0, 2.0], True)
    """
    if relevant not in _PLACES or batch < 0:
        raise UsageError(
            f"relevant is {relevant!r} and batch is {batch}",
            where="temporal_order",
            need="2 or 3 relevant symbols and a batch of 0 or more",
        )
    lengths = torch.randint(100, 111, (batch,), generator=generator)
    symbols = torch.randint(0, 4, (110, batch), generator=generator)
    symbols[0] = SYMBOLS.index("E")
    symbols = symbols.scatter(0, lengths.unsqueeze(0) - 1, SYMBOLS.index("B"))
    target = torch.zeros(batch, dtype=torch.int64)
    for low, high in _PLACES[relevant]:
        place = torch.randint(low, high + 1, (1, batch), generator=generator)
        y = torch.randint(0, 2, (1, batch), generator=generator)
        symbols = symbols.scatter(0, place, SYMBOLS.index("X") + y)
        target = 2 * target + y[0]
    x = torch.nn.functional.one_hot(symbols, len(SYMBOLS)).float()
    return x * (torch.arange(110).unsqueeze(1) < lengths).unsqueeze(-1), target, lengths
