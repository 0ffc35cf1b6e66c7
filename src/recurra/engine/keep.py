"""What the forward pass keeps for the gradient, and what is rather computed again."""

from __future__ import annotations

from recurra.engine.graph import Node, Nodes

COSTLY = {"tanh", "sigmoid", "exp", "log", "log1p", "expm1", "sqrt", "rsqrt", "div", "reciprocal", "sin", "cos", "erf"}
"""What takes longer than to read a number."""


def made_of(node: Node, nodes: Nodes) -> tuple[Node, ...]:
    """The nodes that a node is computed from."""
    return nodes.products[node.data[0]].inputs if node.op == "product" else node.args


def choose_kept(wanted: list[Node], nodes: Nodes, standing: set[Node], double: bool) -> tuple[list[Node], list[Node]]:
    """The values of the forward pass that are kept for these, and those read where they stand, in the next state.

    A value is computed again where that takes no product and, of the functions that take long, at most one, in float32
    (memory is slower than that); what is kept is the value last in line, a sum rather than its terms.

    Args:
        wanted: what the backward pass computes.
        nodes: the maker of the nodes.
        standing: values that the forward pass writes into the next state, and so in memory anyway.
        double: whether numbers are float64.
    """
    bound = 0 if double else 1
    costs: dict[Node, float] = {}

    def cost(node: Node) -> float:
        """How many functions that take long lie between memory and this value; endless with a product in the way."""
        if node not in costs:
            if node in standing or node.op in ("param", "scalar"):
                costs[node] = 0
            elif node.op == "input":
                costs[node] = float("inf") if node.data[0].startswith("e") else 0
            elif node.op == "product":
                costs[node] = float("inf")
            else:
                costs[node] = (node.op in COSTLY) + sum(cost(arg) for arg in dict.fromkeys(node.args))
        return costs[node]

    def sums(node: Node) -> bool:
        return node.op in ("add", "sub") and any(
            arg.op == "product" or (arg.op == "input" and arg.data[0].startswith("e")) or sums(arg) for arg in node.args
        )

    kept: dict[Node, None] = {}
    read: dict[Node, None] = {}
    seen: set[Node] = set()

    def visit(node: Node) -> None:
        if node in seen:
            return
        seen.add(node)
        if not node.later and node.width:
            if node in standing:
                read[node] = None
                return
            if cost(node) > bound and (node.op in COSTLY | {"product", "input"} or sums(node)):
                kept[node] = None
                return
        for arg in made_of(node, nodes):
            visit(arg)

    for node in wanted:
        visit(node)
    return list(kept), list(read)


def inputs_of(wanted: list[Node], stop: set[Node], nodes: Nodes) -> set[str]:
    """The buffers that these nodes are computed from."""
    found: set[str] = set()
    seen: set[Node] = set()
    waiting = list(wanted)
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in stop:
            continue
        if node.op == "input":
            found.add(node.data[0])
        waiting += made_of(node, nodes)
    return found
