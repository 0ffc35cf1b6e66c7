"""The verdict in plain words: whether the classifier is any good, said on line one."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.tasks.classify.baselines import EXPLAINED
from recurra.tasks.classify.metrics import LOWER_IS_BETTER, confusion, recalls, sign_test, wilson

WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "macro F1",
    "log_loss": "log loss",
    "ece": "calibration error",
}
FEW = 50


def speak(
    *,
    metric: str,
    metrics: dict[str, float],
    baselines: dict[str, dict[str, float]],
    label: np.ndarray,
    predicted: dict[str, np.ndarray],
    classes: list[str],
    part: str,
    weighted: bool,
) -> dict[str, Any]:
    """Headline, sentences, warnings and whether every baseline is beaten.

    Args:
        metric: the main metric's name.
        metrics: of the model.
        baselines: name to metrics of the same names.
        label: (n,) true classes.
        predicted: name ("model" and each baseline) to predicted classes (n,).
        classes: names of the classes.
        part: what was measured on: "held-out", "validation" or "given".
        weighted: whether rare classes were weighted up.
    """
    count = len(label)
    lower = metric in LOWER_IS_BETTER

    def better(a: float, b: float) -> bool:
        return a < b if lower else a > b

    strongest = min(baselines, key=lambda name: baselines[name][metric] * (1 if lower else -1))
    ours, theirs = metrics[metric], baselines[strongest][metric]
    beats = all(better(ours, row[metric]) for row in baselines.values())
    name, sequences = WORDS[metric], f"{count} {part} sequence" + "s" * (count != 1)
    if beats:
        headline = (
            f"The model beats the baselines: {name} {_two(ours, theirs)} against {_two(theirs, ours)} for "
            f"{EXPLAINED[strongest]}, on {sequences}."
        )
    elif ours == theirs:
        headline = (
            f"Do not use this model yet: {EXPLAINED[strongest]} is just as good "
            f"({name} {_two(ours, theirs)} for both on {sequences})."
        )
    else:
        headline = (
            f"Do not use this model yet: {EXPLAINED[strongest]} is better "
            f"({name} {_two(theirs, ours)} against {_two(ours, theirs)} on {sequences})."
        )

    right = predicted["model"] == label
    low, high = wilson(int(right.sum()), count)
    sentences = [
        f"{int(right.sum())} of {count} sequences are classified correctly: accuracy {right.mean():.3f}; "
        f"with this many sequences the true value is likely between {low:.3f} and {high:.3f} (95 % Wilson interval)."
    ]
    chance = sign_test(right, predicted[strongest] == label)
    differing = int((right != (predicted[strongest] == label)).sum())
    if differing == 0:
        sentences.append(f"The model and {EXPLAINED[strongest]} are right and wrong on the same sequences.")
    elif chance > 0.05:
        sentences.append(
            f"The model and {EXPLAINED[strongest]} disagree on {differing} of {count} sequences; equally good ones "
            f"would differ this much by chance (sign test, p = {chance:.2f}): more data would tell which is better."
        )
    else:
        sentences.append(f"The difference is more than chance explains (sign test, p = {chance:.2g}).")
    matrix = confusion(label, predicted["model"], len(classes))
    sentences += _confusions(matrix, classes)
    sentences.append(
        f"When the model says 80 %, it should be right 80 % of the time; on average it is off by "
        f"{100 * metrics['ece']:.1f} percentage points."
    )
    return {
        "headline": headline,
        "sentences": sentences,
        "warnings": _warnings(matrix, classes, count, metrics, weighted),
        "beats_baselines": beats,
    }


def _two(value: float, other: float) -> str:
    """Two decimals, or as many as it takes (at most four) to tell the two values apart."""
    for digits in (2, 3):
        if f"{value:.{digits}f}" != f"{other:.{digits}f}":
            return f"{value:.{digits}f}"
    return f"{value:.2f}" if value == other else f"{value:.4f}"


def _confusions(matrix: np.ndarray, classes: list[str]) -> list[str]:
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    if off.sum() == 0:
        return ["No class is mistaken for another."]
    true, said = np.unravel_index(int(off.argmax()), off.shape)
    return [
        f"The most frequent mistake: {off[true, said]} of {matrix[true].sum()} sequences of class {classes[true]!r} "
        f"are taken for {classes[said]!r}."
    ]


def _warnings(
    matrix: np.ndarray, classes: list[str], count: int, metrics: dict[str, float], weighted: bool
) -> list[str]:
    warnings = []
    if count < FEW:
        warnings.append(f"Only {count} sequences were measured: every figure here is rough.")
    support, said = matrix.sum(1), matrix.sum(0)
    absent = [classes[c] for c in np.flatnonzero(support == 0)]
    if absent:
        warnings.append(f"Nothing is known of how well {_list(absent)} is recognised: no measured sequence has it.")
    never = [classes[c] for c in np.flatnonzero((said == 0) & (support > 0))]
    if never:
        warnings.append(f"{_list(never)} is never predicted, although it occurs.")
    found = recalls(matrix)
    weak = [classes[c] for c in np.flatnonzero((support >= 5) & (said > 0) & (np.nan_to_num(found, nan=1.0) < 0.5))]
    if weak:
        warnings.append(f"Fewer than half of the sequences of {_list(weak)} are found.")
    if weighted:
        warnings.append(
            "Classes are unbalanced: rare ones were weighted up, and the predicted class is the one with the largest "
            "weighted probability; balanced accuracy and macro F1 say more than accuracy."
        )
    if metrics["ece"] > 0.1:
        warnings.append("The probabilities are off by more than 10 percentage points: do not read them literally.")
    return warnings


def _list(names: list[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:5])
    return f"class {shown}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
