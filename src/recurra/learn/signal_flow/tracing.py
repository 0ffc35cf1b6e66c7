"""The signal-flow graph of a cell's step, or of a learner's, from a trace of its operations."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from recurra.cells.base import Cell, check_size
from recurra.cells.state import map_state, state_tensors
from recurra.cells.variant import with_weights
from recurra.errors import RecurraError, UsageError
from recurra.learn.signal_flow.draws import Draws, depends_on_numbers, is_draw
from recurra.learn.signal_flow.graph import WHERE, Branch, Delay, Function, Gain, SignalFlowGraph

ONE = "1"
"""The node whose signal is always 1: biases are gains from there."""


def graph_of_cell(cell: Cell, batch_size: int) -> SignalFlowGraph:
    """The signal-flow graph of a cell: its step's operations, and delays for the state.

    Its input is "x", its output "y", its weights those of `cell.named_parameters()`; the delays' targets have the
    names of the state's parts.

    Args:
        cell: any cell whose step is written in tensor operations.
        batch_size: the number of sequences, which the traced operations have in their shapes.

    Raises:
        UsageError: the step cannot be traced, or draws random numbers.

    Example:
        >>> from recurra.cells import Elman
        >>> graph = graph_of_cell(Elman(2, 3), batch_size=1)
        >>> graph.weights, graph.delays[0].target
        (('weight_ih', 'bias_ih', 'weight_hh', 'bias_hh'), 'h')
        >>> print(*sorted(line.strip() for line in graph.to_dot().splitlines() if "->" in line), sep="\\n")
        "1" -> "addmm" [label="bias_ih"];
        "1" -> "addmm_1" [label="bias_hh"];
        "add" -> "tanh" [label="tanh"];
        "addmm" -> "add" [label="1"];
        "addmm_1" -> "add" [label="1"];
        "h" -> "addmm_1" [label="weight_hh"];
        "tanh" -> "h" [label="z^-1", style=dashed];
        "tanh" -> "y" [label="1"];
        "x" -> "addmm" [label="weight_ih"];
    """
    check_size(batch_size, "batch_size", "graph_of_cell")
    names = [name for name, _ in cell.named_parameters()]
    weights = [weight.detach() for weight in cell.parameters()]
    dtype = weights[0].dtype if weights else torch.get_default_dtype()
    state = cell.initial_state(batch_size)
    initial = [part.detach() for part in state_tensors(state)]
    parts = state_names(state)
    x = torch.zeros(batch_size, cell.input_size, dtype=dtype, device=weights[0].device if weights else None)

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        read, before, given = tensors[0], iter(tensors[1 : 1 + len(initial)]), tensors[1 + len(initial) :]
        bound = with_weights(cell, dict(zip(names, given, strict=True)))
        y, after = bound.advance(bound.project(read), map_state(lambda _: next(before), state))
        return (y, *state_tensors(after))

    own = dict(zip(parts, initial, strict=True))
    return traced_graph(step, {"x": x}, own, dict(zip(names, weights, strict=True)), ["y"])


def state_names(state: Any, prefix: str = "") -> list[str]:
    """A name for each tensor of a state: its fields' names, or places, joined by dots."""
    if isinstance(state, Tensor):
        return [prefix or "state"]
    fields = getattr(state, "_fields", None) or [str(place) for place in range(len(state))]
    names: list[str] = []
    for field, part in zip(fields, state, strict=True):
        names += state_names(part, f"{prefix}.{field}" if prefix else field)
    return names


