"""CTC by enumeration: every path of a few steps, its labelling and its probability, in float64."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def collapse(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """Repeated classes merged, then blanks taken out."""
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def softmax(scores: Array) -> Array:
    found = np.exp(scores - scores.max(-1, keepdims=True))
    return found / found.sum(-1, keepdims=True)


def every_path(scores: Array, blank: int) -> dict[tuple[int, ...], list[tuple[tuple[int, ...], float]]]:
    """Paths and their probabilities by labelling, for scores (steps, classes) before the softmax."""
    steps, classes = scores.shape
    probs = softmax(scores) if steps else scores
    found = defaultdict(list)
    for path in itertools.product(range(classes), repeat=steps):
        found[collapse(path, blank)].append((path, float(np.prod([probs[t, k] for t, k in enumerate(path)]))))
    return dict(found)


def every_labelling(scores: Array, blank: int) -> dict[tuple[int, ...], float]:
    """The probability of each labelling that has a path."""
    return {labels: sum(p for _, p in paths) for labels, paths in every_path(scores, blank).items()}


def loss_and_gradient(scores: Array, labels: tuple[int, ...], blank: int) -> tuple[float, Array]:
    """-log p and its gradient: the softmax less the share of each class among the labelling's paths."""
    paths = every_path(scores, blank).get(labels, [])
    total = sum(p for _, p in paths)
    if not total:
        return np.inf, np.zeros_like(scores)
    gradient = softmax(scores) if len(scores) else scores.copy()
    for path, p in paths:
        for t, k in enumerate(path):
            gradient[t, k] -= p / total
    return -np.log(total), gradient
