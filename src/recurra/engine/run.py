"""Compiled cells as differentiable functions of whole sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.cells.variant import with_weights
from recurra.engine.kernel import Kernel
from recurra.engine.outside import Total, add_up, put
from recurra.engine.plan import Place
from recurra.engine.survey import weight_table
from recurra.types import State

NUMBERS, ROWS = 1 << 18, 512
"""A stretch of time holds about so many numbers, which stay in the processor's cache between the product that makes
them and the loop that reads them; but at least so many rows, below which products slow down."""


def stretches(steps: int, batch: int, columns: int) -> list[tuple[int, int]]:
    """Cut the steps, in the order in which they are made: the first of each stretch, and how many.

    All but the last are even, as gradients of states take turns between two places.
    """
    if not columns:
        return [(0, steps)]
    length = max(-(-NUMBERS // (batch * columns)), -(-ROWS // batch), 2)
    length += length % 2
    cuts = list(range(0, steps, length))
    if len(cuts) > 1 and steps - cuts[-1] <= length // 2:
        cuts.pop()
    return [(first, last - first) for first, last in zip(cuts, [*cuts[1:], steps], strict=True)]


@dataclass(frozen=True)
class Way:
    """How a loop is called.

    Attributes:
        training: whether a gradient may be asked for.
        reverse: whether the last step comes first.
        masked: whether steps are left out.
        resets: whether states are set to first ones on the way.
    """

    training: bool
    reverse: bool
    masked: bool
    resets: bool

    def cut(self, tensors: Sequence[Tensor], states: int) -> tuple[Any, Any, Any]:
        """The states' parts before the first step, those that resets go back to, and the weights."""
        count = 2 * states if self.resets else states
        return tensors[:states], tensors[states:count], tensors[count:]


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Kernel, cell: Cell, call: Way, flags: Any, dt: Any, *tensors: Tensor) -> Any:
        plan, reverse, form = kernel.plan, call.reverse, (call.masked, call.resets)
        x, *rest = tensors
        states, begin, weights = call.cut(rest, kernel.states)
        x = x.contiguous()
        steps, batch = x.shape[:2]
        buffers = {"x": x}
        if dt is not None:
            buffers["dt"] = dt
        training = call.training and any(ctx.needs_input_grad)
        which = "training" if training else "forward"
        turning = kernel.turning(which, call.masked)
        for k, state in enumerate(states):
            # The outputs may be a view of a state's buffer; they are the caller's then.
            make = kernel.new if k == plan.output_from else kernel.own
            whole = make(2 if k in turning else steps + 1, batch, state.shape[1])
            whole[steps if reverse and k not in turning else 0] = state
            buffers[f"s{k}"] = buffers[f"n{k}"] = whole
        buffers |= {f"b{k}": part.contiguous() for k, part in enumerate(begin)}
        apart = plan.output_from is None or call.masked
        if apart:
            buffers["y"] = kernel.new(steps, batch, kernel.output_size)
        if training and plan.kept:
            buffers["kept"] = kernel.own(steps, batch, plan.kept)
        sources = kernel.parameters.sources(weights)
        names, factors = kernel.early(which, *form)
        cut = stretches(steps, batch, sum(kernel.widths[name] for name in names))
        longest = max(count for _, count in cut)
        made = {name: kernel.own(longest * batch, kernel.widths[name]) for name in names}
        loop = kernel.call(which, *form, buffers | made, sources, batch)
        for first, count in cut:
            start = steps - first - count if reverse else first
            if names:
                rows = x[start : start + count].view(count * batch, -1)
                for name, (left, right) in zip(names, factors(*weights, rows), strict=True):
                    torch.mm(left, right, out=made[name][: count * batch])
            loop.run(start, count, reverse, flags, made)
        if apart:
            y = buffers["y"]
        else:
            whole = buffers[f"s{plan.output_from}"]
            y = whole[:-1] if reverse else whole[1:]
        if training:
            if call.masked:
                # The loop does not look at steps that are left out, but the products after it do, and 0 NaN is NaN.
                tensors = (_finite(x, flags), *rest)
                buffers["x"] = tensors[0]
            names = tuple(name for name in buffers if name in plan.reads or name in ("kept", "dt") or name[0] == "b")
            ctx.names, ctx.kernel, ctx.cell, ctx.call, ctx.flags = names, kernel, cell, call, flags
            ctx.size, ctx.sources = (steps, batch), sources[len(weights) :]
            ctx.save_for_backward(*(buffers[name] for name in names), *tensors)
        last = [steps & 1 if k in turning else 0 if reverse else steps for k in range(len(states))]
        final = [buffers[f"s{k}"][place].clone() for k, place in enumerate(last)]
        return (y, *final)

    @staticmethod
    def backward(ctx: Any, gy: Any, *final: Any) -> Any:
        kernel = ctx.kernel
        saved = ctx.saved_tensors
        tensors = saved[len(ctx.names) :]
        buffers = dict(zip(ctx.names, saved, strict=False))
        if torch.is_grad_enabled():
            return _again(ctx, buffers.get("dt"), tensors, (gy, *final))
        return (None,) * 5 + tuple(_pull(ctx, kernel, buffers, tensors, gy, final))


