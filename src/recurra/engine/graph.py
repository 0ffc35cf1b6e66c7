"""What a step is to the engine: element-wise operations on rows of the batch, and products with weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TRUTH = {"bitwise_and", "bitwise_or", "bitwise_not", "isnan"}
TRUTH |= {"logical_and", "logical_and_", "logical_not", "logical_or"}
COMPARE = TRUTH | {"lt", "gt", "le", "ge", "eq", "ne"}
"""Operations whose result is true or false."""


class NotCompiled(Exception):
    """A cell's step holds what the engine does not compile; the message names it."""


@dataclass(frozen=True, eq=False)
class Node:
    """One value of a step: `width` columns of every row of the batch.

    Nodes are made by `Nodes`, which gives the same node for the same computation.

    Attributes:
        op: "input" (data: buffer, column), "param" (data: number, column; the same for all rows), "scalar" (data:
            value), "product" (data: number, column), or an element-wise operation.
        args: what an operation works on, each of the same width, of width 1 (the same for all columns) or a scalar.
        width: columns; 0 for a scalar.
        data: see op.
        level: how many products in a row lie before it.
        later: whether it follows from what comes from the steps after (a gradient).
    """

    op: str
    args: tuple[Node, ...]
    width: int
    data: tuple[Any, ...] = ()
    level: int = 0
    later: bool = False


@dataclass(frozen=True)
class Product:
    """A row of the batch times a weight matrix.

    Attributes:
        inputs: the nodes whose columns, side by side, are the row.
        weight: the number of the parameter, a matrix (rows, columns).
        rows, columns: its size.
    """

    inputs: tuple[Node, ...]
    weight: int
    rows: int
    columns: int


@dataclass
class Nodes:
    """Makes nodes, each computation once."""

    products: list[Product] = field(default_factory=list)
    known: dict[Any, Node] = field(default_factory=dict)

    def make(
        self, op: str, args: tuple[Node, ...], width: int, data: tuple[Any, ...] = (), later: bool = False
    ) -> Node:
        """A node, or the one that there is."""
        simpler = _simpler(op, args, width)
        if simpler is not None:
            return simpler
        key = (op, tuple(map(id, args)), width, data)
        if key not in self.known:
            level = max((arg.level for arg in args), default=0)
            if op == "product":
                level = 1 + max(node.level for node in self.products[data[0]].inputs)
                later = any(node.later for node in self.products[data[0]].inputs)
            later = later or any(arg.later for arg in args)
            self.known[key] = Node(op, args, width, data, level, later)
        return self.known[key]

    def scalar(self, value: float) -> Node:
        """A number."""
        return self.make("scalar", (), 0, (float(value),))

    def product(self, inputs: tuple[Node, ...], weight: int, rows: int, columns: int) -> int:
        """The number of a product."""
        for number, known in enumerate(self.products):
            if known.weight == weight and len(known.inputs) == len(inputs):
                if all(a is b for a, b in zip(known.inputs, inputs, strict=True)):
                    return number
        self.products.append(Product(inputs, weight, rows, columns))
        return len(self.products) - 1


def _simpler(op: str, args: tuple[Node, ...], width: int) -> Node | None:
    """An operand that is the result: adding nothing, multiplying by one."""

    def number(node: Node) -> float | None:
        while node.op == "fill":
            node = node.args[0]
        return node.data[0] if node.op == "scalar" else None

    if op in ("add", "mul"):
        neutral = 0.0 if op == "add" else 1.0
        for one, other in (args, args[::-1]):
            if number(one) == neutral and other.width == width:
                return other
    if op in ("sub", "div") and number(args[1]) == (0.0 if op == "sub" else 1.0) and args[0].width == width:
        return args[0]
    return None
