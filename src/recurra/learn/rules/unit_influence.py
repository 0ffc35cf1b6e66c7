"""Carrying the influence of weights through steps in which units meet only in products: the whole, or a unit's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.learn.rules.sparse_influence import Bucket, Pattern, SparseInfluence
from recurra.learn.rules.step_function import Blocks
from recurra.learn.rules.unit_steps import UnitSteps

CHUNK = 2**18
"""Numbers of Jacobians that are made at once."""


class Columns(dict[int, Tensor]):
    """Blocks that are columns of one tensor.

    Args:
        whole: (batch, n, all columns).
        widths: the number of each weight, in the order of the columns, and its size.
    """

    def __init__(self, whole: Tensor, widths: dict[int, int]):
        super().__init__(zip(widths, whole.split(list(widths.values()), -1), strict=True))
        self.whole = whole


def widths_of(steps: UnitSteps) -> dict[int, int]:
    """The trained weights in products and their sizes, in the order in which they are trained."""
    found: dict[int, int] = {}
    for product in steps.products:
        if product.weight is not None:
            found[product.weight] = product.matrix.numel()
        if product.bias is not None:
            found[product.bias] = product.blocks * steps.units
    return dict(sorted(found.items()))


def carry_whole(steps: UnitSteps, last: Any) -> tuple[Columns, Blocks]:
    """M_t = J_t M_{t-1} + F_t step by step; M after the steps, and the sum of (dL_t/ds_t) M_t."""
    widths, size, count = widths_of(steps), steps.size, steps.parts * steps.units
    columns = sum(widths.values())
    if last is not None and not isinstance(last, Columns):
        last = Columns(torch.cat([last[number] for number in widths], -1), widths)
    influence = None if last is None else last.whole
    gradient, (rows, told) = steps.like.new_zeros(columns), _errors(steps)
    span = max(1, CHUNK // (size * count * count))
    spare: Tensor | None = None
    factors: Any = ()
    places: dict[int, list[tuple[Tensor, Any, Any]]] = {}
    for t in range(steps.steps):
        if t % span == 0:
            factors = jacobians(steps, t, min(t + span, steps.steps)).unbind(0)
        # Two tensors take turns; what was given from outside is never written to.
        new = spare if spare is not None else steps.like.new_empty(size, count, columns)
        if influence is None:
            new.zero_()
        elif size == 1:
            torch.mm(factors[t % span][0], influence[0], out=new[0])
        else:
            torch.bmm(factors[t % span], influence, out=new)
        if id(new) not in places:
            places[id(new)] = _diagonals(steps, new, widths)
        for diagonal, slope, read in places[id(new)]:
            if read is None:
                diagonal.add_(slope[t])
            else:
                diagonal.addcmul_(slope[t], read[t])
        if told[t]:
            gradient.addmv_(new.view(size * count, columns).t(), rows[t])
        spare = influence if t else None
        influence = new
    assert influence is not None
    return Columns(influence, widths), dict(zip(widths, gradient.split(list(widths.values())), strict=True))


def _errors(steps: UnitSteps) -> tuple[Any, list[bool]]:
    """The loss's derivative by the state, one (batch n parts) a step, and at which steps it is not zero."""
    parts = [torch.zeros_like(steps.like) if e is None else e for e in steps.recorded.errors]
    rows = (torch.cat(parts, 2) if len(parts) > 1 else parts[0]).view(steps.steps, -1)
    return rows.unbind(0), (rows != 0).any(1).tolist()


