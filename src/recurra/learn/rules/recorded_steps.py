"""Running a learner with one cell over several steps at once, and writing down what the cell read and gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, in_transform
from recurra.cells.state import state_tensors
from recurra.learn.rules.cell_calls import cells_of, replaced, why_not_watched
from recurra.learn.rules.state_tree import map_tensors, tensors_of
from recurra.learn.rules.step_function import Blocks, StepFunction
from recurra.nn.kernels import kernel_missing, run_kernel
from recurra.types import State


class Unsuited(Exception):
    """A learner does more between two steps of its cell, or in them, than the short form of a rule provides for."""


@dataclass(frozen=True)
class RecordedSteps:
    """Consecutive steps of a learner whose only memory is one cell.

    Attributes:
        cell: the cell.
        loss: of the steps, without a graph.
        after: the learner's state after them, without a graph.
        first: the cell's state before the first of them.
        x: what the cell read, (time, batch, features).
        before: the parts of the cell's state before each step, each (time, batch, n).
        errors: the loss's derivative by each part after each step, with all later steps held, (time, batch, n); None
            where no part of the loss reads it.
        direct: the loss's derivative by weights that reach it past the cell.
        learns: whether the loss follows from weights or the cell at all.
    """

    cell: Cell
    loss: Tensor
    after: Any
    first: State
    x: Tensor
    before: list[Tensor]
    errors: list[Tensor | None]
    direct: Blocks
    learns: bool

    @property
    def steps(self) -> int:
        """Time steps."""
        return self.x.shape[0]

    @property
    def size(self) -> int:
        """Sequences."""
        return self.x.shape[1]


def one_cell(learner: nn.Module) -> Cell | None:
    """The one cell that is all the memory of a learner, as far as its parts show it, or None."""
    cells = cells_of(learner)
    if len(cells) != 1 or cells[0].dropped is not None:
        return None
    weight = next(cells[0].parameters(), None)
    if weight is None or weight.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return None
    return cells[0] if why_not_watched(learner, _overrides, "rule", "cells") is None else None


def _overrides(cell: Cell) -> bool:
    return type(cell).advance is not Cell.advance


def record_steps(function: StepFunction, cell: Cell, state: Any, start: int, stop: int) -> RecordedSteps:
    """Take the steps start..stop-1 of a learner.

    Raises:
        Unsuited: the cell is not run once a step on its own last state, what it reads follows from weights, it gives
            more than a part of its state, or random numbers are drawn. Numbers drawn meanwhile are put back.
    """
    drawn = torch.get_rng_state()
    recorder = _Recorder(cell)
    try:
        attributes = {"project": recorder.project, "advance": recorder.advance, "linear": False, "dropped": _as_it_is}
        with replaced([cell], lambda _: attributes):
            loss, after = function.learner(function.batch, start, stop, state)
        if not torch.equal(drawn, torch.get_rng_state()):
            raise Unsuited("random numbers are drawn")
        return recorder.finish(function, state, loss, after, stop - start)
    except Unsuited:
        torch.set_rng_state(drawn)
        raise


def _as_it_is(h: Tensor) -> Tensor:
    return h


class _Recorder:
    """Stands in for a cell's `project` and `advance`: the same numbers without a graph, the state's parts as leaves.

    Where `project` is called for several steps at once, the first call of `advance` takes them all, and the others are
    given what it found: the loss's derivative then arrives in one tensor for all steps.
    """

    def __init__(self, cell: Cell):
        self.cell, self.kind = cell, type(cell)
        self.read: list[Tensor] = []
        self.made: list[Any] = []
        self.given: list[Any] = []
        self.first: State | None = None
        self.last: Any = None  # the state that was given out
        self.leaves: list[list[Tensor]] = []  # one a part and call that computed something; with time in front
        self.ready: list[tuple[Tensor, State]] = []

    def project(self, x: Tensor) -> Any:
        if x.requires_grad:
            raise Unsuited("what the cell reads follows from weights")
        with torch.no_grad():
            made = self.kind.project(self.cell, x)
        self.read.append(x)
        self.made.append(made)
        return made

    def advance(self, projected: Any, state: State, dt: Tensor | None = None) -> tuple[Tensor, State]:
        if dt is not None:
            raise Unsuited("steps have lengths of time")
        if state is not self.last:
            before = state_tensors(state)
            if self.first is None:
                if any(part.requires_grad or not part.is_floating_point() for part in before):
                    raise Unsuited("the first state follows from weights, or counts")
                self.first = state
            elif not _same(before, state_tensors(self.last)):
                raise Unsuited("the state is changed between two steps")
        if not self.ready:
            self._compute(projected, state)
        y, self.last = self.ready.pop()
        self.given.append(projected)
        return y, self.last

    def _compute(self, projected: Any, state: State) -> None:
        """The steps that `project` was last called for, from a state on."""
        several = self.read[-1].dim() == 3 and len(self.read) == 1 and not self.given
        with torch.no_grad():
            if several and len(state_tensors(state)) == 1 and kernel_missing(self.cell) is None and not in_transform():
                # The kernels of these cells give the state of every step.
                every, _ = run_kernel(self.cell, self.read[0], state, None, False)
                leaves, places, states = [every], [0] * len(every), [state] * len(every)
            else:
                leaves, places, states = self._step_by_step(projected, state, several)
        if len(leaves) != len(state_tensors(state)) or not all(leaf.is_floating_point() for leaf in leaves):
            raise Unsuited("a part of the state counts")
        cut = zip(*(leaf.requires_grad_().unbind(0) for leaf in leaves), strict=True)
        self.leaves.append(leaves)
        for like, place, parts in reversed(list(zip(states, places, cut, strict=True))):
            self.ready.append((parts[place], _filled(like, parts)))

    def _step_by_step(self, projected: Any, state: State, several: bool) -> tuple[list[Tensor], list[int], list[State]]:
        """The parts of the state, all steps in one; which part is the output; and the states."""
        pieces = zip(*(part.unbind(0) for part in tensors_of(self.made[0])), strict=True) if several else [()]
        states: list[State] = []
        places: list[int] = []
        for piece in pieces:
            given = _filled(self.made[0], piece) if several else projected
            y, state = self.kind.advance(self.cell, given, state)
            place = next((k for k, part in enumerate(state_tensors(state)) if part is y), None)
            if place is None:
                raise Unsuited("the output is no part of the state")
            states.append(state)
            places.append(place)
        parts = zip(*(state_tensors(each) for each in states), strict=True)
        return [torch.stack(part) for part in parts], places, states

    def finish(self, function: StepFunction, state: Any, loss: Tensor, after: Any, steps: int) -> RecordedSteps:
        """What was recorded, once the learner is through."""
        if (
            not steps
            or len(self.given) != steps
            or self.ready
            or not _same(tensors_of(after), state_tensors(self.last))
        ):
            raise Unsuited("the learner carries on something else than the state of its cell")
        assert self.first is not None
        parts = state_tensors(self.first)
        if state is not None and not _alike(tensors_of(state), parts):
            raise Unsuited("the state is changed before the first step")
        x, count = self._inputs(steps), len(function.parameters)
        leaves = [leaf for call in self.leaves for leaf in call]
        found: tuple[Tensor | None, ...] = (None,) * (count + len(leaves))
        if loss.requires_grad:
            found = torch.autograd.grad(loss, [*function.parameters, *leaves], allow_unused=True)
        direct = {i: g.reshape(-1) for i, g in enumerate(found[:count]) if g is not None}
        errors, before = list[Tensor | None](), list[Tensor]()
        for k, first in enumerate(parts):
            values = [call[k].detach() for call in self.leaves]
            at = found[count + k :: len(parts)]
            pieces = [torch.zeros_like(v) if g is None else g for g, v in zip(at, values, strict=True)]
            errors.append(torch.cat(pieces) if any(g is not None for g in at) else None)
            before.append(torch.cat([first.detach().unsqueeze(0), *values])[:-1])
        return RecordedSteps(
            self.cell, loss.detach(), after, self.first, x, before, errors, direct, bool(loss.requires_grad)
        )

    def _inputs(self, steps: int) -> Tensor:
        """What was read, (time, batch, features): by one call of `project` for all steps, or one for each."""
        if len(self.read) == 1 and self.read[0].dim() == 3:
            # The first number of each step's share tells which step it is.
            wanted = tensors_of(self.made[0])[0]
            begin, step = wanted.data_ptr(), wanted.stride(0) * wanted.element_size()
            at = [tensors_of(given)[0].data_ptr() for given in self.given]
            if self.read[0].shape[0] != steps or at != [begin + t * step for t in range(steps)]:
                raise Unsuited("the cell is not run once a step, in order")
            return self.read[0].detach()
        if len(self.read) != steps or any(a is not b for a, b in zip(self.given, self.made, strict=True)):
            raise Unsuited("the cell is not run once a step, in order")
        if any(x.dim() != 2 for x in self.read):
            raise Unsuited("the cell is not run on a batch")
        return torch.stack(self.read).detach()


def _filled(like: Any, parts: Sequence[Tensor]) -> Any:
    """A nesting of tensors with others in their places."""
    places = iter(parts)
    return map_tensors(lambda _: next(places), like)


def _same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(one is other for one, other in zip(a, b, strict=True))


def _alike(a: list[Tensor], b: list[Tensor]) -> bool:
    """Whether the tensors are the same memory read in the same way."""
    return len(a) == len(b) and all(
        one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride()
        for one, other in zip(a, b, strict=True)
    )
