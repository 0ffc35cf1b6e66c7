"""What is done once, outside the loop, by torch: parameters and products of the input before, sums after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from recurra.engine.graph import NotCompiled
from recurra.engine.sort import PARAM, SUM, Sorted, op_args, op_name, told


@dataclass(frozen=True)
class Total:
    """How one stretch of time adds to a gradient.

    Attributes:
        product: whether it is given as two matrices to be multiplied; where the first is None, rows are added up.
        turned: whether the product is to be turned.
        shape: of the gradient.
        same: the number of an earlier total that is the same, or None.
    """

    product: bool
    turned: bool = False
    shape: tuple[int, ...] = ()
    same: int | None = None


@dataclass(frozen=True)
class Added:
    """A parameter that is the sum of columns of others.

    Attributes:
        terms: for each its number and its first column.
        width: columns.
    """

    terms: tuple[tuple[int, int], ...]
    width: int


class Outside:
    """Graphs of what is not done in the loop.

    Args:
        sorted_values: the step's values.
    """

    def __init__(self, sorted_values: Sorted):
        self.sorted = sorted_values
        self.params: list[fx.Node | Tensor | Added] = []
        self.hoisted: list[fx.Node] = []
        self.sequences: list[fx.Node] = []
        self._results: list[Any] = []
        self._after: dict[Any, Any] = {}

    # -- before

    def param(self, node: fx.Node) -> int:
        """The number of a parameter, a value that is the same for all steps."""
        for number, known in enumerate(self.params):
            if known is node:
                return number
        self.params.append(node)
        return len(self.params) - 1

    def constant(self, value: Tensor) -> int:
        """The number of a parameter that follows from the step alone."""
        for number, known in enumerate(self.params):
            if isinstance(known, Tensor) and known.shape == value.shape and torch.equal(known, value):
                return number
        self.params.append(value)
        return len(self.params) - 1

    def added(self, terms: list[tuple[int, int]], width: int) -> int:
        """The number of a parameter that is the sum of columns of others, each given by number and first column."""
        found = Added(tuple(sorted(terms)), width)
        for number, known in enumerate(self.params):
            if isinstance(known, Added) and known == found:
                return number
        self.params.append(found)
        return len(self.params) - 1

    def hoist(self, node: fx.Node) -> str:
        """The name of the buffer of a product that is made before the loop."""
        self.hoisted.append(node)
        return f"e{len(self.hoisted) - 1}"

    def before(self, only: set[int] | None = None) -> Any:
        """A graph from the weights to the parameters, None for constants, sums, and those not among `only`."""
        graph, copies = self._start()
        for node in self.sorted.order:
            if self.sorted.kind[node] == PARAM and node not in copies and node.op != "placeholder":
                copies[node] = graph.node_copy(node, lambda each: copies[each])
        wanted = set(range(len(self.params))) if only is None else self._with_terms(only)
        graph.output(
            [
                copies[node] if isinstance(node, fx.Node) and number in wanted else None
                for number, node in enumerate(self.params)
            ]
        )
        return self._module(graph)

    def _with_terms(self, numbers: set[int]) -> set[int]:
        """Numbers of parameters, and of those that they are sums of."""
        sums = [known for number in numbers if isinstance(known := self.params[number], Added)]
        more = {number for each in sums for number, _ in each.terms}
        return numbers | (self._with_terms(more) if more else set())

    def early(self, used: Sequence[str]) -> Any:
        """A graph from the weights, and x as rows, to the factors of what is multiplied before the loop.

        Args:
            used: names of the buffers that the loop reads.
        """
        graph, copies = self._start()
        x = next(node for node, name in self.sorted.buffer.items() if name == "x")
        copies[x] = graph.placeholder("rows")
        found = []
        for node in self.sorted.order:
            if node in copies or node.op == "placeholder":
                continue
            if self.sorted.kind[node] == PARAM or node in self.sorted.early:
                copies[node] = self._copy(graph, node, copies)
        for number, node in enumerate(self.hoisted):
            if f"e{number}" in used:
                left, right = op_args(node)[-2:]
                found.append([copies[left], copies[right]])
        graph.output(found)
        return self._module(graph)

    # -- after

    def after(self, results: list[Any], kept: set[fx.Node]) -> None:
        """Say what is wanted: the gradient of x and those of the weights; `kept` is made in the loop anyway."""
        self._results = results
        self.kept = kept
        found: dict[fx.Node, None] = {}
        for number, result in enumerate(self._results):
            if isinstance(result, fx.Node):
                for node in self._sequences_of(result, number == 0):
                    found[node] = None
        order = {node: place for place, node in enumerate(self.sorted.order)}
        self.sequences = sorted(found, key=lambda node: order[node])

    def _outside(self, node: fx.Node, first: bool) -> bool:
        """Whether a value that the loop does not need is made by torch after it."""
        if node not in self.sorted.width:
            return True
        if not first or node in self.kept or node.op == "placeholder":
            return False
        if op_name(node) in ("mm", "addmm"):
            return True
        return any(self._outside(arg, first) and arg in self.sorted.width for arg in node.all_input_nodes)

    def _sequences_of(self, result: fx.Node, first: bool) -> list[fx.Node]:
        """The values of rows that a result is made of outside the loop."""
        found, seen, waiting = [], set(), [result]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if self._outside(node, first):
                waiting += [arg for arg in node.all_input_nodes if self.sorted.kind[arg] != PARAM]
            elif node in self.sorted.width and self.sorted.kind[node] != PARAM:
                found.append(node)
        return found

    def graph_after(self, wanted: tuple[bool, ...]) -> tuple[Any, list[Total]]:
        """A graph from the weights and the sequences to what is added up, for the results that are wanted, and how.

        The first result is the gradient of x, as rows, which is not added up.
        """
        if wanted not in self._after:
            self._after[wanted] = self._make_after(wanted)
        return self._after[wanted]

    def _make_after(self, wanted: tuple[bool, ...]) -> tuple[Any, list[Total]]:
        graph, copies = self._start()
        for number, node in enumerate(self.sequences):
            rows = graph.placeholder(f"rows_{number}")
            value = node.meta["val"]
            if value.dim() != 2 or value.shape[0] != self.sorted.traced.batch:
                rows = graph.call_function(torch.ops.aten.reshape.default, (rows, [-1, *value.shape[1:]]))
            copies[node] = rows
        results: list[Any] = []
        totals: list[Total] = []
        known: dict[Any, int] = {}
        for number, (result, want) in enumerate(zip(self._results, wanted, strict=True)):
            if not want or not isinstance(result, fx.Node):
                continue
            source, turned = result, False
            while number == 0 and op_name(source) in ("view", "reshape") and source.meta["val"].dim() == 2:
                if op_args(source)[0].meta["val"].shape != source.meta["val"].shape:
                    break
                source = op_args(source)[0]
            while op_name(source) == "permute" and op_args(source)[0].meta["val"].dim() == 2:
                if self.sorted.kind[op_args(source)[0]] != SUM or list(op_args(source)[1]) not in ([0, 1], [1, 0]):
                    break
                turned ^= list(op_args(source)[1]) == [1, 0]
                source = op_args(source)[0]
            shape = tuple(result.meta["val"].shape)
            summed = self._summed(result)
            if number and summed is not None:
                factors: list[Any] = [None, self._value(graph, summed, copies)]
            elif op_name(source) == "mm" and source not in copies:
                factors = [self._value(graph, each, copies) for each in op_args(source)]
            else:
                results.append(self._value(graph, result, copies))
                totals.append(Total(False, shape=shape))
                continue
            same = known.get((*factors, turned)) if number else None
            known.setdefault((*factors, turned), len(totals))
            results.append(factors if same is None else None)
            totals.append(Total(True, turned, shape, same))
        graph.output(results)
        return self._module(graph), totals

    def _summed(self, result: fx.Node) -> fx.Node | None:
        """The rows that a result is the sum of, or None where it is something else."""
        node = result
        while op_name(node) in ("view", "reshape", "squeeze") and self.sorted.kind[op_args(node)[0]] == SUM:
            node = op_args(node)[0]
        if op_name(node) != "sum" or len(op_args(node)) < 2 or list(op_args(node)[1]) != [0]:
            return None
        rows = op_args(node)[0]
        whole = rows in self.sorted.width and self.sorted.kind[rows] != SUM and rows.meta["val"].dim() == 2
        return rows if whole and rows.meta["val"].shape[0] == self.sorted.traced.batch else None

    def _value(self, graph: fx.Graph, wanted: fx.Node, copies: dict[fx.Node, Any]) -> Any:
        needed: set[fx.Node] = set()
        waiting = [wanted]
        while waiting:
            node = waiting.pop()
            if node not in needed and node not in copies:
                needed.add(node)
                waiting += node.all_input_nodes
        for node in self.sorted.order:
            if node in needed:
                copies[node] = self._copy(graph, node, copies)
        return self._rowed(graph, wanted, copies)

    # -- making graphs

    def _start(self) -> tuple[fx.Graph, dict[fx.Node, Any]]:
        graph: fx.Graph = fx.Graph()
        return graph, {leaf: graph.placeholder(f"weight_{n}") for n, leaf in enumerate(self.sorted.weights)}

    def _copy(self, graph: fx.Graph, node: fx.Node, copies: dict[fx.Node, Any]) -> Any:
        """A copy that works for any number of rows."""
        if self.sorted.kind[node] == PARAM:
            return graph.node_copy(node, lambda each: copies[each])

        def operand(each: fx.Node) -> Any:
            return self._rowed(graph, each, copies)

        return graph.node_copy(self._any_rows(node), operand)

    def _rowed(self, graph: fx.Graph, node: fx.Node, copies: dict[fx.Node, Any]) -> Any:
        """A copy of a value; what the trace wrote out for each of its sequences, for as many rows as there are."""
        copy = copies[node]
        if self.sorted.kind[node] != PARAM or node not in self.sorted.width:
            return copy
        rows = next(each for each in graph.nodes if each.op == "placeholder" and each.name.startswith("rows"))
        count = graph.call_function(torch.ops.aten.sym_size.int, (rows, 0))
        first = graph.call_function(torch.ops.aten.slice.Tensor, (copy, 0, 0, 1))
        return graph.call_function(
            torch.ops.aten.expand.default, (first, [count, *[-1] * (node.meta["val"].dim() - 1)])
        )

    def _any_rows(self, node: fx.Node) -> fx.Node:
        """The number of rows of the trace must not stand in what is called later."""
        batch, name = self.sorted.traced.batch, op_name(node)

        def counted(value: Any) -> bool:
            if isinstance(value, list | tuple):
                return any(counted(each) for each in value)
            return isinstance(value, int) and not isinstance(value, bool) and value > 0 and value % batch == 0

        if name in ("view", "_unsafe_view", "reshape") and counted(op_args(node)[1]):
            sizes = [-1 if counted(size) else size for size in op_args(node)[1]]
            if sizes.count(-1) == 1:
                node.args = (op_args(node)[0], sizes)
        elif name == "expand" and counted(op_args(node)[1]) and op_args(node)[0] in self.sorted.width:
            node.args = (op_args(node)[0], [-1 if counted(size) else size for size in op_args(node)[1]])
        if any(counted(arg) for arg in (*node.args, *node.kwargs.values())):
            raise NotCompiled(told(node, "depends on the number of sequences"))
        return node

    def _module(self, graph: fx.Graph) -> Any:
        graph.eliminate_dead_code()
        return fx.GraphModule(self.sorted.traced.module, graph)


def add_up(total: Total, piece: Any, known: Tensor | None) -> Tensor:
    """Add what one stretch of time gives to a weight's gradient."""
    if total.product:
        left, right = piece
        if left is None:
            # As a product, which is quicker than a sum over rows.
            left = torch.ones(1, right.shape[0], dtype=right.dtype)
        elif total.turned:
            left, right = right.t(), left.t()
        return torch.mm(left, right) if known is None else torch.addmm(known, left, right, out=known)
    if known is None:
        # What is given may be a view of what was given.
        return piece.clone()
    return known.add_(piece)


def put(total: Total, piece: Any, place: Tensor) -> None:
    """Write a gradient of rows where it belongs."""
    if total.product:
        torch.mm(piece[0], piece[1], out=place)
    else:
        place.copy_(piece)
