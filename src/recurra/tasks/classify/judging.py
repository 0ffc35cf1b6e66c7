"""From logits on labelled sequences to a `Judgement`: metrics, baselines beside them, facts for the report."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from recurra.tasks.classify.baselines import baseline_predictions
from recurra.tasks.classify.calibration import probabilities
from recurra.tasks.classify.metrics import LOWER_IS_BETTER, by_length, confusion, measure, reliability
from recurra.tasks.classify.verdict import speak
from recurra.types import Judgement

MISTAKES = 20


def judge_sequences(
    *,
    logits: np.ndarray,
    label: np.ndarray,
    lengths: np.ndarray,
    names: list[str],
    keys: pl.DataFrame,
    table: np.ndarray,
    baselines: dict[str, Any],
    classes: list[str],
    class_weight: np.ndarray,
    temperature: float,
    part: str,
    warnings: list[str],
) -> Judgement:
    """Measure a classifier and its baselines on the same sequences.

    Args:
        logits: (n, C) of the network, before calibration.
        label: (n,) true classes.
        lengths, names, keys: of the same sequences; `keys` holds their id columns.
        table: (n, columns) summaries that logistic regression reads.
        baselines: what `fit_baselines` gave.
        classes: names of the classes.
        class_weight: (C,) weights of the loss; where they differ from 1 the main metric is balanced accuracy.
        temperature: of the calibration.
        part: what these sequences are: "held-out", "validation" or "given".
        warnings: to go before the others.
    """
    weighted = bool(np.any(class_weight != class_weight[0]))
    metric = "balanced_accuracy" if weighted else "accuracy"
    predicted = logits.argmax(1)
    probability = probabilities(logits, temperature, class_weight)
    others = baseline_predictions(baselines, table, class_weight)
    metrics = measure(label, probability, predicted)
    rows = {name: measure(label, *given) for name, given in others.items()}
    said = speak(
        metric=metric,
        metrics=metrics,
        baselines=rows,
        label=label,
        predicted={"model": predicted} | {name: given[1] for name, given in others.items()},
        classes=classes,
        part=part,
        weighted=weighted,
    )
    bins, error = reliability(label, probability, predicted)
    before = reliability(label, probabilities(logits, 1.0, class_weight), predicted)[1]
    right = predicted == label
    facts: dict[str, dict[str, Any]] = {
        "confusion": {"classes": classes, "matrix": confusion(label, predicted, len(classes)).tolist()},
        "reliability": {"bins": bins, "ece": error, "before": before, "temperature": temperature},
        "by_length": {"items": by_length(lengths, right)},
        "mistakes": {"items": _mistakes(label, predicted, probability, lengths, names, classes)},
    }
    return Judgement(
        metric=metric,
        higher_is_better=metric not in LOWER_IS_BETTER,
        metrics=metrics,
        baselines=rows,
        headline=said["headline"],
        sentences=said["sentences"],
        warnings=warnings + said["warnings"],
        beats_baselines=said["beats_baselines"],
        predictions=prediction_frame(keys, predicted, probability, classes, label=label, lengths=lengths),
        facts=facts,
    )


def prediction_frame(
    keys: pl.DataFrame,
    predicted: np.ndarray,
    probability: np.ndarray,
    classes: list[str],
    *,
    label: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
) -> pl.DataFrame:
    """One row a sequence: id columns, label (where known), predicted, probability_<class> .., length (where given)."""
    named = np.asarray(classes, dtype=object)
    columns: list[pl.Series] = []
    if label is not None:
        columns.append(pl.Series("label", named[label].tolist(), dtype=pl.String))
    columns.append(pl.Series("predicted", named[predicted].tolist(), dtype=pl.String))
    columns += [pl.Series(f"probability_{name}", probability[:, c]) for c, name in enumerate(classes)]
    if lengths is not None:
        columns.append(pl.Series("length", lengths.astype(np.int64)))
    taken = {column.name for column in columns}
    renamed = keys.rename({name: f"sequence_{name}" for name in keys.columns if name in taken})
    return pl.DataFrame([*renamed.get_columns(), *columns])


def _mistakes(
    label: np.ndarray,
    predicted: np.ndarray,
    probability: np.ndarray,
    lengths: np.ndarray,
    names: list[str],
    classes: list[str],
) -> list[dict[str, Any]]:
    """The mistakes that were made with most confidence, worst first."""
    wrong = np.flatnonzero(predicted != label)
    confidence = probability[wrong, predicted[wrong]]
    return [
        {
            "sequence": names[i],
            "label": classes[label[i]],
            "predicted": classes[predicted[i]],
            "probability": float(probability[i, predicted[i]]),
            "length": int(lengths[i]),
        }
        for i in wrong[np.argsort(-confidence, kind="stable")][:MISTAKES]
    ]
