"""Back-propagation through time, over the whole sequence."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurra.types import Batch, Cost


class BPTT:
    """The exact gradient of the batch's loss, by back-propagation through all of its time steps.

        dL/dw = sum_t dL_t/dw,    dL_t/dw = sum_{s <= t} dL_t/dh_t (dh_t/dh_s) (dh_s/dw)

    Args: none.

    Shapes: the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Errors: none of its own.

    Differs from the paper: not at all; autograd walks back through the recorded steps.

    Reference: P. J. Werbos, Backpropagation through time: what it does and how to do it, Proceedings of the IEEE
    78(10), 1990.

    Example:
        >>> BPTT().cost(hidden=8, parameters=100, steps=50).memory
        400.0
    """

    name = "bptt"
    exact = True
    unbiased = True
    online = False
    one_backward = True
    """One forward and one backward pass a step, so that gradients may be shared between processes on the way back."""

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """Work a time step grows with the parameters; all steps' states are kept."""
        return Cost(float(parameters), float(hidden * steps), "time O(p) a step, memory O(n T)")

    def supports(self, learner: nn.Module) -> str | None:
        """Every learner can be served."""
        return None

    def init(self, learner: nn.Module) -> None:
        """Nothing is remembered between batches."""
        return None

    def step(self, learner: nn.Module, batch: Batch, memory: Any) -> tuple[Tensor, Any]:
        """Add the batch's gradient to `.grad`; returns the detached loss and the memory."""
        loss, _ = learner(batch, 0, batch.steps, None)
        if loss.requires_grad:
            loss.backward()
        return loss.detach(), memory

    def flush(self, learner: nn.Module, memory: Any) -> Any:
        """Nothing is ever pending."""
        return memory

    def reset(self, memory: Any) -> Any:
        """Nothing is carried over."""
        return memory

    def __repr__(self) -> str:
        return "BPTT()"
