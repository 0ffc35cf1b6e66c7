"""Mean squared error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.learn.objectives.number_signals import OutputWeights, read_numbers
from recurra.learn.objectives.signals import SignalObjective, Teacher


class MSE(SignalObjective):
    """Squared error of the outputs that have a teacher signal.

    Equations:
        loss = (y - d)^2 for each output y with a signal d. With "step", sum / weight is the mean over the signals.

    Args:
        form: "step" (every signal alike), "sequence" (each sequence's sum) or "end" (last valid step only).
        output_weights: how much each output counts; all 1 when absent.

    Shapes:
        output and target (time, batch, outputs), or target (batch, outputs) with "end"; NaN in the target: no signal.
        lengths, mask, weights and start as in `SignalObjective`. May be cut in time.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: output, target, lengths, mask or weights does not fit.

    Example:
        >>> import torch
        >>> nan = float("nan")
        >>> target = torch.tensor([[[1.0, nan]], [[nan, 3.0]]])  # a signal for one output at a step
        >>> MSE()(torch.zeros(2, 1, 2), target)
        Loss(sum=tensor(10.), weight=tensor(2.))
        >>> MSE("end")(torch.zeros(4, 2, 1), torch.ones(2, 1), lengths=[4, 2]).mean
        tensor(1.)
    """

    def __init__(self, form: str = "step", *, output_weights: Any = None):
        super().__init__(form)
        self.output_weights = OutputWeights(output_weights, "output_weights", "MSE")

    def _read(self, target: Tensor, outputs: int | None) -> Teacher:
        return read_numbers(target, outputs, "MSE")

    def _own_weights(self, signal: Tensor) -> Tensor | None:
        return self.output_weights.of(signal)

    def _losses(self, output: Tensor, signal: Tensor) -> Tensor:
        return self.output_weights.scale(torch.square(output - signal.to(output.dtype)))
