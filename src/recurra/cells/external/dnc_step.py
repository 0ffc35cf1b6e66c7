"""What a differentiable neural computer does to its memory in a step, with its gradient written out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from recurra.cells.external.addressing import allocation, content_weights, oneplus, written
from recurra.cells.external.addressing_gradients import (
    by_content,
    by_content_gradient,
    inverse_lengths,
    sigmoid_gradient,
    softmax_gradient,
)
from recurra.cells.external.compiled_step import compiled_step, worth_compiling
from recurra.cells.external.own_gradient import Tensors, own_gradient


@dataclass(frozen=True)
class Interface:
    """What the memory is told, by name.

    Attributes:
        readers: read heads.
        width: of a key.
        eps: in the cosine.
    """

    readers: int
    width: int
    eps: float

    @property
    def sizes(self) -> dict[str, int]:
        """The parts in their order."""
        return {
            "read_key": self.readers * self.width,
            "read_strength": self.readers,
            "write_key": self.width,
            "write_strength": 1,
            "erase": self.width,
            "write": self.width,
            "free": self.readers,
            "allocate": 1,
            "write_gate": 1,
            "mode": self.readers * 3,
        }


def compute(interface: Interface, told: Tensor, *state: Tensor) -> Tensors:
    """Write, link and read.

    Shapes:
        told (batch, sum of the sizes), and of the state memory (batch, slots, width), usage (batch, slots), link
        (batch, slots, slots), precedence and write weights (batch, slots), read weights (batch, readers, slots); the
        answer is the same parts of the next state, and what was read, (batch, readers, width).
    """
    quick, gradient, memory = partial(_compute, interface), partial(_gradient, interface), state[0]
    if worth_compiling((told, *state), memory):
        quick, gradient = compiled_step("dnc", interface, memory)
    return own_gradient(partial(plain_compute, interface), quick, gradient, (told, *state))


def plain_compute(
    interface: Interface,
    told: Tensor,
    memory: Tensor,
    usage: Tensor,
    link: Tensor,
    precedence: Tensor,
    write_weights: Tensor,
    read_weights: Tensor,
) -> Tensors:
    """The same in plain operations."""
    sizes, readers = interface.sizes, interface.readers
    parts = dict(zip(sizes, told.split(list(sizes.values()), -1), strict=True))
    usage = usage + write_weights - usage * write_weights
    free = torch.sigmoid(parts["free"])
    for head in range(readers):
        usage = usage * (1.0 - free[..., head].unsqueeze(-1) * read_weights[..., head, :])
    content = content_weights(
        memory, parts["write_key"].unsqueeze(-2), oneplus(parts["write_strength"]), interface.eps
    ).squeeze(-2)
    allocate = torch.sigmoid(parts["allocate"])
    where = allocate * allocation(usage) + (1.0 - allocate) * content
    writing = torch.sigmoid(parts["write_gate"]) * where
    erase = torch.sigmoid(parts["erase"]).unsqueeze(-2)
    memory = written(memory, writing.unsqueeze(-2), erase, parts["write"].unsqueeze(-2))

    link, precedence = linked(link, precedence, writing)
    keys = parts["read_key"].unflatten(-1, (readers, interface.width))
    content = content_weights(memory, keys, oneplus(parts["read_strength"]), interface.eps)
    forward, backward = read_weights @ link.transpose(-1, -2), read_weights @ link
    modes = torch.softmax(parts["mode"].unflatten(-1, (readers, 3)), -1)
    reading = modes[..., 0:1] * backward + modes[..., 1:2] * content + modes[..., 2:3] * forward
    return memory, usage, link, precedence, writing, reading, reading @ memory


def linked(link: Tensor, precedence: Tensor, writing: Tensor) -> tuple[Tensor, Tensor]:
    """The links and the precedence after a writing, (batch, slots, slots) and (batch, slots)."""
    row, column = writing.unsqueeze(-1), writing.unsqueeze(-2)
    link = (1.0 - row - column) * link + row * precedence.unsqueeze(-2)
    others = 1.0 - torch.eye(link.shape[-1], dtype=link.dtype, device=link.device)
    return link * others, (1.0 - writing.sum(-1, keepdim=True)) * precedence + writing


def _kept_share(writing: Tensor) -> Tensor:
    """1 - w(i) - w(j), (batch, slots, slots)."""
    return (1.0 - writing).unsqueeze(-1) - writing.unsqueeze(-2)


def _compute(
    interface: Interface,
    told: Tensor,
    memory: Tensor,
    usage: Tensor,
    link: Tensor,
    precedence: Tensor,
    write_weights: Tensor,
    read_weights: Tensor,
) -> tuple[Tensors, Tensors]:
    parts = told.split(list(interface.sizes.values()), -1)
    read_keys, write_key = parts[0].unflatten(-1, (interface.readers, interface.width)), parts[2].unsqueeze(-2)
    # Erase and free, allocate and write gates are all squashed.
    erase, free = torch.sigmoid(parts[4]).unsqueeze(-2), torch.sigmoid(parts[6]).unsqueeze(-1)
    allocate, gate = torch.sigmoid(parts[7]), torch.sigmoid(parts[8])
    modes = torch.softmax(parts[9].unflatten(-1, (interface.readers, 3)), -1)

    used = torch.addcmul(usage + write_weights, usage, write_weights, value=-1)
    left = 1.0 - free * read_weights
    later_usage = used * left.prod(-2)
    order = later_usage.argsort(dim=-1, stable=True)
    in_order = later_usage.gather(-1, order)
    before = torch.cat([torch.ones_like(in_order[:, :1]), in_order[:, :-1]], -1).cumprod(-1)
    room = torch.empty_like(before).scatter_(-1, order, before * (1.0 - in_order))

    lengths = inverse_lengths(memory, interface.eps)
    content = by_content(memory, lengths, write_key, oneplus(parts[3]), interface.eps)
    where = torch.lerp(content[0].squeeze(-2), room, allocate)
    writing = gate * where
    row = writing.unsqueeze(-1)
    after = torch.addcmul(memory, memory, row @ erase, value=-1).baddbmm_(row, parts[5].unsqueeze(-2))

    links = _kept_share(writing).mul_(link).addcmul_(row, precedence.unsqueeze(-2))
    links.diagonal(dim1=-2, dim2=-1).zero_()
    later_precedence = torch.addcmul(writing, 1.0 - writing.sum(-1, keepdim=True), precedence)

    later = inverse_lengths(after, interface.eps)
    read_content = by_content(after, later, read_keys, oneplus(parts[1]), interface.eps)
    forward, backward = torch.bmm(read_weights, links.mT), torch.bmm(read_weights, links)
    reading = modes[..., 0:1] * backward
    reading.addcmul_(modes[..., 1:2], read_content[0]).addcmul_(modes[..., 2:3], forward)
    outputs = (after, later_usage, links, later_precedence, writing, reading, torch.bmm(reading, after))
    kept = (erase, free, allocate, gate, modes, used, left, order, in_order, before, room, where, lengths, later)
    return outputs, (*kept, forward, backward, *content, *read_content)


def _gradient(interface: Interface, inputs: Tensors, outputs: Tensors, kept: Any, gradients: Tensors) -> Tensors:
    told, memory, usage, link, precedence, write_weights, read_weights = inputs
    after, _, links, _, writing, reading, _ = outputs
    erase, free, allocate, gate, modes, used, left, order, in_order, before, room, where, lengths, later = kept[:14]
    forward, backward, content, read_content = kept[14], kept[15], kept[16:20], kept[20:24]
    of_after, of_usage, of_links, of_precedence, of_writing, of_reading, of_reads = gradients
    parts = told.split(list(interface.sizes.values()), -1)
    read_keys, write_key = parts[0].unflatten(-1, (interface.readers, interface.width)), parts[2].unsqueeze(-2)

    # Reading.
    of_after = torch.baddbmm(of_after, reading.mT, of_reads)
    of_reading = torch.baddbmm(of_reading, of_reads, after.mT)
    of_modes = torch.stack([(of_reading * each).sum(-1) for each in (backward, read_content[0], forward)], -1)
    of_read_keys, of_read_strengths = by_content_gradient(
        of_reading * modes[..., 1:2], read_content, after, later, read_keys, of_after
    )
    of_backward, of_forward = of_reading * modes[..., 0:1], of_reading * modes[..., 2:3]
    of_read_weights = torch.bmm(of_backward, links.mT).baddbmm_(of_forward, links)

    # Links and precedence.
    of_links = torch.baddbmm(
        of_links, torch.cat([of_forward, read_weights], 1).mT, torch.cat([read_weights, of_backward], 1)
    )
    of_links.diagonal(dim1=-2, dim2=-1).zero_()
    row, flat = writing.unsqueeze(-1), precedence.unsqueeze(-1)
    of_writing = torch.baddbmm(of_writing.unsqueeze(-1), of_links, flat).squeeze(-1)
    lost = of_links * link
    of_writing -= lost.sum(-1)
    of_writing -= lost.sum(-2)
    of_writing += of_precedence
    of_writing -= (of_precedence * precedence).sum(-1, keepdim=True)
    of_precedence = of_precedence * (1.0 - writing.sum(-1, keepdim=True))
    of_precedence = of_precedence.unsqueeze(-1).baddbmm_(of_links.mT, row).squeeze(-1)
    of_link = of_links.mul_(_kept_share(writing))

    # Writing.
    erased = of_after * memory
    of_writing = of_writing.unsqueeze(-1).baddbmm_(of_after, parts[5].unsqueeze(-1))
    of_writing = of_writing.baddbmm_(erased, erase.mT, alpha=-1).squeeze(-1)
    of_erase, of_write = torch.bmm(row.mT, erased).neg_(), torch.bmm(row.mT, of_after).squeeze(-2)
    of_memory = torch.addcmul(of_after, of_after, row @ erase, value=-1)
    of_gate = (of_writing * where).sum(-1, keepdim=True)
    of_where = of_writing * gate
    of_allocate = (of_where * (room - content[0].squeeze(-2))).sum(-1, keepdim=True)
    of_room = of_where * allocate
    of_key, of_strength = by_content_gradient(
        (of_where - of_room).unsqueeze(-2), content, memory, lengths, write_key, of_memory
    )

    # Usage.
    of_usage = of_usage.scatter_add(-1, order, _room_gradient(of_room.gather(-1, order), in_order, before))
    of_left = (of_usage * used).unsqueeze(-2) * _products_of_others(left)
    of_read_weights.addcmul_(of_left, free, value=-1)
    of_free = (of_left * read_weights).sum(-1, keepdim=True).neg_()
    of_used = of_usage * left.prod(-2)
    of_write_weights, of_usage = of_used * (1.0 - usage), of_used * (1.0 - write_weights)

    of_told = [
        of_read_keys.flatten(1),
        of_read_strengths * torch.sigmoid(parts[1]),
        of_key.squeeze(-2),
        of_strength * torch.sigmoid(parts[3]),
        sigmoid_gradient(of_erase, erase).squeeze(-2),
        of_write,
        sigmoid_gradient(of_free, free).squeeze(-1),
        sigmoid_gradient(of_allocate, allocate),
        sigmoid_gradient(of_gate, gate),
        softmax_gradient(of_modes, modes).flatten(1),
    ]
    of_state = (of_memory, of_usage, of_link, of_precedence, of_write_weights, of_read_weights)
    return (torch.cat(of_told, 1), *of_state)


def _room_gradient(gradient: Tensor, usage: Tensor, before: Tensor) -> Tensor:
    """The gradient of the usage in its order, from that of (1 - u_j) P_j with P_j the product of all u before j.

    Without dividing by u, which may be 0: with R_j = sum over k > j of g_k (1 - u_k) times the product of the u between
    j and k, it is P_j (R_j - g_j), and R_{j-1} = g_j (1 - u_j) + u_j R_j, which is done by doubling.
    """
    rest, factors, reach = gradient * (1.0 - usage), usage, 1
    slots = usage.shape[-1]
    while reach < slots:
        # Each number of `rest` holds what `reach` slots add, and each factor is the product of as many usages.
        joined = rest.clone()
        joined[:, :-reach].addcmul_(factors[:, : slots - reach], rest[:, reach:])
        rest = joined
        if 2 * reach < slots:
            factors = factors[:, :-reach] * factors[:, reach:]
        reach *= 2
    behind = torch.cat([rest[:, 1:], torch.zeros_like(rest[:, :1])], -1)
    return behind.sub_(gradient).mul_(before)


def _products_of_others(factors: Tensor) -> Tensor:
    """For each head the product over all others, without dividing; factors (batch, heads, slots)."""
    heads = factors.shape[-2]
    if heads == 1:
        return torch.ones_like(factors)
    own = torch.eye(heads, dtype=torch.bool, device=factors.device).unsqueeze(-1)
    return torch.where(own, 1.0, factors.unsqueeze(-3)).prod(-2)
