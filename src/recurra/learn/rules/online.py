"""What all online rules share: they walk a stream forward, once, and carry the state's derivative by the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.learn.rules.linear_products import LinearProducts
from recurra.learn.rules.recorded_steps import Unsuited, one_cell, record_steps
from recurra.learn.rules.step_function import Blocks, StepFunction, detached
from recurra.learn.rules.unit_steps import UnitSteps, unit_steps
from recurra.types import Batch

SPAN = 32
"""Steps that are taken at once where the form of the cell allows it; bounds the memory for what the steps leave."""


@dataclass
class Stream:
    """What an online rule remembers between batches.

    Attributes:
        state: the learner's, after the last step; None before the first step of a stream.
        influence: what the rule knows of the state's derivative by the weights; None before the first step.
        size: sequences in the batch.
        kept: what holds for other streams too (patterns, feedback matrices).
    """

    state: Any = None
    influence: Any = None
    size: int = 0
    kept: dict[str, Any] = field(default_factory=dict)


class OnlineRule:
    """Base of the rules that go forward only; the loss's gradient is known at each step, and memory is flat in time.

    Equations:
        M_t = J_t M_{t-1} + F_t,  J_t = ds_t/ds_{t-1},  F_t = the derivative of s_t by w with s_{t-1} held,
        dL_t/dw = (the part past the state) + (dL_t/ds_t) M_t.

    A rule says how it carries M, or what stands for it, over a span (`carry`), and how a row vector is multiplied by it
    (`contract`). Batches that follow one another are taken as one stream: the learner's state and M go on from batch
    to batch, until `reset`. Where the weights change in between, M is that of the weights of each step, as usual.

    Where the loss is computed from other tensors than those of the state that is carried (a masked step, say), the part
    of its derivative that skips s_t is taken exactly through the state before: (dL_t/ds_{t-1}) M_{t-1}.
    """

    name = ""
    exact = False
    unbiased = False
    online = True
    one_backward = False

    def init(self, learner: nn.Module) -> Stream:
        """A stream that has not begun."""
        return Stream()

    def flush(self, learner: nn.Module, memory: Stream) -> Stream:
        """Nothing is ever pending."""
        return memory

    def reset(self, memory: Stream) -> Stream:
        """A stream that has not begun: the learner's first state, and no influence."""
        return Stream(kept=memory.kept)

    def supports(self, learner: nn.Module) -> str | None:
        """None, or why the learner cannot be served."""
        ask = getattr(learner, "why_not_streamed", None)
        reason = ask() if ask else None
        if reason:
            return f"{self.name} goes forward one step at a time, but {reason}; use the rule bptt instead"
        return self.refuses(learner)

    def refuses(self, learner: nn.Module) -> str | None:
        """The rule's own reason to refuse a learner."""
        return None

    def cuts(self, learner: nn.Module) -> bool:
        """Whether what enters the cells' recurrent products is taken as a constant."""
        return False

    def listen(self, learner: nn.Module, stream: Stream) -> LinearProducts | None:
        """What listens to the products of a step, for rules that need it."""
        return None

    def span(self, stream: Stream, left: int) -> int:
        """How many steps to take at once, of those that are left in the batch."""
        return 1

    def takes_units(self, stream: Stream) -> bool:
        """Whether `carry` takes `UnitSteps` too: several steps at once, of a cell whose units meet only in products."""
        return False

    def carry(self, step: Any, stream: Stream, function: StepFunction) -> Any:
        """The influence after a step, from that before it, `stream.influence`."""
        raise NotImplementedError

    def contract(self, row: Tensor, influence: Any) -> Blocks:
        """The sum over sequences of a row vector (batch, n) times the influence."""
        raise NotImplementedError

    def step(self, learner: nn.Module, batch: Batch, memory: Stream) -> tuple[Tensor, Stream]:
        """Add the batch's gradient to `.grad`; returns the detached loss of the batch and the stream so far."""
        if memory.state is not None and memory.size != batch.size:
            raise UsageError(
                f"the stream has {memory.size} sequences and this batch {batch.size}",
                where=f"rule {self.name}",
                need="as many sequences in each batch of a stream",
                cure="call memory = rule.reset(memory) where new sequences begin",
            )
        stream = Stream(memory.state, memory.influence, batch.size, memory.kept)
        function = StepFunction(learner, batch, self.cuts(learner), self.listen(learner, stream))
        if batch.steps == 0:
            with torch.no_grad():
                return function(function.weights, stream.state, 0, 0)[0], memory
        total, gradient = torch.zeros(()), dict[int, Tensor]()
        t, independent = 0, False
        cell = self._one_cell(learner, stream) if batch.size else None
        while t < batch.steps:
            if cell is not None:
                steps = self._units(function, cell, stream, t, min(t + SPAN, batch.steps))
                if steps is None:
                    cell = None
                    continue
                stream.influence = self.carry(steps, stream, function)
                parts = [steps.recorded.direct, steps.gathered] if steps.recorded.learns else []
                _add(gradient, parts)
                total = steps.recorded.loss + (total if t else 0.0)
                stream.state, t = detached(steps.recorded.after), t + steps.steps
                continue
            stop = t + min(self.span(stream, batch.steps - t), batch.steps - t)
            step = function.take(stream.state, t, stop)
            if not independent and step.before is not None:
                step.check_independence()
                independent = True
            if function.cut and step.before is not None and not stream.kept.get("checked"):
                refuse_dead_weights(function, stream.state, t, self.name)
                stream.kept["checked"] = True
            influence = self.carry(step, stream, function)
            direct, after, before = step.loss_derivatives()
            parts = [direct]
            if step.loss.requires_grad:
                parts.append(self.contract(after, influence))
                if before is not None and stream.influence is not None and bool(before.any()):
                    parts.append(self.contract(before, stream.influence))
            _add(gradient, parts)
            total = step.loss.detach() + (total if t else 0.0)
            stream.state, stream.influence, t = detached(step.state), influence, stop
        function.add_to_grad(gradient)
        return total, stream

    def _one_cell(self, learner: nn.Module, stream: Stream) -> Cell | None:
        """The cell of a learner that may be taken several steps at once, or None."""
        if "plain" in stream.kept or not self.takes_units(stream):
            return None
        if "cell" not in stream.kept or stream.kept["cell"][0] is not learner:
            stream.kept["cell"] = (learner, one_cell(learner))
        return stream.kept["cell"][1]

    def _units(self, function: StepFunction, cell: Cell, stream: Stream, start: int, stop: int) -> UnitSteps | None:
        """Several steps at once; None where the learner is of another kind: then the plain way is taken for good."""
        try:
            return unit_steps(record_steps(function, cell, stream.state, start, stop), function, stream.kept)
        except Unsuited:
            stream.kept["plain"] = True
            return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _add(gradient: Blocks, parts: list[Blocks]) -> None:
    for part in parts:
        for number, block in part.items():
            block = block.detach()
            gradient[number] = gradient[number] + block if number in gradient else block