def jacobians(steps: UnitSteps, start: int, stop: int) -> Tensor:
    """ds_t/ds_{t-1} of the steps start..stop-1, (time, batch, n parts, n parts)."""
    parts, units, like = steps.parts, steps.units, steps.like
    rows = []
    for a in range(parts):
        row = []
        for c in range(parts):
            block: Any = None
            for product in steps.products:
                if product.source == c:
                    slope = product.slope[a, start:stop]  # (time, batch, blocks, n)
                    if product.blocks == 1:
                        more = slope[:, :, 0, :, None] * product.matrix[0]
                    else:
                        more = torch.einsum("tbgi,gij->tbij", slope, product.matrix)
                    block = more if block is None else block + more
            own = steps.own[a][c]
            if block is None:
                block = like.new_zeros(stop - start, steps.size, units, units)
            if own is not None:
                block.diagonal(dim1=2, dim2=3).add_(own[start:stop])
            row.append(block)
        rows.append(torch.cat(row, 3) if parts > 1 else row[0])
    return torch.cat(rows, 2) if parts > 1 else rows[0]


def _diagonals(steps: UnitSteps, whole: Tensor, widths: dict[int, int]) -> list[tuple[Tensor, Any, Any]]:
    """Where F_t stands in M, and what of all steps makes it up: slopes, and what was read.

    Each place is (batch, parts, blocks, columns, n), and (batch, parts, blocks, n) for a bias.
    """
    size, parts, units = steps.size, steps.parts, steps.units
    blocks = dict(zip(widths, whole.split(list(widths.values()), -1), strict=True))
    found: list[tuple[Tensor, Any, Any]] = []
    for product in steps.products:
        slope = product.slope.permute(1, 2, 0, 3, 4)  # (time, batch, parts, blocks, n)
        if product.weight is not None:
            block = blocks[product.weight].unflatten(1, (parts, units))
            block = block.unflatten(3, (product.blocks, units, product.columns))
            place = block.diagonal(dim1=2, dim2=4)
            read = product.read.view(steps.steps, size, 1, 1, -1, 1)
            found.append((place, slope.unsqueeze(4).unbind(0), read.unbind(0)))
        if product.bias is not None:
            block = blocks[product.bias].unflatten(1, (parts, units)).unflatten(3, (product.blocks, units))
            found.append((block.diagonal(dim1=2, dim2=4), slope.unbind(0), None))
    return found


@dataclass
class Share:
    """The weights of one product whose blocks reach the same parts of their units.

    Attributes:
        product: which product, by its number.
        blocks: which of its blocks.
    """

    product: int
    blocks: list[int]


@dataclass
class Reach:
    """Which parts of its own unit each block of each product reaches in one step, and the pattern that follows.

    Attributes:
        table: for each product, for each block, the parts.
        sets: the different sets of parts, with the weights that reach them, one for each bucket of the pattern.
        pattern: of the kept entries: a weight and the parts of its own unit.
    """

    table: list[list[tuple[int, ...]]]
    sets: list[tuple[tuple[int, ...], list[Share]]]
    pattern: Pattern


def find_reach(steps: UnitSteps, known: Reach | None, sizes: list[int], check: Callable[[int], None]) -> Reach:
    """What is reached in these steps, together with what was known; the known one itself where there is nothing new."""
    seen = torch.cat([(product.slope != 0).flatten(1, 2).any(1).any(2) for product in steps.products], 1).T.tolist()
    rows, table = iter(seen), []
    for k, product in enumerate(steps.products):
        found = []
        for g, row in enumerate(next(rows) for _ in range(product.blocks)):
            earlier = () if known is None else known.table[k][g]
            found.append(tuple(a for a, there in enumerate(row) if there or a in earlier))
        table.append(found)
    if known is not None and known.table == table:
        return known
    by_set: dict[tuple[int, ...], list[Share]] = {}
    for k, found in enumerate(table):
        for parts in sorted(set(found) - {()}):
            blocks = [g for g, each in enumerate(found) if each == parts]
            by_set.setdefault(parts, []).append(Share(k, blocks))
    sets = sorted(by_set.items())
    made = Reach(table, sets, _pattern(steps, sets, sizes))
    check(made.pattern.entries)
    return made


