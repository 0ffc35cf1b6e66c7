"""What every registered cell for trees must hold: its step, and the step folded up trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from join_contract import StepContract, close, inputs, make, stacked_weights, weights_of
from join_row import JoinRow
from rows.trees import ROWS
from torch import Tensor
from torch.func import functional_call, jvp, vmap

from recurra.cells import CELLS, map_state
from recurra.errors import UsageError
from recurra.fold import Folded, Forest, fold

SMALL = Forest([(1, 4), (2,), (), (), (5, 3), (6,), ()] + [()])
"""Two trees: one with a leaf at three depths and nodes with one and two children, and one of a single node."""

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
full_rows = pytest.mark.parametrize(
    "row", [row for row in ROWS if not {"bias", "leaf"} & set(row.arguments)], ids=lambda row: row.id
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
class TestTheStep(StepContract):
    pass


def forests(most: int) -> st.SearchStrategy[Forest]:
    """Random forests, whose nodes have random numbers."""

    @st.composite
    def draw(take: Any) -> Forest:
        count = take(st.integers(0, 12))
        room = {node: most for node in range(count)}
        number = take(st.permutations(range(count)))
        parents: list[int | None] = [None] * count
        for index in range(1, count):
            free = [other for other in range(index) if room[other]]
            choice = take(st.sampled_from([None, *free]))
            if choice is not None:
                parents[number[index]] = number[choice]
                room[choice] -= 1
        return Forest.from_parents(parents)

    return draw()


def by_recursion(row: JoinRow, cell: Any, forest: Forest, x: np.ndarray) -> dict[int, tuple[np.ndarray, ...]]:
    """y and state of every node, each by itself, with the reference's step."""
    weights = weights_of(cell)
    found: dict[int, tuple[np.ndarray, ...]] = {}

    def visit(node: int) -> tuple[np.ndarray, ...]:
        below = [visit(child) for child in forest.children[node]]
        slots = [*below, *[None] * (max(cell.slots or 0, len(below)) - len(below))]
        y, state = row.step(weights, x[node], slots)
        found[node] = (y, *state)
        return state

    for root in forest.roots:
        visit(root)
    return found


def plainly(cell: Any, forest: Forest, x: Tensor) -> Tensor:
    """The outputs of all nodes, one call of the cell a node, for gradients to compare with."""
    outputs: dict[int, Tensor] = {}

    def visit(node: int) -> Any:
        below = [visit(child) for child in forest.children[node]]
        none = cell.initial_state(1, dtype=x.dtype)
        width = cell.slots or max(1, len(below))
        filled = [*below, *[none] * (width - len(below))]
        states = map_state(lambda *parts: torch.stack(parts, 1), *filled)
        present = torch.tensor([[slot < len(below) for slot in range(width)]])
        outputs[node], state = cell(x[node : node + 1], states, present)
        return state

    for root in forest.roots:
        visit(root)
    return torch.cat([outputs[node] for node in range(len(forest))])


def test_every_registered_cell_has_a_row() -> None:
    assert {row.name for row in ROWS} == {name for name, entry in CELLS.items() if entry.driver == "fold"}


@every_row
@settings(max_examples=10, deadline=None, derandomize=True)
@given(data=st.data())
def test_level_by_level_is_node_by_node(row: JoinRow, data: st.DataObject) -> None:
    cell = make(row)
    forest = data.draw(forests(cell.slots or 4))
    x = inputs(row, len(forest))
    folded = fold(cell, forest, x)
    wanted = by_recursion(row, cell, forest, x.numpy())
    assert folded.y.shape == (len(forest), row.hidden)
    for node in range(len(forest)):
        for part, right in zip((folded.y, *folded.state), wanted[node], strict=True):
            np.testing.assert_allclose(part[node].detach(), right, rtol=1e-11, atol=1e-12)
    close(folded.root_y, folded.y[list(forest.roots)])
    close(folded.root_state, map_state(lambda part: part[list(forest.roots)], folded.state))


@full_rows
@settings(max_examples=6, deadline=None, derandomize=True)
@given(data=st.data())
def test_neighbours_and_the_order_of_nodes_change_nothing(row: JoinRow, data: st.DataObject) -> None:
    cell = make(row)
    one, other = data.draw(forests(cell.slots or 3)), data.draw(forests(cell.slots or 3))
    x_one, x_other = inputs(row, len(one)), inputs(row, len(other), seed=5)
    alone = fold(cell, one, x_one)
    together = fold(cell, Forest.join([other, one]), torch.cat([x_other, x_one]))
    close(map_state(lambda part: part[len(other) :], (together.y, together.state)), (alone.y, alone.state))

    order = data.draw(st.permutations(range(len(one))))  # node order[i] gets the number i
    number = {node: index for index, node in enumerate(order)}
    renamed = Forest([tuple(number[child] for child in one.children[node]) for node in order])
    moved = fold(cell, renamed, x_one[list(order)])
    close((moved.y, moved.state), map_state(lambda part: part[list(order)], (alone.y, alone.state)))