def refuse_dead_weights(function: StepFunction, state: Any, t: int, name: str) -> None:
    """Refuse a network in which the cut takes all of a weight's effect away: its gradient would be zero unsaid."""
    effects: list[Blocks] = []
    probe = None
    for cut in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            step = StepFunction(function.learner, function.batch, cut).take(state, t, t + 1)
            probe = torch.randn_like(step.after) if probe is None else probe
            by_state = step.pull(probe[None])[0]
            direct, after, _ = step.loss_derivatives()
            by_loss = step.pull(after[None])[0]
        parts = [{i: part.reshape(-1) for i, part in each.items()} for each in (by_state, direct, by_loss)]
        numbers = set().union(*parts)
        effects.append({i: torch.stack([(part[i] != 0) for part in parts if i in part]).any(0) for i in numbers})
    whole, left = effects
    for number, effect in whole.items():
        dead = effect & ~left[number] if number in left else effect
        if bool(dead.any()):
            raise UsageError(
                f"{int(dead.sum())} of the {len(dead)} numbers of {function.names[number]} act through recurrent "
                "products alone, and would get no gradient",
                where=f"rule {name}",
                need="weights that act on the state within their own unit too",
                cure="use the rule snap(1) or rtrl (for a GRU, reset_after=True is another way)",
            )


def cells_of(learner: nn.Module) -> list[Cell]:
    """The cells in a learner that are not a part of another cell."""
    cells = [(name, part) for name, part in learner.named_modules() if isinstance(part, Cell)]
    names = [name for name, _ in cells]
    return [
        cell
        for name, cell in cells
        if not any(name.startswith(f"{other}.") or (other == "" != name) for other in names)
    ]


def weights_inside_cells(learner: nn.Module) -> set[str]:
    """The names of the weights that belong to cells."""
    return {
        f"{name}.{weight}" if name else weight
        for name, part in learner.named_modules()
        if isinstance(part, Cell)
        for weight, _ in part.named_parameters()
    }
