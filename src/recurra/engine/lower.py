"""From a traced graph to nodes: who belongs to the loop, what is done once before it, and what once after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from recurra.engine.graph import Node, Nodes, NotCompiled
from recurra.engine.trace import Traced

PARAM, ROW, AFTER = "param", "row", "after"
"""What a value of the graph is: the same for all rows and steps; one row a sequence; a sum over sequences."""

BOOLEAN = {
    "bitwise_and",
    "bitwise_or",
    "bitwise_not",
    "isnan",
    "logical_and",
    "logical_and_",
    "logical_not",
    "logical_or",
}
COMPARE = BOOLEAN | {"lt", "gt", "le", "ge", "eq", "ne"}
"""Operations whose result is true or false."""
UNARY = {
    "bitwise_not",
    "isnan",
    "logical_not",
    "neg",
    "round",
    "tanh",
    "sigmoid",
    "exp",
    "relu",
    "abs",
    "sqrt",
    "rsqrt",
}
UNARY |= {"log", "log1p", "expm1", "reciprocal", "sign", "floor"}
BINARY = (COMPARE - UNARY) | {"add", "sub", "mul", "div", "maximum", "minimum"}
SAME = {"clone", "alias", "detach", "_to_copy"}


@dataclass
class Lowered:
    """A step as nodes.

    Attributes:
        nodes: the maker of nodes, with the products.
        outputs: nodes of the output, side by side; then of each part of the next state.
        gradients: nodes of the gradients of each projected part, then of each part of the state.
        before: a graph from the weights to the parameters that nodes and products name by number.
        after: a graph from sequences (rows of all steps one below the other) and weights to the weights' gradients.
        summed: the nodes, side by side, of each sequence that `after` reads.
        widths: columns of every buffer that "input" nodes name.
    """

    nodes: Nodes
    outputs: list[tuple[Node, ...]]
    gradients: list[tuple[Node, ...]]
    before: fx.GraphModule
    after: fx.GraphModule
    summed: list[tuple[Node, ...]]
    widths: dict[str, int]


def lower(traced: Traced) -> Lowered:
    """Sort the graph's values into the three kinds and make nodes of the rows.

    Raises:
        NotCompiled: an operation on rows is not among those that the engine compiles.
    """
    return _Lowering(traced).lowered()


class _Lowering:
    def __init__(self, traced: Traced):
        self.traced = traced
        self.nodes = Nodes()
        self.kind: dict[fx.Node, str] = {}
        self.width: dict[fx.Node, int] = {}
        self.cuts: dict[fx.Node, set[int]] = {}
        self.made: dict[fx.Node, tuple[Node, ...]] = {}
        self.params: list[fx.Node] = []
        self.sequences: list[fx.Node] = []
        self.widths: dict[str, int] = {}
        self.buffer: dict[fx.Node, str] = {}
        self.order = [node for node in traced.graph.nodes if node.op not in ("output",)]
        self.results: list[Any] = list(next(n for n in traced.graph.nodes if n.op == "output").args[0])

    def lowered(self) -> Lowered:
        self._name_inputs()
        for node in self.order:
            self._classify(node)
        self._cut()
        count = 1 + self.traced.states
        grads = self.results[count:]
        inner = self.traced.projected + self.traced.states
        outputs = [self._rows(node) for node in self.results[:count]]
        gradients = [self._rows(node) for node in grads[:inner]]
        after = self._after(grads[inner:])
        summed = [self._rows(node) for node in self.sequences]
        return Lowered(self.nodes, outputs, gradients, self._before(), after, summed, self.widths)

    # -- inputs and kinds

    def _name_inputs(self) -> None:
        t = self.traced
        names = [f"x{k}" for k in range(t.projected)] + [f"s{k}" for k in range(t.states)]
        names += ["dt"] if t.with_times else []
        weights = list(t.weights)
        later = ["gy", *(f"g{k}" for k in range(t.states))]
        holders = [n for n in self.order if n.op == "placeholder"]
        leaves = holders
        for leaf, name in zip(leaves, [*names, *[None] * len(weights), *later], strict=True):
            value = leaf.meta["val"]
            self.kind[leaf] = PARAM if name is None else ROW
            if name is not None:
                self.buffer[leaf], self.width[leaf] = name, value.shape[1]
                self.widths[name] = value.shape[1]
        self.weight_leaves = leaves[len(names) : len(names) + len(weights)]
        self.weight_names = weights

    def _classify(self, node: fx.Node) -> None:
        if node in self.kind:
            return
        kinds = [self.kind[arg] for arg in node.all_input_nodes]
        value: Any = node.meta.get("val")
        if AFTER in kinds:
            self.kind[node] = AFTER
        elif ROW not in kinds:
            self.kind[node] = PARAM
            if isinstance(value, Tensor) and value.dim() == 2 and value.shape[0] == self.traced.batch:
                # The same row for all sequences, written out once for each.
                self.width[node] = value.shape[1]
        elif self._sums_rows(node):
            self.kind[node] = AFTER
        else:
            if isinstance(value, Tensor) and (value.dim() != 2 or value.shape[0] != self.traced.batch):
                raise NotCompiled(_told(node, "gives a value that is not one row a sequence"))
            self.kind[node] = ROW
            if isinstance(value, Tensor):
                self.width[node] = value.shape[1]

    def _sums_rows(self, node: fx.Node) -> bool:
        name = _name(node)
        if name == "permute":
            return True
        return name == "sum" and 0 in [d % 2 for d in _args(node)[1]]

    # -- where rows are cut, so that every piece is computed alike

    def _cut(self) -> None:
        rows = [n for n in self.order if n in self.width]
        self.cuts = {node: {0, self.width[node]} for node in rows}
        changed = True
        while changed:
            before = sum(map(len, self.cuts.values()))
            for node in rows:
                self._share(node)
            for node in reversed(rows):
                self._share(node)
            changed = sum(map(len, self.cuts.values())) != before

    def _share(self, node: fx.Node) -> None:
        """Pass cuts between a node and what it is made of."""
        name = _name(node)
        pieces: list[tuple[fx.Node, int, int, int]] = []  # source, from, to, place in node
        if name in UNARY | BINARY | SAME | {"where", "pow", "clamp", "expand", "remainder"}:
            pieces = [
                (a, 0, self.width[node], 0) for a in node.all_input_nodes if self.width.get(a) == self.width[node]
            ]
        elif name in ("slice", "getitem"):
            source, start, stop = self._range(node)
            pieces = [(source, start, stop, 0)]
        elif name == "cat":
            place = 0
            for source in _args(node)[0]:
                pieces.append((source, 0, self.width[source], place))
                place += self.width[source]
        elif name == "slice_scatter":
            target, source, start, stop = self._scattered(node)
            pieces = [
                (source, 0, self.width[source], start),
                (target, 0, start, 0),
                (target, stop, self.width[target], stop),
            ]
            self.cuts[node] |= {start, stop}
        for source, start, stop, place in pieces:
            if source not in self.cuts:
                continue
            inside = {cut - start + place for cut in self.cuts[source] if start <= cut <= stop} | {
                place,
                place + stop - start,
            }
            self.cuts[node] |= inside
            back = {cut - place + start for cut in self.cuts[node] if place <= cut <= place + stop - start}
            self.cuts[source] |= back

    def _range(self, node: fx.Node) -> tuple[fx.Node, int, int]:
        """Source, first and last column of a slice or of a piece of a split."""
        if _name(node) == "getitem":
            split, number = _args(node)
            sizes = _args(split)[1]
            start = sum(sizes[:number])
            return _args(split)[0], start, start + sizes[number]
        source, dim, start, stop = [*_args(node), *[0, 0, None][len(_args(node)) - 1 :]][:4]
        if len(_args(node)) > 4 and _args(node)[4] != 1:
            raise NotCompiled(_told(node, "takes every second column or fewer"))
        width = self.width[source] if source in self.width else 0
        if dim == 0:
            if (start or 0) == 0 and (stop is None or stop >= self.traced.batch):
                return source, 0, width
            raise NotCompiled(_told(node, "picks some of the sequences"))
        start = 0 if start is None else start + width if start < 0 else start
        stop = width if stop is None else stop + width if stop < 0 else min(stop, width)
        return source, start, stop

    def _scattered(self, node: fx.Node) -> tuple[fx.Node, fx.Node, int, int]:
        target, source, dim, start, stop = [*_args(node), *[0, None, None][len(_args(node)) - 2 :]][:5]
        if dim != 1 or (len(_args(node)) > 5 and _args(node)[5] != 1):
            raise NotCompiled(_told(node, "fills some of the sequences, or every second column"))
        width = self.width[target]
        start = 0 if start is None else start + width if start < 0 else start
        stop = width if stop is None else stop + width if stop < 0 else min(stop, width)
        return target, source, start, stop

    # -- nodes

    def _rows(self, node: Any) -> tuple[Node, ...]:
        """The nodes of a value of rows, piece by piece."""
        if node is None:
            raise NotCompiled("a gradient is missing")
        if node not in self.made:
            # Depth first by hand would be needed for very deep steps only; the graph's order serves all the same.
            for each in self.order:
                if each in self.width and each not in self.made:
                    self.made[each] = self._make(each)
        return self.made[node]

    def _spans(self, node: fx.Node) -> list[tuple[int, int]]:
        cuts = sorted(self.cuts[node])
        return list(zip(cuts, cuts[1:], strict=False))

    def _between(self, node: fx.Node, start: int, stop: int) -> tuple[Node, ...]:
        """The nodes of some columns of a value that is made."""
        spans = self._spans(node)
        return tuple(made for made, (a, b) in zip(self.made[node], spans, strict=True) if start <= a and b <= stop)

    def _make(self, node: fx.Node) -> tuple[Node, ...]:
        name, spans = _name(node), self._spans(node)
        if node in self.buffer:
            buffer = self.buffer[node]
            later = buffer.startswith("g")
            return tuple(self.nodes.make("input", (), b - a, (buffer, a), later) for a, b in spans)
        if name in ("full", "full_like"):
            return tuple(self._op("fill", (self.nodes.scalar(_args(node)[1]),), b - a) for a, b in spans)
        if self.kind[node] == PARAM:
            return tuple(self.nodes.make("param", (), b - a, (self._param(node), a)) for a, b in spans)
        if name in ("slice", "getitem"):
            source, start, stop = self._range(node)
            return self._between(source, start, stop)
        if name == "cat":
            return tuple(piece for source in _args(node)[0] for piece in self.made[source])
        if name == "slice_scatter":
            target, source, start, stop = self._scattered(node)
            head, tail = self._between(target, 0, start), self._between(target, stop, self.width[target])
            return (*head, *self.made[source], *tail)
        if name in SAME:
            source = _args(node)[0]
            if source.meta["val"].dtype == torch.bool and node.meta["val"].dtype != torch.bool:
                one, zero = self.nodes.scalar(1.0), self.nodes.scalar(0.0)
                return tuple(self._op("where", (made, one, zero), made.width) for made in self.made[source])
            return self.made[source]
        if name in ("mm", "addmm"):
            return self._product(node, spans)
        if name == "expand":
            return tuple(self._op("fill", (self._operand(_args(node)[0], a, b),), b - a) for a, b in spans)
        if name in UNARY | BINARY | {"where"}:
            return tuple(self._elementwise(node, name, a, b) for a, b in spans)
        if name == "pow":
            return tuple(self._power(node, a, b) for a, b in spans)
        if name == "clamp":
            return tuple(self._clamp(node, a, b) for a, b in spans)
        raise NotCompiled(_told(node, "is not among the operations that are compiled"))

    def _op(self, op: str, args: tuple[Node, ...], width: int) -> Node:
        return self.nodes.make(op, args, width)

    def _operand(self, arg: Any, start: int, stop: int) -> Node:
        """An operand's columns, as one node."""
        if not isinstance(arg, fx.Node):
            return self.nodes.scalar(arg)
        value = arg.meta["val"]
        if self.kind[arg] == PARAM and arg not in self.width:
            if value.numel() == 1:
                return self.nodes.make("param", (), 1, (self._param(arg), 0))
            if value.dim() == 2 and value.shape[0] != 1:
                raise NotCompiled("a matrix of weights is used element by element with rows")
            return self.nodes.make("param", (), stop - start, (self._param(arg), start))
        if self.width[arg] == 1 and stop - start != 1:
            return self.made[arg][0]
        (found,) = self._between(arg, start, stop)
        return found

    def _elementwise(self, node: fx.Node, name: str, start: int, stop: int) -> Node:
        args = tuple(self._operand(arg, start, stop) for arg in _args(node)[: 3 if name == "where" else 2])
        alpha: Any = node.kwargs.get("alpha", 1)
        if alpha != 1:
            args = (args[0], self._op("mul", (self.nodes.scalar(alpha), args[1]), stop - start))
        if name in UNARY:
            args = args[:1]
        if node.kwargs.get("rounding_mode"):
            raise NotCompiled(_told(node, "divides and rounds"))
        return self._op(name, args, stop - start)

    def _power(self, node: fx.Node, start: int, stop: int) -> Node:
        base, exponent = self._operand(_args(node)[0], start, stop), _args(node)[1]
        if exponent not in (2, 3, 0.5, -1, -0.5, 1):
            raise NotCompiled(_told(node, f"raises to the power {exponent}"))
        if exponent == 1:
            return base
        if exponent in (2, 3):
            square = self._op("mul", (base, base), stop - start)
            return square if exponent == 2 else self._op("mul", (square, base), stop - start)
        names = {0.5: "sqrt", -1: "reciprocal", -0.5: "rsqrt"}
        return self._op(names[exponent], (base,), stop - start)

    def _clamp(self, node: fx.Node, start: int, stop: int) -> Node:
        value = self._operand(_args(node)[0], start, stop)
        low, high = [*_args(node)[1:], None, None][:2]
        if low is not None:
            value = self._op("maximum", (value, self.nodes.scalar(low)), stop - start)
        if high is not None:
            value = self._op("minimum", (value, self.nodes.scalar(high)), stop - start)
        return value

    def _product(self, node: fx.Node, spans: list[tuple[int, int]]) -> tuple[Node, ...]:
        *bias, left, right = _args(node)
        if self.kind[right] != PARAM or self.kind[left] != ROW:
            raise NotCompiled(_told(node, "multiplies two values that both change from step to step"))
        rows, columns = right.meta["val"].shape
        number = self.nodes.product(self.made[left], self._param(right), rows, columns)
        found = []
        for a, b in spans:
            piece = self.nodes.make("product", (), b - a, (number, a))
            if bias:
                piece = self._op("add", (piece, self._operand(bias[0], a, b)), b - a)
            found.append(piece)
        return tuple(found)

    def _param(self, node: fx.Node) -> int:
        if node not in self.params:
            self.params.append(node)
        return self.params.index(node)

    # -- what is done once

    def _before(self) -> fx.GraphModule:
        """From the weights to the parameters."""
        graph, copies = fx.Graph(), {}
        for number, leaf in enumerate(self.weight_leaves):
            copies[leaf] = graph.placeholder(f"weight_{number}")
        for node in self.order:
            if self.kind[node] == PARAM and node not in copies and node.op != "placeholder":
                copies[node] = graph.node_copy(node, lambda each: copies[each])
        graph.output([copies[node] for node in self.params])
        graph.eliminate_dead_code()
        return fx.GraphModule(torch.nn.Module(), graph)

    def _after(self, results: list[Any]) -> fx.GraphModule:
        """From sequences of rows, and the weights, to the weights' gradients."""
        graph, copies = fx.Graph(), {}
        for number, leaf in enumerate(self.weight_leaves):
            copies[leaf] = graph.placeholder(f"weight_{number}")
        needed = self._needed([r for r in results if isinstance(r, fx.Node)])
        for node in self.order:
            if node in needed and node in self.width:
                copies[node] = graph.placeholder(f"rows_{len(self.sequences)}")
                self.sequences.append(node)
        for node in self.order:
            if node in needed and node not in self.width and node not in copies:
                copies[node] = graph.node_copy(node, lambda each: copies[each])
        graph.output([copies[r] if isinstance(r, fx.Node) else r for r in results])
        graph.eliminate_dead_code()
        return fx.GraphModule(torch.nn.Module(), graph)

    def _needed(self, results: list[fx.Node]) -> set[fx.Node]:
        """What the results follow from, not looking behind rows."""
        found: set[fx.Node] = set()
        waiting = list(results)
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                if node not in self.width:
                    waiting += node.all_input_nodes
        return found


def _args(node: fx.Node) -> Any:
    """A graph node's arguments, free of torch's many types for them."""
    return node.args


def _name(node: fx.Node) -> str:
    """The operation's plain name: aten.add.Tensor is add."""
    if node.op != "call_function":
        return node.op
    target: Any = node.target
    return target.__name__.split(".")[0] if hasattr(target, "__name__") else str(target)


def _told(node: fx.Node, what: str) -> str:
    """An operation, what is the matter with it, and the line of the user's code that it came from."""
    trace = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip()]
    where = f" ({trace[-2]}: {trace[-1]})" if len(trace) >= 2 else ""
    return f"{_name(node)} {what}{where}"
