"""Gradient rules that run the adjoint signal-flow graph of a whole learner."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.rules.cell_calls import stepwise, why_not_stepwise
from recurra.learn.rules.state_tree import map_tensors, tensors_of
from recurra.learn.signal_flow.adjoint import add_weight_gradient, adjoint, check_horizon, run_adjoint, through_derived
from recurra.learn.signal_flow.graph import SignalFlowGraph
from recurra.learn.signal_flow.simulate import Step, Values, all_weights, handed_on, run_step
from recurra.learn.signal_flow.tracing import traced_graph
from recurra.nn.noise import Noise
from recurra.types import Batch, Cost

LOSS = "loss"


class Adjoint:
    """The exact gradient from the signal-flow graph of the learner and its adjoint graph.

    Equations:
        every step of the learner, loss included, is written as a signal-flow graph and run; then the adjoint graph is
        run from the last step to the first with 1 put in where the loss comes out, and
        dL/dw = sum_t (adjoint signal at the end of w's branch)(t) * (signal at its beginning)(t).

    It gives what back-propagation through time gives, and shows what that is made of:
    `recurra.learn.signal_flow.graph_of_cell(cell, 1).to_dot()` draws it. Every step is traced anew, which takes some
    hundredths of a second or more; for long sequences use the rule bptt.

    Args: none.

    Shapes: the learner's own; the gradient lands in `.grad` of each parameter, added to what is there.

    Raises:
        UsageError: a step of the learner cannot be traced, computes with complex numbers, or has noise within its
            cells (recurrent dropout, weight drop, zoneout). What other dropout draws is a constant of its step.

    Differs from the paper: signals are tensors, see `SignalFlowGraph`.

    Reference:
        P. Campolucci, A. Uncini, F. Piazza. A signal-flow-graph approach to on-line gradient calculation. Neural
        Computation 12 (2000) 1901-1927.
        A. Y. Lee. Signal flow graphs: computer-aided system analysis and sensitivity calculations. IEEE Transactions on
        Circuits and Systems 21 (1974) 209-216.

    Example:
        >>> Adjoint().cost(hidden=8, parameters=100, steps=50).memory
        400.0
    """

    name = "adjoint"
    exact = True
    unbiased = True
    online = False
    one_backward = False

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """Work a time step grows with the parameters; all steps' signals are kept."""
        return Cost(float(parameters), float(hidden * steps), "time O(p) a step, memory O(n T)")

    def supports(self, learner: nn.Module) -> str | None:
        """None, or why the sequence may not be run one step at a time."""
        return why_not_stepwise(learner, self.name)

    def init(self, learner: nn.Module) -> None:
        """Nothing is remembered between batches."""
        return None

    @torch.no_grad()
    def step(self, learner: nn.Module, batch: Batch, memory: Any) -> tuple[Tensor, Any]:
        """Add the batch's gradient to `.grad`; returns the detached loss and the memory."""
        if batch.steps == 0:
            return learner(batch, 0, 0, None)[0], memory
        run = _Run()
        kept = [run.forward(learner, batch, t) for t in range(batch.steps)]
        loss = torch.stack([step.values[LOSS] for step, _ in kept]).sum()
        steps, reverse = [step for step, _ in kept], [graph for _, graph in kept]
        signals = run_adjoint(reverse, steps, [_one(step) for step in steps])
        for step, there in zip(reversed(steps), signals, strict=True):
            _serve(learner, step, there)
        return loss, memory

    def flush(self, learner: nn.Module, memory: Any) -> Any:
        """Nothing is ever pending."""
        return memory

    def reset(self, memory: Any) -> Any:
        """Nothing is carried over."""
        return memory

    def __repr__(self) -> str:
        return "Adjoint()"


@dataclass
class _Run:
    """A learner's stream: its state, and what the delays hold.

    Attributes:
        state: the learner's state, or None before the first step.
        held: what the delays give at the next step.
        window: the steps not yet served, with their adjoint graphs.
        size: sequences of the batch.
    """

    state: Any = None
    held: Values = field(default_factory=dict)
    window: deque[tuple[Step, SignalFlowGraph]] = field(default_factory=deque)
    size: int = 0

    def forward(self, learner: nn.Module, batch: Batch, t: int) -> tuple[Step, SignalFlowGraph]:
        """Write step t as a graph and run it; the step and its adjoint graph."""
        weights = {name: weight.detach() for name, weight in learner.named_parameters()}
        before, after = self.state, []

        def step(*tensors: Tensor) -> tuple[Tensor, ...]:
            given = iter(tensors)
            state = None if before is None else map_tensors(lambda _: next(given), before)
            loss, state = torch.func.functional_call(
                learner, dict(zip(weights, given, strict=True)), _call(batch, t, state)
            )
            after.append(state)
            return (loss, *tensors_of(state))

        with stepwise(learner):
            graph = traced_graph(step, {}, self.held, weights, [LOSS], draws=not _noisy_cells(learner))
        known = all_weights(graph, weights)
        done = Step(graph, known, run_step(graph, known, self.held))
        self.held = handed_on(graph, done.values)
        values = iter(self.held.values())
        self.state = map_tensors(lambda _: next(values), after[0])
        return done, adjoint(graph)


def _noisy_cells(learner: nn.Module) -> bool:
    """Whether noise stands in the cells' steps, where one draw serves a whole sequence: steps run alone draw anew."""
    noises = [getattr(module, "noise", None) for module in learner.modules()]
    return any(isinstance(noise, Noise) and (noise.recurrent or noise.weights or noise.zoneout) for noise in noises)


def _call(batch: Batch, t: int, state: Any) -> tuple[Any, ...]:
    return (batch, t, t + 1, state)


def _one(step: Step) -> Values:
    """The error at the loss: it counts once."""
    return {LOSS: torch.ones_like(step.values[LOSS])}


def _serve(learner: nn.Module, step: Step, signals: Values) -> None:
    """Add one step's part of the sum to `.grad`."""
    total: Values = {}
    add_weight_gradient(step, signals, total)
    total = through_derived(step, total)
    for name, parameter in learner.named_parameters():
        if parameter.requires_grad and name in total:
            parameter.grad = total[name] if parameter.grad is None else parameter.grad + total[name]


class OnlineAdjoint:
    """The on-line form: the adjoint graph is run over the latest steps alone, and serves a step once they are there.

    Equations:
        at step t the adjoint graph is run from step t to step t - h, h = horizon, without signals from before its
        start; step t - h's part of sum (adjoint signal * signal) is then added to the gradient, h steps late.

    Each step's loss so reaches back h steps: the sum is that of TBPTT(1, h + 1). With h at least the sequence's length
    less one it is the exact gradient. The stream is carried on from batch to batch until `reset`; the latest h steps
    are served by those that follow, or by `flush`.

    Args:
        horizon: h, from 0.

    Shapes: the learner's own.

    Raises:
        UsageError: as `Adjoint`; horizon is no whole number from 0; the batch has another size than the stream.

    Differs from the paper: weights change once a batch, not once a step.

    Reference:
        P. Campolucci, A. Uncini, F. Piazza. A signal-flow-graph approach to on-line gradient calculation. Neural
        Computation 12 (2000) 1901-1927.

    Example:
        >>> OnlineAdjoint(5)
        OnlineAdjoint(horizon=5)
    """

    name = "onlineadjoint"
    exact = False
    unbiased = False
    online = True
    one_backward = False

    def __init__(self, horizon: int):
        if horizon is None:
            raise UsageError("horizon is None", where="rule onlineadjoint(horizon)", need="a whole number of steps")
        check_horizon(horizon, "rule onlineadjoint(horizon)")
        self.horizon = horizon

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost:
        """The adjoint graph is run over horizon + 1 steps for each step."""
        reach = min(self.horizon + 1, max(steps, 1))
        return Cost(float(parameters * reach), float(hidden * reach), "time O(p h) a step, memory O(n h)")

    def supports(self, learner: nn.Module) -> str | None:
        """None, or why the sequence may not be run one step at a time."""
        return why_not_stepwise(learner, self.name)

    def init(self, learner: nn.Module) -> _Run:
        """Nothing has been read."""
        return _Run()

    @torch.no_grad()
    def step(self, learner: nn.Module, batch: Batch, memory: _Run) -> tuple[Tensor, _Run]:
        """Add to `.grad` the parts of steps that are `horizon` steps old; returns the detached loss and the memory."""
        if memory.held and memory.size != batch.size:
            raise UsageError(
                f"the batch has {batch.size} sequences, and the stream that is carried on has {memory.size}",
                where="rule onlineadjoint",
                need="the same sequences, further on",
                cure="rule.reset(memory) before new sequences",
            )
        memory.size = batch.size
        if batch.steps == 0:
            return learner(batch, 0, 0, memory.state)[0], memory
        losses = []
        for t in range(batch.steps):
            memory.window.append(memory.forward(learner, batch, t))
            losses.append(memory.window[-1][0].values[LOSS])
            if len(memory.window) > self.horizon:
                self._serve_oldest(learner, memory)
        return torch.stack(losses).sum(), memory

    @torch.no_grad()
    def flush(self, learner: nn.Module, memory: _Run) -> _Run:
        """Serve the steps that still wait for later ones; none come."""
        while memory.window:
            self._serve_oldest(learner, memory)
        return memory

    def reset(self, memory: _Run) -> _Run:
        """Forget the stream and what waits to be served."""
        return _Run()

    def _serve_oldest(self, learner: nn.Module, memory: _Run) -> None:
        steps, reverse = [step for step, _ in memory.window], [graph for _, graph in memory.window]
        signals = run_adjoint(reverse, steps, [_one(step) for step in steps])[-1]
        _serve(learner, steps[0], signals)
        memory.window.popleft()

    def __repr__(self) -> str:
        return f"OnlineAdjoint(horizon={self.horizon})"
