"""Every registered cell under differentiation: twice, forward, over stacks and single sequences."""

from __future__ import annotations

from typing import Any

import torch
from cell_cases import close, every_row, filled, full_rows, inputs, make, random_state, smooth_full_rows, smooth_rows
from row import CellRow
from torch import Tensor
from torch.func import functional_call, grad, jacrev, jvp, vmap

from recurra.cells import Cell, map_state
from recurra.cells.state import state_tensors
from recurra.unroll import unroll


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
