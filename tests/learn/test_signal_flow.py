"""Signal-flow graphs and their adjoints: by hand, at random, and of cells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recurra.cells import GRU, IIR, LSTM, Elman, LocalFeedback
from recurra.cells.base import Cell
from recurra.cells.state import HiddenState, map_state, state_tensors
from recurra.errors import UsageError
from recurra.learn.signal_flow import (
    Delay,
    Function,
    Gain,
    SignalFlowGraph,
    adjoint,
    gradient,
    graph_of_cell,
    simulate,
)
from recurra.unroll import unroll

F64 = torch.float64


def filter_by_hand() -> SignalFlowGraph:
    """s(t) = w x(t) + a y(t-1) + b s(t-1) y(t-2), y = tanh(s)."""
    return SignalFlowGraph(
        inputs=("x",),
        outputs=("y",),
        branches=(
            Gain("x", "s", "w"),
            Delay("y", "y1"),
            Delay("y1", "y2"),
            Delay("s", "s1"),
            Gain("y1", "s", "a"),
            Function(("s1", "y2"), "p", torch.mul, "product"),
            Gain("p", "s", "b"),
            Function(("s",), "y", torch.tanh, "tanh"),
        ),
    )


def by_hand(w: Tensor, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    s, y = [torch.zeros((), dtype=F64)], [torch.zeros((), dtype=F64)] * 2
    for value in x:
        s.append(w * value + a * y[-1] + b * s[-1] * y[-2])
        y.append(torch.tanh(s[-1]))
    return torch.stack(y[2:])


def test_a_graph_by_hand() -> None:
    torch.manual_seed(0)
    weights = {name: torch.randn((), dtype=F64) for name in "wab"}
    x, error = torch.randn(9, dtype=F64), torch.randn(9, dtype=F64)
    record = simulate(filter_by_hand(), weights, {"x": x})
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    read = x.clone().requires_grad_()
    y = by_hand(**leaves, x=read)
    torch.testing.assert_close(record.signal("y"), y.detach(), rtol=1e-13, atol=0)
    y.backward(error)
    found = gradient(record, {"y": error})
    for name, leaf in leaves.items():
        torch.testing.assert_close(found.weights[name], leaf.grad, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found.inputs["x"], read.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("horizon", [0, 1, 3])
def test_the_on_line_form_takes_errors_of_the_next_steps_alone(horizon: int) -> None:
    """Weights that are another leaf at each step: only errors within the horizon count for each."""
    torch.manual_seed(0)
    steps = 7
    weights = {name: torch.randn((), dtype=F64) for name in "wab"}
    x, error = torch.randn(steps, dtype=F64), torch.randn(steps, dtype=F64)
    leaves = {name: [weight.clone().requires_grad_() for _ in range(steps)] for name, weight in weights.items()}
    s, y = [torch.zeros((), dtype=F64)], [torch.zeros((), dtype=F64)] * 2
    for t in range(steps):
        w, a, b = (leaves[name][t] for name in "wab")
        s.append(w * x[t] + a * y[-1] + b * s[-1] * y[-2])
        y.append(torch.tanh(s[-1]))
    found = gradient(simulate(filter_by_hand(), weights, {"x": x}), {"y": error}, horizon).weights
    for name in "wab":
        expected = torch.zeros((), dtype=F64)
        for t in range(steps):
            loss = sum(error[k] * y[2 + k] for k in range(t, min(t + horizon + 1, steps)))
            expected = expected + torch.autograd.grad(loss, leaves[name][t], retain_graph=True, allow_unused=True)[0]
        torch.testing.assert_close(found[name], expected, rtol=1e-12, atol=1e-14)


def test_the_adjoint_of_a_linear_graph_is_its_transpose_in_reversed_time() -> None:
    """Interreciprocity: <error, G x> = <G* error, x> for the filter y(t) = w x(t) + a y(t-1) and its adjoint."""
    graph = SignalFlowGraph(("x",), ("y",), (Gain("x", "y", "w"), Delay("y", "y1"), Gain("y1", "y", "a")))
    weights = {"w": torch.tensor(0.7, dtype=F64), "a": torch.tensor(-0.4, dtype=F64)}
    x, error = torch.randn(12, dtype=F64), torch.randn(12, dtype=F64)
    record = simulate(graph, weights, {"x": x})
    found = gradient(record, {"y": error})
    assert float((error * record.signal("y")).sum()) == pytest.approx(float((found.inputs["x"] * x).sum()), rel=1e-12)
    # The adjoint graph, with its advances run as delays on reversed time, is the same filter from y to x.
    reverse = adjoint(graph)
    assert (reverse.inputs, reverse.outputs) == (("y",), ("x",))
    turned = [Delay(b.source, b.target) if isinstance(b, Delay) else b for b in reverse.branches]
    backward = simulate(SignalFlowGraph(reverse.inputs, reverse.outputs, turned), weights, {"y": error.flip(0)})
    torch.testing.assert_close(backward.signal("x").flip(0), found.inputs["x"], rtol=1e-12, atol=1e-14)


def test_the_adjoint_of_the_adjoint_of_a_linear_graph_is_the_graph() -> None:
    graph = SignalFlowGraph(
        ("x",), ("y",), (Gain("x", "s", "w", "matrix"), Gain("s", "y", 2.0), Delay("y", "d"), Gain("d", "s", "a"))
    )
    twice = adjoint(adjoint(graph))
    assert [(b.source, b.target) for b in twice.branches] == [(b.source, b.target) for b in graph.branches]
    assert not any(b.advance for b in twice.delays)
    with pytest.raises(UsageError, match="adjoint one"):
        adjoint(adjoint(filter_by_hand()))


FUNCTIONS: dict[str, Any] = {
    "tanh": (1, torch.tanh),
    "sin": (1, torch.sin),
    "product": (2, torch.mul),
    "soft": (2, lambda a, b: torch.tanh(a) * torch.sigmoid(a + b)),
}


@st.composite
def graphs(draw: Any) -> SignalFlowGraph:
    """Any graph without a loop that has no delay: branches without memory run from earlier nodes to later ones."""
    count = draw(st.integers(1, 6))
    nodes = ["x", *(f"n{k}" for k in range(count))]
    branches: list[Any] = []
    for k in range(1, count + 1):
        earlier = st.sampled_from(nodes[:k])
        kind = draw(st.sampled_from(["gain", "matrix", "number", *FUNCTIONS]))
        if kind in FUNCTIONS:
            places, call = FUNCTIONS[kind]
            branches.append(Function(tuple(draw(earlier) for _ in range(places)), nodes[k], call, kind))
        elif kind == "number":
            branches.append(Gain(draw(earlier), nodes[k], draw(st.sampled_from([1.0, -1.0, 0.5]))))
        else:
            weight = draw(st.sampled_from(["v", "w"] if kind == "gain" else ["A", "B"]))
            branches.append(Gain(draw(earlier), nodes[k], weight, "matrix" if kind == "matrix" else "element"))
    for k in range(draw(st.integers(0, 4))):
        held = f"d{k}"
        branches.append(Delay(draw(st.sampled_from(nodes)), held))
        weight = draw(st.sampled_from(["v", "w"]))
        branches.append(Gain(held, draw(st.sampled_from(nodes[1:])), weight))
    outputs = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=2, unique=True))
    order = draw(st.permutations(branches))
    return SignalFlowGraph(("x",), tuple(outputs), tuple(order))


def interpret(graph: SignalFlowGraph, weights: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Each node's signal by the definition, node by node as they are asked for."""
    known: dict[tuple[str, int], Tensor] = {}

    def signal(node: str, t: int) -> Tensor:
        if t < 0:
            return torch.zeros_like(x[0])
        if (node, t) not in known:
            total = x[t] if node == "x" else torch.zeros_like(x[0])
            for branch in graph.branches:
                if branch.target != node:
                    continue
                if isinstance(branch, Delay):
                    total = total + signal(branch.source, t - 1)
                elif isinstance(branch, Function):
                    total = total + branch.call(*(signal(source, t) for source in branch.sources))
                elif branch.product == "matrix":
                    total = total + signal(branch.source, t) @ weights[branch.weight].T
                else:
                    factor = weights[branch.weight] if isinstance(branch.weight, str) else branch.weight
                    total = total + factor * signal(branch.source, t)
            known[node, t] = total
        return known[node, t]

    return {node: torch.stack([signal(node, t) for t in range(len(x))]) for node in graph.outputs}


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), steps=st.integers(1, 5), horizon=st.integers(0, 5), seed=st.integers(0, 1000))
def test_random_graphs(graph: SignalFlowGraph, steps: int, horizon: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=F64, generator=generator)

    every = {"v": draw(3) * 0.5, "w": draw(), "A": draw(3, 3) * 0.4, "B": draw(3, 3) * 0.4}
    weights = {name: every[name] for name in graph.weights}
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    x = draw(steps, 2, 3).requires_grad_()
    truth = interpret(graph, leaves, x)
    initial = {delay.target: torch.zeros(2, 3, dtype=F64) for delay in graph.delays}
    record = simulate(graph, weights, {"x": x.detach()}, initial)
    errors = {name: draw(steps, 2, 3) for name in graph.outputs}
    for name, expected in truth.items():
        torch.testing.assert_close(record.signal(name), expected.detach(), rtol=1e-12, atol=1e-12)
    loss = sum(((signal * errors[name]).sum() for name, signal in truth.items()), torch.zeros(()))
    loss.backward()
    found = gradient(record, errors)
    for name, leaf in leaves.items():
        expected = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        torch.testing.assert_close(found.weights[name], expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found.inputs["x"], x.grad, rtol=1e-9, atol=1e-10)
    if horizon >= steps - 1:
        late = gradient(record, errors, horizon)
        for name, part in late.weights.items():
            torch.testing.assert_close(part, found.weights[name], rtol=1e-9, atol=1e-10)


