"""What an objective is: what a network's outputs cost, as a sum and the weight that the sum is divided by."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Loss(NamedTuple):
    """A loss that adds up over spans of time, over batches and over machines.

    Equations:
        mean = sum / weight, and 0 where the weight is 0.

    Attributes:
        sum: the weighted losses added up, a number that gradients flow from.
        weight: what they weigh together, a number without gradient.

    Example:
        >>> import torch
        >>> Loss(torch.tensor(3.0), torch.tensor(4.0)).mean
        tensor(0.7500)
    """

    sum: Tensor
    weight: Tensor

    @property
    def mean(self) -> Tensor:
        """The sum over the weight; 0 where there is nothing to learn from."""
        return self.sum / torch.where(self.weight > 0, self.weight, torch.ones_like(self.weight))


class Objective(Protocol):
    """What a network is to learn: `objective(output, target, lengths=..., mask=...)` gives a `Loss`.

    An objective that can be cut in time takes `start` too, the step of the whole sequence at which a window begins;
    `lengths` then still counts the steps of the whole sequence. The sums, and the weights, of windows that follow each
    other add up to those of the whole.
    """

    def __call__(
        self,
        output: Tensor,
        target: Any,
        lengths: Any = None,
        mask: Any = None,
        weights: Any = None,
        start: int | None = None,
    ) -> Loss: ...

    def weight(self, target: Any, lengths: Any = None, mask: Any = None, weights: Any = None) -> Tensor:
        """The weight of whole sequences, before any output is known."""
        ...

    def why_not_cut(self) -> str | None:
        """None where windows of a sequence may be judged one by one; else the reason."""
        ...
