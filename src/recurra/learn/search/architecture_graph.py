"""A cell's step as a graph of expressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recurra.errors import UsageError

UNARY = ("linear", "tanh", "sigmoid", "relu")
BINARY = ("add", "subtract", "multiply")
SIGNS = {"add": " + ", "subtract": " - ", "multiply": " * "}

X, H, C = 0, 1, 2
"""Numbers of the values that a step begins with: the input, the hidden units and the memory cells."""


@dataclass(frozen=True)
class Node:
    """One operation of a step.

    Attributes:
        operation: "linear" (a matrix of its own and a bias), "tanh", "sigmoid", "relu", "add", "subtract", "multiply".
        inputs: numbers of the values that it takes: one, or two of the last three operations.
        scale: of "linear", how much of the value itself is added to the product; the input x takes no part in that.
    """

    operation: str
    inputs: tuple[int, ...]
    scale: float = 0.0


@dataclass(frozen=True)
class CellGraph:
    """One step of a recurrent cell as a graph: what an architecture search changes, and `GraphCell` runs.

    Values are numbered: 0 is x_t, 1 is h_{t-1}, 2 is c_{t-1} where the cell has a memory, and the nodes' values follow.

    Equations:
        linear: scale v + W v + b;  tanh, sigmoid, relu: of v;  add, subtract, multiply: of v and w, unit by unit.

    Args:
        states: 1, the hidden units h, or 2, memory cells c as well.
        nodes: in an order in which each takes only x, states and earlier nodes.
        results: the values that become h_t, and c_t.

    Raises:
        UsageError: a node takes what is not there, or x is taken by anything but a "linear" of scale 0.

    Reference:
        R. Jozefowicz, W. Zaremba, I. Sutskever. An empirical exploration of recurrent network architectures. ICML
        (2015) 2342-2350; J. Bayer, D. Wierstra, J. Togelius, J. Schmidhuber. Evolving memory cell structures for
        sequence learning. ICANN (2009) 755-764.

    Example:
        >>> print(gru_graph())
        h' = h + sigmoid(W1 x + b1 + W2 h + b2) * (tanh(W3 x + b3 + W6 (sigmoid(W4 x + b4 + W5 h + b5) * h) + b6) - h)
    """

    states: int
    nodes: tuple[Node, ...]
    results: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.states not in (1, 2) or len(self.results) != self.states:
            given = f"states is {self.states!r} with {len(self.results)} results"
            raise UsageError(given, where="CellGraph", need="1 or 2 states, and one result for each")
        first = 1 + self.states
        for number, node in enumerate(self.nodes, first):
            wanted = 1 if node.operation in UNARY else 2 if node.operation in BINARY else 0
            if len(node.inputs) != wanted or not all(0 <= value < number for value in node.inputs):
                given = f"node {number} is {node.operation!r} of {node.inputs}"
                need = f"one of {', '.join(UNARY)} of one earlier value, or {', '.join(BINARY)} of two"
                raise UsageError(given, where="CellGraph", need=need)
            if X in node.inputs and (node.operation != "linear" or node.scale != 0.0):
                given = f"node {number} is {node.operation!r} of x"
                need = "x under a 'linear' of scale 0, as it has another size than the hidden units"
                raise UsageError(given, where="CellGraph", need=need)
        for value in self.results:
            if not 0 < value < first + len(self.nodes):
                need = f"a state or a node, 1 to {first + len(self.nodes) - 1}"
                raise UsageError(f"a result is value {value}", where="CellGraph", need=need)

    def node(self, value: int) -> Node | None:
        """The node of a value; None for x and the states."""
        return self.nodes[value - 1 - self.states] if value > self.states else None

    def numbered(self) -> Iterator[tuple[int, Node]]:
        """The nodes with the numbers of their values."""
        return enumerate(self.nodes, 1 + self.states)

    def ancestors(self, values: Iterable[int]) -> set[int]:
        """These values and all that they are worked out from in the same step."""
        found: set[int] = set()
        left = list(values)
        while left:
            value = left.pop()
            if value not in found:
                found.add(value)
                node = self.node(value)
                left += node.inputs if node else ()
        return found

    def needed(self) -> set[int]:
        """The values that the output of some step follows from, states of earlier steps included."""
        found = self.ancestors([self.results[0]])
        if self.states == 2 and C in found:
            found |= self.ancestors([self.results[1]])
        return found

    @property
    def recurrent(self) -> bool:
        """Whether the output depends on x and on a state."""
        needed = self.needed()
        return X in needed and (H in needed or (self.states == 2 and C in needed))

    def __str__(self) -> str:
        """The equations of the step."""
        return equations(self)


def equations(graph: CellGraph) -> str:
    """The step as lines of equations; a value that is used once stands where it is used.

    x, h and c are x_t, h_{t-1} and c_{t-1}; h' and c' are what they become.
    """
    uses: dict[int, int] = {}
    for value in [*graph.results, *(value for _, node in graph.numbered() for value in node.inputs)]:
        uses[value] = uses.get(value, 0) + 1
    text = {X: "x", H: "h", C: "c"} if graph.states == 2 else {X: "x", H: "h"}
    own = {value: f"{name}'" for name, value in zip("hc", graph.results, strict=False)}
    sums: set[int] = set()
    lines: list[str] = []
    linears = 0
    for value, node in graph.numbered():
        parts = [text[v] for v in node.inputs]
        if node.operation == "linear":
            linears += 1
            inner = parts[0] if parts[0].rstrip("'").isalnum() else f"({parts[0]})"
            scaled = "" if node.scale == 0.0 else f"{inner} + " if node.scale == 1.0 else f"{node.scale:g} {inner} + "
            written, is_sum = f"{scaled}W{linears} {inner} + b{linears}", True
        elif node.operation in BINARY:
            multiply, subtract = node.operation == "multiply", node.operation == "subtract"
            left, right = node.inputs
            first = f"({parts[0]})" if multiply and left in sums else parts[0]
            second = f"({parts[1]})" if (multiply or subtract) and right in sums else parts[1]
            written, is_sum = f"{first}{SIGNS[node.operation]}{second}", not multiply
        else:
            written, is_sum = f"{node.operation}({parts[0]})", False
        if uses.get(value, 0) > 1:
            # A value that becomes a state is called by that state's name.
            name = own.get(value) or f"a{len(lines) + 1}"
            lines.append(f"{name} = {written}")
            written, is_sum = name, False
        text[value] = written
        if is_sum:
            sums.add(value)
    last = [f"{name}' = {text[value]}" for name, value in zip("hc", graph.results, strict=False)]
    return "\n".join([*lines, *(line for line in last if line.split(" = ")[0] != line.split(" = ")[1])])


class GraphBuilder:
    """Writes a graph down operation by operation; each method gives the number of the new value.

    Args:
        states: as in `CellGraph`.

    Example:
        >>> build = GraphBuilder(states=1)
        >>> total = build.add(build.linear(X), build.linear(H))
        >>> print(build.graph(build.tanh(total)))
        h' = tanh(W1 x + b1 + W2 h + b2)
    """

    def __init__(self, states: int) -> None:
        self.states = states
        self.nodes: list[Node] = []

    def put(self, operation: str, *inputs: int, scale: float = 0.0) -> int:
        """A node of any operation."""
        self.nodes.append(Node(operation, inputs, scale))
        return self.states + len(self.nodes)

    def linear(self, value: int, scale: float = 0.0) -> int:
        return self.put("linear", value, scale=scale)

    def tanh(self, value: int) -> int:
        return self.put("tanh", value)

    def sigmoid(self, value: int) -> int:
        return self.put("sigmoid", value)

    def add(self, left: int, right: int) -> int:
        return self.put("add", left, right)

    def subtract(self, left: int, right: int) -> int:
        return self.put("subtract", left, right)

    def multiply(self, left: int, right: int) -> int:
        return self.put("multiply", left, right)

    def gate(self) -> int:
        """sigmoid(W x + b + U h + b)."""
        return self.sigmoid(self.add(self.linear(X), self.linear(H)))

    def graph(self, *results: int) -> CellGraph:
        return CellGraph(self.states, tuple(self.nodes), results)


def elman_graph() -> CellGraph:
    """h' = tanh(W x + U h + b)."""
    build = GraphBuilder(1)
    return build.graph(build.tanh(build.add(build.linear(X), build.linear(H))))


def gru_graph() -> CellGraph:
    """The gated recurrent unit, with the reset gate before the recurrent product."""
    build = GraphBuilder(1)
    update, fresh = build.gate(), build.linear(X)
    candidate = build.tanh(build.add(fresh, build.linear(build.multiply(build.gate(), H))))
    return build.graph(build.add(H, build.multiply(update, build.subtract(candidate, H))))


def lstm_graph() -> CellGraph:
    """Long short-term memory with a forget gate."""
    build = GraphBuilder(2)
    read = build.gate()
    kept = build.multiply(build.gate(), C)
    write = build.gate()
    candidate = build.tanh(build.add(build.linear(X), build.linear(H)))
    cell = build.add(kept, build.multiply(write, candidate))
    return build.graph(build.multiply(read, build.tanh(cell)), cell)
