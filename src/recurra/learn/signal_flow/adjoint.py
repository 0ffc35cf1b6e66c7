"""The adjoint of a signal-flow graph, and the gradient from both graphs' signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.signal_flow.graph import (
    WHERE,
    Branch,
    Delay,
    Derivative,
    Function,
    Gain,
    SignalFlowGraph,
    sources_of,
)
from recurra.learn.signal_flow.simulate import Record, Step, Values


def adjoint(graph: SignalFlowGraph) -> SignalFlowGraph:
    """The adjoint graph: every branch reversed.

    Equations:
        gain w: the same gain, a matrix transposed; delay z^-1: advance z; function f: the gain f'(x(t)) at the
        operating point of step t; where signals were added one is handed to all, and the other way round; errors are
        put in at the outputs, and come out at the inputs.

    Example:
        >>> forward = SignalFlowGraph(("x",), ("y",), (Gain("x", "y", "w"), Delay("y", "d"), Gain("d", "y", "a")))
        >>> for branch in adjoint(forward).branches:
        ...     print(branch)
        Gain(source='y', target='x', weight='w', product='element', transposed=True)
        Delay(source='d', target='y', advance=True)
        Gain(source='y', target='d', weight='a', product='element', transposed=True)
    """
    reversed_branches: list[Branch] = []
    for branch in graph.branches:
        if isinstance(branch, Gain):
            reversed_branches.append(Gain(branch.target, branch.source, branch.weight, branch.product, True))
        elif isinstance(branch, Delay):
            reversed_branches.append(Delay(branch.target, branch.source, not branch.advance))
        elif isinstance(branch, Function):
            places = enumerate(branch.sources)
            reversed_branches += [Derivative(branch.target, source, branch, place) for place, source in places]
        else:
            raise UsageError("this graph is an adjoint one", where=WHERE, need="a network's own graph")
    # Signals that nobody reads stand there without an error: they are inputs at which nothing is put in.
    return SignalFlowGraph((*graph.outputs, *_unread(graph)), tuple(graph.inputs), tuple(reversed_branches))


def _unread(graph: SignalFlowGraph) -> list[str]:
    read = {node for branch in graph.branches for node in sources_of(branch)} | set(graph.outputs)
    return [node for node in graph.nodes if node not in read]


def run_adjoint_step(reverse: SignalFlowGraph, step: Step, errors: Mapping[str, Tensor]) -> Values:
    """The adjoint graph's signals at one step, from the errors put in; a node that is absent has none."""
    signals: Values = {}
    for node, error in errors.items():
        if _has_derivative(step.values[node], node):
            signals[node] = error.expand_as(step.values[node])
    for branch in reverse.order:
        assert not isinstance(branch, Function)
        if branch.source not in signals or not _has_derivative(step.values[branch.target], branch.target):
            continue
        brought = _brought(branch, signals[branch.source], step)
        there = signals.get(branch.target)
        signals[branch.target] = brought if there is None else there + brought
    return signals


def _has_derivative(value: Tensor, node: str) -> bool:
    if value.is_complex():
        raise UsageError(
            f"the signal at node {node!r} is complex",
            where=WHERE,
            need="a network of real numbers",
            cure="the rule bptt",
        )
    return value.is_floating_point()


def _brought(branch: Branch, signal: Tensor, step: Step) -> Tensor:
    there = step.values[branch.target]
    if isinstance(branch, Derivative):
        point = [step.values[node] for node in branch.of.sources]
        place = branch.place

        def along(x: Tensor) -> Tensor:
            return branch.of.call(*point[:place], x, *point[place + 1 :])

        pulled: Any = torch.func.vjp(along, there)
        value, pull = pulled
        return pull(signal.sum_to_size(value.shape))[0]
    assert isinstance(branch, Gain)
    if isinstance(branch.weight, float | int):
        return branch.weight * signal.sum_to_size(there.shape)
    weight = step.weights[branch.weight]
    if branch.product == "element":
        return (weight * signal).sum_to_size(there.shape)
    return signal.sum_to_size((*there.shape[:-1], len(weight))) @ weight


def add_weight_gradient(step: Step, signals: Values, total: Values) -> None:
    """Add to `total` each gain's adjoint signal times the signal that enters the gain."""
    for branch in step.graph.branches:
        if isinstance(branch, Gain) and isinstance(branch.weight, str) and branch.target in signals:
            weight, x, signal = step.weights[branch.weight], step.values[branch.source], signals[branch.target]
            if branch.product == "element":
                found = (signal * x).sum_to_size(weight.shape)
            else:
                signal = signal.sum_to_size((*x.shape[:-1], len(weight)))
                found = signal.reshape(-1, len(weight)).t() @ x.reshape(-1, x.shape[-1])
            total[branch.weight] = total[branch.weight] + found if branch.weight in total else found


