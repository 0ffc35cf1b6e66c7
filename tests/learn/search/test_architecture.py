"""Cells as graphs: their numbers against the papers' equations, their changes, and the search among them."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from torch import nn

from recurra.errors import ShapeError, UsageError
from recurra.learn.search.architecture import ArchitectureSearch, sound
from recurra.learn.search.architecture_cell import GraphCell
from recurra.learn.search.architecture_graph import (
    BINARY,
    CellGraph,
    GraphBuilder,
    H,
    Node,
    X,
    elman_graph,
    gru_graph,
    lstm_graph,
)
from recurra.learn.search.architecture_mutation import canonical, cleaned, mutated
from recurra.learn.search.architecture_training import ShortTraining
from recurra.nn import Recurrent
from recurra.unroll import unroll


def logistic(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


def lstm_reference(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Gers, Schmidhuber and Cummins 2000, without peepholes; blocks output, forget, input gate, candidate."""
    n = weights["weight_hh"].shape[1]
    h = c = np.zeros((x.shape[1], n))
    said = []
    for step in x:
        total = step @ weights["weight_ih"].T + weights["bias_ih"] + h @ weights["weight_hh"].T + weights["bias_hh"]
        o, f, i, g = np.split(total, 4, axis=1)
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(c)
        said.append(h)
    return np.stack(said)


def gru_reference(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Cho et al. 2014; blocks update, candidate, reset of x, and update, reset, candidate of h."""
    n = weights["weight_hh"].shape[1]
    h = np.zeros((x.shape[1], n))
    said = []
    for step in x:
        z, a, r = np.split(step @ weights["weight_ih"].T + weights["bias_ih"], 3, axis=1)
        (w_z, w_r, w), (b_z, b_r, b) = np.split(weights["weight_hh"], 3), np.split(weights["bias_hh"], 3)
        z, r = logistic(z + h @ w_z.T + b_z), logistic(r + h @ w_r.T + b_r)
        h = (1 - z) * h + z * np.tanh(a + (r * h) @ w.T + b)
        said.append(h)
    return np.stack(said)


def elman_reference(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    h = np.zeros((x.shape[1], weights["weight_hh"].shape[1]))
    said = []
    for step in x:
        h = np.tanh(
            step @ weights["weight_ih"].T + weights["bias_ih"] + h @ weights["weight_hh"].T + weights["bias_hh"]
        )
        said.append(h)
    return np.stack(said)


@pytest.mark.parametrize(
    ("graph", "reference"),
    [(lstm_graph(), lstm_reference), (gru_graph(), gru_reference), (elman_graph(), elman_reference)],
    ids=["lstm", "gru", "elman"],
)
def test_the_known_cells_are_the_papers(graph: CellGraph, reference) -> None:
    """Outputs, and gradients against differences of the reference."""
    torch.manual_seed(0)
    cell = GraphCell(3, 5, graph, dtype=torch.float64)
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    y, _ = unroll(cell, x)
    weights = {name: weight.detach().numpy().copy() for name, weight in cell.named_parameters()}
    np.testing.assert_allclose(y.detach(), reference(x.numpy(), weights), rtol=1e-12, atol=1e-14)
    mix = torch.randn_like(y)
    (y * mix).sum().backward()
    chance = np.random.default_rng(0)
    for name, weight in cell.named_parameters():
        for _ in range(4):
            place = tuple(int(chance.integers(size)) for size in weight.shape)
            ends = []
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in weights.items()}
                moved[name][place] += sign * 1e-6
                ends.append(float((reference(x.numpy(), moved) * mix.numpy()).sum()))
            assert float(weight.grad[place]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


def draws(seed: int):
    generator = torch.Generator().manual_seed(seed)

    def chance() -> float:
        return float(torch.rand((), generator=generator))

    return chance, lambda count: int(chance() * count)


def offspring(count: int, seed: int = 0, probability: float = 0.25) -> list[CellGraph]:
    """Sound graphs some changes away from the known cells."""
    chance, draw = draws(seed)
    found: list[CellGraph] = [lstm_graph(), gru_graph()]
    while len(found) < count + 2:
        graph = mutated(found[draw(len(found))], chance, draw, probability)
        if graph is not None and graph not in found and len(graph.nodes) < 50 and sound(graph):
            found.append(graph)
    return found[2:]


def node_by_node(cell: GraphCell, x: np.ndarray) -> np.ndarray:
    """A graph run straight from its nodes, each linear node with its own matrix."""
    graph, n = cell.graph, cell.hidden_size
    weights = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    needed = graph.needed()
    linear = [(number, node) for number, node in graph.numbered() if node.operation == "linear" and number in needed]
    blocks: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    of_x = [number for number, node in linear if node.inputs[0] == X]
    sources = list(dict.fromkeys(node.inputs[0] for _, node in linear if node.inputs[0] != X))
    others = [number for source in sources for number, node in linear if node.inputs[0] == source]
    for numbers, side in ((of_x, "ih"), (others, "hh")):
        for place, number in enumerate(numbers):
            rows = slice(place * n, (place + 1) * n)
            blocks[number] = (weights[f"weight_{side}"][rows], weights[f"bias_{side}"][rows])
    state = [np.zeros((x.shape[1], n))] * graph.states
    said = []
    for step in x:
        value = dict(enumerate([step, *state]))
        for number, node in graph.numbered():
            if number not in needed:
                continue
            parts = [value[part] for part in node.inputs]
            if node.operation == "linear":
                matrix, bias = blocks[number]
                value[number] = parts[0] @ matrix.T + bias + (node.scale * parts[0] if node.inputs[0] != X else 0.0)
            elif node.operation in BINARY:
                a, b = parts
                value[number] = {"add": a + b, "subtract": a - b, "multiply": a * b}[node.operation]
            else:
                z = parts[0]
                with np.errstate(over="ignore"):
                    table = {"tanh": np.tanh(z), "sigmoid": logistic(z), "relu": np.maximum(z, 0.0)}
                value[number] = table[node.operation]
        state = [value[result] for result in graph.results]
        said.append(state[0])
    return np.stack(said)


def test_changed_cells_are_their_graphs() -> None:
    x = torch.randn(6, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    operations = set()
    for graph in offspring(15):
        torch.manual_seed(1)
        cell = GraphCell(2, 4, graph, dtype=torch.float64)
        np.testing.assert_allclose(unroll(cell, x)[0].detach(), node_by_node(cell, x.numpy()), rtol=1e-9, atol=1e-12)
        operations |= {(node.operation, node.scale) for node in graph.nodes}
        assert graph.recurrent and len(set(graph.needed()) - {0, 1, 2}) >= len(graph.nodes) - (graph.states == 1)
    assert {("relu", 0.0), ("linear", 1.0), ("subtract", 0.0)} <= operations


@pytest.mark.slow
def test_changed_cells_compile() -> None:
    """The compiled loop gives the reference's numbers and gradients, whatever the graph."""
    x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(2))
    for graph in offspring(2, seed=3):
        found = {}
        for backend in ("fused", "reference"):
            torch.manual_seed(4)
            layer = Recurrent(GraphCell, 2, 8, backend=backend, graph=graph)
            y, _ = layer(x)
            y.square().sum().backward()
            found[backend] = [y.detach(), *(weight.grad for weight in layer.parameters())]
        for fused, reference in zip(*found.values(), strict=True):
            assert (fused is None) == (reference is None)
            if fused is not None and reference is not None:
                torch.testing.assert_close(fused, reference, rtol=2e-4, atol=2e-5)


