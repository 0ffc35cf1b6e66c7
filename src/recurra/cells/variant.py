"""Light copies of cells that share their weights: with some weights replaced, or with recurrent dropout."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from recurra.cells.base import Cell, in_transform

Module = TypeVar("Module", bound=nn.Module)


def light_copy(module: Module) -> Module:
    """A copy whose tables of parameters, buffers and parts are its own, and whose tensors are the original's."""
    made = copy.copy(module)
    made.__dict__["_parameters"] = dict(module._parameters)
    made.__dict__["_buffers"] = dict(module._buffers)
    made.__dict__["_modules"] = {name: part and light_copy(part) for name, part in module._modules.items()}
    return made


def weight_named(cell: nn.Module, name: str) -> Tensor:
    """A weight by its name, with dots where it belongs to a part."""
    *path, last = name.split(".")
    for part in path:
        cell = getattr(cell, part)
    return getattr(cell, last)


def with_weights(cell: Cell, weights: Mapping[str, Tensor]) -> Cell:
    """The cell with some of its weights replaced by other tensors; the cell itself stays as it is.

    Example:
        >>> from recurra.cells import Elman
        >>> cell = Elman(2, 3)
        >>> bool(with_weights(cell, {"weight_hh": torch.zeros(3, 3)}).weight_hh.any()), bool(cell.weight_hh.any())
        (False, True)
    """
    made = light_copy(cell)
    for name, weight in weights.items():
        *path, last = name.split(".")
        part: nn.Module = made
        for step in path:
            part = getattr(part, step)
        if parametrize.is_parametrized(part, last):
            # The weight is computed by a property of a class made for this module; the copy goes back to plain ones.
            values = {known: getattr(part, known) for known in part.parametrizations}  # type: ignore[union-attr]
            part.__class__ = type(part).__mro__[1]
            del part._modules["parametrizations"]
            part._parameters.update(values)
        part._parameters[last] = weight  # type: ignore[assignment]
    return made


class SameMask:
    """Dropout with one mask for all time steps, drawn anew for each object of this class.

    Equations:
        h' = h * m / (1 - rate), m is 0 with probability `rate`, one draw for each sequence and unit.

    Reference:
        Y. Gal, Z. Ghahramani. A theoretically grounded application of dropout in recurrent neural networks. NIPS
        (2016) 1019-1027.
    """

    def __init__(self, rate: float):
        self.rate = rate
        self.masks: dict[int, Tensor] = {}
        # A generator of its own: a part of the sequence may be computed again, with other random numbers drawn along
        # the way, and must then find them as they were, whether or not this mask was drawn before. Inside torch.func
        # nothing is computed again, and a number cannot be read there.
        self.seed = None if in_transform() else int(torch.randint(2**62, ()))

    def __call__(self, h: Tensor) -> Tensor:
        width = h.shape[-1]
        if width not in self.masks:
            self.masks[width] = self._draw(h.detach())
        return h * self.masks[width]

    def _draw(self, h: Tensor) -> Tensor:
        if self.seed is None or self.rate == 1.0:
            return torch.nn.functional.dropout(torch.ones_like(h), self.rate)
        generator = torch.Generator(h.device).manual_seed(self.seed)
        kept = torch.rand(h.shape, generator=generator, device=h.device, dtype=h.dtype) >= self.rate
        return kept.to(h.dtype) / (1.0 - self.rate)


def with_recurrent_dropout(cell: Cell, rate: float) -> tuple[Cell, list[SameMask]]:
    """The cell, and the cells inside it, with dropout on what enters their recurrent products; and the masks.

    A mask that was never asked for says that its cell makes no product by `recur`.
    """
    made = light_copy(cell)
    masks = []
    for part in made.modules():
        if isinstance(part, Cell):
            mask = SameMask(rate)
            part.__dict__["dropped"] = mask
            masks.append(mask)
    return made, masks
