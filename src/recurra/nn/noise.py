"""What is drawn at random while a recurrent layer trains: dropouts and zoneout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.variant import SameMask, weight_named, with_recurrent_dropout, with_weights
from recurra.cells.zoneout import Zoneout, zoneout_rates
from recurra.errors import UsageError


@dataclass(frozen=True)
class Noise:
    """The shares of a layer's dropouts.

    Attributes:
        between: dropped between layers.
        inputs: dropped of what the first layer reads.
        variational: whether these two drop the same units at all time steps of a sequence.
        recurrent: dropped on the way into the recurrent products, the same units at all time steps of a sequence.
        weights: dropped of the recurrent weights, one draw for a whole call.
        zoneout: units that keep their last value for a step: one number, or one for each part of the state by name.
    """

    between: float = 0.0
    inputs: float = 0.0
    variational: bool = False
    recurrent: float = 0.0
    weights: float = 0.0
    zoneout: float | Mapping[str, float] = 0.0

    def in_evaluation(self) -> Noise:
        """What is left of it outside training: zoneout's mean."""
        return replace(self, between=0.0, inputs=0.0, recurrent=0.0, weights=0.0)


def check_share(value: Any, name: str, where: str) -> float:
    """A number from 0 to 1, or a UsageError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{name} is {value!r}", where=where, need="a number from 0 to 1, the share dropped")
    return float(value)


def check_noise(noise: Noise, cells: list[Cell], where: str) -> None:
    """Refuse what the cells cannot do.

    Raises:
        UsageError: a cell names no recurrent weights to drop, or its state has no part that zoneout names.
    """
    for cell in cells:
        zoneout_rates(cell, noise.zoneout)
        if noise.weights and not cell.recurrent_weights:
            raise UsageError(
                f"weight_drop is {noise.weights}, and {type(cell).__name__} names no recurrent weights",
                where=where,
                need="a cell whose `recurrent_weights` lists the names of such",
                cure="recurrent_dropout, zoneout or dropout",
            )
        for name in cell.recurrent_weights if noise.weights else ():
            try:
                weight_named(cell, name)
            except AttributeError as error:
                raise UsageError(
                    f"{type(cell).__name__} has no weight {name!r}, which its `recurrent_weights` names",
                    where=where,
                    need="the names of its recurrent weights, as in `named_parameters()`",
                    cure=f'recurrent_weights = ("...",) in the body of {type(cell).__name__}',
                ) from error


def drop(x: Tensor, share: float, variational: bool) -> Tensor:
    """Dropout on x (time, batch, features); with `variational` the same units at all time steps."""
    if not share:
        return x
    if not variational:
        return F.dropout(x, share)
    return x * F.dropout(torch.ones_like(x[:1]), share)


def noisy(cell: Cell, noise: Noise, training: bool) -> tuple[Cell, list[SameMask]]:
    """The cell under this noise, for one call, and the masks of its recurrent dropout."""
    masks: list[SameMask] = []
    if noise.weights:
        names = cell.recurrent_weights
        cell = with_weights(cell, {name: F.dropout(weight_named(cell, name), noise.weights) for name in names})
    if noise.recurrent:
        cell, masks = with_recurrent_dropout(cell, noise.recurrent)
    if noise.zoneout:
        zoned = Zoneout(cell, noise.zoneout)
        zoned.training = training
        cell = zoned
    return cell, masks


def check_used(cell: Cell, masks: list[SameMask], where: str) -> None:
    """Refuse recurrent dropout that dropped nothing.

    Raises:
        UsageError: the cell makes no product by `recur`.
    """
    if masks and not any(mask.masks for mask in masks):
        raise UsageError(
            f"recurrent_dropout was given, and {type(cell).__name__} makes no recurrent product by `recur`",
            where=where,
            need="a cell that writes its recurrent products as self.recur(h, weight, bias)",
            cure="zoneout, weight_drop or dropout",
        )
