"""Splitting labelled sequences into parts, each class in each part where that can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def split_sequences(label: np.ndarray, shares: Sequence[float], seed: int) -> list[np.ndarray]:
    """Split sequences at random within each class.

    Args:
        label: int64 (n,), classes counted from 0.
        shares: shares of the parts that are taken off (test, validation, say); what is left is the last part, which
            trains.
        seed: the same seed gives the same split.

    Returns:
        len(shares) + 1 sorted index arrays. The last part holds at least one sequence of every class; each part before
        it at least one where the class has enough (parts are served in their order), for a share above 0.

    Raises:
        ValueError: the shares are negative, or leave nothing.

    Example:
        >>> test, train = split_sequences(np.array([0, 0, 0, 0, 1, 1]), [0.25], seed=0)
        >>> len(test), len(train)
        (2, 4)
    """
    if min(shares, default=0.0) < 0.0 or sum(shares) >= 1.0:
        raise ValueError(f"shares must be at least 0 and leave something for the last part, not {list(shares)}")
    label = np.asarray(label)
    generator = np.random.default_rng(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    debts = np.zeros(len(shares))  # what rounding owes each part, carried from class to class
    for value in np.unique(label):
        members = generator.permutation(np.flatnonzero(label == value))
        start = 0
        for i, share in enumerate(shares):
            wanted = share * len(members)
            left = len(members) - start - 1  # one stays for the last part
            count = int(np.floor(wanted + debts[i] + 0.5)) if share else 0
            count = min(max(count, int(share > 0)), left)
            debts[i] += wanted - count
            parts[i].append(members[start : start + count])
            start += count
        parts[-1].append(members[start:])
    return [np.sort(np.concatenate(part)) if part else np.empty(0, dtype=np.int64) for part in parts]
