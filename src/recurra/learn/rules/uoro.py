"""Unbiased online recurrent optimisation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.learn.rules.online import OnlineRule, Stream
from recurra.learn.rules.step_function import Blocks, Step, StepFunction
from recurra.types import Cost

TINY = 1e-7


class UORO(OnlineRule):
    """Unbiased online recurrent optimisation: a random product of two vectors whose mean is the influence matrix.

    Equations:
        M ~ a w^T;  with v a vector of random signs, drawn anew each step, and J, F as in real-time recurrent learning:
        a' = r0 J a + r1 v,  w' = w / r0 + (v^T F) / r1,
        r0^2 = (|w| + e) / (|J a| + e),  r1^2 = (|v^T F| + e) / (|v| + e),  e = 1e-7,
        dL_t/dw ~ (the part past the state) + ((dL_t/ds_t) a) w^T.

    Args: none. The signs come from torch's global generator: `torch.manual_seed` repeats them.

    Shapes:
        the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: sequences act on one another.

    Differs from the paper: gradients of a batch are added up before the weights change; each sequence has vectors and
    signs of its own; J a is computed by differentiation, not by a small step; e stands in the fractions only.

    Reference:
        C. Tallec, Y. Ollivier. Unbiased online recurrent optimization. ICLR (2018), arXiv:1702.05043.

    Example:
        >>> UORO().cost(hidden=8, parameters=100, steps=50).memory
        108.0
    """

    name = "uoro"
    unbiased = True

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """A few backward passes a step; two vectors."""
        return Cost(float(parameters), float(parameters + hidden), "time O(p) a step, memory O(p)")

    def carry(self, step: Step, stream: Stream, function: StepFunction) -> Any:
        signs = torch.randint(0, 2, step.after.shape, device=step.after.device).to(step.after.dtype) * 2 - 1
        own = torch.eye(step.size, dtype=signs.dtype, device=signs.device)
        pulled = step.pull(own[:, :, None] * signs)[0]
        if stream.influence is None:
            return signs, pulled
        units, weights = stream.influence
        units = step.push(units)
        r0 = ((_length(weights, step.size) + TINY) / (units.norm(dim=1) + TINY)).sqrt().to(signs)[:, None]
        r1 = ((_length(pulled, step.size) + TINY) / (signs.norm(dim=1) + TINY)).sqrt().to(signs)[:, None]
        made = {i: block / r1 for i, block in pulled.items()}
        for i, block in weights.items():
            made[i] = made[i] + block / r0 if i in made else block / r0
        return r0 * units + r1 * signs, made

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        units, weights = influence
        share = (row * units).sum(1)
        return {i: share @ block for i, block in weights.items()}


def _length(blocks: Blocks, size: int) -> Tensor:
    parts = [block.square().sum(1) for block in blocks.values()]
    return torch.stack(parts).sum(0).sqrt() if parts else torch.zeros(size)