def test_equations() -> None:
    assert str(elman_graph()) == "h' = tanh(W1 x + b1 + W2 h + b2)"
    gates = [f"sigmoid(W{k} x + b{k} + W{k + 1} h + b{k + 1})" for k in (1, 3, 5)]
    assert str(lstm_graph()).splitlines() == [
        f"c' = {gates[1]} * c + {gates[2]} * tanh(W7 x + b7 + W8 h + b8)",
        f"h' = {gates[0]} * tanh(c')",
    ]
    build = GraphBuilder(1)
    twice = build.add(build.linear(X), H)
    lost = build.subtract(twice, build.subtract(twice, H))
    graph = build.graph(build.multiply(lost, build.linear(lost, scale=0.9)))
    assert str(graph).splitlines() == [
        "a1 = W1 x + b1 + h",
        "a2 = a1 - (a1 - h)",
        "h' = a2 * (0.9 a2 + W2 a2 + b2)",
    ]


def test_graphs_are_cleaned() -> None:
    # x bare under a sum, a node that nothing needs, and a memory that the output does not see.
    nodes = {3: Node("add", (X, H)), 4: Node("tanh", (3,)), 5: Node("relu", (4,)), 6: Node("sigmoid", (2,))}
    clean = cleaned(2, nodes, (4, 6))
    assert clean is not None and clean.states == 1
    assert [node.operation for node in clean.nodes] == ["linear", "add", "tanh"]
    assert cleaned(1, {2: Node("add", (H, 3)), 3: Node("tanh", (2,))}, (3,)) is None  # each needs the other
    assert all(canonical(graph) == graph for graph in (elman_graph(), gru_graph(), lstm_graph(), *offspring(4)))
    only_x = CellGraph(1, (Node("linear", (X,)),), (2,))
    assert not only_x.recurrent and not sound(CellGraph(1, (Node("linear", (X,)), Node("subtract", (2, 2))), (3,)))
    grows = GraphBuilder(1)
    assert not sound(grows.graph(grows.add(grows.linear(X), grows.add(H, grows.add(H, H)))))


