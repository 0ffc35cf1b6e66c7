"""What should be said aloud about the data of a classification before training begins."""

from __future__ import annotations

import numpy as np

from recurra.tasks.classify.features import Features
from recurra.tasks.classify.plan import UNBALANCED


def data_notes(features: Features, class_weight: np.ndarray, imbalance: float, classes: list[str]) -> list[str]:
    """Sentences on imbalance and on what is done about it.

    Args:
        features: how columns become channels.
        class_weight: (C,) weights of the loss.
        imbalance: sequences of the largest class over those of the smallest, in the training part.
        classes: names of the classes.
    """
    notes = []
    unbalanced = f"Classes are unbalanced: the largest has {imbalance:.3g} times as many sequences as the smallest."
    if bool(np.any(class_weight != class_weight[0])):
        listed = sorted(zip(class_weight.tolist(), classes, strict=True), key=lambda pair: -pair[0])
        weights = ", ".join(f"{name!r} {weight:.2f}" for weight, name in listed[:5])
        notes.append(
            f"{unbalanced} Rare classes weigh more in the loss ({weights}{', ...' if len(listed) > 5 else ''}); turn "
            "this off with --set data.balance=false."
        )
    elif imbalance >= UNBALANCED:
        notes.append(f"{unbalanced} No weights are applied (data.balance=false): rare ones may never be predicted.")
    masked = [features.names[features.numeric[k]] for k in features.masked]
    if masked:
        shown = ", ".join(repr(name) for name in masked[:8]) + (" ..." if len(masked) > 8 else "")
        notes.append(f"Missing values in {shown}: the last value is carried forward, and a mask tells the network.")
    return notes
