"""What is attended to, made ready once for many queries, and where the last query attended."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class AttentionMemory(NamedTuple):
    """A memory that is ready to be attended to; `Attention.prepare` makes it.

    Attributes:
        values: the steps of the memory, zeros in the padding, (batch, memory_time, memory_size).
        keys: what queries are compared with, (batch, memory_time, key size).
        within: False in the padding, (batch, memory_time).
    """

    values: Tensor
    keys: Tensor
    within: Tensor


class AlignmentState(NamedTuple):
    """Where a query attended; the location-aware kind reads it with the next query.

    Attributes:
        alignment: the weights of the memory's steps, (batch, memory_time).
    """

    alignment: Tensor


def repeat_memory(memory: AttentionMemory, count: int) -> AttentionMemory:
    """Each sequence's memory `count` times in a row, for as many hypotheses of it."""
    return AttentionMemory(*(part.repeat_interleave(count, 0) for part in memory))


def masked_softmax(scores: Tensor, within: Tensor) -> Tensor:
    """The softmax over the last dimension of what is within; the rest gets 0, and so does all where nothing is within.

    Args:
        scores: (..., steps).
        within: booleans that broadcast against the scores.
    """
    # The lowest finite number, not -inf: a row of -inf has a softmax of NaN, which anomaly detection would stop at.
    weights = torch.softmax(torch.where(within, scores, torch.finfo(scores.dtype).min), -1)
    return torch.where(within, weights, torch.zeros_like(weights))