def _finite(x: Tensor, flags: Tensor) -> Tensor:
    """x, with zeros where a step is left out if anything in x is not a number or endless."""
    if math.isfinite(x.sum().item()):
        return x
    return torch.where((flags & 1).unsqueeze(-1).bool(), x, torch.zeros_like(x))


def _pull(
    ctx: Any,
    kernel: Kernel,
    buffers: dict[str, Tensor],
    tensors: Sequence[Tensor],
    gy: Tensor,
    final: Any,
) -> list[Tensor | None]:
    """The gradients of x, of the first state and of the weights."""
    plan, reverse, form = kernel.plan, ctx.call.reverse, (ctx.call.masked, ctx.call.resets)
    steps, batch = ctx.size
    x = tensors[0].contiguous()
    _, begin, weights = ctx.call.cut(tensors[1:], kernel.states)
    buffers["x"] = x
    buffers["gy"] = gy.to(kernel.dtype).contiguous()
    names, factors = kernel.early("backward", *form)
    kept = [place.buffer for place, _ in plan.summed if place.buffer[0] == "w"]
    widths = {name: kernel.widths[name] for name in names} | {name: plan.backward.buffers[name] for name in kept}
    cut = stretches(steps, batch, sum(widths.values()))
    longest = max(count for _, count in cut)
    made = {name: kernel.own(longest * batch, width) for name, width in widths.items()}
    for k, gradient in enumerate(final):
        # The first state's gradient, which the caller gets, is one half of it.
        turns = kernel.new(2, batch, gradient.shape[1])
        turns[cut[-1][1] & 1] = gradient
        buffers[f"g{k}"] = buffers[f"d{k}"] = turns
        buffers[f"n{k}"] = buffers.get(f"s{k}", turns)
    buffers |= {f"f{k}": torch.zeros_like(part) for k, part in enumerate(begin)}
    wanted = ctx.needs_input_grad[5:]
    wanted = (wanted[0], *wanted[len(tensors) - len(weights) :])
    after, totals = kernel.outside.graph_after(wanted)
    sums: list[Tensor | None] = [None] * len(totals)
    dx = kernel.new(*x.shape) if wanted[0] else None
    sources = [*(weight.contiguous() for weight in weights), *ctx.sources]
    loop = kernel.call("backward", *form, buffers | made, sources, batch)
    for first, count in reversed(cut):
        start = steps - first - count if reverse else first
        rows = x[start : start + count].view(count * batch, -1)
        if names:
            for name, (left, right) in zip(names, factors(*weights, rows), strict=True):
                torch.mm(left, right, out=made[name][: count * batch])
        loop.run(start, count, reverse, ctx.flags, made)
        sequences = [
            sequence_of(place, columns, buffers | made, start, count, batch, reverse, ctx.flags if begin else None)
            for place, columns in plan.summed
        ]
        for number, (total, piece) in enumerate(zip(totals, after(*weights, *sequences), strict=True)):
            if dx is not None and number == 0:
                put(total, piece, dx[start : start + count].view(count * batch, -1))
            elif total.same is None:
                sums[number] = add_up(total, piece, sums[number])
    found = iter(_shaped(totals, sums)[int(wanted[0]) :])
    first_gradients = [buffers[f"d{k}"][0] for k in range(kernel.states)]
    first_gradients += [buffers[f"f{k}"] for k in range(len(begin))]
    return [dx, *first_gradients, *(next(found) if want else None for want in wanted[1:])]


