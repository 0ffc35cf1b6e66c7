"""What every registered cell must hold, over the table in `cells.py`: the numbers of the papers, step by step."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from cell_cases import (
    ALONG_TIME,
    close,
    every_row,
    first_part,
    full_rows,
    inputs,
    make,
    random_state,
    reference,
    smooth_rows,
    times,
    weights_of,
    widths_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from row import CellRow

from cells import TABLE
from recurra.cells import CELLS, map_state
from recurra.cells.state import state_tensors
from recurra.unroll import unroll


def test_every_registered_cell_has_a_row() -> None:
    assert {row.name for row in TABLE} == ALONG_TIME


def test_the_table_is_read_without_torch() -> None:
    code = "import sys; from recurra.cells.registry import CELLS; print('torch' in sys.modules, len(CELLS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", str(len(CELLS))]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
@pytest.mark.parametrize("with_times", [False, True], ids=["", "dt"])
def test_the_numbers_are_the_papers(row: CellRow, with_times: bool) -> None:
    cell, x = make(row), inputs(row, 5, 2)
    if with_times and not cell.continuous_time:
        return
    dt = times(cell, 5, 2) if with_times else None
    state = random_state(row, cell, 2)
    assert widths_of(state) == row.widths(row.hidden)
    y, final = unroll(cell, x, state, dt=dt)
    parts = tuple(part.numpy() for part in state_tensors(state))
    wanted_y, wanted_final = reference(row, weights_of(cell), x.numpy(), parts, None if dt is None else dt.numpy())
    np.testing.assert_allclose(y.detach(), wanted_y, rtol=row.tolerance, atol=row.tolerance / 10)
    for part, wanted in zip(state_tensors(final), wanted_final, strict=True):
        np.testing.assert_allclose(part.detach(), wanted, rtol=row.tolerance, atol=row.tolerance / 10)


@smooth_rows
def test_the_gradients_are_the_papers(row: CellRow) -> None:
    cell, x = make(row), inputs(row, 4, 2).requires_grad_()
    state = map_state(lambda part: part.requires_grad_(), random_state(row, cell, 2))
    dt = times(cell, 4, 2)
    y, final = unroll(cell, x, state, dt=dt)
    ends = (y, *state_tensors(final))
    chance = np.random.default_rng(0)
    factors = [chance.standard_normal(part.shape) for part in ends]
    sum((part * torch.from_numpy(factor)).sum() for part, factor in zip(ends, factors, strict=True)).backward()

    weights, parts = weights_of(cell), [part.detach().numpy().copy() for part in state_tensors(state)]
    array = x.detach().numpy().copy()
    time = None if dt is None else dt.numpy()

    def loss() -> float:
        outputs, after = reference(row, weights, array, tuple(parts), time)
        return sum(float((part * factor).sum()) for part, factor in zip((outputs, *after), factors, strict=True))

    leaves = [(array, x.grad), *((p, t.grad) for p, t in zip(parts, state_tensors(state), strict=True))]
    leaves += [(weights[name], weight.grad) for name, weight in cell.named_parameters()]
    for values, gradient in leaves:
        wanted = np.zeros_like(values)
        for index in np.ndindex(values.shape):
            kept, around = values[index], []
            for steps in (1, -1, 2, -2):
                values[index] = kept + steps * 3e-5
                around.append(loss())
            wanted[index] = (8 * (around[0] - around[1]) - (around[2] - around[3])) / (12 * 3e-5)
            values[index] = kept
        found = np.zeros_like(values) if gradient is None else gradient
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-8)


@every_row
def test_steps_one_by_one_are_the_unrolled_loop(row: CellRow) -> None:
    cell, x = make(row), inputs(row, 5, 3)
    dt = times(cell, 5, 3)
    y, final, states = unroll(cell, x, dt=dt, all_states=True)
    state, outputs = cell.initial_state(3), []
    for t, x_t in enumerate(x):
        y_t, state = cell(x_t, state) if dt is None else cell(x_t, state, dt[t])
        outputs.append(y_t)
        close(map_state(lambda part, t=t: part[t], states), state)
    close(y, torch.stack(outputs))
    close(final, state)


@every_row
def test_cut_in_two_with_the_state_carried_is_the_whole(row: CellRow) -> None:
    cell, x = make(row), inputs(row, 7, 3)
    dt = times(cell, 7, 3)
    y, final = unroll(cell, x, dt=dt)
    for cut in (0, 1, 4, 7):
        first, state = unroll(cell, x[:cut], dt=None if dt is None else dt[:cut])
        second, state = unroll(cell, x[cut:], state, dt=None if dt is None else dt[cut:])
        close(torch.cat([first, second]), y)
        close(state, final)


@full_rows
@settings(max_examples=8, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=7), extra=st.integers(0, 4), reverse=st.booleans())
def test_padding_neighbours_and_order_change_nothing(
    row: CellRow, lengths: list[int], extra: int, reverse: bool
) -> None:
    cell, steps, batch = make(row), max(lengths), len(lengths)
    x = torch.full((steps + extra, batch, row.features), float("nan"), dtype=torch.float64)
    valid = inputs(row, steps, batch, seed=steps + batch)
    for index, length in enumerate(lengths):
        x[:length, index] = valid[:length, index]
    x.requires_grad_()
    dt = times(cell, steps + extra, batch)
    if dt is not None:
        for index, length in enumerate(lengths):
            dt[length:, index] = float("nan")
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(0))
    given = torch.tensor(lengths)[order]
    y, final = unroll(cell, x[:, order], lengths=given, dt=None if dt is None else dt[:, order], reverse=reverse)

    alone_x = [valid[:length, index : index + 1].clone().requires_grad_() for index, length in enumerate(lengths)]
    total = torch.zeros((), dtype=torch.float64)
    for place, index in enumerate(order.tolist()):
        time = None if dt is None else dt[: lengths[index], index : index + 1]
        y_alone, final_alone = unroll(cell, alone_x[index], dt=time, reverse=reverse)
        close(y[: lengths[index], place : place + 1], y_alone)
        assert bool((y[lengths[index] :, place] == 0).all())
        close(map_state(lambda part, place=place: part[place : place + 1], final), final_alone)
        total = total + y_alone.square().sum() + first_part(final_alone).square().sum()
    if steps + extra == 0 or not y.requires_grad:
        return
    loss = y.square().sum() + first_part(final).square().sum()
    together = torch.autograd.grad(loss, [x, *cell.parameters()], materialize_grads=True)
    if total.requires_grad:
        apart = torch.autograd.grad(total, [*alone_x, *cell.parameters()], materialize_grads=True)
        for index, length in enumerate(lengths):
            close(together[0][:length, index : index + 1], apart[index])
        close(list(together[1:]), list(apart[batch:]), 1e-11)
    for index, length in enumerate(lengths):
        assert bool((together[0][length:, index] == 0).all())


@every_row
def test_no_steps_and_one_step(row: CellRow) -> None:
    cell = make(row)
    state = random_state(row, cell, 2)
    y, final = unroll(cell, inputs(row, 0, 2), state)
    assert y.shape == (0, 2, cell.output_size)
    close(final, state)
    y, final = unroll(cell, inputs(row, 3, 2), state, lengths=[0, 1])
    assert bool((y[:, 0] == 0).all())
    assert bool((y[1:, 1] == 0).all())
    close(map_state(lambda part: part[:1], final), map_state(lambda part: part[:1], state))
    close(y[:1, 1:], unroll(cell, inputs(row, 3, 2)[:1, 1:], map_state(lambda part: part[1:], state))[0])
    assert unroll(cell, inputs(row, 4, 0))[0].shape == (4, 0, cell.output_size)