def through_derived(step: Step, total: Values) -> Values:
    """The gradient by the weights given, from that by all weights."""
    total = dict(total)
    for function in reversed(step.graph.derived):
        if function.target in total:
            pulled: Any = torch.func.vjp(function.call, *(step.weights[name] for name in function.sources))
            for name, found in zip(function.sources, pulled[1](total.pop(function.target)), strict=True):
                total[name] = total[name] + found if name in total else found
    return total


@dataclass(frozen=True)
class Gradient:
    """Derivatives of the loss.

    Attributes:
        weights: by each weight that was given; zero where none arrives.
        inputs: by each input at each step, (time, ...).
        initial: by what each delay held at the first step.
    """

    weights: Values
    inputs: Values
    initial: Values


def gradient(record: Record, errors: Mapping[str, Tensor], horizon: int | None = None) -> Gradient:
    """The gradient of a loss, from a simulation and that of the adjoint graph.

    Equations:
        dL/dw = sum_t (adjoint signal at the end of w's branch)(t) * (signal at its beginning)(t)    (Lee's theorem)

        Batch: the adjoint graph is run once, from the last step to the first, with the errors dL/dy(t) put in. On line,
        with a horizon h: for each step t it is run anew from step t + h to t, with no signals from later ones, and only
        step t's part of the sum is taken. That part is known at time t + h, for h + 1 adjoint steps.

    Args:
        record: from `simulate`.
        errors: dL/dy for each output over time; one that is absent is zero.
        horizon: h, or None for batch.

    Shapes:
        errors (time, ...), as the outputs.

    Raises:
        UsageError: horizon is no whole number from 0; an error's node is no output, or it has another length.

    Reference:
        A. Y. Lee. Signal flow graphs: computer-aided system analysis and sensitivity calculations. IEEE Transactions on
        Circuits and Systems 21 (1974) 209-216.
        E. A. Wan, F. Beaufays. Diagrammatic derivation of gradient algorithms for neural networks. Neural Computation 8
        (1996) 182-201.
        P. Campolucci, A. Uncini, F. Piazza. A signal-flow-graph approach to on-line gradient calculation. Neural
        Computation 12 (2000) 1901-1927.

    Example:
        >>> from recurra.learn.signal_flow.simulate import simulate
        >>> leaky = SignalFlowGraph(("x",), ("y",), (Gain("x", "y"), Gain("last", "y", "a"), Delay("y", "last")))
        >>> record = simulate(leaky, {"a": torch.tensor(0.5)}, {"x": torch.tensor([1.0, 0.0, 0.0])})
        >>> gradient(record, {"y": torch.tensor([0.0, 0.0, 1.0])}).weights  # of y(3) = a^2
        {'a': tensor(1.)}
    """
    check_horizon(horizon, "gradient")
    graph, steps = record.steps[0].graph, record.steps
    for name, error in errors.items():
        if name not in graph.outputs or len(error) != len(steps):
            raise UsageError(
                f"errors has {len(error)} steps of {name!r}",
                where=WHERE,
                need=f"{len(steps)} steps of one of the outputs {list(graph.outputs)}",
            )
    put_in = [{name: error[t] for name, error in errors.items()} for t in range(len(steps))]
    reverse = [adjoint(graph)] * len(steps)
    if horizon is None:
        signals = list(reversed(run_adjoint(reverse, steps, put_in)))
    else:
        ends = [slice(t, t + horizon + 1) for t in range(len(steps))]
        signals = [run_adjoint(reverse[end], steps[end], put_in[end])[-1] for end in ends]
    total: Values = {}
    for step, there in zip(steps, signals, strict=True):
        add_weight_gradient(step, there, total)
    total = through_derived(steps[0], total)
    weights, values = steps[0].weights, steps[0].values
    return Gradient(
        {name: total.get(name, torch.zeros_like(weights[name])) for name in graph.weights},
        {name: torch.stack([_or_zero(there, name, values) for there in signals]) for name in graph.inputs},
        {delay.target: _or_zero(signals[0], delay.target, values) for delay in graph.delays},
    )


def _or_zero(signals: Values, name: str, values: Values) -> Tensor:
    return signals[name] if name in signals else torch.zeros_like(values[name])


def run_adjoint(
    reverse: Sequence[SignalFlowGraph], steps: Sequence[Step], errors: Sequence[Mapping[str, Tensor]]
) -> list[Values]:
    """The adjoint graphs' signals from the last step to the first, in that order."""
    found: list[Values] = []
    for graph, step, own in zip(reversed(reverse), reversed(steps), reversed(errors), strict=True):
        put_in = dict(own)
        # A step's own graph says where the signals of the step after it arrive: graphs may differ from step to step.
        for delay in graph.delays if found else ():
            if delay.source in found[-1]:
                signal, there = found[-1][delay.source], put_in.get(delay.target)
                put_in[delay.target] = signal if there is None else there + signal
        found.append(run_adjoint_step(graph, step, put_in))
    return found


def check_horizon(horizon: int | None, where: str) -> None:
    """Refuse what is no number of steps."""
    if horizon is not None and (isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 0):
        raise UsageError(f"horizon is {horizon!r}", where=where, need="a whole number of steps, at least 0")
