"""Gradients of a function of numpy arrays by central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def gradients(loss: Callable[[], float], arrays: Sequence[np.ndarray], step: float = 1e-6) -> list[np.ndarray]:
    """d loss / d array for each array; the arrays are changed in place and put back."""
    found = []
    for array in arrays:
        gradient = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + step
            above = loss()
            array[index] = kept - step
            gradient[index] = (above - loss()) / (2 * step)
            array[index] = kept
        found.append(gradient)
    return found
