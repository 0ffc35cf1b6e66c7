"""Steps whose gradient is written out: they and their plain forms give the same numbers and derivatives."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from recurra.cells.external import dnc_step, ntm_step
from recurra.cells.external.dnc_step import Interface
from recurra.cells.external.ntm_step import Heads


def machine(readers: int, reach: int, slots: int, writers: int = 1) -> tuple[Any, Any, list[Tensor]]:
    """A step of a Turing machine in both forms, and inputs for it."""
    heads = Heads(writers, readers, 4, reach, 1e-6)
    shapes = [(3, sum(heads.sizes.values())), (3, slots, 4), (3, writers, slots), (3, readers, slots)]
    return partial(ntm_step.turn, heads), partial(ntm_step.plain_turn, heads), drawn(shapes, shares=2)


def computer(readers: int, slots: int, empty: bool) -> tuple[Any, Any, list[Tensor]]:
    """A step of a differentiable neural computer in both forms, and inputs for it."""
    told = Interface(readers, 4, 1e-6)
    shapes: list[tuple[int, ...]] = [(3, sum(told.sizes.values())), (3, slots, 4), (3, slots), (3, slots, slots)]
    inputs = drawn([*shapes, (3, slots), (3, slots), (3, readers, slots)], shares=2)
    if empty:
        # What was never written has no usage: the products over usages hold zeros.
        inputs[2] = torch.where(inputs[2] < 0.5 / slots, 0.0, inputs[2])
        inputs[5] = torch.zeros_like(inputs[5])
    inputs[3] = inputs[3] * (1.0 - torch.eye(slots, dtype=torch.float64))
    return partial(dnc_step.compute, told), partial(dnc_step.plain_compute, told), inputs


def drawn(shapes: list[Any], shares: int) -> list[Tensor]:
    """Normal numbers, and from the part `shares` on shares of the slots."""
    generator = torch.Generator().manual_seed(0)
    numbers = [torch.randn(shape, dtype=torch.float64, generator=generator) for shape in shapes]
    return [part if k < shares else torch.sigmoid(part) / part.shape[-1] for k, part in enumerate(numbers)]


STEPS = {
    "machine": lambda: machine(1, 1, 7),
    "machine, 2 readers, shifts by 2": lambda: machine(2, 2, 5),
    "machine, no shift": lambda: machine(3, 0, 6),
    "machine, all the way round": lambda: machine(1, 3, 3),
    "machine, more than once round": lambda: machine(1, 4, 3),
    "machine, 2 writers": lambda: machine(1, 1, 5, 2),
    "computer": lambda: computer(1, 7, False),
    "computer, 2 readers": lambda: computer(2, 5, False),
    "computer, 4 readers, empty slots": lambda: computer(4, 9, True),
    "computer, 1 slot": lambda: computer(3, 1, False),
}


@pytest.mark.parametrize("name", STEPS)
def test_numbers_and_derivatives_are_the_plain_steps(name: str) -> None:
    quick, plain, inputs = STEPS[name]()
    results = []
    for step in (quick, plain):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        outputs = step(*leaves)
        generator = torch.Generator().manual_seed(1)
        directions = [torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in outputs]
        first = torch.autograd.grad(outputs, leaves, directions, retain_graph=True)
        again = torch.autograd.grad(outputs, leaves, directions, create_graph=True)
        second = torch.autograd.grad(sum((part * part).sum() for part in again), leaves)
        # Higher derivatives go another way, which must meet the first one at the start.
        results.append([*outputs, *first, *again, *second])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        for found, wanted in zip(quick(*inputs), results[1], strict=False):
            torch.testing.assert_close(found, wanted.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["machine", "computer"])
def test_the_written_out_gradient_is_the_one_that_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, _, inputs = STEPS[name]()
    module, seen = {"machine": ntm_step, "computer": dnc_step}[name], []
    gradient = module._gradient
    monkeypatch.setattr(module, "_gradient", lambda *args: (seen.append(1), gradient(*args))[1])
    quick(*[tensor.requires_grad_() for tensor in inputs])[-1].sum().backward()
    assert seen == [1]


def test_inputs_made_from_one_another_are_counted_once_in_second_derivatives() -> None:
    quick, plain, inputs = STEPS["machine"]()
    found = []
    for step in (quick, plain):
        told = inputs[0].clone().requires_grad_()
        outputs = step(told, inputs[1] * told.sum(), *inputs[2:])
        (first,) = torch.autograd.grad(outputs[-1].square().sum(), told, create_graph=True)
        found.append([first, *torch.autograd.grad(first.square().sum(), told)])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)


def test_batches_of_gradients_take_the_plain_way() -> None:
    quick, plain, inputs = STEPS["computer"]()
    found = []
    for step in (quick, plain):
        told = inputs[0].clone().requires_grad_()
        reads = step(told, *inputs[1:])[-1]
        ways = torch.randn(4, *reads.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        found.append(torch.autograd.grad(reads, told, ways, is_grads_batched=True)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)