@every_row
def test_gradients_are_those_of_node_by_node(row: JoinRow) -> None:
    cell, x = make(row), inputs(row, len(SMALL)).requires_grad_()
    factor = torch.randn(len(SMALL), row.hidden, dtype=torch.float64)
    leaves = [x, *cell.parameters()]
    found = torch.autograd.grad((fold(cell, SMALL, x).y * factor).sum(), leaves)
    wanted = torch.autograd.grad((plainly(cell, SMALL, x) * factor).sum(), leaves)
    close(list(found), list(wanted))


@full_rows
def test_jvp_and_double_backward_up_the_tree(row: JoinRow) -> None:
    cell, x = make(row), inputs(row, len(SMALL))

    def run(x: Tensor) -> Tensor:
        return fold(cell, SMALL, x).y

    direction = torch.randn_like(x)
    _, found = jvp(run, (x,), (direction,))
    close(found, (run(x + 1e-6 * direction) - run(x - 1e-6 * direction)) / 2e-6, 1e-8)
    assert torch.autograd.gradgradcheck(run, (x.requires_grad_(),), fast_mode=True)


@full_rows
def test_vmap_over_weights_and_inputs(row: JoinRow) -> None:
    cells = [make(row, seed) for seed in range(3)]
    x = inputs(row, 2, len(SMALL))

    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cells[0]

        def forward(self, x: Tensor) -> Folded:
            return fold(self.cell, SMALL, x)

    many = {f"cell.{name}": weight for name, weight in stacked_weights(cells).items()}
    found = vmap(lambda weights: functional_call(Run(), weights, (x[0],)))(many)
    for index, cell in enumerate(cells):
        close(map_state(lambda part, index=index: part[index], found), fold(cell, SMALL, x[0]))
    found = vmap(lambda x: fold(cells[0], SMALL, x))(x)
    for index in range(2):
        close(map_state(lambda part, index=index: part[index], found), fold(cells[0], SMALL, x[index]))


@full_rows
def test_no_trees_and_trees_of_one_node(row: JoinRow) -> None:
    cell = make(row)
    empty = fold(cell, Forest(()), inputs(row, 0))
    assert empty.y.shape == empty.root_y.shape == (0, row.hidden)
    assert all(part.shape == (0, row.hidden) for part in (*empty.state, *empty.root_state))
    x = inputs(row, 3)
    single = fold(cell, Forest([(), (), ()]), x)
    states = map_state(lambda part: part.new_zeros(3, row.slots, row.hidden), cell.initial_state(3))
    close((single.y, single.state), cell(x, states, torch.zeros(3, row.slots, dtype=torch.bool)))
    close(single.root_y, single.y)


@full_rows
def test_too_many_children(row: JoinRow) -> None:
    cell = make(row)
    forest = Forest([(), (0, 2, 3, 4), (), (), ()])
    if cell.slots is None:
        assert fold(cell, forest, inputs(row, 5)).root_y.shape == (1, row.hidden)
        return
    with pytest.raises(UsageError) as caught:
        fold(cell, forest, inputs(row, 5))
    name = type(cell).__name__
    assert str(caught.value) == (
        f"fold: node 1 has 4 children. Needed: at most {cell.slots} a node, as {name} joins {cell.slots}. "
        f"Cure: build {name} with max_children=4."
    )


def test_child_sum_knows_no_order_and_the_others_do() -> None:
    forward, backward = Forest([(1, 2), (), ()]), Forest([(2, 1), (), ()])
    for row in ROWS:
        cell, x = make(row), inputs(row, 3)
        one, other = fold(cell, forward, x).root_y, fold(cell, backward, x).root_y
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-13) == (row.name == "child_sum_tree_lstm")


def test_the_forget_gates_read_x() -> None:
    row = next(row for row in ROWS if row.name == "child_sum_tree_lstm")
    cell, present = make(row), torch.ones(1, 3, dtype=torch.bool)
    states = cell.initial_state(3)._replace(c=torch.ones(3, 4, dtype=torch.float64))
    states = map_state(lambda part: part.unsqueeze(0), states)
    with torch.no_grad():
        cell.weight_ih.zero_()[4:8] = 1.0  # of the forget gate alone
        cell.bias_ih.zero_()
        closed = cell(torch.full((1, 3), -50.0, dtype=torch.float64), states, present)[1].c
        opened = cell(torch.full((1, 3), 50.0, dtype=torch.float64), states, present)[1].c
    close(closed, torch.zeros(1, 4, dtype=torch.float64))
    close(opened, torch.full((1, 4), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("name", ["recursive", "rntn", "nary_tree_lstm"])
def test_arguments_of_the_constructors(name: str) -> None:
    from recurra.cells import cell_class

    kind, _ = cell_class(name)
    with pytest.raises(UsageError, match="max_children is 0. Needed: a positive whole number."):
        kind(3, 4, max_children=0)
    if name == "nary_tree_lstm":
        return
    with pytest.raises(UsageError, match="leaf is 'none'. Needed: 'project' or 'identity'."):
        kind(3, 4, leaf="none")
    with pytest.raises(UsageError, match="input_size is 3 and hidden_size 4. Needed: the same number"):
        kind(3, 4, leaf="identity")
    if name == "recursive":
        with pytest.raises(UsageError, match="nonlinearity is 'sin'. Needed: 'tanh', 'sigmoid' or 'relu'."):
            kind(3, 4, nonlinearity="sin")
