"""What the step of every cell that joins earlier states must hold; `test_trees.py` and `test_grids.py` run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from join_row import JoinRow, Slots
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.func import functional_call, jacrev, jvp, vmap

from recurra.cells.join import JoinCell
from recurra.cells.registry import cell_class
from recurra.cells.state import map_state, state_tensors
from recurra.errors import ShapeError, UsageError

BATCH = 3


def make(row: JoinRow, seed: int = 0, dtype: torch.dtype = torch.float64) -> JoinCell:
    torch.manual_seed(seed)
    kind, arguments = cell_class(row.name)
    return kind(row.features, row.hidden, **{**arguments, **row.arguments}, dtype=dtype)


def inputs(row: JoinRow, *shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, row.features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_states(row: JoinRow, cell: JoinCell, batch: int, seed: int = 2) -> Any:
    chance = torch.Generator().manual_seed(seed)
    return map_state(
        lambda part: torch.randn(batch, row.slots, part.shape[1], dtype=part.dtype, generator=chance),
        cell.initial_state(batch),
    )


def some_present(row: JoinRow, batch: int = BATCH) -> Tensor:
    """No earlier state in the first row, all of them in the second, then one missing in turn."""
    present = torch.ones(batch, row.slots, dtype=torch.bool)
    present[0] = False
    for index in range(2, batch):
        present[index, index % row.slots] = False
    return present


def weights_of(cell: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy().copy() for name, weight in cell.named_parameters()}


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


def reference(
    row: JoinRow, weights: dict[str, np.ndarray], x: np.ndarray, parts: list[np.ndarray], present: np.ndarray
) -> list[np.ndarray]:
    """The step of each row of the batch by itself: y and the parts of the state."""
    found = []
    for index in range(len(x)):
        slots: Slots = [
            tuple(part[index, slot] for part in parts) if present[index, slot] else None
            for slot in range(present.shape[1])
        ]
        y, state = row.step(weights, x[index], slots)
        found.append((y, *state))
    return [np.stack(each) for each in zip(*found, strict=True)]


def step_function(cell: JoinCell, states: Any, present: Tensor) -> tuple[Any, tuple[Tensor, ...]]:
    """The step as a function of tensors alone: x, the parts of the states, the weights."""
    names, count = [name for name, _ in cell.named_parameters()], len(states)

    def function(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given = type(states)(*rest[:count])
        y, after = functional_call(cell, dict(zip(names, rest[count:], strict=True)), (x, given, present))
        return (y, *after)

    return function, (*states, *(weight.detach().clone() for weight in cell.parameters()))


def stacked_weights(cells: list[Any]) -> dict[str, Tensor]:
    return {
        name: torch.stack([dict(cell.named_parameters())[name].detach() for cell in cells])
        for name, _ in cells[0].named_parameters()
    }


class StepContract:
    """The generic tests of one step; a subclass gives the rows."""

    def test_the_numbers_are_the_papers(self, row: JoinRow) -> None:
        cell, x, present = make(row), inputs(row, BATCH), some_present(row)
        states = random_states(row, cell, BATCH)
        assert len(states) == row.parts
        y, after = cell(x, states, present)
        wanted = reference(row, weights_of(cell), x.numpy(), [part.numpy() for part in states], present.numpy())
        for found, right in zip((y, *after), wanted, strict=True):
            np.testing.assert_allclose(found.detach(), right, rtol=1e-12, atol=1e-13)

    def test_the_gradients_are_the_papers(self, row: JoinRow) -> None:
        cell, x, present = make(row), inputs(row, BATCH).requires_grad_(), some_present(row)
        states = map_state(lambda part: part.requires_grad_(), random_states(row, cell, BATCH))
        y, after = cell(x, states, present)
        chance = np.random.default_rng(0)
        factors = [chance.standard_normal(part.shape) for part in (y, *after)]
        sum((part * torch.from_numpy(f)).sum() for part, f in zip((y, *after), factors, strict=True)).backward()

        weights, parts = weights_of(cell), [part.detach().numpy().copy() for part in states]
        array = x.detach().numpy().copy()

        def loss() -> float:
            found = reference(row, weights, array, parts, present.numpy())
            return sum(float((part * factor).sum()) for part, factor in zip(found, factors, strict=True))

        leaves = [(array, x.grad), *((p, t.grad) for p, t in zip(parts, states, strict=True))]
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

    def test_gradcheck_and_double_backward(self, row: JoinRow) -> None:
        cell = make(row)
        function, rest = step_function(cell, random_states(row, cell, BATCH), some_present(row))
        tensors = tuple(tensor.requires_grad_() for tensor in (inputs(row, BATCH), *rest))
        assert torch.autograd.gradcheck(function, tensors, fast_mode=True, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(function, tensors, fast_mode=True)

    def test_jvp_is_the_jacobian_times_the_direction(self, row: JoinRow) -> None:
        cell = make(row)
        function, rest = step_function(cell, random_states(row, cell, BATCH), some_present(row))
        tensors = (inputs(row, BATCH), *rest)
        directions = tuple(torch.randn_like(tensor) for tensor in tensors)
        _, found = jvp(function, tensors, directions)
        jacobians = jacrev(function, argnums=tuple(range(len(tensors))))(*tensors)
        for part, rows in zip(found, jacobians, strict=True):
            flat = [j.reshape(part.numel(), -1) @ d.reshape(-1) for j, d in zip(rows, directions, strict=True)]
            close(part.reshape(-1), torch.stack(flat).sum(0))

    def test_vmap_over_stacked_weights_and_over_inputs(self, row: JoinRow) -> None:
        cells = [make(row, seed) for seed in range(3)]
        x, present = inputs(row, BATCH), some_present(row)
        states = random_states(row, cells[0], BATCH)
        y, after = vmap(lambda weights: functional_call(cells[0], weights, (x, states, present)))(
            stacked_weights(cells)
        )
        for index, cell in enumerate(cells):
            close(map_state(lambda part, index=index: part[index], (y, after)), cell(x, states, present))
        y, after = vmap(lambda x, *parts: cells[0](x, type(states)(*parts), present), in_dims=0)(
            torch.stack([x, 2 * x]), *(torch.stack([part, -part]) for part in states)
        )
        other = map_state(lambda part: -part, states)
        close(map_state(lambda part: part[0], (y, after)), cells[0](x, states, present))
        close(map_state(lambda part: part[1], (y, after)), cells[0](2 * x, other, present))

    def test_the_step_exports_with_any_batch(self, row: JoinRow) -> None:
        cell = make(row)
        states = random_states(row, cell, BATCH)
        batch = torch.export.Dim("batch")
        program = torch.export.export(
            cell,
            (inputs(row, BATCH), states, some_present(row)),
            dynamic_shapes=({0: batch}, type(states)(*[{0: batch}] * len(states)), {0: batch}),
        )
        given = inputs(row, 5), random_states(row, cell, 5), some_present(row, 5)
        close(program.module()(*given), cell(*given))

    def test_saved_weights_give_the_same_cell(self, row: JoinRow, tmp_path: Path) -> None:
        cell, other = make(row, 0), make(row, 1)
        given = inputs(row, BATCH), random_states(row, cell, BATCH)
        assert not torch.equal(cell(*given)[0], other(*given)[0])
        save_file(cell.state_dict(), tmp_path / "cell.safetensors")
        other.load_state_dict(load_file(tmp_path / "cell.safetensors"))
        assert torch.equal(cell(*given)[0], other(*given)[0])

    def test_what_stands_in_an_empty_slot_reaches_nothing(self, row: JoinRow) -> None:
        cell, x, present = make(row), inputs(row, BATCH).requires_grad_(), some_present(row)
        clean = random_states(row, cell, BATCH)
        spoilt = map_state(lambda part: part.masked_fill(~present.unsqueeze(-1), torch.nan).requires_grad_(), clean)
        found, wanted = cell(x, spoilt, present), cell(x, clean, present)
        close(found, wanted)
        leaves = [x, *cell.parameters()]
        totals = [sum(part.square().sum() for part in (y, *after)) for y, after in (found, wanted)]
        close(*(list(torch.autograd.grad(total, leaves, retain_graph=True)) for total in totals))
        for gradient in torch.autograd.grad(totals[0], list(spoilt)):
            assert bool((gradient[~present] == 0).all())
            assert bool(gradient.isfinite().all())
        close(cell(x, clean), cell(x, clean, torch.ones_like(present)))

    def test_the_first_state_follows_the_weights_or_the_arguments(self, row: JoinRow) -> None:
        cell = make(row, dtype=torch.float32)
        assert all(part.dtype == torch.float32 and not part.any() for part in cell.initial_state(3))
        assert all(part.dtype == torch.float64 for part in cell.initial_state(3, dtype=torch.float64))
        assert all(part.shape == (3, row.hidden) for part in cell.initial_state(3))

    def test_biases_may_be_left_out(self, row: JoinRow) -> None:
        kind, arguments = cell_class(row.name)
        cell = kind(row.features, row.hidden, **{**arguments, **row.arguments, "bias": False})
        assert not [name for name in cell.state_dict() if name.startswith("bias")]
        assert cell.state_dict().keys() == {n for n in make(row).state_dict() if not n.startswith("bias")}

    def test_messages_name_the_argument_and_both_shapes(self, row: JoinRow) -> None:
        cell, x, present = make(row), inputs(row, BATCH), some_present(row)
        name, features = type(cell).__name__, row.features
        states = random_states(row, cell, BATCH)
        with pytest.raises(ShapeError) as caught:
            cell(x[:, :2], states, present)
        assert str(caught.value) == (
            f"{name}: x has shape (3, 2). Needed: (batch, {features}), since input_size is {features}. "
            f"Cure: give {features} features, or build with input_size=2."
        )
        with pytest.raises(ShapeError, match="x is torch.float32. Needed: torch.float64 as the weights are"):
            cell(x.float(), states, present)
        with pytest.raises(ShapeError) as caught:
            cell(x, map_state(lambda part: part[:2], states), present)
        assert str(caught.value) == (
            f"{name}: states.h has shape (2, {row.slots}, {row.hidden}). "
            f"Needed: (3, {row.slots}, {row.hidden}), that is (batch, slots, features)."
        )
        with pytest.raises(ShapeError, match=r"states is 7 parts. Needed: a tuple of \(h"):
            cell(x, (states.h,) * 7, present)
        with pytest.raises(ShapeError, match=r"states is NoneType. Needed: a tuple of \(h"):
            cell(x, None, present)
        with pytest.raises(ShapeError, match="states.h is list"):
            cell(x, [[0.0]] * row.parts, present)
        with pytest.raises(ShapeError) as caught:
            cell(x, states, present[:2])
        assert str(caught.value) == (
            f"{name}: present has shape (2, {row.slots}). Needed: (3, {row.slots}) of booleans, that is (batch, slots)."
        )
        with pytest.raises(ShapeError, match=r"present is torch.int64\. .*Cure: present.bool\(\)"):
            cell(x, states, present.long())
        for argument in ("input_size", "hidden_size"):
            sizes = {"input_size": 4, "hidden_size": 4, argument: 0}
            with pytest.raises(UsageError, match=f"{name}: {argument} is 0. Needed: a positive whole number."):
                type(cell)(**sizes)
