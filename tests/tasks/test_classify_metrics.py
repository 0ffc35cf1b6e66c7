"""Metrics, calibration and the verdict of the classifier, against scikit-learn and worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from recurra.tasks.classify.calibration import HIGHEST, LOWEST, fit_temperature, probabilities
from recurra.tasks.classify.metrics import by_length, confusion, log_loss, measure, reliability, sign_test, wilson
from recurra.tasks.classify.verdict import speak


def _case(seed: int = 0, count: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.choice(classes, count, p=[0.55, 0.25, 0.15, 0.05])
    logits = rng.normal(size=(count, classes)) + 2 * np.eye(classes)[label]
    found = probabilities(logits, 1.0, np.ones(classes))
    return label, found, found.argmax(1)


@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_scikit_learn(seed: int) -> None:
    label, found, said = _case(seed)
    ours = measure(label, found, said)
    assert ours["accuracy"] == pytest.approx(reference.accuracy_score(label, said))
    assert ours["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(label, said))
    assert ours["f1"] == pytest.approx(reference.f1_score(label, said, average="macro"))
    assert ours["log_loss"] == pytest.approx(reference.log_loss(label, found))
    assert np.array_equal(confusion(label, said, 4), reference.confusion_matrix(label, said))


def test_macro_f1_counts_a_class_that_is_only_predicted() -> None:
    label, said = np.array([0, 0, 1]), np.array([0, 2, 1])
    found = np.eye(4)[said]
    assert measure(label, found, said)["f1"] == pytest.approx(reference.f1_score(label, said, average="macro"))


def test_log_loss_of_a_sure_mistake_is_finite() -> None:
    assert 30 < log_loss(np.array([0]), np.array([[0.0, 1.0]])) < 40


def test_calibration_error_of_a_worked_case() -> None:
    found = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.65, 0.35]])
    label, said = np.array([0, 1, 0, 0]), np.array([0, 0, 0, 0])
    bins, error = reliability(label, found, said)
    assert [b["count"] for b in bins] == [2, 2]
    assert error == pytest.approx(0.5 * abs(1.0 - 0.65) + 0.5 * abs(0.5 - 0.95))


def test_wilson_interval_against_its_published_value() -> None:
    low, high = wilson(8, 10)  # Newcombe 1998's formula, computed by hand
    assert (low, high) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))
    assert wilson(10, 10)[1] == 1.0 and wilson(0, 10)[0] == 0.0 and wilson(0, 0) == (0.0, 1.0)


def test_sign_test_is_the_exact_binomial() -> None:
    first = np.array([True] * 6 + [False] * 4)
    second = np.array([False] * 6 + [False] * 4)
    assert sign_test(first, second) == pytest.approx(2 * 0.5**6)
    assert sign_test(first, first) == 1.0


def test_accuracy_by_length_counts_every_sequence_once() -> None:
    lengths = np.array([1, 1, 2, 3, 5, 8, 13, 21])
    right = lengths > 2
    rows = by_length(lengths, right, groups=3)
    assert sum(row["count"] for row in rows) == 8
    assert sum(row["count"] * row["accuracy"] for row in rows) == pytest.approx(right.sum())
    assert all(a["to"] < b["from"] for a, b in zip(rows, rows[1:], strict=False))
    assert by_length(np.full(5, 7), np.ones(5, bool)) == [{"from": 7, "to": 7, "count": 5, "accuracy": 1.0}]


def test_temperature_recovers_the_scale_and_lowers_the_loss_on_unseen_cases() -> None:
    rng = np.random.default_rng(3)
    honest = rng.normal(size=(4000, 3)) * 1.5
    label = np.array([rng.choice(3, p=p) for p in probabilities(honest, 1.0, np.ones(3))])
    sure = 3.0 * honest
    temperature = fit_temperature(sure[:1000], label[:1000], np.ones(3))
    assert temperature == pytest.approx(3.0, rel=0.15)
    before, after = (probabilities(sure[1000:], t, np.ones(3)) for t in (1.0, temperature))
    assert log_loss(label[1000:], after) < log_loss(label[1000:], before) - 0.1
    said = sure[1000:].argmax(1)
    assert reliability(label[1000:], after, said)[1] < 0.3 * reliability(label[1000:], before, said)[1]


def test_temperature_is_bounded_and_moderate_on_tiny_parts() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 4.0], [5.0, 0.0]])
    all_right = fit_temperature(logits, np.array([0, 1, 0]), np.ones(2))
    assert 0.5 < all_right <= 1.0  # the likelihood alone would go to the lower bound
    all_wrong = fit_temperature(100 * logits, np.array([1, 0, 1]), np.ones(2))
    assert 1.0 < all_wrong <= HIGHEST and LOWEST < 1
    assert fit_temperature(np.zeros((0, 2)), np.zeros(0, np.int64), np.ones(2)) == 1.0


def test_probabilities_undo_the_class_weights() -> None:
    true = np.array([[0.9, 0.1], [0.4, 0.6]])
    weight = np.array([0.5, 4.5])
    seen = true * weight / (true * weight).sum(1, keepdims=True)
    assert probabilities(np.log(seen), 1.0, weight) == pytest.approx(true)


def _speak(ours: float, theirs: float, label: np.ndarray, said: np.ndarray, other: np.ndarray) -> dict:
    row = {"accuracy": 0.0, "balanced_accuracy": 0.0, "f1": 0.0, "log_loss": 1.0, "ece": 0.02}
    return speak(
        metric="accuracy",
        metrics=row | {"accuracy": ours},
        baselines={"majority": row | {"accuracy": 0.2}, "logistic_regression": row | {"accuracy": theirs}},
        label=label,
        predicted={"model": said, "majority": np.zeros_like(label), "logistic_regression": other},
        classes=["a", "b", "c"],
        part="held-out",
        weighted=False,
    )


def test_losing_to_a_baseline_is_said_first() -> None:
    label = np.repeat([0, 1], 37)
    said, other = label.copy(), label.copy()
    said[:5] = 1
    other[:3] = 1
    told = _speak(69 / 74, 71 / 74, label, said, other)
    assert told["headline"] == (
        "Do not use this model yet: logistic regression on means and deviations is better "
        "(accuracy 0.96 against 0.93 on 74 held-out sequences)."
    )
    assert told["beats_baselines"] is False


def test_a_tie_is_no_win_and_close_values_are_told_apart() -> None:
    label = np.repeat([0, 1], 37)
    tie = _speak(1.0, 1.0, label, label, label)
    assert tie["headline"].startswith("Do not use this model yet") and "just as good" in tie["headline"]
    assert tie["beats_baselines"] is False
    close = _speak(0.9512, 0.9508, label, label, label)
    assert "accuracy 0.9512 against 0.9508" in close["headline"] and close["beats_baselines"] is True


def test_the_verdict_warns_of_what_is_weak() -> None:
    label = np.array([0] * 10 + [1] * 6)
    told = _speak(10 / 16, 0.5, label, np.zeros(16, np.int64), label)
    joined = " ".join(told["warnings"])
    assert "Only 16 sequences" in joined
    assert "class 'b' is never predicted" in joined
    assert "class 'c' is recognised" in joined
    assert "10 of 16 sequences are classified correctly" in told["sentences"][0]
    assert "6 of 6 sequences of class 'b' are taken for 'a'" in " ".join(told["sentences"])
