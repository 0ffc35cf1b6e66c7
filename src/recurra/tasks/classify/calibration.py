"""Temperature scaling: one number, found on the validation part, that makes the probabilities honest."""

from __future__ import annotations

import numpy as np

LOWEST, HIGHEST = 0.2, 10.0


def probabilities(logits: np.ndarray, temperature: float, class_weight: np.ndarray) -> np.ndarray:
    """Probabilities for the classes as often as they are in the data.

        p_c = softmax_c(z_c / T - ln w_c)

    A network trained with class weights w sees a world where class c is w_c times as frequent, so that its softmax is
    proportional to w_c p_c; dividing by w_c undoes that (Elkan 2001). With all weights 1 this is plain scaling.

    Args:
        logits: (n, C) float64.
        temperature: T > 0.
        class_weight: (C,) weights used in the loss.

    Returns:
        (n, C), rows adding up to 1.

    Example:
        >>> probabilities(np.array([[0.0, 0.0]]), 2.0, np.array([1.0, 1.0]))
        array([[0.5, 0.5]])
    """
    scaled = logits.astype(np.float64) / temperature - np.log(class_weight)
    scaled = scaled - scaled.max(1, keepdims=True)
    weight = np.exp(scaled)
    return weight / weight.sum(1, keepdims=True)


def fit_temperature(logits: np.ndarray, label: np.ndarray, class_weight: np.ndarray, prior: float = 0.5) -> float:
    """The temperature with the least penalised log loss on the validation part.

        minimise over T in [0.2, 10]:   sum_i -ln p(label_i; T)  +  (ln T)^2 / (2 prior^2)

    The penalty is worth about one sequence: it decides where there are a handful of validation sequences, all of them
    right perhaps (when the likelihood alone would claim certainty), and vanishes beside hundreds.

    Differs from the paper: the penalty and the bounds, and the correction for class weights.
    Reference: Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017.
    """
    from scipy.optimize import minimize_scalar

    if len(label) == 0:
        return 1.0
    rows = np.arange(len(label))

    def cost(log_t: float) -> float:
        chosen = probabilities(logits, float(np.exp(log_t)), class_weight)[rows, label]
        return float(-np.log(np.maximum(chosen, 1e-300)).sum() + log_t * log_t / (2 * prior * prior))

    found = minimize_scalar(cost, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
