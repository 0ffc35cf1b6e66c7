"""Targets that are numbers, one for each output, and how much each output counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.signals import Teacher


def read_numbers(target: Tensor, outputs: int | None, where: str) -> Teacher:
    """A target with a number for each output, where NaN stands for no signal."""
    need = f"numbers (time, batch, {outputs or 'outputs'})"
    if target.is_complex() or target.dim() not in (2, 3) or (outputs is not None and target.shape[-1] != outputs):
        need += f", or (batch, {outputs or 'outputs'}) with form='end'"
        raise ShapeError(f"target is {target.dtype} of shape {tuple(target.shape)}", where=where, need=need)
    in_time = target.dim() == 3
    signal = target if in_time else target.unsqueeze(0)
    signal = signal if signal.is_floating_point() else signal.to(torch.get_default_dtype())
    return Teacher(signal, ~signal.isnan(), in_time)


def check_weights(weights: Any, name: str, where: str) -> Tensor | None:
    """A vector of finite weights from 0, or None."""
    if weights is None:
        return None
    weights = torch.as_tensor(weights)
    weights = weights if weights.is_floating_point() else weights.to(torch.get_default_dtype())
    if weights.dim() != 1:
        raise ShapeError(f"{name} has shape {tuple(weights.shape)}", where=where, need="a vector of weights")
    if not bool((weights.isfinite() & (weights >= 0)).all()):
        raise UsageError(f"{name} is {weights.tolist()!r:.60}", where=where, need="finite numbers from 0")
    return weights


def fit_weights(weights: Tensor, name: str, like: Tensor, size: int, what: str, where: str) -> Tensor:
    """The vector beside `like`, if it has one weight for each."""
    if weights.shape[0] != size:
        need = f"{size} of them, one for each {what}"
        raise ShapeError(f"{name} holds {weights.shape[0]} weights", where=where, need=need)
    return weights.to(like.device)


class OutputWeights:
    """How much each output counts, or None for all alike.

    Args:
        weights: one number from 0 for each output, or None.
        name: the argument's name, for messages.
        where: the objective's name, for messages.

    Raises:
        UsageError, ShapeError: the weights are no vector of finite numbers from 0.
    """

    def __init__(self, weights: Any, name: str, where: str):
        self.weights, self.name, self.where = check_weights(weights, name, where), name, where

    def of(self, signal: Tensor) -> Tensor | None:
        """The weight of each signal, in the shape of `signal` (..., outputs)."""
        if self.weights is None:
            return None
        fitting = fit_weights(self.weights, self.name, signal, signal.shape[-1], "output", self.where)
        return fitting.expand(signal.shape)

    def scale(self, losses: Tensor) -> Tensor:
        """Losses (..., outputs), each times its output's weight."""
        weights = self.of(losses)
        return losses if weights is None else losses * weights.to(losses.dtype)
