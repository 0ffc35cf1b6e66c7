"""What any classifier has to beat: the most frequent class, and logistic regression on means and deviations."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.tasks.classify.calibration import probabilities

if TYPE_CHECKING:
    from recurra.data.sequence_table import SequenceSet

EXPLAINED = {
    "majority": "always the most frequent class",
    "logistic_regression": "logistic regression on means and deviations",
}


def summaries(data: SequenceSet, numeric: list[int], categorical: list[tuple[int, int]]) -> np.ndarray:
    """Each sequence as one row: mean and deviation of every numeric feature, share of every level of the categories.

    Missing values are left out of both; a feature never seen in a sequence gives NaN.

    Args:
        data: the sequences.
        numeric: columns of `data.values` that are numbers.
        categorical: (column, number of levels) of those that are categories.

    Returns:
        (sequences, 2 * numeric + levels).
    """
    count = len(data.offsets) - 1
    lengths = np.diff(data.offsets)
    owner = np.repeat(np.arange(count), lengths)
    parts: list[np.ndarray] = []
    for column in numeric:
        values = data.values[:, column]
        seen = ~np.isnan(values)
        number = np.bincount(owner, weights=seen, minlength=count)
        safe = np.where(seen, values, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(owner, weights=safe, minlength=count) / number
            centred = np.where(seen, values - mean[owner], 0.0)
            deviation = np.sqrt(np.bincount(owner, weights=centred**2, minlength=count) / number)
        parts += [mean, deviation]
    for column, levels in categorical:
        codes = np.nan_to_num(data.values[:, column]).astype(np.int64)
        for level in range(1, levels + 1):
            parts.append(np.bincount(owner, weights=codes == level, minlength=count) / np.maximum(lengths, 1))
    return np.stack(parts, axis=1) if parts else np.zeros((count, 0))


def _fill(table: np.ndarray, filler: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(table), filler, table)


def fit_baselines(table: np.ndarray, label: np.ndarray, classes: int, class_weight: np.ndarray) -> dict[str, Any]:
    """Train the baselines; the result is plain lists, so that they travel with the model.

    Args:
        table: (n, columns) of `summaries`.
        label: (n,) classes.
        classes: number of classes.
        class_weight: (classes,) the weights that the network was trained with: the baseline gets the same.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    counts = np.bincount(label, minlength=classes)
    baselines: dict[str, Any] = {"majority": {"counts": counts.tolist()}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value has no mean; it becomes 0
        mean = np.nan_to_num(np.nanmean(table, axis=0)) if len(table) else np.zeros(table.shape[1])
    filled = _fill(table, mean)
    scale = filled.std(axis=0)
    scale[~(scale > 1e-12 * np.maximum(1.0, np.abs(mean)))] = 1.0
    present = np.flatnonzero(counts)
    coefficient, intercept = np.zeros((classes, table.shape[1])), np.full(classes, -1e3)
    if len(present) < 2 or table.shape[1] == 0:
        intercept = np.log(np.maximum(counts, 1e-3))
    else:
        model = LogisticRegression(max_iter=2000, class_weight={int(c): float(class_weight[c]) for c in present})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # close enough for a yardstick
            model.fit(np.clip((filled - mean) / scale, -10, 10), label)
        if len(present) == 2:  # one row of coefficients stands for the second class
            coefficient[present[1]], intercept[present[1]] = model.coef_[0], model.intercept_[0]
            intercept[present[0]] = 0.0
        else:
            coefficient[present], intercept[present] = model.coef_, model.intercept_
    baselines["logistic_regression"] = {
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "coefficient": coefficient.tolist(),
        "intercept": intercept.tolist(),
    }
    return baselines


def baseline_predictions(
    baselines: dict[str, Any], table: np.ndarray, class_weight: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each baseline's probabilities (n, C), for classes as frequent as in the data, and predicted classes (n,).

    Logistic regression decides as the network does: for the largest weighted probability.
    """
    counts = np.asarray(baselines["majority"]["counts"], dtype=np.float64)
    frequency = (counts + 1e-3) / (counts + 1e-3).sum()
    majority = np.tile(frequency, (len(table), 1))
    fitted = {name: np.asarray(v, dtype=np.float64) for name, v in baselines["logistic_regression"].items()}
    scaled = np.clip((_fill(table, fitted["mean"]) - fitted["mean"]) / fitted["scale"], -10, 10)
    logits = scaled @ fitted["coefficient"].reshape(len(counts), -1).T + fitted["intercept"]
    return {
        "majority": (majority, np.full(len(table), int(counts.argmax()))),
        "logistic_regression": (probabilities(logits, 1.0, class_weight), logits.argmax(1)),
    }
