"""What is measured of a classifier: accuracy, balanced accuracy, macro F1, log loss, calibration error.

All functions take plain numpy arrays: labels as whole numbers 0..C-1, probabilities of shape (n, C).
"""

from __future__ import annotations

from typing import Any

import numpy as np

LOWER_IS_BETTER = frozenset({"log_loss", "ece"})


def confusion(label: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts of shape (C, C): row = true class, column = predicted class."""
    flat = np.bincount(label * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def recalls(matrix: np.ndarray) -> np.ndarray:
    """Share of each true class that was found; NaN for a class with no sequence."""
    support = matrix.sum(1)
    return np.where(support > 0, np.diag(matrix) / np.maximum(support, 1), np.nan)


def macro_f1(matrix: np.ndarray) -> float:
    """Mean over classes of 2TP / (2TP + FP + FN), over the classes that are true or predicted anywhere."""
    hit = np.diag(matrix)
    total = matrix.sum(0) + matrix.sum(1)
    there = total > 0
    return float(np.mean(2 * hit[there] / total[there]))


def log_loss(label: np.ndarray, probability: np.ndarray) -> float:
    """Mean of -ln p(true class), in nats; probabilities are bounded below by the float64 resolution."""
    chosen = probability[np.arange(len(label)), label]
    return float(-np.log(np.clip(chosen, np.finfo(np.float64).eps, 1.0)).mean())


def reliability(
    label: np.ndarray, probability: np.ndarray, predicted: np.ndarray, bins: int = 10
) -> tuple[list[dict[str, Any]], float]:
    """The reliability curve and the expected calibration error.

    Confidence is the probability of the class that was predicted. In `bins` equal bins of confidence,
    ECE = sum over bins of (count / n) * |accuracy - mean confidence| (Guo et al. 2017).

    Returns:
        the bins that hold sequences, each {"confidence", "accuracy", "count"}, and the ECE (fraction).
    """
    confidence = probability[np.arange(len(label)), predicted]
    right = (label == predicted).astype(np.float64)
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    rows, error = [], 0.0
    for b in range(bins):
        here = place == b
        count = int(here.sum())
        if count:
            mean, share = float(confidence[here].mean()), float(right[here].mean())
            rows.append({"confidence": mean, "accuracy": share, "count": count})
            error += count / len(label) * abs(share - mean)
    return rows, float(error)


def measure(label: np.ndarray, probability: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """All metrics of one set of predictions.

    Args:
        label: (n,) true classes; n > 0.
        probability: (n, C).
        predicted: (n,) predicted classes (the most probable ones, unless rare classes are weighted up).

    Example:
        >>> measure(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1]))["accuracy"]
        1.0
    """
    matrix = confusion(label, predicted, probability.shape[1])
    return {
        "accuracy": float(np.mean(label == predicted)),
        "balanced_accuracy": float(np.nanmean(recalls(matrix))),
        "f1": macro_f1(matrix),
        "log_loss": log_loss(label, probability),
        "ece": reliability(label, probability, predicted)[1],
    }


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: right of count (Wilson 1927); never outside 0..1, good for few cases."""
    if count == 0:
        return 0.0, 1.0
    share = right / count
    middle = share + z * z / (2 * count)
    spread = z * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    scale = 1 + z * z / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def sign_test(first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided sign test that two classifiers err equally often (McNemar's test in its exact form).

    Args:
        first, second: (n,) bool: which sequences each of them had right.

    Returns:
        the probability of a difference at least this large if both were equally good; 1.0 where they never differ.
    """
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def by_length(lengths: np.ndarray, right: np.ndarray, groups: int = 6) -> list[dict[str, Any]]:
    """Accuracy against length: up to `groups` ranges of length, of about equal counts."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, groups + 1), method="nearest"))
    if len(edges) == 1:
        edges = np.array([edges[0], edges[0]])
    rows = []
    for k, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        last = k == len(edges) - 2
        high = high if last else high - 1
        here = (lengths >= low) & (lengths <= high)
        if here.any():
            rows.append(
                {"from": int(low), "to": int(high), "count": int(here.sum()), "accuracy": float(right[here].mean())}
            )
    return rows
