"""Truncated back-propagation through time, TBPTT(k1, k2)."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.rules.state_tree import cut_from_graph, tensors_of
from recurra.types import Batch, Cost


class TBPTT:
    """Every k1 steps, the loss of the latest k1 steps is back-propagated through the latest k2 steps.

    With L_(a,b] the loss of steps a+1..b, for each segment's end t = k1, 2 k1, ...:

        g_t = dL_(t-k1, t]/dw  with the state at step t - k2 taken as a constant,    gradient = sum_t g_t

    The sequence is run in segments of k1 steps. The state between two segments is cut from the graph and kept; to go
    back further than one segment, the gradient that arrives at a cut is handed to the segment before it, as often as
    k2 / k1 asks for.

    Args:
        k1: steps a segment, at least 1.
        k2: steps that a segment's loss reaches back, its own included; a multiple of k1. By default k1.

    Shapes: the learner's own, with any nesting of tensors as the state.

    Errors: UsageError when k1 or k2 is no whole number from 1, or k2 is no multiple of k1.

    Differs from the paper: there, weights change every k1 steps; here the gradients of a whole sequence are added up
    first, so that every optimiser sees one gradient a batch. A last segment that is shorter than k1 reaches back over
    as many segments as the others. With k1 = k2 >= the sequence's length this is BPTT.

    Reference: R. J. Williams and J. Peng, An efficient gradient-based algorithm for on-line training of recurrent
    network trajectories, Neural Computation 2(4), 1990.

    Example:
        >>> TBPTT(20, 60)
        TBPTT(k1=20, k2=60)
        >>> TBPTT(20).k2
        20
    """

    name = "tbptt"
    exact = False
    unbiased = False
    online = False
    one_backward = False

    def __init__(self, k1: int, k2: int | None = None):
        k2 = k1 if k2 is None else k2
        for name, value in (("k1", k1), ("k2", k2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(
                    f"{name} is {value!r}",
                    where="rule tbptt(k1, k2)",
                    need=f"a whole number of steps, at least 1, for {name}",
                    cure="write tbptt(50), or tbptt(20, 60)",
                )
        if k2 % k1:
            higher = k1 * (k2 // k1 + 1)
            raise UsageError(
                f"k2 = {k2} is no multiple of k1 = {k1}",
                where="rule tbptt(k1, k2)",
                need="k2 a multiple of k1: the gradient goes back over whole segments of k1 steps",
                cure=f"write tbptt({k1}, {higher})",
            )
        self.k1, self.k2 = k1, k2

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """Each step is walked back k2 / k1 times; k2 steps' states are kept."""
        time = parameters * self.k2 / self.k1
        return Cost(time, float(hidden * min(self.k2, steps)), "time O(p k2/k1) a step, memory O(n k2)")

    def supports(self, learner: nn.Module) -> str | None:
        """None, or why the sequence may not be cut in time."""
        ask = getattr(learner, "why_not_streamed", None)
        reason = ask() if ask else None
        return f"tbptt cuts sequences in time, but {reason}; use the rule bptt instead" if reason else None

    def init(self, learner: nn.Module) -> None:
        """Nothing is remembered between batches."""
        return None

    def step(self, learner: nn.Module, batch: Batch, memory: Any) -> tuple[Tensor, Any]:
        """Add the batch's truncated gradient to `.grad`; returns the detached loss of the whole batch."""
        state, total = None, None
        # (tensors that entered a segment, tensors that left it), the latest k2 / k1 segments
        kept: deque[tuple[list[Tensor], list[Tensor]]] = deque(maxlen=self.k2 // self.k1)
        for start in range(0, max(batch.steps, 1), self.k1):
            state = cut_from_graph(state)
            entering = tensors_of(state)
            loss, state = learner(batch, start, min(start + self.k1, batch.steps), state)
            kept.append((entering, tensors_of(state)))
            _walk_back(loss, kept, again=self.k2 > self.k1)
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total, memory

    def flush(self, learner: nn.Module, memory: Any) -> Any:
        """Nothing is ever pending."""
        return memory

    def reset(self, memory: Any) -> Any:
        """Nothing is carried over."""
        return memory

    def __repr__(self) -> str:
        return f"TBPTT(k1={self.k1}, k2={self.k2})"


def _walk_back(loss: Tensor, kept: deque[tuple[list[Tensor], list[Tensor]]], again: bool) -> None:
    """Back-propagate a segment's loss through it and the kept ones before it; `again`: their graphs serve once more."""
    if not loss.requires_grad:  # a span without any loss, as before the last step of a sequence with one label
        return
    torch.autograd.backward(loss, retain_graph=again)
    latest = len(kept) - 1
    arriving = _take_gradients(kept[latest][0])
    for index in range(latest - 1, -1, -1):
        entering, leaving = kept[index]
        pairs = [(out, g) for out, g in zip(leaving, arriving, strict=True) if g is not None and out.requires_grad]
        if not pairs:
            return
        outputs, gradients = zip(*pairs, strict=True)
        torch.autograd.backward(outputs, gradients, retain_graph=True)
        arriving = _take_gradients(entering)


def _take_gradients(leaves: list[Tensor]) -> list[Tensor | None]:
    gradients = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return gradients