CELLS: dict[str, Any] = {
    "elman": lambda: Elman(2, 3, dtype=F64),
    "elman without bias": lambda: Elman(2, 3, bias=False, nonlinearity="relu", dtype=F64),
    "iir": lambda: IIR(2, 3, input_order=2, feedback_order=2, dtype=F64),
    "gru": lambda: GRU(2, 3, dtype=F64),
    "lstm": lambda: LSTM(2, 3, dtype=F64),
    "local output feedback": lambda: LocalFeedback(2, 3, feedback="output", order=2, dtype=F64),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_graph_of_a_cell_gives_bptts_gradient(name: str) -> None:
    torch.manual_seed(0)
    cell = CELLS[name]()
    graph = graph_of_cell(cell, batch_size=4)
    assert set(graph.weights) == {name for name, _ in cell.named_parameters()}
    weights = {name: weight.detach() for name, weight in cell.named_parameters()}
    x = torch.randn(7, 4, 2, dtype=F64)
    first = map_state(lambda part: torch.randn_like(part).requires_grad_(), cell.initial_state(4))
    starts = state_tensors(first)
    names = [delay.target for delay in graph.delays]
    given_start = {name: part.detach() for name, part in zip(names, starts, strict=True)}
    record = simulate(graph, weights, {"x": x}, given_start)
    read = x.clone().requires_grad_()
    y, final = unroll(cell, read, first)
    torch.testing.assert_close(record.signal("y"), y.detach(), rtol=1e-12, atol=1e-14)
    for part, name in zip(state_tensors(final), names, strict=True):
        torch.testing.assert_close(record.final[name], part.detach(), rtol=1e-12, atol=1e-14)
    error = torch.randn_like(y)
    y.backward(error)
    found = gradient(record, {"y": error})
    for name, weight in cell.named_parameters():
        torch.testing.assert_close(found.weights[name], weight.grad, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(found.inputs["x"], read.grad, rtol=1e-10, atol=1e-13)
    for name, part in zip(names, starts, strict=True):
        torch.testing.assert_close(found.initial[name], part.grad, rtol=1e-10, atol=1e-13)


def test_the_graph_of_an_elman_cell_is_the_drawing_of_textbooks() -> None:
    graph = graph_of_cell(Elman(2, 3, bias=False), 1)
    kinds = [type(branch).__name__ for branch in graph.branches]
    gains = {(b.source, b.weight, b.product) for b in graph.branches if isinstance(b, Gain) and b.weight != 1.0}
    assert gains == {("x", "weight_ih", "matrix"), ("h", "weight_hh", "matrix")}
    assert kinds.count("Function") == 1 and kinds.count("Delay") == 1
    assert graph.delays[0].target == "h"
    assert not graph.derived


def test_the_drawing() -> None:
    assert filter_by_hand().to_dot().splitlines() == [
        "digraph signal_flow {",
        "  rankdir=LR;",
        '  "x" [shape=box];',
        '  "s" [shape=circle];',
        '  "y" [shape=box];',
        '  "y1" [shape=circle];',
        '  "y2" [shape=circle];',
        '  "s1" [shape=circle];',
        '  "p" [shape=circle];',
        '  "x" -> "s" [label="w"];',
        '  "y" -> "y1" [label="z^-1", style=dashed];',
        '  "y1" -> "y2" [label="z^-1", style=dashed];',
        '  "s" -> "s1" [label="z^-1", style=dashed];',
        '  "y1" -> "s" [label="a"];',
        '  "s1" -> "p" [label="product 1"];',
        '  "y2" -> "p" [label="product 2"];',
        '  "p" -> "s" [label="b"];',
        '  "s" -> "y" [label="tanh"];',
        "}",
    ]
    drawn = adjoint(filter_by_hand()).to_dot()
    assert '"y" -> "s" [label="tanh\'"];' in drawn
    assert '"p" -> "y2" [label="product\' 2"];' in drawn
    assert '"y1" -> "y" [label="z", style=dashed];' in drawn
    matrix = adjoint(SignalFlowGraph(("x",), ("y",), (Gain("x", "y", "W", "matrix"),)))
    assert '"y" -> "x" [label="W^T"];' in matrix.to_dot()
    assert '"a\\"b"' in SignalFlowGraph(('a"b',), ('a"b',), ()).to_dot()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: SignalFlowGraph(("x",), ("y",), (Gain("x", "y"), Gain("y", "z", "a"), Gain("z", "y"))),
            ["a loop without a delay", "at least one delay in every loop"],
        ),
        (lambda: SignalFlowGraph(("x",), ("y",), (Gain("u", "y"),)), ["node 'u' is read", "a branch to each node"]),
        (lambda: SignalFlowGraph(("x",), ("y",), ()), ["node 'y' is read"]),
        (lambda: SignalFlowGraph(("x",), ("y",), (Gain("x", "y", "w", "sum"),)), ["product is 'sum'"]),
        (lambda: simulate(filter_by_hand(), {}, {"x": torch.ones(3)}), ["weight 'w' is missing"]),
        (lambda: simulate(filter_by_hand(), {}, {"x": torch.ones(0)}), ["lengths {'x': 0}", "at least one step"]),
        (lambda: simulate(filter_by_hand(), {}, {}), ["inputs have the lengths {}", "['x']"]),
        (
            lambda: simulate(
                SignalFlowGraph(("x",), ("y",), (Gain("d", "y", "W", "matrix"), Gain("x", "y"), Delay("y", "d"))),
                {"W": torch.eye(2)},
                {"x": torch.ones(3, 2)},
            ),
            ["the single number at node 'd'", "give initial['d']"],
        ),
        (lambda: gradient(_record(), {"x": torch.ones(3)}), ["3 steps of 'x'", "['y']"]),
        (lambda: gradient(_record(), {"y": torch.ones(2)}), ["2 steps of 'y'", "3 steps"]),
        (lambda: gradient(_record(), {"y": torch.ones(3)}, horizon=-1), ["horizon is -1", "at least 0"]),
        (lambda: graph_of_cell(Elman(2, 3), 0), ["batch_size is 0"]),
        (lambda: graph_of_cell(Branching(2, 2), 1), ["cannot be traced", "the rule bptt"]),
        (lambda: graph_of_cell(Random(2, 2), 1), ["draws random numbers", "dropout at 0"]),
    ],
)
def test_messages(make: Any, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)


def _record() -> Any:
    return simulate(filter_by_hand(), {name: torch.ones(()) for name in "wab"}, {"x": torch.ones(3)})


class Branching(Cell):
    """Asks for a number."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h + projected if float(projected.sum()) > 0 else state.h
        return h, HiddenState(h)


class Random(Cell):
    """Draws one."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = torch.nn.functional.dropout(state.h + projected, 0.5)
        return h, HiddenState(h)


class Turning(Cell):
    """Turns its state by an angle."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        turned = torch.complex(state.h, projected) * 1j
        return turned.real, HiddenState(turned.imag)


def test_complex_signals_are_refused() -> None:
    record = simulate(graph_of_cell(Turning(2, 2), 1), {}, {"x": torch.ones(3, 1, 2)})
    with pytest.raises(UsageError, match="is complex.*the rule bptt"):
        gradient(record, {"y": torch.ones(3, 1, 2)})
