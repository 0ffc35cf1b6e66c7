"""From a traced step to nodes: element-wise operations on columns, and products with weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from recurra.engine.columns import MOVES, SPLITS, Cuts
from recurra.engine.graph import COMPARE, Node, Nodes, NotCompiled
from recurra.engine.outside import Outside
from recurra.engine.sort import PARAM, ROW, Sorted, op_args, op_name, sort_values, told
from recurra.engine.trace import Traced

UNARY = {"bitwise_not", "isnan", "logical_not", "neg", "round", "tanh", "sigmoid", "exp", "relu", "abs", "sqrt"}
UNARY |= {"rsqrt", "log", "log1p", "expm1", "reciprocal", "sign", "floor", "sin", "cos", "erf"}
BINARY = (COMPARE - UNARY) | {"add", "sub", "mul", "div", "maximum", "minimum", "remainder", "fmod"}
SAME = {"clone", "alias", "detach", "_to_copy"}
SUMS = {"sum", "mean", "var", "var_mean"}
ELEMENTWISE = UNARY | BINARY | SAME | {"where", "pow", "clamp"}

FEW = 8
"""Products of so few inputs are added up term by term, rather than made before the loop and read again."""


@dataclass
class Lowered:
    """A step as nodes.

    Attributes:
        nodes: the maker of nodes, with the products.
        outputs: nodes of the output, side by side; then of each part of the next state.
        gradients: nodes of the gradients of each part of the state.
        outside: what is done once before and once after the loop.
        summed: the nodes, side by side, of each sequence that is read after the loop.
        widths: columns of every buffer that "input" nodes name.
    """

    nodes: Nodes
    outputs: list[tuple[Node, ...]]
    gradients: list[tuple[Node, ...]]
    outside: Outside
    summed: list[tuple[Node, ...]]
    widths: dict[str, int]


def lower(traced: Traced, hoist: bool) -> Lowered:
    """Sort the step's values and make nodes of the rows.

    Args:
        traced: the step.
        hoist: whether products of the input by weights are made before the loop, for many steps at once, or in it.

    Raises:
        NotCompiled: an operation on rows is not among those that the engine compiles.
    """
    return _Lowering(traced, hoist).lowered()


class _Lowering:
    def __init__(self, traced: Traced, hoist: bool):
        self.hoist = hoist
        self.sorted: Sorted = sort_values(traced)
        self.nodes = Nodes()
        self.outside = Outside(self.sorted)
        self.widths = {name: self.sorted.width[node] for node, name in self.sorted.buffer.items()}
        self.made: dict[fx.Node, tuple[Node, ...]] = {}
        self.few: set[fx.Node] = set()
        self.hoisted: dict[fx.Node, str] = {}
        self._choose()
        single = {op_args(node)[-2] for node in self.few}
        self.cuts = Cuts(self.sorted, ELEMENTWISE | {"expand"}, single)

    def _choose(self) -> None:
        """Which products of the input are made before the loop, and which within it."""
        for node in self.sorted.order:
            if op_name(node) not in ("mm", "addmm") or node not in self.sorted.early:
                continue
            left, right = op_args(node)[-2:]
            if self.sorted.kind[right] != PARAM:
                continue
            if right.meta["val"].shape[0] <= FEW:
                self.few.add(node)
            elif self.hoist:
                self.hoisted[node] = self.outside.hoist(node)
                self.widths[self.hoisted[node]] = self.sorted.width[node]

    def lowered(self) -> Lowered:
        count = 1 + self.sorted.traced.states
        results = self.sorted.results
        outputs = [self._rows(node) for node in results[:count]]
        gradients = [self._rows(node) for node in results[count + 1 : 2 * count]]
        kept = self._ancestors([*results[:count], *results[count + 1 : 2 * count]])
        self.outside.after([results[count], *results[2 * count :]], kept)
        summed = [self._rows(node) for node in self.outside.sequences]
        return Lowered(self.nodes, outputs, gradients, self.outside, summed, self.widths)

    def _ancestors(self, results: list[Any]) -> set[fx.Node]:
        """What these results follow from."""
        found: set[fx.Node] = set()
        waiting = [node for node in results if isinstance(node, fx.Node)]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting += node.all_input_nodes
        return found

    # -- nodes

    def _rows(self, wanted: Any) -> tuple[Node, ...]:
        """The nodes of a value of rows, piece by piece."""
        if wanted is None:
            raise NotCompiled("a gradient is missing")
        if wanted not in self.made:
            needed = self._ancestors([wanted])
            for each in self.sorted.order:
                if each in needed and each in self.sorted.width and each not in self.made and self._inside(each):
                    self.made[each] = self._make(each)
        return self.made[wanted]

    def _inside(self, node: fx.Node) -> bool:
        """Whether a value is made in the loop: not so what only a product made before the loop is made of."""
        return op_name(node) not in SPLITS

    def _between(self, node: fx.Node, start: int, stop: int) -> tuple[Node, ...]:
        """The nodes of some columns of a value that is made."""
        spans = self.cuts.spans(node)
        return tuple(made for made, (a, b) in zip(self.made[node], spans, strict=True) if start <= a and b <= stop)

    def _make(self, node: fx.Node) -> tuple[Node, ...]:
        name, spans = op_name(node), self.cuts.spans(node)
        buffer = self.sorted.buffer.get(node) or self.hoisted.get(node)
        if buffer is not None:
            later = buffer.startswith("g")
            found = tuple(self.nodes.make("input", (), b - a, (buffer, a), later) for a, b in spans)
            if name != "addmm":
                return found
            bias = [self._operand(node, op_args(node)[0], a, b) for a, b in spans]
            return tuple(self._sum_of_terms(pair, pair[0].width) for pair in zip(found, bias, strict=True))
        if name in ("full", "full_like", "zeros_like", "ones_like", "scalar_tensor"):
            value = {"zeros_like": 0.0, "ones_like": 1.0}.get(name, op_args(node)[-1])
            return tuple(self._op("fill", (self.nodes.scalar(value),), b - a) for a, b in spans)
        if self.sorted.kind[node] == PARAM:
            number = self.outside.param(node)
            return tuple(self.nodes.make("param", (), b - a, (number, a)) for a, b in spans)
        if name in MOVES:
            return tuple(self._filled(self._operand(node, None, a, b), b - a) for a, b in spans)
        if name in SAME:
            source = op_args(node)[0]
            made = tuple(self._operand(node, source, a, b) for a, b in spans)
            if source.meta["val"].dtype == torch.bool and node.meta["val"].dtype != torch.bool:
                one, zero = self.nodes.scalar(1.0), self.nodes.scalar(0.0)
                return tuple(self._op("where", (each, one, zero), each.width) for each in made)
            return made
        if name in ("mm", "addmm"):
            return self._product(node, spans)
        if name in ("sum", "mean"):
            return self._sum(node, spans)
        if name in UNARY | BINARY | {"where"}:
            return tuple(self._elementwise(node, name, a, b) for a, b in spans)
        if name == "pow":
            return tuple(self._power(node, a, b) for a, b in spans)
        if name == "clamp":
            return tuple(self._clamp(node, a, b) for a, b in spans)
        raise NotCompiled(told(node, "is not among the operations that are compiled"))

    def _op(self, op: str, args: tuple[Node, ...], width: int) -> Node:
        return self.nodes.make(op, args, width)

    def _filled(self, node: Node, width: int) -> Node:
        return node if node.width == width else self._op("fill", (node,), width)

    def _operand(self, node: fx.Node, arg: Any, start: int, stop: int) -> Node:
        """The operand that these columns of `node` need: as many columns, or one for all."""
        if arg is not None and not isinstance(arg, fx.Node):
            return self.nodes.scalar(arg)
        run = self.cuts.run(node, arg, start)
        place = run.place + (start - run.start) * run.step
        width = stop - start if run.step else 1
        if run.source not in self.sorted.width:
            return self.nodes.make("param", (), width, (self.outside.param(run.source), place))
        (found,) = self._between(run.source, place, place + width)
        return found

    def _elementwise(self, node: fx.Node, name: str, start: int, stop: int) -> Node:
        count = 1 if name in UNARY else 3 if name == "where" else 2
        args = tuple(self._operand(node, arg, start, stop) for arg in op_args(node)[:count])
        alpha: Any = node.kwargs.get("alpha", 1)
        if alpha != 1:
            args = (args[0], self._op("mul", (self.nodes.scalar(alpha), args[1]), max(args[1].width, 1)))
        elif name == "add":
            return self._sum_of_terms(args, stop - start)
        if node.kwargs.get("rounding_mode"):
            raise NotCompiled(told(node, "divides and rounds"))
        if name == "remainder":
            # x - floor(x / y) y
            x, y = args
            whole = self._op("floor", (self._op("div", (x, y), stop - start),), stop - start)
            return self._op("sub", (x, self._op("mul", (whole, y), stop - start)), stop - start)
        return self._op(name, args, stop - start)

    def _sum_of_terms(self, args: tuple[Node, ...], width: int) -> Node:
        """A sum, its products first, its weights added up beforehand: the products' sums start from them."""
        terms: list[Node] = []

        def collect(node: Node) -> None:
            if node.op == "add" and node.width == width:
                for arg in node.args:
                    collect(arg)
            else:
                terms.append(node)

        for arg in args:
            collect(arg)
        params = [term for term in terms if term.op == "param" and term.width == width]
        if not params or len(terms) == 2 and terms[0].op != "param":
            return self._op("add", args, width)
        if len(params) > 1:
            number = self.outside.added([(param.data[0], param.data[1]) for param in params], width)
            params = [self.nodes.make("param", (), width, (number, 0))]
        rest = [term for term in terms if not (term.op == "param" and term.width == width)]
        rest.sort(key=lambda term: term.op != "product")
        first, *others = [*rest[:1], *params, *rest[1:]]
        for term in others:
            first = self._op("add", (first, term), width)
        return first

    def _power(self, node: fx.Node, start: int, stop: int) -> Node:
        base, exponent = self._operand(node, op_args(node)[0], start, stop), op_args(node)[1]
        if exponent not in (2, 3, 0.5, -1, -0.5, 1, -2):
            raise NotCompiled(told(node, f"raises to the power {exponent}"))
        base, width = self._filled(base, stop - start), stop - start
        if exponent == 1:
            return base
        if exponent in (2, 3, -2):
            square = self._op("mul", (base, base), width)
            if exponent == -2:
                return self._op("reciprocal", (square,), width)
            return square if exponent == 2 else self._op("mul", (square, base), width)
        names = {0.5: "sqrt", -1: "reciprocal", -0.5: "rsqrt"}
        return self._op(names[exponent], (base,), width)

    def _clamp(self, node: fx.Node, start: int, stop: int) -> Node:
        value = self._operand(node, op_args(node)[0], start, stop)
        low, high = [*op_args(node)[1:], None, None][:2]
        if low is not None:
            value = self._op("maximum", (value, self.nodes.scalar(low)), stop - start)
        if high is not None:
            value = self._op("minimum", (value, self.nodes.scalar(high)), stop - start)
        return value

    # -- products and sums

    def _product(self, node: fx.Node, spans: list[tuple[int, int]]) -> tuple[Node, ...]:
        left, right = op_args(node)[-2:]
        if self.sorted.kind[right] != PARAM or self.sorted.kind[left] != ROW:
            raise NotCompiled(told(node, "multiplies two values that both change from step to step"))
        rows, columns = right.meta["val"].shape
        weight, found = self.outside.param(right), []
        for a, b in spans:
            # A value of several rows a sequence is multiplied row by row.
            number, first = a // columns, a % columns
            inputs = self._between(left, number * rows, (number + 1) * rows)
            if node in self.few:
                piece = self._terms(inputs, weight, columns, first, b - a)
            else:
                product = self.nodes.product(inputs, weight, rows, columns)
                piece = self.nodes.make("product", (), b - a, (product, first))
            if op_name(node) == "addmm":
                piece = self._sum_of_terms((piece, self._operand(node, op_args(node)[0], a, b)), b - a)
            found.append(piece)
        return tuple(found)

    def _terms(self, inputs: tuple[Node, ...], weight: int, columns: int, first: int, width: int) -> Node:
        """A product of few inputs, term by term."""
        total = None
        for k, value in enumerate(inputs):
            term = self._op("mul", (value, self.nodes.make("param", (), width, (weight, k * columns + first))), width)
            total = term if total is None else self._op("add", (total, term), width)
        return self._op("fill", (self.nodes.scalar(0.0),), width) if total is None else total

    def _sum(self, node: fx.Node, spans: list[tuple[int, int]]) -> tuple[Node, ...]:
        """Sums of columns, as a product with a matrix of zeros and ones."""
        source = op_args(node)[0]
        value, batch = source.meta["val"], self.sorted.traced.batch
        width = self.sorted.width[source]
        if value.dtype == torch.bool:
            raise NotCompiled(told(node, "counts what is true"))
        # The operation itself says which columns go into which sum: of the first, the second, ... column alone.
        call: Any = node.target
        alone = torch.eye(width, dtype=torch.float64)
        rows = [
            call(line.expand(batch, width).reshape(value.shape), *op_args(node)[1:], **node.kwargs).reshape(batch, -1)
            for line in alone
        ]
        matrix = torch.stack([row[0] for row in rows])
        number = self.nodes.product(self.made[source], self.outside.constant(matrix), matrix.shape[0], matrix.shape[1])
        return tuple(self.nodes.make("product", (), b - a, (number, a)) for a, b in spans)