def traced_graph(
    step: Callable[..., tuple[Tensor, ...]],
    inputs: dict[str, Tensor],
    state: dict[str, Tensor],
    weights: dict[str, Tensor],
    outputs: Sequence[str],
    *,
    draws: bool = False,
) -> SignalFlowGraph:
    """The graph of `step(*inputs, *state, *weights) -> (*outputs, *next state)`.

    A next state may have more parts than `state`, at a first step that begins without one; the parts are then named
    state0, state1 ... With `draws`, random numbers that the step draws are constants of the graph, which then is that
    of this one step; else they are refused.
    """
    given = [*inputs.values(), *state.values(), *weights.values()]
    # Copies: one tensor given in two places would be taken for one.
    distinct = [tensor.detach().clone() for tensor in given]
    drawn = Draws()
    try:
        with torch.no_grad(), drawn:
            made = make_fx(torch.func.functionalize(step, remove="mutations_and_views"))(*distinct)
    except RecurraError:
        raise
    except Exception as error:
        raise UsageError(
            f"the step cannot be traced: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=WHERE,
            need="a step in tensor operations, with nothing that depends on the numbers in them",
            cure="the rule bptt",
        ) from error
    known = drawn.values(made.graph) if draws else {}
    made.graph.eliminate_dead_code()
    results = next(node for node in made.graph.nodes if node.op == "output").args[0]
    named, after = list(outputs), results[len(outputs) :]
    parts = list(state) if state else [f"state{k}" for k in range(len(after))]
    if len(parts) != len(after):
        raise UsageError(
            f"the state has {len(parts)} parts before a step and {len(after)} after it",
            where=WHERE,
            need="a state of the same parts at all steps",
            cure="the rule bptt",
        )
    reading = _Reading(made, [*inputs, *state], list(weights), {*named, *parts}, known)
    branches = reading.branches
    branches += [Gain(reading.as_signal(node), name) for node, name in zip(results, named, strict=False)]
    branches += [Delay(reading.as_signal(node), target) for node, target in zip(after, parts, strict=True)]
    derived = tuple(_used(reading.derived, branches))
    return SignalFlowGraph(tuple(inputs), tuple(named), tuple(branches), reading.constants, state, derived)


def _used(derived: Sequence[Function], branches: Sequence[Branch]) -> list[Function]:
    """The derived weights that a gain, or another derived weight, asks for."""
    wanted = {branch.weight for branch in branches if isinstance(branch, Gain)}
    found: list[Function] = []
    for function in reversed(derived):
        if function.target in wanted:
            wanted.update(function.sources)
            found.append(function)
    return found[::-1]


