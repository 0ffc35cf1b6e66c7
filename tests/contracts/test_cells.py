"""What every registered cell must hold, over the table in `cells.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells import TABLE, CellRow
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.func import functional_call, jacrev, jvp, vmap

from recurra.cells import CELLS, Cell, cell_class, map_state
from recurra.cells.state import state_tensors
from recurra.errors import ShapeError
from recurra.unroll import unroll

FEATURES, HIDDEN = 3, 4
FULL = [row for row in TABLE if "bias" not in row.arguments]
every_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
full_rows = pytest.mark.parametrize("row", FULL, ids=lambda row: row.id)


def make(row: CellRow, seed: int = 0, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(seed)
    kind, arguments = cell_class(row.name)
    return kind(FEATURES, HIDDEN, **arguments, **row.arguments, dtype=dtype)


def inputs(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_state(cell: Cell, batch: int, seed: int = 2) -> Any:
    generator = torch.Generator().manual_seed(seed)
    start = cell.initial_state(batch)
    return map_state(lambda part: torch.randn(part.shape, dtype=part.dtype, generator=generator), start)


def weights_of(cell: Cell) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy().copy() for name, weight in cell.named_parameters()}


def reference(row: CellRow, weights: dict[str, np.ndarray], x: np.ndarray, state: tuple[np.ndarray, ...]) -> Any:
    outputs = []
    for x_t in x:
        y, state = row.step(weights, x_t, state)
        outputs.append(y)
    return np.stack(outputs), state


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


def test_every_registered_cell_has_a_row() -> None:
    assert {row.name for row in TABLE} == set(CELLS)


def test_the_table_is_read_without_torch() -> None:
    code = "import sys; from recurra.cells.registry import CELLS; print('torch' in sys.modules, len(CELLS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", str(len(CELLS))]


@every_row
def test_the_numbers_are_the_papers(row: CellRow) -> None:
    cell, x = make(row), inputs(5, 2)
    state = random_state(cell, 2)
    assert tuple(part.shape[1] for part in state) == row.widths(HIDDEN)
    y, final = unroll(cell, x, state)
    wanted_y, wanted_final = reference(row, weights_of(cell), x.numpy(), tuple(part.numpy() for part in state))
    np.testing.assert_allclose(y.detach(), wanted_y, rtol=1e-12, atol=1e-13)
    for part, wanted in zip(final, wanted_final, strict=True):
        np.testing.assert_allclose(part.detach(), wanted, rtol=1e-12, atol=1e-13)


@every_row
def test_the_gradients_are_the_papers(row: CellRow) -> None:
    cell, x = make(row), inputs(4, 2).requires_grad_()
    state = map_state(lambda part: part.requires_grad_(), random_state(cell, 2))
    y, final = unroll(cell, x, state)
    chance = np.random.default_rng(0)
    factors = [chance.standard_normal(part.shape) for part in (y, *final)]
    sum((part * torch.from_numpy(factor)).sum() for part, factor in zip((y, *final), factors, strict=True)).backward()

    weights, parts = weights_of(cell), [part.detach().numpy().copy() for part in state]
    array = x.detach().numpy().copy()

    def loss() -> float:
        outputs, after = reference(row, weights, array, tuple(parts))
        return sum(float((part * factor).sum()) for part, factor in zip((outputs, *after), factors, strict=True))

    leaves = [(array, x.grad), *((p, t.grad) for p, t in zip(parts, state, strict=True))]
    leaves += [(weights[name], weight.grad) for name, weight in cell.named_parameters()]
    for values, gradient in leaves:
        wanted = np.zeros_like(values)
        for index in np.ndindex(values.shape):
            kept = values[index]
            values[index] = kept + 1e-6
            above = loss()
            values[index] = kept - 1e-6
            wanted[index] = (above - loss()) / 2e-6
            values[index] = kept
        np.testing.assert_allclose(gradient, wanted, rtol=1e-7, atol=1e-8)


@every_row
def test_steps_one_by_one_are_the_unrolled_loop(row: CellRow) -> None:
    cell, x = make(row), inputs(5, 3)
    y, final = unroll(cell, x)
    state, outputs = cell.initial_state(3), []
    for x_t in x:
        y_t, state = cell(x_t, state)
        outputs.append(y_t)
    close(y, torch.stack(outputs))
    close(final, state)


@every_row
def test_cut_in_two_with_the_state_carried_is_the_whole(row: CellRow) -> None:
    cell, x = make(row), inputs(7, 3)
    y, final = unroll(cell, x)
    for cut in (0, 1, 4, 7):
        first, state = unroll(cell, x[:cut])
        second, state = unroll(cell, x[cut:], state)
        close(torch.cat([first, second]), y)
        close(state, final)


@full_rows
@settings(max_examples=8, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(0, 7), min_size=1, max_size=7), extra=st.integers(0, 4), reverse=st.booleans())
def test_padding_neighbours_and_order_change_nothing(
    row: CellRow, lengths: list[int], extra: int, reverse: bool
) -> None:
    cell, steps, batch = make(row), max(lengths), len(lengths)
    x = torch.full((steps + extra, batch, FEATURES), float("nan"), dtype=torch.float64)
    valid = inputs(steps, batch, seed=steps + batch)
    for index, length in enumerate(lengths):
        x[:length, index] = valid[:length, index]
    x.requires_grad_()
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(0))
    y, final = unroll(cell, x[:, order], lengths=torch.tensor(lengths)[order], reverse=reverse)

    alone_x = [valid[:length, index : index + 1].clone().requires_grad_() for index, length in enumerate(lengths)]
    total = torch.zeros((), dtype=torch.float64)
    for place, index in enumerate(order.tolist()):
        y_alone, final_alone = unroll(cell, alone_x[index], reverse=reverse)
        close(y[: lengths[index], place : place + 1], y_alone)
        assert bool((y[lengths[index] :, place] == 0).all())
        close(map_state(lambda part, place=place: part[place : place + 1], final), final_alone)
        total = total + y_alone.square().sum() + final_alone[0].square().sum()
    if steps + extra == 0:
        return
    loss = y.square().sum() + final[0].square().sum()
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
    state = random_state(cell, 2)
    y, final = unroll(cell, inputs(0, 2), state)
    assert y.shape == (0, 2, cell.output_size)
    close(final, state)
    y, final = unroll(cell, inputs(3, 2), state, lengths=[0, 1])
    assert bool((y[:, 0] == 0).all())
    assert bool((y[1:, 1] == 0).all())
    close(map_state(lambda part: part[:1], final), map_state(lambda part: part[:1], state))
    close(y[:1, 1:], unroll(cell, inputs(3, 2)[:1, 1:], map_state(lambda part: part[1:], state))[0])
    assert unroll(cell, inputs(4, 0))[0].shape == (4, 0, cell.output_size)


def step_function(cell: Cell, state: Any) -> tuple[Any, tuple[Tensor, ...]]:
    """The step as a function of tensors alone: x, the parts of the state, the weights."""
    names, parts = [name for name, _ in cell.named_parameters()], len(state)

    def function(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = type(state)(*rest[:parts])
        y, after = functional_call(cell, dict(zip(names, rest[parts:], strict=True)), (x, given))
        return (y, *after)

    return function, (*state, *(weight.detach().clone() for weight in cell.parameters()))


@every_row
def test_gradcheck_and_double_backward(row: CellRow) -> None:
    cell = make(row)
    function, rest = step_function(cell, random_state(cell, 2))
    tensors = tuple(tensor.requires_grad_() for tensor in (inputs(2), *rest))
    assert torch.autograd.gradcheck(function, tensors, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, tensors, fast_mode=True)


@full_rows
def test_double_backward_through_time(row: CellRow) -> None:
    cell, x = make(row), inputs(3, 2).requires_grad_()

    def loop(x: Tensor) -> Tensor:
        return unroll(cell, x, lengths=[3, 2])[0]

    assert torch.autograd.gradgradcheck(loop, (x,), fast_mode=True)


@every_row
def test_jvp_is_the_jacobian_times_the_direction(row: CellRow) -> None:
    cell = make(row)
    function, rest = step_function(cell, random_state(cell, 2))
    tensors = (inputs(2), *rest)
    directions = tuple(torch.randn_like(tensor) for tensor in tensors)
    _, found = jvp(function, tensors, directions)
    jacobians = jacrev(function, argnums=tuple(range(len(tensors))))(*tensors)
    for part, rows in zip(found, jacobians, strict=True):
        flat = [j.reshape(part.numel(), -1) @ d.reshape(-1) for j, d in zip(rows, directions, strict=True)]
        close(part.reshape(-1), torch.stack(flat).sum(0))


@full_rows
def test_jvp_through_time(row: CellRow) -> None:
    cell, x = make(row), inputs(4, 2)
    direction = torch.randn_like(x)

    def loop(x: Tensor) -> Tensor:
        return unroll(cell, x, lengths=[4, 2])[0]

    _, found = jvp(loop, (x,), (direction,))
    step = 1e-6
    wanted = (loop(x + step * direction) - loop(x - step * direction)) / (2 * step)
    close(found, wanted, 1e-8)


@full_rows
def test_vmap_over_inputs_and_over_stacked_weights(row: CellRow) -> None:
    cells = [make(row, seed) for seed in range(3)]
    x, lengths = inputs(4, 2, 3), torch.tensor([[4, 0, 2], [1, 4, 3]])
    y = vmap(lambda x, lengths: unroll(cells[0], x, lengths=lengths)[0], in_dims=(1, 0), out_dims=1)(x, lengths)
    for index in range(2):
        close(y[:, index], unroll(cells[0], x[:, index], lengths=lengths[index])[0])

    stacked = {
        name: torch.stack([dict(cell.named_parameters())[name].detach() for cell in cells])
        for name, _ in cells[0].named_parameters()
    }
    state = random_state(cells[0], 5)
    x_t = inputs(5)
    y, after = vmap(lambda weights: functional_call(cells[0], weights, (x_t, state)))(stacked)
    for index, cell in enumerate(cells):
        wanted_y, wanted = cell(x_t, state)
        close(y[index], wanted_y)
        close(map_state(lambda part, index=index: part[index], after), wanted)


@full_rows
def test_the_step_exports_with_any_batch(row: CellRow) -> None:
    cell = make(row)
    state = random_state(cell, 2)
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        cell, (inputs(2), state), dynamic_shapes=({0: batch}, type(state)(*[{0: batch}] * len(state)))
    )
    x, state = inputs(5), random_state(cell, 5)
    y, after = program.module()(x, state)
    wanted_y, wanted = cell(x, state)
    close(y, wanted_y)
    close(after, wanted)


@every_row
def test_saved_weights_give_the_same_cell(row: CellRow, tmp_path: Path) -> None:
    cell, other, x = make(row, 0), make(row, 1), inputs(3, 2)
    assert not torch.equal(unroll(cell, x)[0], unroll(other, x)[0])
    save_file(cell.state_dict(), tmp_path / "cell.safetensors")
    other.load_state_dict(load_file(tmp_path / "cell.safetensors"))
    assert torch.equal(unroll(cell, x)[0], unroll(other, x)[0])


@full_rows
def test_elementwise_is_said_where_it_holds(row: CellRow) -> None:
    cell = make(row)
    state = random_state(cell, 1)

    def hidden(h: Tensor) -> Tensor:
        return cell(inputs(1) + 3.0, state._replace(h=h))[1].h

    jacobian = jacrev(hidden)(state.h)[0, :, 0, :]
    off_diagonal = jacobian - torch.diag(jacobian.diagonal())
    assert bool((off_diagonal == 0).all()) == cell.elementwise


@full_rows
def test_the_first_state_follows_the_weights_or_the_arguments(row: CellRow) -> None:
    cell = make(row, dtype=torch.float32)
    assert all(part.dtype == torch.float32 and not part.any() for part in cell.initial_state(3))
    assert all(part.dtype == torch.float64 for part in cell.initial_state(3, dtype=torch.float64))
    assert all(part.shape == (3, width) for part, width in zip(cell.initial_state(3), row.widths(HIDDEN), strict=True))


@full_rows
def test_messages_name_the_argument_and_both_shapes(row: CellRow) -> None:
    cell = make(row)
    name = type(cell).__name__
    state = cell.initial_state(2)
    with pytest.raises(ShapeError) as caught:
        cell(inputs(2)[:, :2], state)
    assert str(caught.value) == (
        f"{name}: x has shape (2, 2). Needed: (batch, 3), since input_size is 3. "
        "Cure: give 3 features, or build with input_size=2."
    )
    with pytest.raises(ShapeError, match=r"x has shape \(3,\), 1 dimensions\. Needed: \(batch, 3\)"):
        cell(inputs(2)[0], state)
    with pytest.raises(ShapeError, match="x is torch.float32. Needed: torch.float64 as the weights are"):
        cell(inputs(2).float(), state)
    with pytest.raises(ShapeError, match=rf"state.h has shape \(5, {state.h.shape[1]}\). Needed: \(2, "):
        cell(inputs(2), cell.initial_state(5))
    with pytest.raises(ShapeError, match=r"state is 7 parts. Needed: a tuple of \(h"):
        cell(inputs(2), (state.h,) * 7)