def _pattern(steps: UnitSteps, sets: list[tuple[tuple[int, ...], list[Share]]], sizes: list[int]) -> Pattern:
    """The kept entries in the form that the step-by-step rule takes over."""
    units, count = steps.units, steps.parts * steps.units
    own = torch.arange(count)
    acts = torch.zeros(steps.parts, units, steps.parts, units, dtype=torch.bool)
    acts.diagonal(dim1=1, dim2=3).fill_(True)
    for product in steps.products:
        if product.source is not None:
            acts[:, :, product.source] = True
    firsts = [0]
    for each in sizes:
        firsts.append(firsts[-1] + each)
    one = torch.arange(units)
    buckets = []
    for parts, shares in sets:
        columns = []
        for share in shares:
            product = steps.products[share.product]
            rows = torch.tensor(share.blocks) * units + one[:, None]  # (n, blocks)
            if product.weight is not None:
                at = rows[:, :, None] * product.columns + torch.arange(product.columns)
                columns.append(firsts[product.weight] + at.flatten(1))
            if product.bias is not None:
                columns.append(firsts[product.bias] + rows)
        if columns:
            joined = torch.cat(columns, 1)
            rows = torch.tensor(parts) * units + one[:, None]
            buckets.append(Bucket(rows, joined, torch.ones(units, len(parts), joined.shape[1], dtype=torch.bool)))
    colours = own // units
    return Pattern(acts.view(count, count), buckets, own if acts.sum() > count * steps.parts else colours, colours)


def carry_own(steps: UnitSteps, reach: Reach, last: SparseInfluence | None) -> tuple[SparseInfluence, Blocks]:
    """The kept entries after the steps, and the sum over steps of (dL_t/ds_t) times the entries of each.

    As M_t = J_t M_{t-1} + F_t, with J_t restricted to a weight's own unit, is a sum over earlier steps of products of
    such J's with F's, the sums over steps are taken last, as products of matrices: backwards in time run only
    v_t = dL_t/ds_t + v_{t+1} J_{t+1}, and the product of all later J's.
    """
    gradient: Blocks = {}
    entries = []
    for number, (parts, shares) in enumerate((parts, each) for parts, each in reach.sets if _trained(steps, each)):
        back, through = _back(steps, parts)
        pieces = [piece for share in shares for piece in _pieces(steps, share, parts, back)]
        new = torch.cat([piece.entries for piece in pieces], -1)
        sums: tuple[Tensor | None, ...] = (None,) * len(pieces)
        if last is not None:
            before = last.entries[number]  # (batch, n, parts, width)
            decay = through[..., 1:, :]
            new = torch.addcmul(new, decay, before) if len(parts) == 1 else new + decay @ before
            sums = torch.einsum("bnk,bnkw->nw", through[..., 0, :], before).split(
                [piece.entries.shape[-1] for piece in pieces], -1
            )
        entries.append(new)
        for piece, more in zip(pieces, sums, strict=True):
            piece.add_to(gradient, more)
    return SparseInfluence(reach.pattern, entries), gradient


def _trained(steps: UnitSteps, shares: list[Share]) -> bool:
    products = [steps.products[share.product] for share in shares]
    return any(product.weight is not None or product.bias is not None for product in products)


def _own_jacobian(steps: UnitSteps, a: int, c: int) -> Tensor:
    """The derivative of the part a of each unit by the part c of the same unit, (time, batch, n)."""
    found = steps.own[a][c]
    for product in steps.products:
        if product.source == c:
            own = product.matrix.diagonal(dim1=1, dim2=2)  # (blocks, n)
            more = (product.slope[a] * own).sum(2) if product.blocks > 1 else product.slope[a, :, :, 0] * own[0]
            found = more if found is None else found + more
    return torch.zeros_like(steps.like) if found is None else found


