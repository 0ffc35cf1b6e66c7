"""Seeing a learner's cells at work, one time step at a time, with their outputs as leaves of the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.state import state_tensors
from recurra.errors import UsageError
from recurra.learn.rules.state_tree import tensors_of
from recurra.nn.noise import Noise
from recurra.types import Batch, State

RECURRENT_IN_TORCH = (nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True)
class CellCall:
    """One step of one cell.

    Attributes:
        cell: the cell.
        x: what it read, with the graph of what stands below it, (batch, input_size).
        before, after: its state before and after the step, without a graph.
        y: what it gave, a leaf: the error of the step arrives in `y.grad`, (batch, output_size).
        dt: the time since the last step, where one was given, (batch, 1).
    """

    cell: Cell
    x: Tensor
    before: State
    after: State
    y: Tensor
    dt: Tensor | None


def why_not_stepwise(learner: nn.Module, rule: str) -> str | None:
    """None, or why a learner may not be run one step at a time."""
    ask = getattr(learner, "why_not_streamed", None)
    reason = ask() if ask else None
    return f"{rule} runs sequences one step at a time, but {reason}; use the rule bptt instead" if reason else None


def why_not_watched(learner: nn.Module, serves: Callable[[Cell], bool], rule: str, wanted: str) -> str | None:
    """None where all that is recurrent in a learner is cells that a rule serves, run one step at a time; or why not."""
    reason = why_not_stepwise(learner, rule)
    if reason:
        return reason
    cells = cells_of(learner)
    others = sorted({type(cell).__name__ for cell in cells if not serves(cell)})
    others += sorted({type(module).__name__ for module in learner.modules() if isinstance(module, RECURRENT_IN_TORCH)})
    if others or not cells:
        found = f"this network has {' and '.join(others)}" if others else "this network has no cell"
        return f"{rule} serves {wanted}, and {found}; use the rule bptt instead"
    for module in learner.modules():
        noise = getattr(module, "noise", None)
        if isinstance(noise, Noise) and (noise.recurrent or noise.weights or noise.zoneout):
            return "recurrent dropout, weight drop and zoneout change the cells' step; use the rule bptt instead"
        if getattr(module, "firsts", None) is not None:
            return f"the initial state is learned, and {rule} takes it as given; use the rule bptt instead"
        if getattr(module, "checkpoint", False):
            return (
                f"{rule} keeps no graph over time that a checkpoint could spare; build the layer with checkpoint=False"
            )
    return None


class CellWatch:
    """Runs a learner step by step and records each cell's call.

    Args:
        learner: the learner.
        rule: the rule's name, for messages.

    Attributes:
        left_out: which sequences' states were not carried on as the cells left them (they have ended, or were begun
            anew), (batch,), or None before the second step.
    """

    def __init__(self, learner: nn.Module, rule: str):
        self.learner, self.rule = learner, rule
        self.cells: list[Cell] = []
        self.last: list[CellCall] = []
        self.left_out: Tensor | None = None

    def step(self, batch: Batch, t: int, state: State | None) -> tuple[Tensor, State, list[CellCall]]:
        """Step t: the learner's loss with its graph, its state, and the calls of its cells, in their order."""
        calls: list[CellCall] = []
        with _recording(self.learner, calls, self.rule):
            loss, after = self.learner(batch, t, t + 1, state)
        if any(part.requires_grad for part in tensors_of(after)):
            raise UsageError(
                "the learner carries more from step to step than the states of its cells",
                where=f"rule {self.rule}",
                need="a learner whose only memory is its cells",
                cure="the rule bptt or tbptt",
            )
        cells = [call.cell for call in calls]
        self.cells = self.cells or cells
        if not cells or [id(cell) for cell in cells] != [id(cell) for cell in self.cells]:
            raise UsageError(
                f"at step {t} the learner ran {len(cells)} cells, and {len(self.cells)} before that",
                where=f"rule {self.rule}",
                need="every cell run once at each step, in the same order",
                cure="the rule bptt or tbptt",
            )
        self._compare(calls)
        self.last = calls
        return loss, after, calls

    def check(self, error: Tensor, left_out: Tensor | None) -> None:
        """Refuse an error that arrives at a sequence whose state was changed from outside."""
        if left_out is not None and bool((error[left_out] != 0).any()):
            raise UsageError(
                "the state of a sequence was changed between two steps, and steps after that count in the loss",
                where=f"rule {self.rule}",
                need="sequences read from their first step on without a gap; they may have different lengths",
                cure="the rule bptt for sequences with masks or resets in between",
            )

    def _compare(self, calls: Sequence[CellCall]) -> None:
        for old, new in zip(self.last, calls, strict=False):
            for given, left in zip(state_tensors(new.before), state_tensors(old.after), strict=True):
                if given is not left:
                    changed = (given != left).flatten(1).any(1)
                    self.left_out = changed if self.left_out is None else self.left_out | changed


