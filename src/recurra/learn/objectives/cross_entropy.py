"""Cross-entropy of classes from logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.number_signals import check_weights, fit_weights
from recurra.learn.objectives.places import can_look
from recurra.learn.objectives.signals import SignalObjective, Teacher


class CrossEntropy(SignalObjective):
    """Cross-entropy between the target's classes and the softmax of the outputs, in nats.

    Equations:
        loss = -sum_c w_c q_c log softmax(z)_c, with q = (1 - e) d + e / classes, d the target's distribution (1 at its
        class), e the label smoothing and w the class weights; the signal's weight is sum_c w_c d_c.

    Args:
        form: "step" (every signal alike), "sequence" (each sequence's sum) or "end" (last valid step only).
        class_weights: w; all 1 when absent.
        label_smoothing: e, from 0 up to 1.
        ignore: the class number that stands for no signal.

    Shapes:
        output (logits) (time, batch, classes); target: whole numbers (time, batch), or distributions (time, batch,
        classes) in floating point, where a row with NaN is no signal; with "end" also (batch,) or (batch, classes).
        lengths, start: as in `SignalObjective`; mask and weights (batch,) or as the whole numbers. May be cut in time.

    Raises:
        UsageError: an argument or a class is out of range.
        ShapeError: output, target, lengths, mask or weights does not fit.

    Example:
        >>> import torch
        >>> CrossEntropy()(torch.zeros(3, 1, 4), torch.tensor([[0], [-100], [3]]))
        Loss(sum=tensor(2.7726), weight=tensor(2.))
    """

    def __init__(
        self, form: str = "step", *, class_weights: Any = None, label_smoothing: float = 0.0, ignore: int = -100
    ):
        super().__init__(form)
        self.class_weights = check_weights(class_weights, "class_weights", "CrossEntropy")
        if isinstance(label_smoothing, bool) or not 0 <= label_smoothing < 1:
            need = "a number from 0, below 1"
            raise UsageError(f"label_smoothing is {label_smoothing!r}", where="CrossEntropy", need=need)
        if isinstance(ignore, bool) or not isinstance(ignore, int):
            raise UsageError(f"ignore is {ignore!r}", where="CrossEntropy", need="a whole number")
        self.label_smoothing, self.ignore = float(label_smoothing), ignore

    def _read(self, target: Tensor, outputs: int | None) -> Teacher:
        where, classes = "CrossEntropy", outputs or "classes"
        if target.is_floating_point():
            if target.dim() not in (2, 3) or (outputs is not None and target.shape[-1] != outputs):
                need = f"distributions (time, batch, {classes}), or (batch, {classes}) with form='end'"
                given = f"target is {target.dtype} of shape {tuple(target.shape)}"
                raise ShapeError(given, where=where, need=need, cure="target.long(), if it holds class numbers")
            signal = target if target.dim() == 3 else target.unsqueeze(0)
            present = ~signal.isnan().any(-1, keepdim=True)
            if can_look():
                seen = torch.where(present, signal, 1.0 / max(signal.shape[-1], 1))
                if bool((seen < 0).any()) or bool(((seen.sum(-1) - 1).abs() > 1e-3).any()):
                    need = "in each row, numbers from 0 that add up to 1, or NaN for no signal"
                    raise UsageError("target holds a row that is no distribution", where=where, need=need)
            return Teacher(signal, present, target.dim() == 3)
        if target.is_complex() or target.dtype == torch.bool or target.dim() not in (1, 2):
            need = "class numbers (time, batch), or (batch,) with form='end'"
            given = f"target is {target.dtype} of shape {tuple(target.shape)}"
            raise ShapeError(given, where=where, need=need)
        signal = (target if target.dim() == 2 else target.unsqueeze(0)).unsqueeze(-1).long()
        present = signal != self.ignore
        known = len(self.class_weights) if outputs is None and self.class_weights is not None else outputs
        if can_look() and known is not None:
            wrong = present & ((signal < 0) | (signal >= known))
            if bool(wrong.any()):
                need = f"classes from 0 to {known - 1}, or {self.ignore} for no signal"
                raise UsageError(f"target holds {int(signal[wrong][0])}", where=where, need=need)
        return Teacher(signal, present, target.dim() == 2)

    def _weights(self, like: Tensor, classes: int) -> Tensor:
        assert self.class_weights is not None
        return fit_weights(self.class_weights, "class_weights", like, classes, "class", "CrossEntropy")

    def _own_weights(self, signal: Tensor) -> Tensor | None:
        if self.class_weights is None:
            return None
        if signal.is_floating_point():
            weights = self._weights(signal, signal.shape[-1]).to(signal.dtype)
            return (signal * weights).sum(-1, keepdim=True)
        return self.class_weights.to(signal.device)[signal]

    def _losses(self, output: Tensor, signal: Tensor) -> Tensor:
        surprise = -torch.log_softmax(output, -1)
        classes, smoothing = output.shape[-1], self.label_smoothing
        if self.class_weights is not None:
            surprise = surprise * self._weights(output, classes).to(output.dtype)
        if signal.is_floating_point():
            share = (1 - smoothing) * signal.to(output.dtype) + smoothing / classes
            # A class of probability 0 that the target does not ask for costs nothing, and not 0 * infinity.
            return torch.where(share > 0, share * surprise, torch.zeros_like(surprise)).sum(-1, keepdim=True)
        loss = surprise.gather(-1, signal)
        return loss if not smoothing else (1 - smoothing) * loss + smoothing * surprise.mean(-1, keepdim=True)
