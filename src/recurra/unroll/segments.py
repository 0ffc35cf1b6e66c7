"""Checkpoints along time: what lies between them is computed again for the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import in_transform
from recurra.cells.state import map_state, state_tensors
from recurra.errors import UsageError
from recurra.types import State


def segment_length(checkpoint: bool | int, steps: int, *, where: str) -> int | None:
    """Steps between two checkpoints, or None where nothing is to be computed again.

    Raises:
        UsageError: checkpoint is neither a truth value nor a positive whole number.
    """
    if not isinstance(checkpoint, int) or checkpoint < 0:
        raise UsageError(
            f"checkpoint is {checkpoint!r}",
            where=where,
            need="False, True (a segment as long as the square root of the time), or the steps of a segment",
        )
    if checkpoint is False or checkpoint == 0 or steps < 2:
        return None
    length = math.isqrt(steps - 1) + 1 if checkpoint is True else checkpoint
    # torch.func has its own tape, which does not know how to compute again; nothing but memory is lost there.
    worthwhile = length < steps and torch.is_grad_enabled() and not in_transform()
    return length if worthwhile else None


def run_segments(
    run: Callable[..., tuple[Tensor, State, State]],
    module: nn.Module,
    x: Tensor,
    state: State,
    along: Sequence[Tensor | None],
    length: int,
    reverse: bool,
    others: Sequence[Tensor] = (),
) -> tuple[Tensor, State, State]:
    """Run `run(x, state, *along)` over one segment of time after the other; each is computed again for its gradient.

    Args:
        run: gives the outputs (time, batch, ...), the last state, and all states or None.
        module: whose weights `run` uses.
        x: (time, batch, ...).
        state: before the first segment.
        along: what else is cut along time; None stays None.
        length: steps of a segment.
        reverse: whether the last segment comes first.
        others: further tensors that `run` uses and that may need a gradient.
    """
    # split, not slices: its backward is one concatenation, where a slice's fills a tensor of the full size.
    pieces = x.split(length)
    cuts = [[None] * len(pieces) if part is None else part.split(length) for part in along]
    weights: list[Tensor] = [
        w for part in module.modules() for w in part._parameters.values() if w is not None and w.requires_grad
    ]
    weights += [other for other in others if other.requires_grad]
    outputs: list[Any] = [None] * len(pieces)
    states: list[Any] = [None] * len(pieces)
    for number in reversed(range(len(pieces))) if reverse else range(len(pieces)):
        segment = _Segment(run, state, [cut[number] for cut in cuts])
        found = _Again.apply(segment, pieces[number], *state_tensors(state), *weights)
        outputs[number], state, states[number] = segment.structured(found)
    every = None if states[0] is None else map_state(lambda *parts: torch.cat(parts), *states)
    return torch.cat(outputs), state, every


class _Segment:
    """One segment as a function of tensors: x, then the state's."""

    def __init__(self, run: Callable[..., Any], state: State, along: list[Any]):
        self.run, self.along = run, along
        # Structure alone: the tensors are given at each call, and must not be kept alive here.
        self.shape = map_state(lambda part: part.new_empty(0), state)
        self.count = len(state_tensors(state))
        self.with_states = False
        self.random: list[Tensor] | None = None
        self.autocast = {
            kind: (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")
        }

    def __call__(self, x: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        y, state, states = self.run(x, self.filled(parts), *self.along)
        self.with_states = states is not None
        return (y, *state_tensors(state), *([] if states is None else state_tensors(states)))

    def filled(self, tensors: Sequence[Tensor]) -> State:
        rest = iter(tensors)
        return map_state(lambda _: next(rest), self.shape)

    def structured(self, found: Sequence[Tensor]) -> tuple[Tensor, State, State]:
        last = 1 + self.count
        return found[0], self.filled(found[1:last]), self.filled(found[last:]) if self.with_states else None

    @contextmanager
    def as_before(self) -> Iterator[None]:
        """The random numbers and the number formats of the first time."""
        with torch.random.fork_rng(enabled=self.random is not None):
            if self.random is not None:
                torch.set_rng_state(self.random[0])
                for state in self.random[1:]:
                    torch.cuda.set_rng_state(state)
            (on, kind), (on_gpu, kind_gpu) = self.autocast["cpu"], self.autocast["cuda"]
            gpu = torch.cuda.is_available()
            with torch.autocast("cpu", kind, on), torch.autocast("cuda", kind_gpu, on_gpu and gpu):
                yield


class _Again(torch.autograd.Function):
    """Keeps a segment's inputs only. torch.utils.checkpoint drops the tensors between, but not the nodes of the graph,
    and it is these, some ten a step, that fill the memory when sequences are long and states small."""

    @staticmethod
    def forward(ctx: Any, segment: _Segment, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.segment = segment
        ctx.save_for_backward(*tensors)
        before = _random(tensors[0])
        found = segment(*tensors[: 1 + segment.count])
        if not all(map(torch.equal, before, _random(tensors[0]))):
            segment.random = before
        # A sequence without steps to read gives back what it was given; outputs must be tensors of their own.
        given = {id(tensor) for tensor in tensors}
        return tuple(part.clone() if id(part) in given else part for part in found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        segment, tensors = ctx.segment, ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        first = 1 + segment.count
        twice = torch.is_grad_enabled()
        with torch.enable_grad(), segment.as_before():
            inputs = list(tensors[:first])
            if not twice:
                inputs = [part.detach().requires_grad_(need) for part, need in zip(inputs, needed, strict=False)]
            found = segment(*inputs)
        leaves = [part for part, need in zip([*inputs, *tensors[first:]], needed, strict=True) if need]
        pairs = [(part, g) for part, g in zip(found, gradients, strict=True) if part.requires_grad]
        results = iter(
            torch.autograd.grad(
                [part for part, _ in pairs], leaves, [g for _, g in pairs], create_graph=twice, allow_unused=True
            )
        )
        return (None, *(next(results) if need else None for need in needed))


def _random(x: Tensor) -> list[Tensor]:
    """The states of the generators that a step may draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(x.device)] if x.is_cuda else [])]
