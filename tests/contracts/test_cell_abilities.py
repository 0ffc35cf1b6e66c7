"""What every registered cell says of itself, and how it is exported, saved and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cell_cases import close, every_row, filled, first_part, full_rows, inputs, make, random_state, times, widths_of
from row import CellRow
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.func import functional_call, jacrev, jvp, vmap

from recurra.cells import map_state
from recurra.cells.state import state_tensors
from recurra.errors import ShapeError, UsageError
from recurra.unroll import scan, unroll


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

    # Units may reach one another by any part of the state that has a number for each of them: by spikes, say.
    parts = state_tensors(state)
    own = tuple(number for number, part in enumerate(parts) if part.shape == parts[0].shape)
    size = parts[0].numel()

    def after(*parts: Tensor) -> Tensor:
        found = state_tensors(cell(x, filled(state, parts))[1])
        return torch.stack([found[number].reshape(size) for number in own])

    jacobians = [each.reshape(len(own), size, size) for each in jacrev(after, argnums=own)(*parts)]
    off_diagonal = torch.stack([each - torch.diag_embed(each.diagonal(dim1=1, dim2=2)) for each in jacobians])
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