def _shaped(totals: Sequence[Total], sums: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The weights' gradients in their shapes, each with memory of its own."""
    found: list[Tensor | None] = []
    for each, total in zip(sums, totals, strict=True):
        if total.same is not None:
            known = sums[total.same]
            each = None if known is None else known.clone()
        found.append(None if each is None else each.view(total.shape))
    return found


def sequence_of(
    place: Place,
    columns: int,
    buffers: dict[str, Tensor],
    first: int,
    count: int,
    batch: int,
    reverse: bool,
    flags: Tensor | None,
) -> Tensor:
    """The rows of a stretch of steps that stand at a place, one below the other."""
    whole = buffers[place.buffer]
    if place.buffer[0] == "w":
        rows = whole[: count * batch]
    else:
        at = first + int(place.buffer[0] == "s" and reverse)
        rows = whole[at : at + count].view(count * batch, -1)
        if flags is not None and place.buffer[0] == "s":
            reset = (flags[first : first + count] & 2).bool().view(-1, 1)
            begin = buffers["b" + place.buffer[1:]]
            rows = torch.where(reset, begin.repeat(count, 1), rows)
    return rows if columns == rows.shape[1] else rows[:, place.start : place.start + columns]


def _again(ctx: Any, dt: Any, tensors: Sequence[Tensor], gradients: Sequence[Any]) -> Any:
    """The gradient by the plain loop, so that it can be differentiated once more."""
    kernel, needed = ctx.kernel, ctx.needs_input_grad[5:]
    outputs = plain(kernel, ctx.cell, ctx.call, ctx.flags, dt, tensors)
    leaves = [tensor for tensor, need in zip(tensors, needed, strict=True) if need]
    pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if o.requires_grad]
    found = iter(
        torch.autograd.grad([o for o, _ in pairs], leaves, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return (None,) * 5 + tuple(next(found) if need else None for need in needed)


def plain(kernel: Kernel, cell: Cell, call: Way, flags: Any, dt: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    """What the compiled loop computes, in plain operations: the outputs, and the last state's parts as rows."""
    x, *rest = tensors
    states, begin, weights = call.cut(rest, kernel.states)
    bound = with_weights(cell, dict(zip(weight_table(cell), weights, strict=True)))
    like = cell.initial_state(x.shape[1], dtype=kernel.dtype)
    shapes = [part.shape for part in state_tensors(like)]
    before = [part.view(shape) for part, shape in zip(states, shapes, strict=True)]
    firsts = [part.view(shape) for part, shape in zip(begin, shapes, strict=False)]
    advance: Any = bound.advance
    steps = x.shape[0]
    outputs: list[Any] = [None] * steps
    for t in reversed(range(steps)) if call.reverse else range(steps):
        if call.resets:
            before = [_chosen(flags[t] & 2, a, b) for a, b in zip(firsts, before, strict=True)]
        places = iter(before)
        state: State = map_state(lambda _, places=places: next(places), like)
        piece = bound.project(x[t])
        y, after = advance(piece, state) if dt is None else advance(piece, state, dt[t])
        now = state_tensors(after)
        if call.masked:
            y = _chosen(flags[t] & 1, y, torch.zeros_like(y))
            now = [_chosen(flags[t] & 1, a, b) for a, b in zip(now, before, strict=True)]
        outputs[t], before = y, now
    return [torch.stack(outputs), *(part.flatten(1) for part in before)]


def _chosen(flag: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """One or the other, sequence by sequence."""
    return torch.where(flag.bool().view(-1, *[1] * (yes.dim() - 1)), yes, no)


def run_compiled(
    kernel: Kernel,
    cell: Cell,
    x: Tensor,
    state: State,
    read: Tensor | None,
    dt: Tensor | None,
    reverse: bool,
    reset: Tensor | None = None,
    start: State | None = None,
    weights: Sequence[Tensor] | None = None,
) -> tuple[Tensor, State]:
    """Run a compiled cell over x.

    Args:
        kernel: made for this cell's structure.
        cell: holds the weights.
        x: (time, batch, features).
        state: before the first step.
        read: False where a step is left out, (time, batch), or None.
        dt: the time since the last step that was read, (time, batch), or None.
        reverse: whether the last step comes first.
        reset: True where the state is set to `start` before a step, (time, batch), or None.
        start: the state that `reset` goes back to.
        weights: the cell's, where they are known.

    Returns:
        the outputs, 0 at steps that are left out, and the state after the last step that was read.
    """
    flags = None if read is None and reset is None else _flags(x, read, reset)
    times = None if dt is None else dt.to(kernel.dtype).contiguous().unsqueeze(-1)
    weights = tuple(weight_table(cell).values()) if weights is None else weights
    parts = state_tensors(state)
    firsts = [] if reset is None or start is None else state_tensors(start)
    rows = [part if part.dim() == 2 else part.flatten(1) for part in (*parts, *firsts)]
    call = Way(torch.is_grad_enabled(), reverse, read is not None, bool(firsts))
    y, *final = _Loop.apply(kernel, cell, call, flags, times, x, *rows, *weights)
    shapes, rest = iter([part.shape for part in parts]), iter(final)
    return y, map_state(lambda _: next(rest).view(next(shapes)), state)


def _flags(x: Tensor, read: Tensor | None, reset: Tensor | None) -> Tensor:
    """What the loop is told of each step and sequence: 1 where it is read, plus 2 where the state is set back."""
    flags = torch.ones(x.shape[:2], dtype=torch.uint8) if read is None else read.to(torch.uint8)
    return (flags if reset is None else flags + 2 * reset.to(torch.uint8)).contiguous()
