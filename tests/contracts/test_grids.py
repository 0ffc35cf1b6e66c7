"""What every registered cell for grids must hold: its step, and the step swept over grids."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from join_contract import StepContract, close, inputs, make, stacked_weights, weights_of
from join_row import JoinRow
from rows.grids import ROWS
from torch import Tensor
from torch.func import functional_call, jvp, vmap

from recurra.cells import CELLS, cell_class, map_state
from recurra.errors import UsageError
from recurra.sweep import Swept, sweep

SIZES = {1: (5,), 2: (3, 4), 3: (2, 3, 2)}
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
full_rows = pytest.mark.parametrize("row", [row for row in ROWS if "bias" not in row.arguments], ids=lambda row: row.id)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
class TestTheStep(StepContract):
    pass


def directions(row: JoinRow) -> list[tuple[bool, ...]]:
    return list(itertools.product((False, True), repeat=row.slots))


def by_loops(row: JoinRow, cell: Any, x: np.ndarray, reverse: tuple[bool, ...]) -> dict[Any, Any]:
    """y and state of every point of one sample, x (size_1, ..., size_d, features), by nested loops."""
    weights, sizes = weights_of(cell), x.shape[:-1]
    found: dict[Any, Any] = {}
    axes = [reversed(range(size)) if back else range(size) for size, back in zip(sizes, reverse, strict=True)]
    for point in itertools.product(*map(list, axes)):
        slots = []
        for d, back in enumerate(reverse):
            neighbour = list(point)
            neighbour[d] += 1 if back else -1
            slots.append(found.get(tuple(neighbour), (None, None))[1])
        found[point] = row.step(weights, x[point], slots)
    return found


def plainly(cell: Any, x: Tensor) -> Tensor:
    """The outputs y of a 1-, 2- or 3-dimensional grid read forward, one call of the cell a point."""
    sizes, batch = x.shape[:-2], x.shape[-2]
    states: dict[Any, Any] = {}
    outputs = []
    for point in np.ndindex(*sizes):
        before = [tuple(p - (k == d) for k, p in enumerate(point)) for d in range(len(sizes))]
        present = torch.tensor([[place in states for place in before]] * batch)
        slots = [states.get(place, cell.initial_state(batch)) for place in before]
        y, states[point] = cell(x[point], map_state(lambda *parts: torch.stack(parts, 1), *slots), present)
        outputs.append(y)
    return torch.stack(outputs).reshape(*sizes, batch, -1)


def test_every_registered_cell_has_a_row() -> None:
    assert {row.name for row in ROWS} == {name for name, entry in CELLS.items() if entry.driver == "sweep"}


@every_row
def test_by_diagonals_is_by_nested_loops_in_every_direction(row: JoinRow) -> None:
    cell, sizes = make(row), SIZES[row.slots]
    x = inputs(row, *sizes, 2)
    for reverse in directions(row):
        swept = sweep(cell, x, reverse=reverse)
        for sample in range(2):
            wanted = by_loops(row, cell, x[..., sample, :].numpy(), reverse)
            for point, (y, state) in wanted.items():
                np.testing.assert_allclose(swept.y[point][sample].detach(), y, rtol=1e-11, atol=1e-12)
                for part, right in zip(swept.state, state, strict=True):
                    np.testing.assert_allclose(part[point][sample].detach(), right, rtol=1e-11, atol=1e-12)
        corner = tuple(0 if back else size - 1 for back, size in zip(reverse, sizes, strict=True))
        close((swept.last_y, swept.last_state), map_state(lambda part, at=corner: part[at], (swept.y, swept.state)))


@full_rows
@settings(max_examples=6, deadline=None, derandomize=True)
@given(data=st.data())
def test_padding_neighbours_and_order_change_nothing(row: JoinRow, data: st.DataObject) -> None:
    cell, d = make(row), row.slots
    batch = data.draw(st.integers(1, 3))
    lengths = [[data.draw(st.integers(0, 3)) for _ in range(d)] for _ in range(batch)]
    sizes = [max(one[k] for one in lengths) + data.draw(st.integers(0, 1)) for k in range(d)]
    reverse = tuple(data.draw(st.booleans()) for _ in range(d))
    valid = inputs(row, *sizes, batch)
    x = torch.full_like(valid, torch.nan)
    parts = [(*(slice(0, end) for end in one), slice(sample, sample + 1)) for sample, one in enumerate(lengths)]
    for part in parts:
        x[part] = valid[part]
    x.requires_grad_()
    swept = sweep(cell, x, lengths=lengths, reverse=reverse)
    alone_x = [valid[part].clone().requires_grad_() for part in parts]
    total = torch.zeros((), dtype=torch.float64)
    for sample, part in enumerate(parts):
        alone = sweep(cell, alone_x[sample], reverse=reverse)
        close(map_state(lambda of, part=part: of[part], (swept.y, swept.state)), (alone.y, alone.state))
        rest = torch.ones(sizes, dtype=torch.bool)
        rest[part[:-1]] = False
        assert bool((swept.y[rest, sample] == 0).all())
        close(map_state(lambda of, s=sample: of[s : s + 1], swept.last_state), alone.last_state)
        close(swept.last_y[sample : sample + 1], alone.last_y)
        total = total + alone.y.square().sum() + alone.last_state[0].square().sum()
    if 0 in sizes:
        return
    loss = swept.y.square().sum() + swept.last_state[0].square().sum()
    together = torch.autograd.grad(loss, [x, *cell.parameters()], materialize_grads=True)
    assert all(bool(gradient.isfinite().all()) for gradient in together)
    if total.requires_grad:
        apart = torch.autograd.grad(total, [*alone_x, *cell.parameters()], materialize_grads=True)
        close([together[0][part] for part in parts], list(apart[:batch]))
        close(list(together[1:]), list(apart[batch:]), 1e-11)
    for part in parts:
        outside = together[0][..., part[-1], :].clone()
        outside[part[:-1]] = 0
        assert not bool(outside.any())


@every_row
def test_gradients_are_those_of_point_by_point(row: JoinRow) -> None:
    cell, x = make(row), inputs(row, *SIZES[row.slots], 2).requires_grad_()
    factor = torch.randn(*x.shape[:-1], row.hidden, dtype=torch.float64)
    leaves = [x, *cell.parameters()]
    found = torch.autograd.grad((sweep(cell, x).y * factor).sum(), leaves)
    wanted = torch.autograd.grad((plainly(cell, x) * factor).sum(), leaves)
    close(list(found), list(wanted), 1e-11)


@full_rows
def test_jvp_and_double_backward_over_the_grid(row: JoinRow) -> None:
    cell, x = make(row), inputs(row, *SIZES[row.slots], 2)
    lengths = torch.tensor([SIZES[row.slots], [2] * row.slots])

    def run(x: Tensor) -> Tensor:
        swept = sweep(cell, x, lengths=lengths, reverse=True)
        return torch.cat([swept.y.flatten(), swept.last_state[0].flatten()])

    direction = torch.randn_like(x)
    _, found = jvp(run, (x,), (direction,))
    close(found, (run(x + 1e-6 * direction) - run(x - 1e-6 * direction)) / 2e-6, 1e-8)
    assert torch.autograd.gradgradcheck(run, (x.requires_grad_(),), fast_mode=True)


@full_rows
def test_vmap_over_weights_and_over_inputs_with_their_lengths(row: JoinRow) -> None:
    cells = [make(row, seed) for seed in range(3)]
    sizes = SIZES[row.slots]
    x = inputs(row, 2, *sizes, 2)
    lengths = torch.tensor([[sizes, [1] * row.slots], [[2] * row.slots, [0] * row.slots]])

    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cells[0]

        def forward(self, x: Tensor) -> Swept:
            return sweep(self.cell, x)

    many = {f"cell.{name}": weight for name, weight in stacked_weights(cells).items()}
    found = vmap(lambda weights: functional_call(Run(), weights, (x[0],)))(many)
    for index, cell in enumerate(cells):
        close(map_state(lambda part, index=index: part[index], found), sweep(cell, x[0]))
    found = vmap(lambda x, lengths: sweep(cells[0], x, lengths=lengths))(x, lengths)
    for index in range(2):
        wanted = sweep(cells[0], x[index], lengths=lengths[index])
        close(map_state(lambda part, index=index: part[index], found), wanted)


@full_rows
def test_grids_without_points_or_samples(row: JoinRow) -> None:
    cell, sizes = make(row), SIZES[row.slots]
    none = sweep(cell, inputs(row, *sizes[:-1], 0, 2))
    assert none.y.shape == (*sizes[:-1], 0, 2, row.hidden)
    assert not none.last_y.any()
    close(none.last_state, cell.initial_state(2))
    assert sweep(cell, inputs(row, *sizes, 0)).y.shape == (*sizes, 0, row.hidden)
    assert sweep(cell, inputs(row, *sizes, 0), lengths=torch.zeros(0, row.slots)).last_y.shape == (0, row.hidden)


def test_one_dimension_is_the_peephole_recurrence_along_a_chain() -> None:
    row = next(row for row in ROWS if row.name == "mdlstm" and row.slots == 1)
    cell, x = make(row), inputs(row, 6, 2)
    w, size = weights_of(cell), row.hidden
    w_i, w_f, w_g, w_o = (w["weight_ih"][k * size : (k + 1) * size] for k in range(4))
    u_i, u_f, u_g, u_o = (w["weight_hh"][k * size : (k + 1) * size] for k in range(4))
    b_i, b_f, b_g, b_o = (w["bias_ih"][k * size : (k + 1) * size] for k in range(4))
    p_i, p_f, p_o = (w["weight_ch"][k * size : (k + 1) * size] for k in range(3))

    def logistic(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    h = c = np.zeros((2, size))
    for t, x_t in enumerate(x.numpy()):
        i = logistic(x_t @ w_i.T + h @ u_i.T + p_i * c + b_i)
        f = logistic(x_t @ w_f.T + h @ u_f.T + p_f * c + b_f)
        c = f * c + i * np.tanh(x_t @ w_g.T + h @ u_g.T + b_g)
        h = logistic(x_t @ w_o.T + h @ u_o.T + p_o * c + b_o) * np.tanh(c)
        np.testing.assert_allclose(sweep(cell, x).y[t].detach(), h, rtol=1e-12, atol=1e-13)


def test_the_leaky_cell_stays_bounded_where_the_lstm_grows() -> None:
    x = torch.ones(12, 12, 1, 1, dtype=torch.float64)
    largest = {}
    for name in ("mdlstm", "md_leaky_lp"):
        kind, _ = cell_class(name)
        cell = kind(1, 1, dtype=torch.float64)
        with torch.no_grad():
            for weight in cell.parameters():
                weight.fill_(2.0)
            largest[name] = float(sweep(cell, x).state.c.abs().max())
    assert largest["md_leaky_lp"] <= 1.0
    assert largest["mdlstm"] > 1e3  # 2^paths: the sum over dimensions, with open forget gates


@pytest.mark.parametrize("name", ["mdrnn", "mdlstm", "md_leaky_lp"])
def test_arguments_of_the_constructors(name: str) -> None:
    kind, _ = cell_class(name)
    with pytest.raises(UsageError, match=f"{kind.__name__}: dimensions is 0. Needed: a positive whole number."):
        kind(3, 4, dimensions=0)
    if name == "mdrnn":
        with pytest.raises(UsageError, match="MDRNN: nonlinearity is 'sin'. Needed: 'tanh', 'sigmoid' or 'relu'."):
            kind(3, 4, nonlinearity="sin")
