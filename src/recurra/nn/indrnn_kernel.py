"""The independently recurrent network over a whole sequence at once: two operations a step, each way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class IndRNNSequence(torch.autograd.Function):
    """h_t = relu(z_t + u * h_{t-1}) for all t, from z (time, batch, hidden), u (hidden,) and h_{-1} (batch, hidden).

    With d_t the gradient of z_t, and g_t what comes from outside for h_t:
        d_t = [h_t > 0] (g_t + u * d_{t+1}),  du = sum over t and batch of d_t * h_{t-1},  dh_{-1} = u * d_0.

    Autograd over the plain loop makes some ten nodes a step; this makes one for the sequence and keeps h alone. The
    second derivative is that of the same equations, written without in-place operations. Forward-mode differentiation
    and torch.func are not known here.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, u: Tensor, first: Tensor) -> Tensor:
        h = torch.empty_like(z, memory_format=torch.contiguous_format)
        last = first
        for inwards, now in zip(z.unbind(0), h.unbind(0), strict=True):
            torch.addcmul(inwards, last, u, out=now)
            now.relu_()
            last = now
        ctx.save_for_backward(h, u, first)
        return h

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, u, first = ctx.saved_tensors
        return _differentiable(g, h, u, first) if torch.is_grad_enabled() else _in_place(g, h, u, first)


def _in_place(g: Tensor, h: Tensor, u: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    d = torch.empty_like(h)
    by_u, later = torch.zeros_like(first), torch.zeros_like(first)
    before = [first, *h.unbind(0)]
    for t, (outside, now) in reversed(list(enumerate(zip(g.unbind(0), d.unbind(0), strict=True)))):
        torch.addcmul(outside, later, u, out=now)
        torch.ops.aten.threshold_backward(now, before[t + 1], 0, grad_input=now)
        by_u.addcmul_(now, before[t])
        later = now
    return d, by_u.sum(0), u * later


def _differentiable(g: Tensor, h: Tensor, u: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    active = (h.detach() > 0).to(h.dtype).unbind(0)
    steps: list[Tensor] = []
    later = torch.zeros_like(first)
    for outside, on in zip(reversed(g.unbind(0)), reversed(active), strict=True):
        later = on * (outside + u * later)
        steps.append(later)
    d = torch.stack(steps[::-1])
    before = torch.cat([first.unsqueeze(0), h[:-1]])
    return d, (d * before).sum((0, 1)), u * later


def indrnn_sequence(z: Tensor, u: Tensor, first: Tensor, within: Tensor | None) -> Tensor:
    """All h_t; where `within` (time, batch, 1) is False, h_t is 0 and no gradient passes.

    A step that is left out gets -inf as input: relu makes it exactly 0, where a unit with |u| > 1 would otherwise grow
    through long padding until it overflows, and 0 times infinity would reach the gradient of u.
    """
    kind = torch.promote_types(torch.promote_types(z.dtype, u.dtype), first.dtype)  # they differ under autocast
    if within is not None:
        z = torch.where(within, z, torch.full_like(z, float("-inf")))
    h: Tensor = IndRNNSequence.apply(z.to(kind), u.to(kind), first.to(kind))
    return h
