"""A network's outputs as the log-probabilities that decoders read, one numpy array a sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.places import check_counts

Array = np.ndarray[Any, np.dtype[Any]]


def log_softmax(scores: Array) -> Array:
    """Logarithms of the softmax over the last dimension."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def read_scores(logits: Any, lengths: Any, where: str) -> list[Array]:
    """Log-probabilities (steps, classes) in float64 of each sequence of logits (time, batch, classes)."""
    need = "numbers (time, batch, classes) with at least one class"
    scores = logits.detach().cpu() if isinstance(logits, Tensor) else torch.as_tensor(np.asarray(logits))
    if scores.dim() != 3 or not scores.is_floating_point() or scores.shape[2] == 0:
        raise ShapeError(f"logits is {scores.dtype} of shape {tuple(scores.shape)}", where=where, need=need)
    steps, batch, _ = scores.shape
    counts = [steps] * batch
    if lengths is not None:
        counts = check_counts(lengths, batch, steps, scores.device, name="lengths", where=where).tolist()
    found = []
    for sequence, count in enumerate(counts):
        own = scores[:count, sequence].double().numpy()
        top = own.max(-1) if count else np.zeros(0)
        if not np.isfinite(top).all():
            step = int(np.nonzero(~np.isfinite(top))[0][0])
            given = f"logits of sequence {sequence} holds {top[step]:g} as the largest number of step {step}"
            raise UsageError(given, where=where, need="a finite number at each step, and no NaN or +infinity")
        found.append(log_softmax(own) if count else own)
    return found
