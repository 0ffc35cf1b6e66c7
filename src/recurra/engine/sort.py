"""What each value of a traced step is: the same for all steps, one row a sequence, or a sum over sequences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx

from recurra.engine.graph import NotCompiled
from recurra.engine.trace import Traced

PARAM, ROW, SUM = "param", "row", "sum"
"""The same for all sequences and steps; one row a sequence; a sum over sequences."""


@dataclass
class Sorted:
    """A step's values by kind.

    Every value of rows is seen as a matrix with one row a sequence, whatever its own shape.

    Attributes:
        traced: the step.
        order: the graph's nodes.
        kind: PARAM, ROW or SUM.
        width: columns of each value of rows.
        early: the values of rows that follow from x and weights alone.
        buffer: the name of the memory that an input of rows stands in.
        weights: the graph's inputs that are weights.
        results: what the graph gives.
    """

    traced: Traced
    order: list[fx.Node]
    kind: dict[fx.Node, str] = field(default_factory=dict)
    width: dict[fx.Node, int] = field(default_factory=dict)
    early: set[fx.Node] = field(default_factory=set)
    buffer: dict[fx.Node, str] = field(default_factory=dict)
    weights: list[fx.Node] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)

    def row(self, node: Any) -> bool:
        """Whether this is a value of rows (not a tuple of such)."""
        return node in self.width


def sort_values(traced: Traced) -> Sorted:
    """Sort the values of a step.

    Raises:
        NotCompiled: a value mixes sequences.
    """
    graph = traced.module.graph
    output = next(node for node in graph.nodes if node.op == "output")
    found = Sorted(traced, [node for node in graph.nodes if node.op != "output"], results=list(output.args[0]))
    _inputs(found)
    for node in found.order:
        if node not in found.kind:
            _sort(found, node)
    return found


def _inputs(found: Sorted) -> None:
    t = found.traced
    names: list[str | None] = ["x", *(f"s{k}" for k in range(t.states))]
    names += ["dt"] if t.with_times else []
    names += [None] * len(t.weights)
    names += ["gy", *(f"g{k}" for k in range(t.states))]
    holders = [node for node in found.order if node.op == "placeholder"]
    for holder, name in zip(holders, names, strict=True):
        found.kind[holder] = PARAM if name is None else ROW
        if name is None:
            found.weights.append(holder)
        else:
            found.buffer[holder], found.width[holder] = name, holder.meta["val"].shape[1]
    found.early.add(holders[0])


def _sort(found: Sorted, node: fx.Node) -> None:
    kinds = [found.kind[arg] for arg in node.all_input_nodes]
    batch, value = found.traced.batch, node.meta.get("val")
    if SUM in kinds:
        found.kind[node] = SUM
    elif ROW not in kinds:
        found.kind[node] = PARAM
        if isinstance(value, Tensor) and value.dim() >= 1 and value.shape[0] == batch:
            # The same row for all sequences, written out once for each.
            found.width[node] = value.numel() // batch
    elif sums_sequences(node, batch):
        found.kind[node] = SUM
    else:
        found.kind[node] = ROW
        if all(arg in found.early or found.kind[arg] == PARAM for arg in node.all_input_nodes):
            found.early.add(node)
        if isinstance(value, Tensor):
            if value.dim() == 0 or value.shape[0] % batch:
                raise NotCompiled(told(node, "gives a value that is not one row a sequence"))
            found.width[node] = value.numel() // batch


def sums_sequences(node: fx.Node, batch: int) -> bool:
    """Whether a value of rows stops being one here: its sequences are no longer the first dimension."""
    name = op_name(node)
    if name == "permute":
        return op_args(node)[1][0] != 0
    if name in ("sum", "mean"):
        source = op_args(node)[0].meta["val"]
        dims = op_args(node)[1] if len(op_args(node)) > 1 else None
        dims = list(range(source.dim())) if not dims else dims
        return 0 in [d % source.dim() for d in dims]
    return False


def op_args(node: fx.Node) -> Any:
    """A graph node's arguments, free of torch's many types for them."""
    return node.args


def op_name(node: fx.Node) -> str:
    """The operation's plain name: aten.add.Tensor is add."""
    if node.op != "call_function":
        return node.op
    target: Any = node.target
    return target.__name__.split(".")[0] if hasattr(target, "__name__") else str(target)


def told(node: fx.Node, what: str) -> str:
    """An operation, what is the matter with it, and the line of the user's code that it came from."""
    # An operation that torch puts in by itself stands near one of the user's.
    near = [node, *node.users, *node.all_input_nodes]
    text = next((each.meta["stack_trace"] for each in near if each.meta.get("stack_trace")), "")
    trace = [line.strip() for line in text.splitlines() if line.strip()]
    where = f" ({trace[-2]}: {trace[-1]})" if len(trace) >= 2 else ""
    return f"{op_name(node)} {what}{where}"
