"""Compiled cells as differentiable functions of whole sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.cells.variant import with_weights
from recurra.engine.kernel import Kernel, sequence_of
from recurra.engine.trace import weight_table
from recurra.types import State


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kernel: Kernel, cell: Cell, training: bool, reverse: bool, flags: Any, dt: Any, *tensors: Tensor
    ) -> Any:
        plan = kernel.plan
        parts = [part.contiguous() for part in tensors[: kernel.projected]]
        states = tensors[kernel.projected : kernel.projected + kernel.states]
        weights = tensors[kernel.projected + kernel.states :]
        steps, batch = parts[0].shape[:2]
        buffers = {f"x{k}": part for k, part in enumerate(parts)}
        if dt is not None:
            buffers["dt"] = dt
        for k, state in enumerate(states):
            whole = kernel.new(steps + 1, batch, state.shape[1])
            whole[steps if reverse else 0] = state
            buffers[f"s{k}"] = buffers[f"n{k}"] = whole
        if plan.output_from is None:
            buffers["y"] = kernel.new(steps, batch, kernel.output_size)
        training = training and any(ctx.needs_input_grad)
        if training and plan.kept:
            buffers["kept"] = kernel.new(steps, batch, plan.kept)
        params = kernel.params(weights)
        kernel.run("training" if training else "forward", buffers, params, (steps, batch), reverse, flags)
        if plan.output_from is None:
            y = buffers["y"]
        else:
            whole = buffers[f"s{plan.output_from}"]
            y = whole[:-1] if reverse else whole[1:]
            if flags is not None:
                y = torch.where(flags.unsqueeze(-1).bool(), y, torch.zeros_like(y))
        if training:
            names = [name for name in buffers if name in plan.reads or name in ("kept", "dt")]
            ctx.names, ctx.kernel, ctx.cell, ctx.reverse, ctx.flags = names, kernel, cell, reverse, flags
            ctx.size, ctx.params, ctx.count = (steps, batch), params, len(tensors)
            ctx.save_for_backward(*(buffers[name] for name in names), *tensors)
        final = [buffers[f"s{k}"][0 if reverse else steps].clone() for k in range(len(states))]
        return (y, *final)

    @staticmethod
    def backward(ctx: Any, gy: Any, *final: Any) -> Any:
        kernel, plan, reverse = ctx.kernel, ctx.kernel.plan, ctx.reverse
        saved = ctx.saved_tensors
        tensors = saved[len(ctx.names) :]
        buffers = dict(zip(ctx.names, saved, strict=False))
        if torch.is_grad_enabled():
            return _again(ctx, buffers.get("dt"), tensors, (gy, *final))
        steps, batch = ctx.size
        weights = tensors[kernel.projected + kernel.states :]
        buffers["gy"] = gy.to(kernel.dtype).contiguous()
        for k, gradient in enumerate(final):
            turns = kernel.new(2, batch, gradient.shape[1])
            turns[steps & 1] = gradient
            buffers[f"g{k}"] = buffers[f"d{k}"] = turns
        backward = plan.backward
        for name, width in backward.buffers.items():
            if name.startswith(("dx", "w")):
                buffers[name] = kernel.new(steps, batch, width)
        kernel.run("backward", buffers, ctx.params, ctx.size, reverse, ctx.flags)
        found: list[Any] = [buffers[f"dx{k}"] for k in range(kernel.projected)]
        # Where no step was made, the gradient of the first state is that of the last.
        found += [buffers[f"d{k}"][0] for k in range(kernel.states)]
        wanted = ctx.needs_input_grad[6 + kernel.projected + kernel.states :]
        if any(wanted):
            sequences = [sequence_of(place, columns, buffers, reverse) for place, columns in plan.summed]
            gradients = kernel.after(*weights, *sequences)
            found += [g if want else None for g, want in zip(gradients, wanted, strict=True)]
        else:
            found += [None] * len(weights)
        return (None,) * 6 + tuple(found)


def _again(ctx: Any, dt: Any, tensors: Sequence[Tensor], gradients: Sequence[Any]) -> Any:
    """The gradient by the plain loop, so that it can be differentiated once more."""
    kernel, needed = ctx.kernel, ctx.needs_input_grad[6:]
    outputs = plain(kernel, ctx.cell, ctx.reverse, ctx.flags, dt, tensors)
    leaves = [tensor for tensor, need in zip(tensors, needed, strict=True) if need]
    pairs = [(o, g) for o, g in zip(outputs, gradients, strict=True) if o.requires_grad]
    found = iter(
        torch.autograd.grad([o for o, _ in pairs], leaves, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return (None,) * 6 + tuple(next(found) if need else None for need in needed)


def plain(kernel: Kernel, cell: Cell, reverse: bool, flags: Any, dt: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    """What the compiled loop computes, in plain operations: the outputs, and the last state's parts."""
    parts = tensors[: kernel.projected]
    before = list(tensors[kernel.projected : kernel.projected + kernel.states])
    bound = with_weights(cell, dict(zip(weight_table(cell), tensors[kernel.projected + kernel.states :], strict=True)))
    like = cell.initial_state(parts[0].shape[1], dtype=kernel.dtype)
    advance: Any = bound.advance
    steps = parts[0].shape[0]
    outputs: list[Any] = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        places = iter(before)
        state: State = map_state(lambda _, places=places: next(places), like)
        piece = parts[0][t] if len(parts) == 1 else tuple(part[t] for part in parts)
        y, after = advance(piece, state) if dt is None else advance(piece, state, dt[t])
        now = state_tensors(after)
        if flags is not None:
            read = flags[t].bool().unsqueeze(-1)
            y = torch.where(read, y, torch.zeros_like(y))
            now = [torch.where(read, a, b) for a, b in zip(now, before, strict=True)]
        outputs[t], before = y, now
    return [torch.stack(outputs), *before]


def run_compiled(
    kernel: Kernel, cell: Cell, projected: Any, state: State, read: Tensor | None, dt: Tensor | None, reverse: bool
) -> tuple[Tensor, State]:
    """Run a compiled cell over what `cell.project` gave for all steps.

    Args:
        kernel: made for this cell's structure.
        cell: holds the weights.
        projected: (time, batch, columns), or a tuple of such.
        state: before the first step.
        read: False where a step is left out, (time, batch), or None.
        dt: the time since the last step that was read, (time, batch), or None.
        reverse: whether the last step comes first.

    Returns:
        the outputs, 0 at steps that are left out, and the state after the last step that was read.
    """
    parts = [projected] if isinstance(projected, Tensor) else list(projected)
    flags = None if read is None else read.to(torch.uint8).contiguous()
    times = None if dt is None else dt.to(kernel.dtype).contiguous().unsqueeze(-1)
    weights = list(weight_table(cell).values())
    y, *final = _Loop.apply(
        kernel, cell, torch.is_grad_enabled(), reverse, flags, times, *parts, *state_tensors(state), *weights
    )
    rest = iter(final)
    return y, map_state(lambda _: next(rest), state)
