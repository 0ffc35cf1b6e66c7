"""The loss of a network on data, and which examples it has learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.objectives.binary_cross_entropy import BinaryCrossEntropy
from recurra.learn.objectives.cross_entropy import CrossEntropy
from recurra.learn.objectives.learner import ObjectiveLearner, SequenceBatch
from recurra.learn.objectives.signals import SignalObjective
from recurra.learn.objectives.squared_error import MSE

NEAR = 0.1
"""A number is learned when it is missed by at most this share of its targets' range."""


def weight_of(learner: nn.Module, batch: Any) -> float:
    """What a batch's mean loss counts beside that of others: its signals' weight, or its sequences."""
    if isinstance(learner, ObjectiveLearner):
        return float(learner.objective.weight(batch.target, batch.lengths, batch.mask, batch.weights))
    return float(batch.size)


@torch.no_grad()
def mean_loss(learner: nn.Module, batches: Sequence[Any]) -> float:
    """The mean loss over batches, as if they were one; without dropout."""
    training = learner.training
    learner.eval()
    try:
        weights = [weight_of(learner, batch) for batch in batches]
        losses = [float(learner(batch, 0, batch.steps, None)[0]) for batch in batches]
    finally:
        learner.train(training)
    total = sum(weights)
    return sum(loss * weight for loss, weight in zip(losses, weights, strict=True) if weight) / total if total else 0.0


def measures_error(objective: Any) -> bool:
    """Whether the mean loss is a mean squared error."""
    return isinstance(objective, MSE) and objective.form != "sequence" and objective.output_weights.weights is None


@torch.no_grad()
def learned_share(learner: nn.Module, batches: Sequence[Any], tolerance: float | None = None) -> float:
    """The share of sequences whose every teacher signal is answered rightly.

    Equations:
        numbers: |y - d| <= tolerance, by default a tenth of the range of all targets; classes: the largest output is
        the target's; yes or no: the output is on the target's side of one half.

    Raises:
        UsageError: the objective is none of these.
    """
    objective = getattr(learner, "objective", None)
    if not isinstance(learner, ObjectiveLearner) or not isinstance(objective, SignalObjective):
        given = f"the objective is {type(objective).__name__}"
        need = "an objective with a teacher signal (MSE, MAE, CrossEntropy, BinaryCrossEntropy)"
        raise UsageError(given, where="LearnedFraction", need=need, cure="stop by the loss or by MaxGenerations")
    numbers = not isinstance(objective, CrossEntropy | BinaryCrossEntropy)
    if numbers and tolerance is None:
        known = torch.cat([batch.target[~batch.target.isnan()].reshape(-1) for batch in batches])
        tolerance = NEAR * float(known.max() - known.min()) if len(known) else 0.0
    right = everything = 0
    training = learner.training
    learner.eval()
    for batch in batches:
        wrong = _wrong(learner, objective, batch, tolerance if numbers else None)
        right += int((~wrong).sum())
        everything += batch.size
    learner.train(training)
    return right / everything if everything else 0.0


def _wrong(learner: ObjectiveLearner, objective: SignalObjective, batch: SequenceBatch, near: float | None) -> Tensor:
    """Whether any signal of a sequence is missed, (batch,): the objective's own losses count the misses."""
    more = {} if batch.lengths is None else {"lengths": batch.lengths}
    output, _ = learner.network(batch.input, None, **more)
    output = output if learner.read_out is None else learner.read_out(output)
    counted = _Misses(objective, near)
    return counted.loss_of_sequences(output, batch.target, batch.lengths, batch.mask) > 0


class _Misses(SignalObjective):
    """1 for each signal that is missed; which signals count, the objective itself says."""

    def __init__(self, objective: SignalObjective, near: float | None):
        super().__init__(objective.form)
        self.objective, self.near = objective, near

    def _read(self, target: Tensor, outputs: int | None) -> Any:
        return self.objective._read(target, outputs)

    def _losses(self, output: Tensor, signal: Tensor) -> Tensor:
        if self.near is not None:
            return ((output - signal.to(output.dtype)).abs() > self.near).to(output.dtype)
        if isinstance(self.objective, CrossEntropy):
            wanted = signal.argmax(-1, keepdim=True) if signal.is_floating_point() else signal
            return (output.argmax(-1, keepdim=True) != wanted).to(output.dtype)
        return ((output > 0) != (signal > 0.5)).to(output.dtype)
