"""Edit distance between labellings, and the label error rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recurra.errors import ShapeError, UsageError


def edit_distance(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The fewest insertions, deletions and substitutions that turn one sequence into the other.

    Equations:
        d(i, j) = min(d(i-1, j) + 1, d(i, j-1) + 1, d(i-1, j-1) + [one_i is not other_j]), d(i, 0) = i, d(0, j) = j.

    Args:
        one, other: labels, or anything that can be a key of a dictionary; a text is a sequence of characters.

    Reference:
        V. I. Levenshtein. Binary codes capable of correcting deletions, insertions, and reversals. Soviet Physics
        Doklady 10 (1966) 707-710.

    Example:
        >>> edit_distance("kitten", "sitting"), edit_distance([], [1, 2])
        (3, 2)
    """
    numbers: dict[Any, int] = {}
    a = [numbers.setdefault(label, len(numbers)) for label in one]
    b = np.array([numbers.setdefault(label, len(numbers)) for label in other], dtype=np.int64)
    places = np.arange(len(b) + 1)
    row = places.copy()
    for label in a:
        best = np.concatenate([row[:1] + 1, np.minimum(row[1:] + 1, row[:-1] + (b != label))])
        # Insertions run along the row: d(j) = min over i <= j of best(i) + (j - i).
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])


def label_error_rate(decoded: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]]) -> float:
    """The edits that a set of decoded labellings needs, a label that was wanted.

    Equations:
        rate = sum of edit_distance(decoded_i, wanted_i) / sum of |wanted_i|; it may exceed 1.

    Args:
        decoded: what a decoder gave, one labelling a sequence.
        wanted: what should have been given, in the same order.

    Raises:
        ShapeError: the two hold different numbers of labellings.
        UsageError: no label is wanted at all, so that there is no rate.

    Differs from the paper: there the sequences' own rates are averaged; here long sequences count for more, as in most
    work since, and empty ones are allowed.

    Reference:
        A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber. Connectionist temporal classification: labelling unsegmented
        sequence data with recurrent neural networks. ICML (2006) 369-376.

    Example:
        >>> label_error_rate(["hallo", ""], ["hello", "you"])
        0.5
    """
    where = "label_error_rate"
    if len(decoded) != len(wanted):
        need = f"{len(wanted)}, as many as are wanted"
        raise ShapeError(f"decoded holds {len(decoded)} labellings", where=where, need=need)
    labels = sum(len(one) for one in wanted)
    if not labels:
        raise UsageError("wanted holds no label", where=where, need="at least one label")
    return sum(edit_distance(one, other) for one, other in zip(decoded, wanted, strict=True)) / labels
