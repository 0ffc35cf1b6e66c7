"""Associative recall: a list of items is read, then one of them, and the one that followed it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.problems.copying import Recall, check_counts, random_bits


def associative_recall(
    counts: Sequence[int], bits: int = 6, width: int = 3, generator: torch.Generator | None = None
) -> Recall:
    """Items of a few vectors of bits each, then one of them again, and the next item of the list to be said.

    Equations:
        an item is a mark, on a line of its own, and `width` random vectors; n items are read one after another; then
        the mark of the question, on another line, a copy of item q < n, and that mark again; at the `width` steps after
        it the vectors of item q + 1 are asked for while x is 0. q is drawn, all as likely.

    Args:
        counts: n of each sequence, 2 or more.
        bits: of a vector.
        width: vectors of an item.
        generator: of random numbers; torch's own when absent.

    Shapes:
        x (time, batch, bits + 2), the last two lines the marks of items and of the question; targets (time, batch,
        bits); lengths n (1 + width) + 2 + 2 width; float32.

    Returns:
        a `Recall`.

    Raises:
        UsageError: a count is below 2, a number below 1, or there is no count.

    Reference:
        A. Graves, G. Wayne, I. Danihelka. Neural Turing machines. arXiv:1410.5401 (2014), section 4.3.

    Example:
        >>> told = associative_recall([3], 6, 3, torch.Generator().manual_seed(0))
        >>> told.lengths.tolist(), [told.x[:, 0, line].nonzero().flatten().tolist() for line in (6, 7)]
        ([20], [[0, 4, 8], [12, 16]])
    """
    where = "associative_recall"
    check_counts(counts, bits, where)
    if min(counts) < 2 or width < 1:
        given = f"counts is {list(counts)!r:.60} and width is {width}"
        raise UsageError(given, where=where, need="2 items or more, of 1 vector or more")
    n = torch.tensor(list(counts))
    batch, item = len(n), 1 + width
    question = n * item
    lengths = question + 2 + 2 * width
    steps = torch.arange(int(lengths.max())).unsqueeze(1)
    asked_for = (torch.rand(batch, generator=generator) * (n - 1)).long()
    vectors = random_bits(int(n.max()) * width, batch, bits, generator)

    def item_vectors(index: Tensor, place: Tensor, there: Tensor) -> Tensor:
        """Vector number `place` of item number `index`, where it is there."""
        row = (index * width + place).clamp(0, len(vectors) - 1).expand(len(steps), batch)
        return vectors.gather(0, row.unsqueeze(-1).expand(-1, -1, bits)) * there.unsqueeze(-1)

    in_list, after = steps < question, steps - question
    listed = item_vectors(steps // item, steps % item - 1, in_list & (steps % item > 0))
    asking = item_vectors(asked_for, after - 1, (after > 0) & (after <= width))
    asked = (after > width + 1) & (steps < lengths)
    targets = item_vectors(asked_for + 1, after - width - 2, asked)
    marks = torch.stack([in_list & (steps % item == 0), (after == 0) | (after == width + 1)], -1).float()
    return Recall(torch.cat([listed + asking, marks], -1), targets, asked, lengths)