def test_mutation_keeps_the_parent_and_follows_its_draws() -> None:
    parent = lstm_graph()
    first, again = (mutated(parent, *draws(7), 0.3) for _ in range(2))
    assert first == again and first is not None and first != parent and parent == lstm_graph()
    assert mutated(parent, *draws(7), 0.0) == parent
    outcomes = [mutated(parent, *draws(seed), 0.5) for seed in range(60)]
    assert any(graph is None for graph in outcomes)
    states = {graph.states for graph in outcomes if graph}
    assert states == {1, 2}


def test_the_search_keeps_the_best_and_never_asks_twice() -> None:
    search = ArchitectureSearch(population=6, keep=5, seed=1)
    seen: list[CellGraph] = []
    told: list[float] = []
    for _ in range(5):
        graphs = search.ask()
        assert search.ask() == graphs
        seen += graphs
        told += [float(-abs(len(graph.nodes) - 15)) for graph in graphs]
        search.tell(told[-len(graphs) :])
    assert len(set(seen)) == len(seen) == search.evaluations == 2 + 4 * 6
    assert seen[:2] == [lstm_graph(), gru_graph()]
    assert [fitness for _, fitness in search.kept] == sorted(told, reverse=True)[:5]
    assert search.best[1] == max(told) and len(search.best[0].nodes) == 15 + int(max(told))
    assert all(sound(graph) for graph in seen)


def test_the_search_resumes_exactly_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    whole = ArchitectureSearch(population=3, seed=2)
    for _ in range(3):
        whole.tell([math.nan if len(graph.nodes) > 25 else len(graph.nodes) for graph in whole.ask()])
    whole.ask()
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    resumed = ArchitectureSearch(population=3, seed=2)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for search in (whole, resumed):
        search.tell([1.0, 2.0, 3.0])
    assert whole.ask() == resumed.ask() and whole.kept == resumed.kept and whole.evaluations == resumed.evaluations
    assert torch.equal(torch.get_rng_state(), before)


def first_input(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The first of five inputs is to be said at the end."""
    x = torch.randn(5, 16, 1, generator=generator)
    return x, x[0]


def test_short_training_tells_cells_apart() -> None:
    fitness = ShortTraining(first_input, nn.functional.mse_loss, 1, hidden_size=8, steps=50, rates=(0.03,), last=True)
    forgets = GraphBuilder(1)
    blind = forgets.graph(forgets.tanh(forgets.add(forgets.linear(X), forgets.multiply(H, forgets.subtract(H, H)))))
    known, unable = fitness(gru_graph()), fitness(blind)
    assert known > unable + 0.2 and unable < -0.7
    short = ShortTraining(first_input, nn.functional.mse_loss, 1, hidden_size=4, steps=2, last=True)
    assert short(gru_graph()) == short(gru_graph())
    explodes = ShortTraining(first_input, lambda y, target: (y - target).sum() * math.nan, 1, steps=2, last=True)
    assert explodes(gru_graph()) == -math.inf


def test_bad_arguments() -> None:
    with pytest.raises(UsageError, match=r"CellGraph: node 2 is 'tanh' of \(0,\) *|CellGraph: node 2 is 'tanh' of x"):
        CellGraph(1, (Node("tanh", (X,)),), (2,))
    with pytest.raises(UsageError, match=r"node 2 is 'add' of \(1, 2\). Needed: one of linear"):
        CellGraph(1, (Node("add", (H, 2)),), (2,))
    with pytest.raises(UsageError, match=r"node 2 is 'power' of \(1,\)"):
        CellGraph(1, (Node("power", (H,)),), (2,))
    with pytest.raises(UsageError, match="a result is value 9. Needed: a state or a node, 1 to 2"):
        CellGraph(1, (Node("linear", (X,)),), (9,))
    with pytest.raises(UsageError, match="states is 3 with 1 results"):
        CellGraph(3, (), (1,))
    with pytest.raises(UsageError, match="GraphCell: the output of the graph does not depend on x"):
        GraphCell(1, 2, CellGraph(1, (Node("tanh", (H,)),), (2,)))
    with pytest.raises(UsageError, match="ArchitectureSearch: population is 0"):
        ArchitectureSearch(population=0)
    with pytest.raises(UsageError, match="rate is 2.0. Needed: a number above 0, at most 1"):
        ArchitectureSearch(rate=2.0)
    with pytest.raises(UsageError, match="roots is empty"):
        ArchitectureSearch(roots=[])
    search = ArchitectureSearch(population=2, accept=lambda graph: False)
    with pytest.raises(UsageError, match="tell came before ask.*call ask"):
        search.tell([1.0])
    search.ask()
    with pytest.raises(ShapeError, match=r"fitness has shape \(3,\). Needed: \(2,\), one number for each graph"):
        search.tell([1.0] * 3)
    with pytest.raises(UsageError, match="ShortTraining: steps is 0"):
        ShortTraining(first_input, nn.functional.mse_loss, 1, steps=0)
    with pytest.raises(UsageError, match="one learning rate or more"):
        ShortTraining(first_input, nn.functional.mse_loss, 1, rates=())
