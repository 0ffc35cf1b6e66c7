"""Languages that need counters: a^n b^n, which is context-free, and a^n b^n c^n, which is context-sensitive."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.errors import UsageError


def counting_strings(counts: Sequence[int], letters: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Strings of n times each of the first few letters, and at each step the symbols that may come next.

    Equations:
        the network reads S a^n b^n (c^n ...) symbol by symbol and after each says which symbols may follow: after S an
        a; after an a another a or a b; after a b, which fixes n, exactly one: b until there are n, then c, or the
        terminator T after the last letter; and so on.

    Args:
        counts: n of each string, 1 or more.
        letters: 2 for a^n b^n, 3 for a^n b^n c^n.

    Shapes:
        x (time, batch, letters + 1), one-hot: S first, then the letters. allowed (time, batch, letters + 1), 1 for each
        symbol that may follow: the letters first, then T; both 0 past a string's length, and float32. lengths (batch,),
        letters * n + 1.

    Returns:
        `(x, allowed, lengths)`.

    Raises:
        UsageError: a count is below 1, there is none, or letters is below 2.

    Reference:
        F. A. Gers, J. Schmidhuber. LSTM recurrent networks learn simple context-free and context-sensitive languages.
        IEEE Transactions on Neural Networks 12 (2001) 1333-1340.

    Example:
        >>> x, allowed, lengths = counting_strings([2])
        >>> x[:, 0].tolist()  # S a a b b
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
        >>> allowed[:, 0].tolist()  # a, a or b, a or b, b, T
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if not counts or min(counts) < 1 or letters < 2:
        raise UsageError(
            f"counts is {list(counts)!r:.60} and letters is {letters}",
            where="counting_strings",
            need="counts of 1 or more, at least one, and 2 letters or more",
        )
    n = torch.tensor(list(counts))
    lengths = letters * n + 1
    # Step t > 0 reads the t-th letter, which is number (t - 1) // n, and is followed by number t // n; `letters` is T.
    steps = torch.arange(int(lengths.max())).unsqueeze(1)
    read = torch.where(steps == 0, 0, (steps - 1) // n + 1)
    follow = steps // n
    symbols = torch.arange(letters + 1)
    within = (steps < lengths).unsqueeze(-1)
    x = (read.unsqueeze(-1) == symbols) & within
    open_end = ((steps > 0) & (steps <= n)).unsqueeze(-1) & (symbols < 2)
    allowed = ((follow.unsqueeze(-1) == symbols) | open_end) & within
    return x.float(), allowed.float(), lengths


def accepted(likely: Tensor, allowed: Tensor, lengths: Tensor) -> Tensor:
    """Which strings are accepted: those where at every step exactly the symbols that may follow were said to be likely.

    Args:
        likely: True for each symbol said to be possible.
        allowed, lengths: as `counting_strings` gives them.

    Shapes:
        likely and allowed (time, batch, symbols), lengths (batch,); the answer (batch,), booleans.

    Example:
        >>> _, allowed, lengths = counting_strings([1, 3], letters=3)
        >>> accepted(allowed > 0.5, allowed, lengths), accepted(allowed > 2, allowed, lengths)
        (tensor([True, True]), tensor([False, False]))
    """
    right = (likely == (allowed > 0.5)).all(-1)
    past = torch.arange(allowed.shape[0], device=lengths.device).unsqueeze(1) >= lengths
    return (right | past).all(0)
