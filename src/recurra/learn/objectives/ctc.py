"""Connectionist temporal classification as an objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.ctc_forward_backward import check_logits, ctc_loss
from recurra.learn.objectives.ctc_labels import check_blank, pad_labels
from recurra.learn.objectives.objective import Loss
from recurra.learn.objectives.places import spread

INFEASIBLE = ("keep", "leave_out")


class CTC:
    """Connectionist temporal classification: a labelling without its times is the teacher of a whole sequence.

    Equations:
        sum = sum over sequences of weight * (-log p(labelling | outputs)), see `ctc_loss`; weight = sum of their
        weights.

    It cannot be cut in time: the probability of a labelling sums over paths through all steps, and is no sum of parts
    that belong to windows.

    Args:
        blank: the class that stands for no label.
        infeasible: "keep" (a sequence whose labelling no path can write makes the sum infinite, without any gradient),
            or "leave_out" (it counts neither in the sum nor in the weight).
        precision: the number format inside, torch.float64 say; that of the output when absent.

    Shapes:
        output (logits) (time, batch, classes); target: labellings (batch, labels) padded with -1, or a list of lists;
        lengths (batch,); mask, True where a sequence counts, and weights (batch,).

    Raises:
        UsageError: an argument, a label or a length is out of range, or `start` is given.
        ShapeError: output, target, lengths, mask or weights does not fit.

    Reference:
        A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber. Connectionist temporal classification: labelling unsegmented
        sequence data with recurrent neural networks. ICML (2006) 369-376.

    Example:
        >>> import torch
        >>> output = torch.zeros(3, 2, 4)  # 64 paths, all alike
        >>> loss = CTC()(output, [[1, 1], [2]], lengths=[3, 1])
        >>> round(float(loss.sum.exp())), loss.weight  # 1 path of 64, and 1 of 4
        (256, tensor(2.))
    """

    def __init__(self, blank: int = 0, *, infeasible: str = "keep", precision: torch.dtype | None = None):
        self.blank = check_blank(blank, None, "CTC")
        if infeasible not in INFEASIBLE:
            raise UsageError(f"infeasible is {infeasible!r}", where="CTC", need="'keep' or 'leave_out'")
        if precision not in (None, torch.float32, torch.float64):
            raise UsageError(f"precision is {precision!r}", where="CTC", need="torch.float32 or torch.float64, or None")
        self.infeasible, self.precision = infeasible, precision

    def __call__(
        self,
        output: Tensor,
        target: Any,
        lengths: Any = None,
        mask: Any = None,
        weights: Any = None,
        start: int | None = None,
    ) -> Loss:
        """The sum of the sequences' losses and their weight; see the class."""
        if start is not None:
            given = f"start is {start!r}, but {self.why_not_cut()}"
            raise UsageError(given, where="CTC", need="whole sequences, and no start")
        output = check_logits(output, "CTC")
        each = ctc_loss(output, target, lengths, blank=self.blank, precision=self.precision)
        counts, shares = _of_sequences(output.shape[1], mask, weights, output.device)
        if self.infeasible == "leave_out":
            counts = counts & (each != torch.inf)
        shares = shares.to(each.dtype)
        total = torch.where(counts, each * torch.where(counts, shares, 1.0), 0.0).sum()
        return Loss(total, torch.where(counts, shares, 0.0).sum())

    def weight(self, target: Any, lengths: Any = None, mask: Any = None, weights: Any = None) -> Tensor:
        """The weight of whole sequences before any output is known; infeasible ones are not left out of it."""
        target = target if isinstance(target, Tensor) else pad_labels(target)
        counts, shares = _of_sequences(target.shape[0], mask, weights, target.device)
        return torch.where(counts, shares, 0.0).sum()

    def why_not_cut(self) -> str | None:
        """Why windows of a sequence cannot be judged one by one."""
        return "CTC sums over paths through the whole sequence, which no window holds"

    def __repr__(self) -> str:
        return f"CTC(blank={self.blank}, infeasible={self.infeasible!r})"


def _of_sequences(batch: int, mask: Any, weights: Any, device: torch.device) -> tuple[Tensor, Tensor]:
    counts = torch.ones(batch, dtype=torch.bool, device=device)
    shares = torch.ones(batch, device=device)
    for name, value in (("mask", mask), ("weights", weights)):
        if value is not None and (not isinstance(value, Tensor) or value.shape != (batch,)):
            got = f"has shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"is {type(value).__name__}"
            need = f"({batch},), one for each sequence: CTC judges sequences as wholes"
            raise ShapeError(f"{name} {got}", where="CTC", need=need)
    known: dict[str, Any] = {"in_time": False, "where": "CTC"}
    if mask is not None:
        counts = spread(mask, (1, batch, 1), name="mask", flags=True, **known).reshape(batch).to(device)
    if weights is not None:
        shares = spread(weights, (1, batch, 1), name="weights", flags=False, **known).reshape(batch).to(device)
    return counts, shares.detach()
