"""Running a signal-flow graph forward in time, with every node's signal recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.errors import UsageError
from recurra.learn.signal_flow.graph import WHERE, Gain, SignalFlowGraph, sources_of

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """One step of a simulation: the operating point that an adjoint graph needs.

    Attributes:
        graph: the graph that was run; it may be another one at each step.
        weights: all weights by name, those derived from others too.
        values: every node's signal.
    """

    graph: SignalFlowGraph
    weights: Values
    values: Values


@dataclass(frozen=True)
class Record:
    """A whole simulation.

    Attributes:
        steps: its steps.
        final: what the delays hold after the last step, by their targets.
    """

    steps: list[Step]
    final: Values

    def signal(self, node: str) -> Tensor:
        """A node's signal over time, (time, ...)."""
        return torch.stack([step.values[node] for step in self.steps])


def all_weights(graph: SignalFlowGraph, weights: Mapping[str, Tensor]) -> Values:
    """The weights given and those derived from them."""
    known = dict(weights)
    for name in graph.weights:
        if name not in known:
            raise UsageError(
                f"weight {name!r} is missing", where=WHERE, need="a tensor for each of the graph's weights"
            )
    for function in graph.derived:
        known[function.target] = function.call(*(known[name] for name in function.sources))
    return known


def run_step(graph: SignalFlowGraph, weights: Values, given: Mapping[str, Tensor]) -> Values:
    """Every node's signal at one step, from the signals put in: inputs, and what the delays hold."""
    values: Values = {**graph.constants, **given}
    for branch in graph.order:
        read = [values[node] for node in sources_of(branch)]
        if not isinstance(branch, Gain):
            brought = branch.call(*read)  # type: ignore[union-attr]
        elif isinstance(branch.weight, float | int):
            brought = read[0] if branch.weight == 1.0 else branch.weight * read[0]
        elif branch.product == "element":
            brought = weights[branch.weight] * read[0]
        else:
            if not read[0].dim():
                raise UsageError(
                    f"a matrix is to multiply the single number at node {branch.source!r}",
                    where=WHERE,
                    need="a vector, or a batch of such",
                    cure=f"give initial[{branch.source!r}] with its full shape",
                )
            brought = F.linear(read[0], weights[branch.weight])
        there = values.get(branch.target)
        values[branch.target] = brought if there is None else there + brought
    return values


def simulate(
    graph: SignalFlowGraph,
    weights: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    initial: Mapping[str, Tensor] | None = None,
) -> Record:
    """Run a graph over sequences.

    Args:
        graph: the graph.
        weights: a tensor for each of `graph.weights`.
        inputs: for each of the graph's inputs its signal over time.
        initial: what the delays hold at the first step, by their targets; the graph's own where absent.

    Shapes:
        inputs (time, ...), all of one length.

    Raises:
        UsageError: a weight or an input is missing, or inputs have different lengths.

    Example:
        >>> from recurra.learn.signal_flow.graph import Delay
        >>> leaky = SignalFlowGraph(("x",), ("y",), (Gain("x", "y"), Gain("last", "y", "a"), Delay("y", "last")))
        >>> simulate(leaky, {"a": torch.tensor(0.5)}, {"x": torch.tensor([1.0, 0.0, 0.0])}).signal("y")
        tensor([1.0000, 0.5000, 0.2500])
    """
    lengths = {name: len(inputs[name]) for name in graph.inputs if name in inputs}
    if len(lengths) < len(graph.inputs) or len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise UsageError(
            f"inputs have the lengths {lengths}",
            where=WHERE,
            need=f"at least one step, and as many for each of {list(graph.inputs)}",
        )
    known = all_weights(graph, weights)
    first = next(iter(inputs.values()))
    held = {delay.target: first.new_zeros(()) for delay in graph.delays}
    held = {**held, **graph.initial, **(initial or {})}
    steps = []
    for t in range(next(iter(lengths.values()))):
        given = dict(held)
        for name in graph.inputs:
            given[name] = given[name] + inputs[name][t] if name in given else inputs[name][t]
        steps.append(Step(graph, known, run_step(graph, known, given)))
        held = handed_on(graph, steps[-1].values)
    return Record(steps, held)


def handed_on(graph: SignalFlowGraph, values: Values) -> Values:
    """What the delays give at the next step, by their targets."""
    held: Values = {}
    for delay in graph.delays:
        there = held.get(delay.target)
        held[delay.target] = values[delay.source] if there is None else there + values[delay.source]
    return held