@contextmanager
def replaced(cells: Sequence[Cell], attributes: Callable[[Cell], dict[str, Any]]) -> Iterator[None]:
    """While it lasts, the cells have these attributes in place of their own."""
    before = [dict(cell.__dict__) for cell in cells]
    wanted = [attributes(cell) for cell in cells]
    try:
        for cell, entries in zip(cells, wanted, strict=True):
            cell.__dict__.update(entries)
        yield
    finally:
        for cell, own, entries in zip(cells, before, wanted, strict=True):
            for name in entries:
                cell.__dict__.pop(name, None)
                if name in own:
                    cell.__dict__[name] = own[name]


def cells_of(learner: nn.Module) -> list[Cell]:
    """All cells of a learner."""
    return [module for module in learner.modules() if isinstance(module, Cell)]


def stepwise(learner: nn.Module) -> AbstractContextManager[None]:
    """While it lasts, linear cells too take their steps one by one, not all at once by their scan."""
    return replaced(cells_of(learner), lambda cell: {"linear": False})


def _recording(learner: nn.Module, calls: list[CellCall], rule: str) -> AbstractContextManager[None]:
    """While it lasts, the learner's cells compute without a graph, give leaves, and note each call."""
    return replaced(
        cells_of(learner),
        lambda cell: {"project": _as_it_is, "advance": _recorder(cell, calls, rule), "linear": False},
    )


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _recorder(cell: Cell, calls: list[CellCall], rule: str) -> Callable[..., tuple[Tensor, State]]:
    kind: Any = type(cell)

    def advance(x: Tensor, state: State, dt: Tensor | None = None) -> tuple[Tensor, State]:
        if any(part.requires_grad for part in state_tensors(state)):
            raise UsageError(
                f"the state that {kind.__name__} is given follows from weights, as a learned initial state does",
                where=f"rule {rule}",
                need="cells that begin at a given state and pass it on themselves",
                cure="the rule bptt or tbptt",
            )
        if any(call.cell is cell for call in calls):
            raise UsageError(
                f"{kind.__name__} is run twice in one step", where=f"rule {rule}", need="every cell run once a step"
            )
        with torch.no_grad():
            times = () if dt is None else (dt,)
            y, after = kind.advance(cell, kind.project(cell, x), state, *times)
        y = y.detach().requires_grad_()
        calls.append(CellCall(cell, x, state, after, y, dt))
        return y, after

    return advance


def add_gradient(parameter: Tensor | None, part: Tensor) -> None:
    """Add to a parameter's `.grad`, where it is learned."""
    if parameter is not None and parameter.requires_grad:
        parameter.grad = part if parameter.grad is None else parameter.grad + part


def walk_back(output: Tensor, error: Tensor | None, rule: str) -> None:
    """Back-propagate through what has no memory: into the weights there and into the leaves below."""
    if not output.requires_grad:
        return
    try:
        # The loss and the cells of one step may have parts of their graphs in common.
        torch.autograd.backward(output, error, retain_graph=True)
    except RuntimeError as reason:
        if "inplace operation" not in str(reason):
            raise
        raise UsageError(
            "weights were changed while errors were still on their way back",
            where=f"rule {rule}",
            need="`flush` before an optimiser's step, where layers without memory stand below or between the cells",
        ) from reason
