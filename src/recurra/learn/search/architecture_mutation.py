"""Changes to a cell's graph, and its clean form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recurra.learn.search.architecture_graph import BINARY, CellGraph, GraphBuilder, Node, X

ACTIVATIONS: tuple[tuple[str, float], ...] = (
    ("sigmoid", 0.0),
    ("tanh", 0.0),
    ("relu", 0.0),
    ("linear", 0.0),
    ("linear", 1.0),
    ("linear", 0.9),
    ("linear", 1.1),
)
"""What an activation may be changed to."""

Draw = Callable[[int], int]
"""draw(n) is a whole number from 0 to n - 1."""


def cleaned(states: int, nodes: dict[int, Node], results: tuple[int, ...]) -> CellGraph | None:
    """The graph in order, without what its output does not need; None where a node would need itself.

    Where x does not stand under a linear node of scale 0, one is put in. A memory that is not needed is left out.
    """
    places: dict[int, int] = {}
    build = GraphBuilder(states)
    under_way: set[int] = set()

    def place(value: int) -> int | None:
        if value <= states:
            return value
        if value in places:
            return places[value]
        if value in under_way:
            return None
        under_way.add(value)
        node = nodes[value]
        inputs = [place(part) for part in node.inputs]
        if None in inputs:
            return None
        bare = node.operation == "linear" and node.inputs[0] == X
        sized = [part if part != X or bare else build.linear(X) for part in inputs if part is not None]
        places[value] = build.put(node.operation, *sized, scale=0.0 if bare else node.scale)
        return places[value]

    found = [place(value) for value in results]
    if None in found:
        return None
    ends = [build.linear(X) if value == X else value for value in found if value is not None]
    return _needed_only(build.graph(*ends))


def canonical(graph: CellGraph) -> CellGraph:
    """The same step with its nodes in the order of `cleaned`, so that graphs that are alike are equal."""
    return cleaned(graph.states, dict(graph.numbered()), graph.results) or graph


def _needed_only(graph: CellGraph) -> CellGraph:
    needed = graph.needed()
    states = 2 if graph.states == 2 and 2 in needed else 1
    build = GraphBuilder(states)
    place = {value: value for value in range(states + 1)}
    for value, node in graph.numbered():
        if value in needed:
            place[value] = build.put(node.operation, *(place[part] for part in node.inputs), scale=node.scale)
    return build.graph(*(place[value] for value in graph.results[:states]))


def mutated(graph: CellGraph, chance: Callable[[], float], draw: Draw, probability: float) -> CellGraph | None:
    """The graph with a change, drawn among those that fit, at each node with a probability.

    The changes: another activation; another of sum, difference and product; an activation between a node and one of its
    inputs; a node of one input left out; a node replaced by one of its ancestors; a node replaced by the sum,
    difference or product of one of its ancestors and an ancestor of any node.

    Args:
        graph: stays as it is.
        chance: a number uniform in [0, 1).
        draw: a whole number below the given one.
        probability: of a change, for each node.

    Returns None where the changed graph would have a node that needs itself, or no recurrent cell would be left.
    """
    nodes: dict[int, Node] = dict(graph.numbered())
    results = graph.results
    newest = max(nodes, default=graph.states)
    for value in list(nodes):
        if chance() >= probability:
            continue
        newest += 1
        change = draw(6)
        node = nodes[value]
        before = sorted(graph.ancestors([value]) - {value})
        if change == 0 and len(node.inputs) == 1:
            operation, scale = ACTIVATIONS[draw(len(ACTIVATIONS))]
            nodes[value] = Node(operation, node.inputs, scale)
        elif change == 1 and len(node.inputs) == 2:
            nodes[value] = Node(BINARY[draw(3)], node.inputs)
        elif change == 2:
            operation, scale = ACTIVATIONS[draw(len(ACTIVATIONS))]
            which = draw(len(node.inputs))
            nodes[newest] = Node(operation, (node.inputs[which],), scale)
            inputs = tuple(newest if n == which else part for n, part in enumerate(node.inputs))
            nodes[value] = Node(node.operation, inputs, node.scale)
        elif change == 3 and len(node.inputs) == 1:
            results = _redirected(nodes, results, value, node.inputs[0])
        elif change == 4:
            results = _redirected(nodes, results, value, before[draw(len(before))])
        elif change == 5:
            others = sorted(graph.ancestors([list(dict(graph.numbered()))[draw(len(graph.nodes))]]))
            inputs = (before[draw(len(before))], others[draw(len(others))])
            nodes[value] = Node(BINARY[draw(3)], inputs)
    changed = cleaned(graph.states, nodes, results)
    return changed if changed is not None and changed.recurrent else None


def _redirected(nodes: dict[int, Node], results: tuple[int, ...], old: int, new: int) -> tuple[int, ...]:
    """Let everything that takes one value take another."""
    for value, node in nodes.items():
        if value != old:
            inputs = tuple(new if part == old else part for part in node.inputs)
            nodes[value] = Node(node.operation, inputs, node.scale)
    return tuple(new if value == old else value for value in results)


def plain_form(graph: CellGraph) -> dict[str, Any]:
    """A graph as plain numbers and texts, as `graph_from` takes them."""
    nodes = [[node.operation, list(node.inputs), node.scale] for node in graph.nodes]
    return {"states": graph.states, "nodes": nodes, "results": list(graph.results)}


def graph_from(plain: dict[str, Any]) -> CellGraph:
    """The graph of `plain_form`'s numbers and texts."""
    nodes = tuple(Node(operation, tuple(inputs), scale) for operation, inputs, scale in plain["nodes"])
    return CellGraph(plain["states"], nodes, tuple(plain["results"]))
