"""Influence matrices of which only chosen entries are kept: which ones, and how to compute them in few passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recurra.learn.rules.step_function import Blocks, Step

CHUNK = 256
"""Units that are differentiated at once when a pattern is looked for."""


@dataclass
class Bucket:
    """Weights that each influence the same number k of units; those with the same units make one group.

    Attributes:
        rows: the units of each group, (groups, k).
        columns: the weights of each group, (groups, width); the number of all weights stands where there are fewer.
        own: which entries the weights reach within one step, (groups, k, width).
    """

    rows: Tensor
    columns: Tensor
    own: Tensor


@dataclass
class Pattern:
    """Which units each weight influences within a number of steps, and in which passes that is computed.

    Attributes:
        jacobian: which units act on which in one step, (n, n): row i, column j where j acts on i.
        buckets: the kept entries.
        jacobian_colours, immediate_colours: units of one colour are differentiated in one pass, (n,).
    """

    jacobian: Tensor
    buckets: list[Bucket] = field(default_factory=list)
    jacobian_colours: Tensor = field(default_factory=lambda: torch.zeros(0))
    immediate_colours: Tensor = field(default_factory=lambda: torch.zeros(0))

    @property
    def entries(self) -> int:
        """How many entries are kept, a sequence."""
        return sum(bucket.own.numel() for bucket in self.buckets)


def find_pattern(step: Step, reach: int | None, known: Pattern | None) -> Pattern:
    """The pattern of a step's derivatives, joined with what was known before; `reach` None: within any number of steps.

    What is exactly zero counts as absent, so that weights pruned to zero make the pattern sparser.
    """
    # One pass for all sequences; random shares, or what has opposite signs in two sequences might cancel to zero.
    shares = 1.0 + torch.rand(step.size, 1, dtype=step.after.dtype, device=step.after.device)
    jacobian = []
    tables: list[list[Tensor]] = [[] for _ in step.weights]
    for rows in torch.arange(step.units, device=step.after.device).split(CHUNK):
        one = torch.nn.functional.one_hot(rows, step.units).to(step.after.dtype)
        blocks, last = step.pull(one[:, None] * shares)
        jacobian.append((last != 0).any(1))
        for number, block in blocks.items():  # the graph, and so which weights are reached, is one for all chunks
            tables[number].append(block != 0)
    made = Pattern(torch.cat(jacobian))
    sizes = [weight.numel() for weight in step.weights]
    joined = [torch.cat(parts) if parts else None for parts in tables]
    if known is not None:
        made.jacobian |= known.jacobian
        earlier = torch.zeros(step.units, sum(sizes) + 1, dtype=torch.bool, device=made.jacobian.device)
        for bucket in known.buckets:
            earlier[bucket.rows[:, :, None], bucket.columns[:, None]] = bucket.own
        for number, before in enumerate(earlier[:, :-1].split(sizes, 1)):
            if bool(before.any()):
                now = joined[number]
                joined[number] = before if now is None else before | now
    _lay_out(made, joined, sizes, reach)
    return made


def guess_elementwise(step: Step, hidden: int) -> Pattern | None:
    """The pattern of one element-wise cell of `hidden` units, from the weights' shapes; None where they do not say.

    The state holds the units' numbers in blocks of `hidden`, and so does each weight's first dimension (one block a
    gate). Nothing rests on the guess: every step is compared with the whole derivative.
    """
    if step.units % hidden or not step.after.requires_grad:
        return None
    device, units = step.after.device, torch.arange(step.units, device=step.after.device)
    reached = torch.autograd.grad(
        step.after, step.weights, torch.ones_like(step.after), retain_graph=True, allow_unused=True
    )
    offset, parts = 0, []
    for weight, part in zip(step.weights, reached, strict=True):
        if part is not None:
            if weight.dim() == 0 or weight.shape[0] % hidden:
                return None
            numbers = torch.arange(offset, offset + weight.numel(), device=device)
            parts.append(numbers.reshape(-1, hidden, weight[0].numel()).transpose(0, 1).reshape(hidden, -1))
        offset += weight.numel()
    pattern = Pattern(units[:, None] % hidden == units % hidden)
    rows, columns = units.reshape(-1, hidden).T, torch.cat(parts, 1)
    own = torch.ones(hidden, rows.shape[1], columns.shape[1], dtype=torch.bool, device=device)
    pattern.buckets.append(Bucket(rows, columns, own))
    pattern.jacobian_colours = pattern.immediate_colours = units // hidden
    return pattern


def _lay_out(pattern: Pattern, tables: list[Tensor | None], sizes: list[int], reach: int | None) -> None:
    """Group the weights by the units they influence, and colour the units."""
    units, device = len(pattern.jacobian), pattern.jacobian.device
    acts = pattern.jacobian.double()
    groups: dict[bytes, list[Tensor]] = {}
    sets: dict[bytes, Tensor] = {}
    conflicts = torch.zeros(units, units, dtype=torch.bool, device=device)
    own_sets: dict[bytes, list[tuple[Tensor, Tensor]]] = {}
    offset = 0
    for block, size in zip(tables, sizes, strict=True):
        if block is not None:
            for units_hit, members in _same_columns(block):
                hit = units_hit.nonzero().squeeze(1)
                conflicts[hit[:, None], hit[None]] = True
                closed = _within_reach(units_hit, acts, reach)
                key = bytes(closed.to(torch.uint8).cpu().numpy())
                sets[key] = closed
                groups.setdefault(key, []).append(members + offset)
                own_sets.setdefault(key, []).append((members + offset, units_hit))
        offset += size
    pattern.immediate_colours = _colours(conflicts)
    pattern.jacobian_colours = _colours(acts @ acts.T > 0)
    by_count: dict[int, list[bytes]] = {}
    for key, closed in sets.items():
        by_count.setdefault(int(closed.sum()), []).append(key)
    for count, keys in sorted(by_count.items()):
        width = max(sum(map(len, groups[key])) for key in keys)
        rows = torch.stack([sets[key].nonzero().squeeze(1) for key in keys])
        columns = torch.full((len(keys), width), offset, device=device)
        own = torch.zeros(len(keys), count, width, dtype=torch.bool, device=device)
        for g, key in enumerate(keys):
            at = 0
            for members, units_hit in own_sets[key]:
                columns[g, at : at + len(members)] = members
                own[g, :, at : at + len(members)] = units_hit[rows[g]][:, None]
                at += len(members)
        pattern.buckets.append(Bucket(rows, columns, own))


def _same_columns(block: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The different columns of a table of booleans, and where each stands; columns without any True are left out."""
    mark = torch.rand(len(block), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(block.device)
    # A sum of random marks is the same for the same column; the sum runs in the same order for all of them.
    sums = torch.stack([mark[i] * row for i, row in enumerate(block.double())]).sum(0) if len(block) else mark.sum()
    values, which = torch.unique(sums, return_inverse=True)
    order = torch.argsort(which, stable=True)
    parts = torch.split(order, torch.bincount(which, minlength=len(values)).tolist())
    return [(block[:, part[0]], part) for part in parts if bool(block[:, part[0]].any())]


def _within_reach(start: Tensor, acts: Tensor, reach: int | None) -> Tensor:
    """The units that a change in some units has come to, some steps later."""
    found, more = start, 0
    while reach is None or more < reach - 1:
        wider = found | (acts @ found.double() > 0)
        if bool((wider == found).all()):
            break
        found, more = wider, more + 1
    return found


def _colours(conflicts: Tensor) -> Tensor:
    """Numbers for units, as few as a greedy choice finds, so that units in conflict have different ones."""
    count = len(conflicts)
    table = conflicts.cpu()
    colours = torch.full((count,), -1)
    for unit in range(count):
        taken = colours[table[unit] & (colours >= 0)]
        free = torch.ones(count + 1, dtype=torch.bool)
        free[taken] = False
        colours[unit] = int(free.to(torch.uint8).argmax())
    return colours.to(conflicts.device)


@dataclass
class SparseInfluence:
    """The kept entries of M, one (batch, groups, k, width) a bucket, with the pattern they belong to."""

    pattern: Pattern
    entries: list[Tensor]


def carried(
    step: Step,
    last: SparseInfluence | None,
    pattern: Pattern | None,
    reach: int | None,
    check: Callable[[int], None],
) -> SparseInfluence:
    """The kept entries of J M + F, from those of M; the pattern grows where the step shows it to be too small.

    `check` is called with the number of entries a sequence, before memory is taken for them.
    """
    pattern = pattern or find_pattern(step, reach, None)
    check(pattern.entries)
    found = _compressed(step, pattern)
    if found is None:
        # Taken from this very step, and so sure to hold all of its entries.
        pattern = find_pattern(step, reach, pattern)
        check(pattern.entries)
        found = _compressed(step, pattern, check=False)
    assert found is not None
    jacobian, immediate = found
    if last is not None and last.pattern is not pattern:
        weights = sum(weight.numel() for weight in step.weights)
        last = moved(last, pattern, step.size, step.units, weights) if last.entries else None
    entries = []
    for number, bucket in enumerate(pattern.buckets):
        rows = bucket.rows
        new = immediate[:, pattern.immediate_colours[rows][:, :, None], bucket.columns[:, None]] * bucket.own
        if last is not None:
            inner = jacobian[pattern.jacobian_colours[rows][:, :, None], :, rows[:, None]]  # (groups, k, k, batch)
            inner = inner * pattern.jacobian[rows[:, :, None], rows[:, None]][..., None]
            new = new + inner.permute(3, 0, 1, 2) @ last.entries[number]
        entries.append(new)
    return SparseInfluence(pattern, entries)


def _compressed(step: Step, pattern: Pattern, check: bool = True) -> tuple[Tensor, Tensor] | None:
    """J in one pass a colour, (colours, batch, n), and F in one pass a colour and sequence, (batch, colours, p + 1).

    None where a random product shows that there are entries outside the pattern.
    """
    like = step.after
    colours = int(pattern.jacobian_colours.max()) + 1
    masks = torch.nn.functional.one_hot(pattern.jacobian_colours, colours).T.to(like.dtype)
    jacobian = step.pull(masks[:, None].expand(-1, step.size, -1), numbers=())[1]
    several = int(pattern.immediate_colours.max()) + 1
    masks = torch.nn.functional.one_hot(pattern.immediate_colours, several).T.to(like.dtype)
    ones = torch.eye(step.size, dtype=like.dtype, device=like.device)
    cotangents = ones[:, None, :, None] * masks[None, :, None]  # (batch, colours, batch, n)
    blocks, _ = step.pull(cotangents.reshape(-1, step.size, step.units))
    immediate = _joined(blocks, step, step.size * several).reshape(step.size, several, -1)
    return (jacobian, immediate) if not check or _fits(step, pattern, jacobian, immediate) else None


def _fits(step: Step, pattern: Pattern, jacobian: Tensor, immediate: Tensor) -> bool:
    """Whether the entries within the pattern make up a random product of the whole derivative."""
    probe = torch.randn_like(step.after)
    blocks, truth_j = step.pull(probe[None])
    truth_f = _joined(blocks, step, 1)[0]
    along = jacobian[pattern.jacobian_colours] * pattern.jacobian[:, None]  # (n, batch, n)
    found_f, size_f = torch.zeros_like(truth_f), torch.zeros_like(truth_f)
    for bucket in pattern.buckets:
        part = immediate[:, pattern.immediate_colours[bucket.rows][:, :, None], bucket.columns[:, None]] * bucket.own
        found_f[bucket.columns] = torch.einsum("bgk,bgkw->gw", probe[:, bucket.rows], part)
        size_f[bucket.columns] = torch.einsum("bgk,bgkw->gw", probe[:, bucket.rows].abs(), part.abs())
    found_f[-1] = size_f[-1] = 0.0
    found_j, size_j = torch.einsum("bi,ibj->bj", probe, along), torch.einsum("bi,ibj->bj", probe.abs(), along.abs())
    return _same(found_j, truth_j[0], size_j) and _same(found_f, truth_f, size_f)


def _same(found: Tensor, truth: Tensor, size: Tensor) -> bool:
    """Equal but for rounding, and nothing absent altogether."""
    allowed = 1e3 * torch.finfo(found.dtype).eps * size.max().clamp_min(torch.finfo(found.dtype).tiny)
    return bool((((found - truth).abs() <= allowed) & ((truth == 0) | (found != 0))).all())


def _joined(blocks: Blocks, step: Step, count: int) -> Tensor:
    """One row a pass over all weights, and a zero behind them."""
    parts = [
        blocks[i] if i in blocks else step.after.new_zeros(count, weight.numel())
        for i, weight in enumerate(step.weights)
    ]
    return torch.cat([*parts, step.after.new_zeros(count, 1)], 1)


def moved(influence: SparseInfluence, pattern: Pattern, size: int, units: int, weights: int) -> SparseInfluence:
    """The same entries of a batch of `size` in another pattern that holds them, of so many units and weights."""
    whole = influence.entries[0].new_zeros(size, units, weights + 1)
    for bucket, entries in zip(influence.pattern.buckets, influence.entries, strict=True):
        whole[:, bucket.rows[:, :, None], bucket.columns[:, None]] = entries
    whole[..., -1] = 0.0
    return SparseInfluence(
        pattern, [whole[:, bucket.rows[:, :, None], bucket.columns[:, None]] for bucket in pattern.buckets]
    )


def contracted(row: Tensor, influence: SparseInfluence, sizes: list[int]) -> Blocks:
    """The sum over sequences of a row vector (batch, n) times the kept entries."""
    whole = row.new_zeros(sum(sizes) + 1)
    for bucket, entries in zip(influence.pattern.buckets, influence.entries, strict=True):
        whole[bucket.columns] = torch.einsum("bgk,bgkw->gw", row[:, bucket.rows], entries)
    return dict(enumerate(torch.split(whole[:-1], sizes)))
