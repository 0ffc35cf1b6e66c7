"""Addressing by content and by shifts with what its gradient needs, and the gradient, for steps without a graph."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.external.addressing import SMALLEST


def softmax_gradient(gradient: Tensor, softmax: Tensor) -> Tensor:
    """From a softmax's gradient, along the last dimension, to its argument's."""
    return torch.ops.aten._softmax_backward_data(gradient, softmax, -1, softmax.dtype)


def sigmoid_gradient(gradient: Tensor, sigmoid: Tensor) -> Tensor:
    """From a sigmoid's gradient to its argument's."""
    return torch.ops.aten.sigmoid_backward(gradient, sigmoid)


def inverse_lengths(rows: Tensor, eps: float) -> Tensor:
    """1 / sqrt(row . row + eps), (..., rows)."""
    return (rows * rows).sum(-1).add_(eps).rsqrt_()


def by_content(memory: Tensor, lengths: Tensor, keys: Tensor, strengths: Tensor, eps: float) -> tuple[Tensor, ...]:
    """`content_weights`, and what its gradient needs; lengths are the memory's inverse ones, (batch, slots)."""
    inverse = inverse_lengths(keys, eps)
    scale = strengths * inverse
    likeness = torch.bmm(keys, memory.mT).mul_(lengths.unsqueeze(-2))
    return torch.softmax(likeness * scale.unsqueeze(-1), -1), likeness, scale, inverse


def by_content_gradient(
    gradient: Tensor,
    found: tuple[Tensor, ...],
    memory: Tensor,
    lengths: Tensor,
    keys: Tensor,
    into: Tensor,
) -> tuple[Tensor, Tensor]:
    """The gradients of the keys and of the strengths, from what `by_content` gave; the memory's is added to `into`."""
    weights, likeness, scale, inverse = found
    gradient = softmax_gradient(gradient, weights)
    of_scale = (gradient * likeness).sum(-1)
    gradient = gradient * scale.unsqueeze(-1)
    # A row's length grows with the row itself: what the likeness loses by that lies along the row.
    along = (gradient * likeness).sum(-2).mul_(lengths).mul_(lengths)
    gradient.mul_(lengths.unsqueeze(-2))
    into.baddbmm_(gradient.mT, keys).addcmul_(memory, along.unsqueeze(-1), value=-1)
    of_keys = torch.bmm(gradient, memory)
    of_keys.addcmul_(keys, (of_scale * scale).mul_(inverse).mul_(inverse).unsqueeze(-1), value=-1)
    return of_keys, of_scale * inverse


def round_and_round(weights: Tensor, reach: int) -> Tensor:
    """The slots with the last `reach` of them before the first, and the first behind the last."""
    if not reach:
        return weights
    return torch.cat([weights[..., -reach:], weights, weights[..., :reach]], -1)


def moved(padded: Tensor, shifts: Tensor) -> Tensor:
    """The sum over j of shifts(j) padded(i + j): a correlation, (batch, heads, slots)."""
    count = shifts.shape[-1]
    slots = padded.shape[-1] - count + 1
    total = padded[..., :slots] * shifts[..., :1]
    for j in range(1, count):
        total.addcmul_(padded[..., j : j + slots], shifts[..., j : j + 1])
    return total


def by_place(
    content: Tensor, last: Tensor, gates: Tensor, shifts: Tensor, powers: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mixing with the last weights, shifting, sharpening; and what their gradient needs. gates, powers (..., 1)."""
    padded = round_and_round(torch.lerp(last, content, gates), shifts.shape[-1] // 2)
    shifted = moved(padded, shifts.flip(-1))
    logs = shifted.clamp_min(SMALLEST).log_()
    return torch.softmax(logs * powers, -1), padded, shifted, logs


def by_place_gradient(
    gradient: Tensor,
    found: tuple[Tensor, ...],
    content: Tensor,
    last: Tensor,
    gates: Tensor,
    shifts: Tensor,
    powers: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of content, last, gates (..., 1), shifts and powers (..., 1), from what `by_place` gave."""
    weights, padded, shifted, logs = found
    gradient = softmax_gradient(gradient, weights)
    of_powers = (gradient * logs).sum(-1, keepdim=True)
    gradient = torch.ops.aten.threshold_backward((gradient * powers).div_(shifted), shifted, SMALLEST)
    count = shifts.shape[-1]
    slots = gradient.shape[-1]
    of_shifts = torch.stack([(gradient * padded[..., j : j + slots]).sum(-1) for j in reversed(range(count))], -1)
    gradient = moved(round_and_round(gradient, count // 2), shifts)
    of_gates = (gradient * (content - last)).sum(-1, keepdim=True)
    of_content = gradient * gates
    return of_content, gradient - of_content, of_gates, of_shifts, of_powers