class _Reading:
    """Turns a trace into nodes and branches, operation by operation.

    What follows from weights alone becomes a derived weight, what follows from constants alone a constant; sums and
    products with weights become gains, all else functions.
    """

    def __init__(
        self,
        made: fx.GraphModule,
        signals: list[str],
        weights: list[str],
        taken: set[str],
        drawn: dict[fx.Node, Tensor],
    ):
        self.made, self.drawn = made, drawn
        self.branches: list[Branch] = []
        self.derived: list[Function] = []
        self.fixed: dict[fx.Node, Any] = {}  # what constants' operations give
        self.signal: dict[fx.Node, str] = {}
        self.weight: dict[fx.Node, str] = {}
        self.constants: dict[str, Tensor] = {}
        self.taken = {*signals, *weights, *taken, ONE}
        self.many: set[fx.Node] = set()  # operations with several results
        places = [node for node in made.graph.nodes if node.op == "placeholder"]
        self.signal.update(zip(places, signals, strict=False))
        self.weight.update(zip(places[len(signals) :], weights, strict=True))
        for node in made.graph.nodes:
            if node.op == "get_attr":
                self.fixed[node] = getattr(made, str(node.target)).detach()
            elif node.op == "call_function":
                self.read(node)

    def read(self, node: fx.Node) -> None:
        if is_draw(node.target):
            if node in self.drawn and not depends_on_numbers(node, self.fixed):
                self.fixed[node] = self.drawn[node]
                return
            raise UsageError(
                f"the step draws random numbers ({_label(node)})",
                where=WHERE,
                need="a step that gives the same whenever it is run",
                cure="dropout at 0, or the rule bptt",
            )
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            raise UsageError(
                f"the step changes a tensor in place ({_label(node)}), as the kernels of torch.nn.LSTM and GRU do",
                where=WHERE,
                need="operations that give new tensors",
                cure="the layers of recurra.nn with the same names, or the rule bptt",
            )
        call, read = self.bound(node)
        if all(source in self.fixed for source in read):
            self.fixed[node] = call(*(self.fixed[source] for source in read))
        elif isinstance(node.meta.get("val"), tuple | list):
            self.many.add(node)
        elif not any(source in self.signal for source in read) and node.meta["val"].is_floating_point():
            name = self.own_name(node)
            read = [source for source in read if source not in self.fixed]
            self.derived.append(Function(tuple(self.weight[source] for source in read), name, self.filled(node, read)))
            self.weight[node] = name
        else:
            self.signal[node] = self.own_name(node)
            if not self.linear(node):
                nodes = tuple(self.as_signal(source) for source in read)
                self.branches.append(Function(nodes, self.signal[node], call, _label(node)))

    def bound(self, node: fx.Node) -> tuple[Callable[..., Any], list[fx.Node]]:
        """An operation as a function of its tensors, and the nodes these come from."""
        if node.target is operator.getitem and node.args[0] in self.many:
            several, place = node.args
            assert isinstance(several, fx.Node)
            inner, read = self.bound(several)
            return (lambda *tensors: inner(*tensors)[place]), read
        read = list(node.all_input_nodes)
        function: Any = node.target

        def call(*tensors: Any) -> Any:
            table = dict(zip(read, tensors, strict=True))
            arguments = fx.node.map_arg((node.args, node.kwargs), lambda source: table[source])
            return function(*arguments[0], **arguments[1])

        return call, read

    def filled(self, node: fx.Node, free: list[fx.Node]) -> Callable[..., Any]:
        """The operation with its constants filled in."""
        call, read = self.bound(node)

        def with_constants(*tensors: Any) -> Any:
            table = dict(zip(free, tensors, strict=True))
            return call(*(table[source] if source in table else self.fixed[source] for source in read))

        return with_constants

    def linear(self, node: fx.Node) -> bool:
        """Write an operation as gains, if it is a sum or a product with a weight; whether it was."""
        target, args, aten = self.signal[node], list[Any](node.args), torch.ops.aten
        if node.kwargs or not node.meta["val"].is_floating_point():
            return False
        if node.target in (aten.add.Tensor, aten.sub.Tensor) and len(args) == 2:
            self.bring(args[0], target, 1.0)
            self.bring(args[1], target, 1.0 if node.target is aten.add.Tensor else -1.0)
        elif node.target is aten.neg.default:
            self.bring(args[0], target, -1.0)
        elif node.target is aten.mul.Tensor:
            signal, factor = args if args[0] in self.signal else (args[1], args[0])
            if isinstance(factor, float | int):
                self.bring(signal, target, float(factor))
            elif factor in self.weight:
                self.branches.append(Gain(self.as_signal(signal), target, self.weight[factor]))
            else:
                return False
        elif node.target in (aten.mm.default, aten.addmm.default) and len(args) in (2, 3):
            signal, matrix = args[-2:]
            if signal not in self.signal or matrix not in self.weight:
                return False
            self.branches.append(Gain(self.as_signal(signal), target, self.turned(matrix), "matrix"))
            if len(args) == 3:
                self.bring(args[0], target, 1.0)
        else:
            return False
        return True

    def bring(self, source: Any, target: str, factor: float) -> None:
        """A branch from an operand of a sum."""
        if isinstance(source, float | int):
            self.branches.append(Gain(self.one(), target, factor * source))
        elif source in self.weight and factor == 1.0:
            self.branches.append(Gain(self.one(), target, self.weight[source]))
        else:
            self.branches.append(Gain(self.as_signal(source), target, factor))

    def as_signal(self, node: Any) -> str:
        """The node of a signal; a weight's is one with a gain from 1, a constant's a constant node."""
        if node in self.signal:
            return self.signal[node]
        name = self.own_name(node)
        if node in self.weight:
            self.branches.append(Gain(self.one(), name, self.weight[node]))
        else:
            self.constants[name] = self.fixed[node]
        self.signal[node] = name
        return name

    def turned(self, matrix: fx.Node) -> str:
        """The name of a matrix (inputs, outputs) as one (outputs, inputs): often it was turned in the step itself."""
        turns = (torch.ops.aten.t_copy.default, torch.ops.aten.t.default)
        inner: Any = matrix.args[0] if matrix.target in turns else None
        if inner in self.weight:
            return self.weight[inner]
        name = self.weight[matrix] + "^T"
        if name not in self.taken:
            self.taken.add(name)
            self.derived.append(Function((self.weight[matrix],), name, torch.t, "transpose"))
        return name

    def one(self) -> str:
        self.constants.setdefault(ONE, torch.ones(()))
        return ONE

    def own_name(self, node: fx.Node) -> str:
        name = node.name.replace("_copy", "")
        number = 1
        while name in self.taken:
            name, number = f"{node.name}_{number}", number + 1
        self.taken.add(name)
        return name


def _label(node: fx.Node) -> str:
    target: Any = node.target
    name = str(getattr(target, "__name__", target)).split(".")[0]
    return name.removesuffix("_copy")
