"""Weights that make sequences count alike, whatever their lengths and however many signals they have."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.learn.objectives.signals import SignalObjective


def equal_sequences(objective: SignalObjective, target: Any, lengths: Any = None, mask: Any = None) -> Tensor:
    """Weights (batch,) with which each sequence's mean loss counts the same.

    Equations:
        w_b = 1 / weight_b, with weight_b the objective's weight of sequence b alone; 0 for a sequence without signals.
        Then sum = sum over sequences of their mean loss, and weight = the number of sequences with signals. As the
        weights come from the whole target, windows in time may be judged with them as well.

    Args:
        objective: MSE, cross-entropy or another of their kind, with the form "step" or "end".
        target, lengths, mask: as the objective takes them, of whole sequences.

    Shapes:
        out (batch,), numbers from 0.

    Raises:
        UsageError, ShapeError: as the objective does.

    Example:
        >>> import torch
        >>> from recurra.learn.objectives import MSE
        >>> target = torch.ones(4, 2, 1)
        >>> equal_sequences(MSE(), target, lengths=[4, 1])
        tensor([0.2500, 1.0000])
    """
    own = objective.weight_of_sequences(target, lengths, mask)
    return torch.where(own > 0, 1 / torch.where(own > 0, own, 1.0), 0.0)
