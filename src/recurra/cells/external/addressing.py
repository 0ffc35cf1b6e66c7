"""How a memory is addressed: by content, by shifts of the last address, and where there is room."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 1e-16
"""Weights below this are taken for it before the logarithm: its square still has a reciprocal in float32."""


def oneplus(a: Tensor) -> Tensor:
    """1 + log(1 + exp(a)): from 1 on.

    Example:
        >>> oneplus(torch.tensor([-100.0, 0.0]))
        tensor([1.0000, 1.6931])
    """
    return 1.0 + F.softplus(a)


def content_weights(memory: Tensor, keys: Tensor, strengths: Tensor, eps: float) -> Tensor:
    """Address the slots that are like the keys.

    Equations:
        w(i) = softmax over i of strength * cos(k, M(i)),
        cos(k, m) = k . m / (sqrt(k . k + eps) sqrt(m . m + eps)).

    Shapes:
        memory (batch, slots, width), keys (batch, heads, width), strengths (batch, heads); the answer (batch, heads,
        slots).

    Example:
        >>> memory = torch.eye(3).unsqueeze(0)
        >>> content_weights(memory, memory[:, 1:2], torch.tensor([[50.0]]), 1e-12).round()
        tensor([[[0., 1., 0.]]])
    """
    memory = memory * torch.rsqrt(memory.square().sum(-1, keepdim=True) + eps)
    keys = keys * torch.rsqrt(keys.square().sum(-1, keepdim=True) + eps)
    return torch.softmax(strengths.unsqueeze(-1) * (keys @ memory.transpose(-1, -2)), -1)


def shifted(weights: Tensor, shifts: Tensor) -> Tensor:
    """Move weights along the slots, round and round.

    Equations:
        w'(i) = sum over k = -K ... K of s(k) w(i - k), the slots in a circle.

    Shapes:
        weights (batch, heads, slots), shifts (batch, heads, 2 K + 1) from -K to K; the answer (batch, heads, slots).

    Example:
        >>> shifted(torch.tensor([[[0.0, 0.0, 1.0]]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
        tensor([[[1., 0., 0.]]])
    """
    reach = shifts.shape[-1] // 2
    moved = [torch.roll(weights, k, -1) * shifts[..., k + reach].unsqueeze(-1) for k in range(-reach, reach + 1)]
    total = moved[0]
    for part in moved[1:]:
        total = total + part
    return total


def sharpened(weights: Tensor, power: Tensor) -> Tensor:
    """w(i)^power / sum over j of w(j)^power, by way of logarithms, so that 0 has a gradient; power (batch, heads).

    Example:
        >>> sharpened(torch.tensor([[[0.6, 0.3, 0.1]]]), torch.tensor([[1.0]]))
        tensor([[[0.6000, 0.3000, 0.1000]]])
    """
    return torch.softmax(power.unsqueeze(-1) * weights.clamp_min(SMALLEST).log(), -1)


def written(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor:
    """M(i) * product over heads of (1 - w(i) e) + sum over heads of w(i) a; weights (batch, heads, slots)."""
    for head in range(weights.shape[-2]):
        memory = memory * (1.0 - weights[..., head, :].unsqueeze(-1) * erase[..., head, :].unsqueeze(-2))
    return memory + weights.transpose(-1, -2) @ add


def allocation(usage: Tensor) -> Tensor:
    """Where there is room: the slots in the order of their usage, each as far as those before it are in use.

    Equations:
        phi = the slots, the least used first (of equals the first one)
        a(phi_j) = (1 - u(phi_j)) * product over i < j of u(phi_i).

    As in the paper the order is taken as given: no gradient goes through it.

    Shapes:
        usage (batch, slots), from 0 to 1; the answer (batch, slots).

    Example:
        >>> allocation(torch.tensor([[0.5, 0.0, 1.0], [0.5, 0.9, 1.0]]))
        tensor([[0.0000, 1.0000, 0.0000],
                [0.5000, 0.0500, 0.0000]])
    """
    order = usage.detach().argsort(dim=-1, stable=True)
    in_order = usage.gather(-1, order)
    room = (1.0 - in_order) * products_before(in_order)
    return room.gather(-1, order.argsort(dim=-1))


def products_before(values: Tensor) -> Tensor:
    """The product of all entries before each one, along the last dimension.

    By doubling, and not as a quotient or by logarithms: zeros are the rule here, and derivatives of every order and
    mode go through plain products.

    Example:
        >>> products_before(torch.tensor([2.0, 0.0, 3.0, 4.0]))
        tensor([1., 2., 0., 0.])
    """
    size, reach = values.shape[-1], 1
    result = torch.cat([torch.ones_like(values[..., :1]), values[..., :-1]], -1)
    while reach < size:
        result = result * torch.cat([torch.ones_like(result[..., :reach]), result[..., :-reach]], -1)
        reach *= 2
    return result
