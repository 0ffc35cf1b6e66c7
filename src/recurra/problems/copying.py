"""The copy problem and the repeat copy problem: a sequence of bits is read, and written again from memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.errors import UsageError


class Recall(NamedTuple):
    """Sequences that are read first and asked for afterwards.

    Attributes:
        x: what is read, (time, batch, features).
        targets: what is asked for, (time, batch, bits); 0 where nothing is.
        asked: at which steps something is asked for, (time, batch), booleans.
        lengths: steps of each sequence, (batch,).
    """

    x: Tensor
    targets: Tensor
    asked: Tensor
    lengths: Tensor


def copy_problem(counts: Sequence[int], bits: int = 8, generator: torch.Generator | None = None) -> Recall:
    """Random vectors of bits, a mark, and then the same vectors to be said without any input.

    Equations:
        for a sequence of n vectors: steps 0 ... n - 1 read a vector each, step n reads the mark, which stands on a line
        of its own, and at steps n + 1 ... 2 n the vectors are asked for in their order while x is 0.

    Args:
        counts: n of each sequence, 1 or more.
        bits: of a vector.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (time, batch, bits + 1), the mark last; targets (time, batch, bits); lengths 2 n + 1; float32.

    Returns:
        a `Recall`.

    Raises:
        UsageError: a count or bits is below 1, or there is no count.

    Reference:
        A. Graves, G. Wayne, I. Danihelka. Neural Turing machines. arXiv:1410.5401 (2014), section 4.1.

    Example:
        >>> told = copy_problem([2, 1], 3, torch.Generator().manual_seed(0))
        >>> told.x[:, 0, 3].tolist(), told.asked[:, 0].tolist(), told.lengths.tolist()
        ([0.0, 0.0, 1.0, 0.0, 0.0], [False, False, False, True, True], [5, 3])
        >>> torch.equal(told.targets[3:, 0], told.x[:2, 0, :3])
        True
    """
    check_counts(counts, bits, "copy_problem")
    n = torch.tensor(list(counts))
    steps = torch.arange(2 * int(n.max()) + 1).unsqueeze(1)
    drawn = random_bits(int(n.max()), len(n), bits, generator)
    vectors = torch.cat([drawn, torch.zeros(len(steps) - len(drawn), len(n), bits)])
    vectors = vectors * (steps < n).unsqueeze(-1)
    asked = (steps > n) & (steps <= 2 * n)
    targets = said_again(vectors, steps - n - 1, asked)
    return Recall(torch.cat([vectors, (steps == n).unsqueeze(-1).float()], -1), targets, asked, 2 * n + 1)


def repeat_copy_problem(
    counts: Sequence[int],
    repeats: Sequence[int],
    bits: int = 8,
    mean: float = 5.5,
    deviation: float = 2.872281323269014,
    generator: torch.Generator | None = None,
) -> Recall:
    """Random vectors of bits, how often they are to be said, and then the vectors to be said that often, and an end.

    Equations:
        for n vectors and m repeats: steps 0 ... n - 1 read a vector each; step n reads, on lines of their own, a mark
        and (m - mean) / deviation; at steps n + 1 ... n + n m the vectors are asked for m times, and at the step after
        that the end, which has a line of its own.

    Args:
        counts: n of each sequence, 1 or more.
        repeats: m of each sequence, 1 or more.
        bits: of a vector.
        mean, deviation: by which the number of repeats is scaled; those of numbers from 1 to 10, all as likely.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (time, batch, bits + 2), the last two lines the mark and the scaled number; targets (time, batch, bits + 1),
        the end last; lengths n + 1 + n m + 1; float32.

    Returns:
        a `Recall`.

    Raises:
        UsageError: a number is below 1, there is none, or there are not as many repeats as counts.

    Differs from the paper: the mark stands beside the number, which may be 0 after scaling.

    Reference:
        A. Graves, G. Wayne, I. Danihelka. Neural Turing machines. arXiv:1410.5401 (2014), section 4.2.

    Example:
        >>> told = repeat_copy_problem([2], [3], 4, generator=torch.Generator().manual_seed(0))
        >>> told.lengths.tolist(), told.targets[:, 0, -1].tolist()
        ([10], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
        >>> torch.equal(told.targets[3:9, 0, :4], told.x[:2, 0, :4].repeat(3, 1))
        True
    """
    check_counts(counts, bits, "repeat_copy_problem")
    if len(repeats) != len(counts) or min(repeats) < 1:
        given = f"repeats is {list(repeats)!r:.60}"
        raise UsageError(given, where="repeat_copy_problem", need=f"{len(counts)} numbers of 1 or more, one a count")
    n, m = torch.tensor(list(counts)), torch.tensor(list(repeats))
    lengths = n + n * m + 2
    steps = torch.arange(int(lengths.max())).unsqueeze(1)
    drawn = random_bits(int(n.max()), len(n), bits, generator)
    vectors = torch.cat([drawn, torch.zeros(len(steps) - len(drawn), len(n), bits)])
    vectors = vectors * (steps < n).unsqueeze(-1)
    mark = (steps == n).float()
    asked = (steps > n) & (steps < lengths)
    copies = asked & (steps < lengths - 1)
    targets = said_again(vectors, (steps - n - 1) % n, copies)
    ends = (steps == lengths - 1).unsqueeze(-1).float()
    x = torch.cat([vectors, mark.unsqueeze(-1), (mark * (m - mean) / deviation).unsqueeze(-1)], -1)
    return Recall(x, torch.cat([targets, ends], -1), asked, lengths)


def random_bits(steps: int, batch: int, bits: int, generator: torch.Generator | None) -> Tensor:
    """Zeros and ones, (steps, batch, bits)."""
    return torch.randint(0, 2, (steps, batch, bits), generator=generator).float()


def said_again(vectors: Tensor, source: Tensor, asked: Tensor) -> Tensor:
    """At each step that is asked the vector of step `source`, else 0."""
    source = source.clamp(0, len(vectors) - 1).unsqueeze(-1).expand(-1, -1, vectors.shape[-1])
    return vectors.gather(0, source) * asked.unsqueeze(-1)


def wrong_bits(said: Tensor, told: Recall) -> Tensor:
    """The number of wrong bits of each sequence, (batch,); a bit is said by a logit above 0.

    Example:
        >>> told = copy_problem([3, 1], 4)
        >>> wrong_bits(2 * told.targets - 1, told).tolist(), wrong_bits(1 - 2 * told.targets, told).tolist()
        ([0, 0], [12, 4])
    """
    return (((said > 0) != (told.targets > 0.5)) & told.asked.unsqueeze(-1)).sum((0, 2))


def recall_loss(said: Tensor, told: Recall) -> Tensor:
    """The mean cross-entropy of the bits that are asked for, said as logits, in nats a bit.

    Example:
        >>> told = copy_problem([3, 1], 4)
        >>> recall_loss(torch.zeros_like(told.targets), told)
        tensor(0.6931)
    """
    each = torch.nn.functional.binary_cross_entropy_with_logits(said, told.targets, reduction="none")
    return (each * told.asked.unsqueeze(-1)).sum() / (told.asked.sum() * told.targets.shape[-1])


def check_counts(counts: Sequence[int], bits: int, where: str) -> None:
    """Refuse an empty list and numbers below 1."""
    if not counts or min(counts) < 1 or bits < 1:
        given = f"counts is {list(counts)!r:.60} and bits is {bits}"
        raise UsageError(given, where=where, need="counts of 1 or more, at least one, and 1 bit or more")
