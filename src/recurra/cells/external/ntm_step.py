"""What a neural Turing machine does to its memory in a step, with its gradient written out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.external.addressing import content_weights, oneplus, sharpened, shifted, written
from recurra.cells.external.addressing_gradients import (
    by_content,
    by_content_gradient,
    by_place,
    by_place_gradient,
    inverse_lengths,
    sigmoid_gradient,
    softmax_gradient,
)
from recurra.cells.external.compiled_step import compiled_step, worth_compiling
from recurra.cells.external.own_gradient import Tensors, own_gradient


@dataclass(frozen=True)
class Heads:
    """The numbers of heads, and of what each is told.

    Attributes:
        writers, readers: how many.
        width: of a key.
        reach: the farthest shift.
        eps: in the cosine.
    """

    writers: int
    readers: int
    width: int
    reach: int
    eps: float

    @property
    def sizes(self) -> dict[str, int]:
        """The parts of what the heads are told, in their order."""
        heads = self.writers + self.readers
        return {
            "key": heads * self.width,
            "strength": heads,
            "gate": heads,
            "shift": heads * (2 * self.reach + 1),
            "power": heads,
            "erase": self.writers * self.width,
            "add": self.writers * self.width,
        }


def turn(heads: Heads, told: Tensor, memory: Tensor, write_weights: Tensor, read_weights: Tensor) -> Tensors:
    """Write and read: from what the heads are told and from where they stand.

    Shapes:
        told (batch, sum of the sizes), memory (batch, slots, width), weights (batch, heads, slots); the answer is the
        memory, the weights of both kinds, and what was read, (batch, readers, width).
    """
    inputs = (told, memory, write_weights, read_weights)
    # The written-out step knows one writer, and shifts that do not meet themselves round the circle.
    if heads.writers > 1 or heads.reach > memory.shape[-2]:
        return plain_turn(heads, *inputs)
    quick, gradient = partial(_turn, heads), partial(_gradient, heads)
    if worth_compiling(inputs, memory):
        quick, gradient = compiled_step("ntm", heads, memory)
    return own_gradient(partial(plain_turn, heads), quick, gradient, inputs)


def plain_turn(heads: Heads, told: Tensor, memory: Tensor, write_weights: Tensor, read_weights: Tensor) -> Tensors:
    """The same in plain operations, for any number of heads."""
    parts = dict(zip(heads.sizes, told.split(list(heads.sizes.values()), -1), strict=True))
    keys = parts["key"].unflatten(-1, (-1, heads.width))
    shifts = torch.softmax(parts["shift"].unflatten(-1, (-1, 2 * heads.reach + 1)), -1)
    strengths, gates = F.softplus(parts["strength"]), torch.sigmoid(parts["gate"])
    powers = oneplus(parts["power"])

    def address(memory: Tensor, last: Tensor, some: slice) -> Tensor:
        content = content_weights(memory, keys[..., some, :], strengths[..., some], heads.eps)
        gate = gates[..., some].unsqueeze(-1)
        mixed = gate * content + (1.0 - gate) * last
        return sharpened(shifted(mixed, shifts[..., some, :]), powers[..., some])

    w = heads.writers
    writing = address(memory, write_weights, slice(0, w))
    erase = torch.sigmoid(parts["erase"]).unflatten(-1, (w, heads.width))
    memory = written(memory, writing, erase, parts["add"].unflatten(-1, (w, heads.width)))
    reading = address(memory, read_weights, slice(w, w + heads.readers))
    return memory, writing, reading, reading @ memory


def _turn(
    heads: Heads, told: Tensor, memory: Tensor, write_weights: Tensor, read_weights: Tensor
) -> tuple[Tensors, Tensors]:
    parts = told.split(list(heads.sizes.values()), -1)
    both = (1, heads.readers)
    keys = parts[0].unflatten(-1, (-1, heads.width)).split(both, 1)
    strengths, powers = F.softplus(parts[1]).split(both, 1), oneplus(parts[4]).unsqueeze(-1)
    gates = torch.sigmoid(parts[2]).unsqueeze(-1)
    shifts = torch.softmax(parts[3].unflatten(-1, (-1, 2 * heads.reach + 1)), -1)
    erase, add = torch.sigmoid(parts[5]).unsqueeze(-2), parts[6].unsqueeze(-2)

    of_writer, of_readers = zip(*(told.split(both, 1) for told in (gates, shifts, powers)), strict=True)
    lengths = inverse_lengths(memory, heads.eps)
    content = by_content(memory, lengths, keys[0], strengths[0], heads.eps)
    place = by_place(content[0], write_weights, *of_writer)
    writing = place[0]
    after = torch.addcmul(memory, memory, torch.bmm(writing.mT, erase), value=-1).baddbmm_(writing.mT, add)

    later = inverse_lengths(after, heads.eps)
    read_content = by_content(after, later, keys[1], strengths[1], heads.eps)
    read_place = by_place(read_content[0], read_weights, *of_readers)
    reading = read_place[0]
    outputs = (after, writing, reading, torch.bmm(reading, after))
    kept = (powers, gates, shifts, erase, lengths, later, *content, *place, *read_content, *read_place)
    return outputs, kept


def _gradient(heads: Heads, inputs: Tensors, outputs: Tensors, kept: Any, gradients: Tensors) -> Tensors:
    told, memory, write_weights, read_weights = inputs
    after, writing, reading, _ = outputs
    powers, gates, shifts, erase, lengths, later = kept[:6]
    content, place, read_content, read_place = kept[6:10], kept[10:14], kept[14:18], kept[18:22]
    parts = told.split(list(heads.sizes.values()), -1)
    both = (1, heads.readers)
    keys, add = parts[0].unflatten(-1, (-1, heads.width)).split(both, 1), parts[6].unsqueeze(-2)
    of_writer, of_readers = zip(*(told.split(both, 1) for told in (gates, shifts, powers)), strict=True)
    of_after, of_writing, of_reading, of_reads = gradients

    of_after = torch.baddbmm(of_after, reading.mT, of_reads)
    of_reading = torch.baddbmm(of_reading, of_reads, after.mT)
    of_content, of_read_weights, *read_told = by_place_gradient(
        of_reading, read_place, read_content[0], read_weights, *of_readers
    )
    of_read_keys, of_read_strengths = by_content_gradient(of_content, read_content, after, later, keys[1], of_after)

    erased = of_after * memory
    of_writing = torch.baddbmm(of_writing, add, of_after.mT).baddbmm_(erase, erased.mT, alpha=-1)
    of_erase, of_add = torch.bmm(writing, erased).neg_(), torch.bmm(writing, of_after)
    of_memory = torch.addcmul(of_after, of_after, torch.bmm(writing.mT, erase), value=-1)
    of_content, of_write_weights, *write_told = by_place_gradient(
        of_writing, place, content[0], write_weights, *of_writer
    )
    of_keys, of_strengths = by_content_gradient(of_content, content, memory, lengths, keys[0], of_memory)

    of_gates, of_shifts, of_powers = (torch.cat(pair, 1) for pair in zip(write_told, read_told, strict=True))
    of_told = [
        of_keys.flatten(1),
        of_read_keys.flatten(1),
        torch.cat([of_strengths, of_read_strengths], 1).mul_(torch.sigmoid(parts[1])),
        sigmoid_gradient(of_gates, gates).flatten(1),
        softmax_gradient(of_shifts, shifts).flatten(1),
        of_powers.squeeze(-1).mul_(torch.sigmoid(parts[4])),
        sigmoid_gradient(of_erase, erase).flatten(1),
        of_add.flatten(1),
    ]
    return torch.cat(of_told, 1), of_memory, of_write_weights, of_read_weights
