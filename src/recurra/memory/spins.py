"""Units that are +1 or -1: the checks of them, and how they are visited one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError

BLOCK = 64
"""Units whose fields are brought up to date by one matrix product after all of them were visited."""


def check_rows(rows: Any, units: int, name: str, leading: str, like: Tensor, where: str) -> Tensor:
    """Numbers (anything, units), in the number format and at the place of `like`, or a ShapeError."""
    need = f"a tensor ({leading}, {units})"
    if not isinstance(rows, Tensor):
        raise ShapeError(f"{name} is {type(rows).__name__}", where=where, need=need, cure="torch.as_tensor")
    if rows.dim() != 2 or rows.shape[1] != units:
        cure = f"{name}.unsqueeze(0)" if rows.shape == (units,) else None
        raise ShapeError(f"{name} has shape {tuple(rows.shape)}", where=where, need=need, cure=cure)
    return rows.to(device=like.device, dtype=like.dtype)


def check_spins(rows: Any, units: int, name: str, leading: str, like: Tensor, where: str) -> Tensor:
    """Rows of +1 and -1, or an error that says what else is there."""
    rows = check_rows(rows, units, name, leading, like, where)
    other = (rows.abs() != 1).nonzero()
    if len(other):
        row, unit = other[0].tolist()
        cure = f"2 * {name} - 1, where units are 0 and 1" if bool(((rows == 0) | (rows == 1)).all()) else None
        given = f"{name}[{row}, {unit}] is {rows[row, unit].item():g}"
        raise UsageError(given, where=where, need="units that are +1 or -1", cure=cure)
    return rows


def check_field(field: Any, shape: tuple[int, int], like: Tensor, where: str, name: str = "field") -> Tensor:
    """An external field for each row, zeros where none is given, or a ShapeError."""
    if field is None:
        return like.new_zeros(shape)
    if not isinstance(field, Tensor) or field.shape not in (shape, shape[1:]):
        got = f"has shape {tuple(field.shape)}" if isinstance(field, Tensor) else f"is {type(field).__name__}"
        raise ShapeError(f"{name} {got}", where=where, need=f"a tensor {shape} or {shape[1:]}")
    return field.to(like).expand(shape)


def check_temperatures(temperature: Any, sweeps: int, where: str) -> list[float]:
    """One temperature a sweep, from one number or that many, or a UsageError."""
    if isinstance(temperature, Tensor):
        temperature = temperature.tolist()
    given = list(temperature) if isinstance(temperature, Sequence) else [temperature] * sweeps
    for value in given:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            need = "zero or a positive number, or one such for each step"
            raise UsageError(f"temperature is {value!r}", where=where, need=need)
    if len(given) != sweeps:
        raise UsageError(f"temperature has {len(given)} entries", where=where, need=f"{sweeps}, one for each step")
    return [float(value) for value in given]


def sign_or_keep(field: Tensor, spins: Tensor) -> Tensor:
    """The sign of the field; a unit whose field is 0 stays as it is."""
    return torch.where(field == 0, spins, torch.sign(field))


class Visited(NamedTuple):
    """Units after each was visited once.

    Attributes:
        spins: (batch, units).
        field: what the units feel, sum_j w_ij s_j + bias_i, (batch, units).
        changed: whether any unit of a row changed, (batch,).
    """

    spins: Tensor
    field: Tensor
    changed: Tensor


def visit_units(
    outgoing: Tensor, spins: Tensor, field: Tensor, order: Tensor, tie: Tensor, noise: Tensor | None = None
) -> Visited:
    """Visit every unit once, one after another, each seeing what those before it have become.

    Equations:
        without noise  s_i = sgn(h_i) where |h_i| > tie_i, else s_i stays;
        with noise n   s_i = sgn(h_i - w_ii s_i - n_i), which for n = (T / 2) logit(u), u uniform in (0, 1), is a draw
        of P(s_i = +1 | the others) = sigmoid(2 (h_i - w_ii s_i) / T).

    The fields are kept up to date instead of computed at each visit. Units are taken in blocks: within a block only the
    block's own fields follow a change; all others follow in one product at its end, and only for the rows that changed.
    Visits that change nothing are passed over: each row goes straight to the next unit in the order that will turn, so
    that a block takes as many rounds as the row with the most changes in it has, and none where nothing changes.

    Args:
        outgoing: the weights, a row for what a unit gives to the others: W^T.
        spins: units, of +-1.
        field: what they feel.
        order: in which they are visited.
        tie: fields up to this size count as 0, since rounding alone makes such.
        noise: what is taken off each field.

    Shapes:
        outgoing (units, units), spins, field, tie and noise (batch, units), order (units,).
    """
    # Everything in the order of the visits, so that a block is a slice.
    state, felt = spins.index_select(1, order), field.index_select(1, order)
    # A unit turns where s_i h_i is below this; the noise only moves the field it is compared with.
    if noise is None:
        bound = -tie.index_select(1, order)
    else:
        bound, noise = outgoing.diagonal()[order].expand_as(tie), noise.index_select(1, order)
    changed = torch.zeros(len(spins), dtype=torch.bool, device=spins.device)
    for start in range(0, len(order), BLOCK):
        place = slice(start, start + BLOCK)
        s, h, limit = state[:, place], felt[:, place], bound[:, place]
        if noise is not None:
            h = h - noise[:, place]
        moving = (s * h < limit).any(1).nonzero().squeeze(1)
        if not len(moving):
            continue
        s, h, limit = s[moving], h[moving], limit[moving]
        given = outgoing.index_select(0, order[place]).index_select(1, order)
        change = _turn_in_order(given[:, place], s, h, limit) - s
        state[moving, place] = s + change
        felt.index_add_(0, moving, change @ given)
        changed[moving] = True
    back = order.argsort()
    return Visited(state.index_select(1, back), felt.index_select(1, back), changed)


def _turn_in_order(given: Tensor, spins: Tensor, field: Tensor, limit: Tensor) -> Tensor:
    """Units of a block (rows, block) after all were visited from the first to the last."""
    spins, field = spins.clone(), field.clone()
    count = spins.shape[1]
    places = torch.arange(count, device=spins.device)
    reached = places.new_zeros(len(spins), 1)
    while True:
        turning = (spins * field < limit) & (places >= reached)
        first = torch.where(turning, places, count).amin(1, keepdim=True)
        any_left = first < count
        if not bool(any_left.any()):
            return spins
        place = first.clamp(max=count - 1)
        change = torch.where(any_left, -2.0 * spins.gather(1, place), 0.0)
        spins.scatter_add_(1, place, change)
        field += given[place.squeeze(1)] * change
        reached = first + 1
