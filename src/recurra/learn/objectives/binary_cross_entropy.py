"""Binary cross-entropy from logits."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from recurra.errors import UsageError
from recurra.learn.objectives.number_signals import OutputWeights, read_numbers
from recurra.learn.objectives.places import can_look
from recurra.learn.objectives.signals import SignalObjective, Teacher


class BinaryCrossEntropy(SignalObjective):
    """Cross-entropy of outputs that each say yes or no, in nats, from their logits.

    Equations:
        loss = -p d log s(z) - (1 - d) log(1 - s(z)), s the logistic function, z the output, d the signal, p the
        positive weight.

    Args:
        form: "step" (every signal alike), "sequence" (each sequence's sum) or "end" (last valid step only).
        output_weights: how much each output counts; all 1 when absent.
        positive_weights: p of each output, so that a rare yes counts more; all 1 when absent. It scales the loss,
            not the weight that the sum is divided by.

    Shapes:
        output (logits) and target (time, batch, outputs), or target (batch, outputs) with "end"; target: numbers from 0
        to 1 or booleans, NaN: no signal. lengths, mask, weights and start as in `SignalObjective`. May be cut in time.

    Raises:
        UsageError: an argument or a target is out of range.
        ShapeError: output, target, lengths, mask or weights does not fit.

    Example:
        >>> import torch
        >>> BinaryCrossEntropy()(torch.zeros(1, 1, 2), torch.tensor([[[1.0, float("nan")]]]))
        Loss(sum=tensor(0.6931), weight=tensor(1.))
    """

    def __init__(self, form: str = "step", *, output_weights: Any = None, positive_weights: Any = None):
        super().__init__(form)
        where = "BinaryCrossEntropy"
        self.output_weights = OutputWeights(output_weights, "output_weights", where)
        self.positive_weights = OutputWeights(positive_weights, "positive_weights", where)

    def _read(self, target: Tensor, outputs: int | None) -> Teacher:
        teacher = read_numbers(target, outputs, "BinaryCrossEntropy")
        if can_look():
            wrong = (teacher.signal < 0) | (teacher.signal > 1)
            if bool(wrong.any()):
                given = f"target holds {float(teacher.signal[wrong][0]):g}"
                raise UsageError(given, where="BinaryCrossEntropy", need="numbers from 0 to 1, or NaN for no signal")
        return teacher

    def _own_weights(self, signal: Tensor) -> Tensor | None:
        return self.output_weights.of(signal)

    def _losses(self, output: Tensor, signal: Tensor) -> Tensor:
        signal = signal.to(output.dtype)
        # softplus(-z) = -log s(z) and softplus(z) = -log(1 - s(z)), neither of which overflows.
        yes, no = signal * F.softplus(-output), (1 - signal) * F.softplus(output)
        return self.output_weights.scale(self.positive_weights.scale(yes) + no)