def _back(steps: UnitSteps, parts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The row v and the products of J's, (time, batch, n, 1 + parts, parts), and those before the first step.

    Row 0 is v; row 1 + k is what the k-th kept part in the end has of each part after a step.
    """
    count, steps_, like = len(parts), steps.steps, steps.like
    own = [_own_jacobian(steps, a, c) for a in parts for c in parts]
    inner = torch.stack(own, -1).unflatten(-1, (count, count))  # (time, batch, n, parts, parts)
    start = like.new_zeros(steps_, *like.shape[1:], 1 + count, count)
    for k, a in enumerate(parts):
        error = steps.recorded.errors[a]
        if error is not None:
            start[..., 0, k] = error
    last = start[-1].clone()
    last[..., 1:, :] = torch.eye(count, dtype=like.dtype)
    rows, factors = list(start.unbind(0)), inner.unbind(0)
    rows[-1] = last
    if count == 1:
        for t in range(steps_ - 2, -1, -1):
            rows[t] = torch.addcmul(rows[t], rows[t + 1], factors[t + 1])
        return torch.stack(rows), rows[0] * factors[0]
    for t in range(steps_ - 2, -1, -1):
        rows[t] = rows[t] + rows[t + 1] @ factors[t + 1]
    return torch.stack(rows), rows[0] @ factors[0]


@dataclass
class _Piece:
    """What some blocks of one weight come to.

    Attributes:
        number: of the weight.
        of: how many blocks it has.
        blocks: which of them these are.
        gradient: (blocks, n, columns).
        entries: kept of M after the steps, (batch, n, parts, blocks columns).
    """

    number: int
    of: int
    blocks: list[int]
    gradient: Tensor
    entries: Tensor

    def add_to(self, whole: Blocks, more: Tensor | None) -> None:
        """Put the gradient in its place, with what came by way of the entries before the steps, (n, blocks columns)."""
        part = self.gradient
        if more is not None:
            part = part + more.view(part.shape[1], len(self.blocks), -1).transpose(0, 1)
        if len(self.blocks) == self.of:
            whole[self.number] = part.reshape(-1)
            return
        if self.number not in whole:
            whole[self.number] = part.new_zeros(self.of * part.shape[1] * part.shape[2])
        whole[self.number].view(self.of, *part.shape[1:])[self.blocks] = part


def _pieces(steps: UnitSteps, share: Share, parts: tuple[int, ...], back: Tensor) -> list[_Piece]:
    """A share's part of the gradient, and its kept entries after the steps."""
    product, blocks, units = steps.products[share.product], share.blocks, steps.units
    whole = len(blocks) == product.blocks and len(parts) == steps.parts
    slope = product.slope if whole else product.slope[list(parts)][:, :, :, blocks]
    size, count, rows = steps.size, len(parts), len(blocks) * units
    # (time, batch, blocks, n, 1 + parts)
    if count == 1:
        summed = slope[0].unsqueeze(-1) * back.squeeze(-1).unsqueeze(2)
    else:
        summed = (slope.permute(1, 2, 3, 4, 0).unsqueeze(-2) * back.unsqueeze(2)).sum(-1)
    error = summed[..., 0].reshape(steps.steps * size, rows)
    left = summed[..., 1:].permute(1, 2, 3, 4, 0).reshape(size, rows * count, steps.steps)
    made = []
    if product.weight is not None:
        total = error.T @ product.read.reshape(steps.steps * size, product.columns)
        kept = torch.bmm(left, product.read.transpose(0, 1))
        kept = kept.view(size, len(blocks), units, count, product.columns).permute(0, 2, 3, 1, 4)
        kept = kept.reshape(size, units, count, -1)
        made.append(_Piece(product.weight, product.blocks, blocks, total.view(len(blocks), units, -1), kept))
    if product.bias is not None:
        kept = left.sum(2).view(size, len(blocks), units, count).permute(0, 2, 3, 1)
        made.append(_Piece(product.bias, product.blocks, blocks, error.sum(0).view(len(blocks), units, 1), kept))
    return made
