"""What every registered cell must hold, over the table in `cells.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from row import CellRow
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.func import functional_call, grad, jacrev, jvp, vmap

from cells import TABLE
from recurra.cells import CELLS, Cell, cell_class, map_state
from recurra.cells.state import state_tensors
from recurra.errors import ShapeError, UsageError
from recurra.unroll import scan, unroll

FULL = [row for row in TABLE if "bias" not in row.arguments]
ALONG_TIME = {name for name, entry in CELLS.items() if entry.driver == "unroll"}
# The fast tests take these through everything and the others through their numbers; the slow ones take all.
CORE = ["elman", "lstm", "indrnn", "clockwork", "hm_rnn", "ctrnn", "gru_d", "mlstm"]


def over(rows: list[CellRow]) -> Any:
    """Run a test over these rows."""
    marks = {row.id: () if row.name in CORE else (pytest.mark.slow,) for row in rows}
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.id, marks=marks[row.id]) for row in rows])


every_row = over(TABLE)
full_rows = over(FULL)
smooth_rows = over([row for row in TABLE if row.differentiable])
smooth_full_rows = over([row for row in FULL if row.differentiable])


def make(row: CellRow, seed: int = 0, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(seed)
    kind, arguments = cell_class(row.name)
    return kind(row.features, row.hidden, **{**arguments, **row.arguments}, dtype=dtype)


def inputs(row: CellRow, *shape: int, seed: int = 1) -> Tensor:
    x = torch.randn(*shape, row.features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x if row.inputs is None else row.inputs(x)


def random_state(row: CellRow, cell: Cell, batch: int, seed: int = 2) -> Any:
    generator = torch.Generator().manual_seed(seed)
    if row.state is not None:
        return row.state(cell, batch, generator)
    start = cell.initial_state(batch)
    return map_state(lambda part: torch.randn(part.shape, dtype=part.dtype, generator=generator), start)


def times(cell: Cell, *shape: int) -> Any:
    """Irregular times for a cell that knows time, else none."""
    if not cell.continuous_time:
        return None
    return 0.1 + torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def filled(like: Any, tensors: Any) -> Any:
    """A state of the structure of `like` that holds the tensors given in order."""
    rest = iter(tensors)
    return map_state(lambda _: next(rest), like)


def first_part(state: Any) -> Tensor:
    return state_tensors(state)[0]


def weights_of(cell: Cell) -> dict[str, np.ndarray]:
    named = [*cell.named_parameters(), *cell.named_buffers()]
    return {name: weight.detach().numpy().copy() for name, weight in named}


def reference(
    row: CellRow, weights: dict[str, np.ndarray], x: np.ndarray, state: tuple[np.ndarray, ...], dt: Any = None
) -> Any:
    outputs = []
    for t, x_t in enumerate(x):
        y, state = row.step(weights, x_t, state) if dt is None else row.step(weights, x_t, state, dt[t][:, None])
        outputs.append(y)
    return np.stack(outputs), state


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


def test_every_registered_cell_has_a_row() -> None:
    assert {row.name for row in TABLE} == ALONG_TIME


def test_the_table_is_read_without_torch() -> None:
    code = "import sys; from recurra.cells.registry import CELLS; print('torch' in sys.modules, len(CELLS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", str(len(CELLS))]


def widths_of(state: Any) -> tuple[Any, ...]:
    return tuple(part.shape[1] if part.dim() == 2 else tuple(part.shape[1:]) for part in state_tensors(state))


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


def step_function(cell: Cell, state: Any) -> tuple[Any, tuple[Tensor, ...]]:
    """The step as a function of tensors alone: x, the parts of the state, the weights."""
    names, parts = [name for name, _ in cell.named_parameters()], state_tensors(state)

    def function(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = filled(state, rest[: len(parts)])
        weights = dict(zip(names, rest[len(parts) :], strict=True))
        y, after = functional_call(cell, weights, (x, given))
        return (y, *state_tensors(after))

    return function, (*parts, *(weight.detach().clone() for weight in cell.parameters()))


@smooth_rows
def test_gradcheck_and_double_backward(row: CellRow) -> None:
    cell = make(row)
    function, rest = step_function(cell, random_state(row, cell, 2))
    tensors = tuple(tensor.requires_grad_() for tensor in (inputs(row, 2), *rest))
    assert torch.autograd.gradcheck(function, tensors, fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(function, tensors, fast_mode=True)


@smooth_full_rows
def test_double_backward_through_time(row: CellRow) -> None:
    cell, x = make(row), inputs(row, 3, 2).requires_grad_()

    def loop(x: Tensor) -> Tensor:
        return unroll(cell, x, lengths=[3, 2])[0]

    assert torch.autograd.gradgradcheck(loop, (x,), fast_mode=True)


@every_row
def test_jvp_is_the_jacobian_times_the_direction(row: CellRow) -> None:
    cell = make(row)
    function, rest = step_function(cell, random_state(row, cell, 2))
    tensors = (inputs(row, 2), *rest)
    directions = tuple(torch.randn_like(tensor) for tensor in tensors)
    _, found = jvp(function, tensors, directions)
    jacobians = jacrev(function, argnums=tuple(range(len(tensors))))(*tensors)
    for part, rows in zip(found, jacobians, strict=True):
        flat = [j.reshape(part.numel(), d.numel()) @ d.reshape(-1) for j, d in zip(rows, directions, strict=True)]
        close(part.reshape(-1), torch.stack(flat).sum(0))


@smooth_full_rows
def test_jvp_through_time(row: CellRow) -> None:
    cell, x = make(row), inputs(row, 4, 2)
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
    x, lengths = inputs(row, 4, 2, 3), torch.tensor([[4, 0, 2], [1, 4, 3]])
    y = vmap(lambda x, lengths: unroll(cells[0], x, lengths=lengths)[0], in_dims=(1, 0), out_dims=1)(x, lengths)
    for index in range(2):
        close(y[:, index], unroll(cells[0], x[:, index], lengths=lengths[index])[0])

    stacked = {
        name: torch.stack([dict(cell.named_parameters())[name].detach() for cell in cells])
        for name, _ in cells[0].named_parameters()
    }
    state = random_state(row, cells[0], 5)
    x_t = inputs(row, 5)
    y, after = vmap(lambda weights: functional_call(cells[0], weights, (x_t, state)))(stacked)
    for index, cell in enumerate(cells):
        wanted_y, wanted = cell(x_t, state)
        close(y[index], wanted_y)
        close(map_state(lambda part, index=index: part[index], after), wanted)


@smooth_full_rows
def test_gradients_of_single_sequences(row: CellRow) -> None:
    cell, x, lengths = make(row), inputs(row, 3, 2), torch.tensor([3, 2])
    weights = {name: weight.detach() for name, weight in cell.named_parameters()}

    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor, length: Tensor) -> Tensor:
            return unroll(self.cell, x.unsqueeze(1), lengths=length.unsqueeze(0))[0]

    run = Run()

    def loss(weights: Any, x: Tensor, length: Tensor) -> Tensor:
        named = {f"cell.{name}": weight for name, weight in weights.items()}
        return functional_call(run, named, (x, length)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 1, 0))(weights, x, lengths)
    for index in range(2):
        alone = unroll(cell, x[:, index : index + 1], lengths=lengths[index : index + 1])[0].square().sum()
        wanted = torch.autograd.grad(alone, list(cell.parameters()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(weights, wanted, strict=True):
            close(found[name][index], gradient, 1e-10)


@full_rows
def test_the_step_exports_with_any_batch(row: CellRow) -> None:
    cell = make(row)
    state = random_state(row, cell, 2)
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        cell, (inputs(row, 2), state), dynamic_shapes=({0: batch}, map_state(lambda _: {0: batch}, state))
    )
    x, state = inputs(row, 5), random_state(row, cell, 5)
    y, after = program.module()(x, state)
    wanted_y, wanted = cell(x, state)
    close(y, wanted_y)
    close(after, wanted)


@every_row
def test_saved_weights_give_the_same_cell(row: CellRow, tmp_path: Path) -> None:
    cell, other, x = make(row, 0), make(row, 1), inputs(row, 3, 2)
    assert not row.free_weights or not torch.equal(unroll(cell, x)[0], unroll(other, x)[0])
    save_file(cell.state_dict(), tmp_path / "cell.safetensors")
    other.load_state_dict(load_file(tmp_path / "cell.safetensors"))
    assert torch.equal(unroll(cell, x)[0], unroll(other, x)[0])


@full_rows
def test_elementwise_is_said_where_it_holds(row: CellRow) -> None:
    cell = make(row)
    state = random_state(row, cell, 1)
    x = inputs(row, 1) + (0.0 if row.inputs else 3.0)

    def hidden(first: Tensor) -> Tensor:
        return first_part(cell(x, filled(state, [first, *state_tensors(state)[1:]]))[1])

    size = first_part(state).numel()
    jacobian = jacrev(hidden)(first_part(state)).reshape(size, size)
    off_diagonal = jacobian - torch.diag(jacobian.diagonal())
    assert bool((off_diagonal == 0).all()) == cell.elementwise


@full_rows
def test_linear_cells_are_linear_and_run_as_a_scan(row: CellRow) -> None:
    cell = make(row)
    if not cell.linear:
        with pytest.raises(UsageError, match=f"{type(cell).__name__} is not linear in its state"):
            scan(cell, inputs(row, 3, 2))
        return
    x, state = inputs(row, 13, 3), random_state(row, cell, 3)
    close(scan(cell, x, state, all_states=True), unroll(cell, x, state, all_states=True), 1e-9)
    close(scan(cell, x[:1], state), unroll(cell, x[:1], state), 1e-9)
    close(scan(cell, x[:0], state), unroll(cell, x[:0], state))
    mask = torch.rand(13, 3, generator=torch.Generator().manual_seed(3)) < 0.6
    for reverse in (False, True):
        options: dict[str, Any] = {"lengths": [13, 0, 6], "mask": mask, "reverse": reverse, "all_states": True}
        padded = torch.where(mask.unsqueeze(-1), x, torch.full_like(x, float("nan"))).requires_grad_()
        results = [run(cell, padded, state, **options) for run in (scan, unroll)]
        close(results[0], results[1], 1e-9)
        gradients = [
            torch.autograd.grad((y * y).sum() + first_part(last).sum(), [padded, *cell.parameters()], allow_unused=True)
            for y, last, _ in results
        ]
        for ours, wanted in zip(*gradients, strict=True):
            assert (ours is None) == (wanted is None)
            if ours is not None:
                close(ours, wanted, 1e-8)


@full_rows
def test_linear_cells_hold_no_memory_of_each_others_weights_in_a_scan(row: CellRow) -> None:
    cell = make(row)
    if not cell.linear:
        return
    cells = [make(row, seed) for seed in range(2)]
    x = inputs(row, 5, 2)
    stacked = {
        name: torch.stack([dict(one.named_parameters())[name].detach() for one in cells])
        for name, _ in cell.named_parameters()
    }

    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, x: Tensor) -> Tensor:
            return scan(self.cell, x)[0]

    run = Run()
    y = vmap(lambda weights: functional_call(run, {f"cell.{name}": w for name, w in weights.items()}, (x,)))(stacked)
    for index, one in enumerate(cells):
        close(y[index], unroll(one, x)[0], 1e-9)
    direction = torch.randn_like(x)
    _, found = jvp(lambda x: scan(cell, x)[0], (x,), (direction,))
    close(found, jvp(lambda x: unroll(cell, x)[0], (x,), (direction,))[1], 1e-9)


@full_rows
def test_the_first_state_follows_the_weights_or_the_arguments(row: CellRow) -> None:
    cell = make(row, dtype=torch.float32)
    start = state_tensors(cell.initial_state(3))
    assert all(part.dtype == torch.float32 and (not row.zero_start or not part.any()) for part in start)
    assert all(part.dtype == torch.float64 for part in state_tensors(cell.initial_state(3, dtype=torch.float64)))
    assert all(part.shape[0] == 3 for part in start)
    assert widths_of(cell.initial_state(3)) == row.widths(row.hidden)


@full_rows
def test_the_recurrent_weights_and_gates_are_where_the_cell_says(row: CellRow) -> None:
    cell = make(row)
    weights = dict(cell.named_parameters())
    assert all(name in weights for name in cell.recurrent_weights)
    for gate in (cell.keep_gate, cell.write_gate):
        if gate is not None:
            assert len(weights[gate.bias]) % gate.count == 0 and 0 <= gate.index < gate.count and abs(gate.sign) == 1
    if cell.keep_gate is not None:
        # With the gate wide open for keeping, a part of the state stays as it was.
        gate, bias = cell.keep_gate, weights[cell.keep_gate.bias]
        block = len(bias) // gate.count
        with torch.no_grad():
            bias[gate.index * block : (gate.index + 1) * block] = 60.0 * gate.sign
            if cell.write_gate is not None:
                other = cell.write_gate
                size = len(weights[other.bias]) // other.count
                weights[other.bias][other.index * size : (other.index + 1) * size] = -60.0 * other.sign
        state = random_state(row, cell, 2)
        after = state_tensors(cell(inputs(row, 2), state)[1])
        pairs = list(zip(state_tensors(state), after, strict=True))
        assert any(torch.allclose(before, part, rtol=1e-9, atol=1e-9) for before, part in pairs)


@full_rows
def test_time_between_steps_is_taken_by_those_who_know_it(row: CellRow) -> None:
    cell, x = make(row), inputs(row, 4, 2)
    if not cell.continuous_time:
        with pytest.raises(UsageError, match="dt was given, and .* does not know the time between steps"):
            unroll(cell, x, dt=0.5)
        with pytest.raises(UsageError, match="dt was given"):
            cell(x[0], cell.initial_state(2), 0.5)
        return
    dt = times(cell, 4, 2)
    state = random_state(row, cell, 2)
    assert not torch.allclose(unroll(cell, x, state, dt=dt)[0], unroll(cell, x, state, dt=3 * dt)[0])
    close(unroll(cell, x, state, dt=0.3), unroll(cell, x, state, dt=torch.full((4, 2), 0.3, dtype=torch.float64)))
    with pytest.raises(ShapeError, match=r"dt has shape \(4,\). Needed: a number, or a tensor \(4, 2\)"):
        unroll(cell, x, dt=dt[:, 0])
    # A step left out passes its time on to the next one.
    mask = torch.tensor([[True, True], [False, True], [True, False], [True, True]])
    y, final = unroll(cell, x, state, mask=mask, dt=dt)
    first = torch.stack([dt[0, 0], dt[1, 0] + dt[2, 0], dt[3, 0]]).unsqueeze(1)
    y_first, final_first = unroll(cell, x[[0, 2, 3], :1], map_state(lambda part: part[:1], state), dt=first)
    close(y[[0, 2, 3], :1], y_first)
    close(map_state(lambda part: part[:1], final), final_first)


@full_rows
def test_messages_name_the_argument_and_both_shapes(row: CellRow) -> None:
    cell = make(row)
    name, features = type(cell).__name__, row.features
    state, x = cell.initial_state(2), inputs(row, 2)
    with pytest.raises(ShapeError) as caught:
        cell(x[:, 1:], state)
    assert str(caught.value) == (
        f"{name}: x has shape (2, {features - 1}). Needed: (batch, {features}), since input_size is {features}. "
        f"Cure: give {features} features, or build with input_size={features - 1}."
    )
    with pytest.raises(ShapeError, match=rf"x has shape \({features},\), 1 dimensions\. Needed: \(batch, {features}\)"):
        cell(x[0], state)
    with pytest.raises(ShapeError, match="x is torch.float32. Needed: torch.float64 as the weights are"):
        cell(x.float(), state)
    with pytest.raises(ShapeError, match=r"state[\w.\[\]]* has shape \(5, .*\). Needed: \(2, "):
        cell(x, cell.initial_state(5))
    with pytest.raises(ShapeError, match=r"state is 7 parts. Needed: a tuple of "):
        cell(x, (first_part(state),) * 7)
