"""Mean absolute error."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.learn.objectives.number_signals import OutputWeights, read_numbers
from recurra.learn.objectives.signals import SignalObjective, Teacher


class MAE(SignalObjective):
    """Absolute error of the outputs that have a teacher signal.

    Equations:
        loss = |y - d| for each output y with a signal d; where y = d its gradient is taken as 0.

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
        >>> MAE()(torch.zeros(2, 1, 1), torch.tensor([[[3.0]], [[-1.0]]])).mean
        tensor(2.)
    """

    def __init__(self, form: str = "step", *, output_weights: Any = None):
        super().__init__(form)
        self.output_weights = OutputWeights(output_weights, "output_weights", "MAE")

    def _read(self, target: Tensor, outputs: int | None) -> Teacher:
        return read_numbers(target, outputs, "MAE")

    def _own_weights(self, signal: Tensor) -> Tensor | None:
        return self.output_weights.of(signal)

    def _losses(self, output: Tensor, signal: Tensor) -> Tensor:
        return self.output_weights.scale(torch.abs(output - signal.to(output.dtype)))
