"""The neural Turing machine and the differentiable neural computer: their addressing, and the traps of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recurra.cells import GRU, LSTM
from recurra.cells.external.addressing import (
    allocation,
    content_weights,
    oneplus,
    products_before,
    sharpened,
    shifted,
)
from recurra.cells.external.dnc import DNC
from recurra.cells.external.dnc_step import linked
from recurra.cells.external.ntm import NTM
from recurra.cells.state import map_state, state_tensors
from recurra.errors import UsageError
from recurra.nn import Recurrent
from recurra.unroll import unroll


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def small(kind: Any, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(3, 4, **{"slots": 7, "width": 3, "dtype": torch.float64, **options})


def test_head_symmetry_with_uniform_weights_all_slots_stay_alike_and_with_one_slot_they_do_not() -> None:
    """The trap: a constant memory and heads that stand everywhere alike; no gradient then tells slots apart."""
    cell, x = small(NTM), numbers(6, 2, 3)
    start = cell.initial_state(2)
    assert bool((start.memory == start.memory[0, 0, 0]).all())
    alike = start._replace(
        write_weights=torch.full_like(start.write_weights, 1 / 7),
        read_weights=torch.full_like(start.read_weights, 1 / 7),
    )
    shift = cell.heads.block("shift")
    for state, same in ((alike, True), (start, False)):
        y, final = unroll(cell, x, state)
        apart = (final.memory - final.memory[:, :1]).detach().abs().max()
        (gradient,) = torch.autograd.grad(y.square().sum(), cell.heads.map.bias)
        assert (float(apart) < 1e-12) == same
        assert (float(gradient[shift].abs().max()) < 1e-12) == same


def test_oneplus_the_strengths_of_a_dnc_are_never_below_1() -> None:
    """The trap: with softplus alone the weights of a head go to uniform ones, and content no longer counts."""
    torch.testing.assert_close(oneplus(torch.tensor([-200.0, 0.0, 3.0])), torch.tensor([1.0, 1.6931472, 4.0485873]))
    cell = small(DNC)
    with torch.no_grad():
        cell.interface.map.weight.zero_()
        cell.interface.map.bias.copy_(numbers(len(cell.interface.map.bias)))
        cell.interface.map.bias[cell.interface.block("read_strength")] = -200.0
        cell.interface.map.bias[cell.interface.block("mode")] = torch.tensor([0.0, 200.0, 0.0], dtype=torch.float64)
    state = cell.initial_state(1)._replace(memory=numbers(1, 7, 3, seed=1))
    _, after = cell(numbers(1, 3), state)
    memory = after.memory[0].detach().numpy()
    key = cell.interface.map.bias[cell.interface.block("read_key")].detach().numpy()
    likeness = np.array([m @ key / np.sqrt((m @ m + 1e-6) * (key @ key + 1e-6)) for m in memory])
    wanted = np.exp(likeness) / np.exp(likeness).sum()
    np.testing.assert_allclose(after.read_weights[0, 0].detach(), wanted, rtol=1e-9)
    assert wanted.max() > 1.5 * wanted.min()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_products_before_and_allocation_are_those_of_a_plain_loop(size: int) -> None:
    usage = torch.rand(4, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    usage = torch.where(usage < 0.3, 0.0, torch.where(usage > 0.8, 1.0, usage))
    found, before = allocation(usage), products_before(usage)
    for b, row in enumerate(usage.tolist()):
        full = 1.0
        for i in sorted(range(size), key=row.__getitem__):
            assert float(found[b, i]) == pytest.approx((1 - row[i]) * full, abs=1e-15)
            full *= row[i]
        for i in range(size):
            assert float(before[b, i]) == pytest.approx(float(np.prod(row[:i])), abs=1e-15)


def test_an_empty_memory_is_filled_from_its_first_slot_on() -> None:
    assert allocation(torch.zeros(1, 4)).tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert allocation(torch.tensor([[1.0, 1.0, 0.0, 0.0]])).tolist() == [[0.0, 0.0, 1.0, 0.0]]
    assert allocation(torch.ones(1, 4)).tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_links_lead_from_each_slot_to_the_one_written_next() -> None:
    link, precedence = torch.zeros(1, 4, 4), torch.zeros(1, 4)
    order = [2, 0, 3, 1]
    for slot in order:
        link, precedence = linked(link, precedence, torch.eye(4)[slot].unsqueeze(0))
    for before, after in zip(order, order[1:], strict=False):
        assert (link[0] @ torch.eye(4)[before]).tolist() == torch.eye(4)[after].tolist()
        assert (link[0].T @ torch.eye(4)[after]).tolist() == torch.eye(4)[before].tolist()
    assert precedence.tolist() == torch.eye(4)[1:2].tolist() and float(link.sum()) == 3.0
    # Written anew, a slot forgets what came before and after it.
    link, _ = linked(link, precedence, torch.eye(4)[:1])
    assert link[0, 0].tolist() == [0.0, 1.0, 0.0, 0.0] and not link[0, :, 0].any()


def test_shifts_of_any_width_go_round_and_round() -> None:
    weights, shifts = numbers(2, 3, 5), numbers(2, 3, 13, seed=1)
    found = shifted(weights, shifts)
    for i in range(5):
        wanted = sum(shifts[..., k + 6] * weights[..., (i - k) % 5] for k in range(-6, 7))
        torch.testing.assert_close(found[..., i], wanted)
    still = torch.zeros(2, 3, 1, dtype=torch.float64) + 1
    assert torch.equal(shifted(weights, still), weights)


def test_sharpening_has_a_gradient_at_zero_and_keeps_the_sum() -> None:
    weights = torch.tensor([[[0.0, 0.25, 0.75]]], requires_grad=True)
    power = torch.tensor([[2.0]], requires_grad=True)
    found = sharpened(weights, power)
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.1, 0.9]]]))
    (first,) = torch.autograd.grad(found[0, 0, 1], power, create_graph=True)
    first.sum().backward()
    assert bool(weights.grad.isfinite().all()) and bool(power.grad.isfinite().all())


def test_the_cosine_of_an_empty_row_has_a_gradient() -> None:
    memory = torch.zeros(1, 2, 3, requires_grad=True)
    content_weights(memory, torch.ones(1, 1, 3), torch.ones(1, 1), 1e-6)[0, 0, 0].backward()
    assert bool(memory.grad.isfinite().all()) and bool(memory.grad.any())


@pytest.mark.parametrize("kind", [NTM, DNC])
def test_the_memory_grows_after_training_without_a_new_weight(kind: Any) -> None:
    cell, x = small(kind), numbers(4, 2, 3)
    shapes = {name: weight.shape for name, weight in cell.state_dict().items()}
    large = small(kind, slots=50)
    assert {name: weight.shape for name, weight in large.state_dict().items()} == shapes
    large.load_state_dict(cell.state_dict())
    cell.slots = 50
    assert cell.initial_state(2).memory.shape == (2, 50, 3) and "slots=50" in repr(cell)
    for a, b in zip(state_tensors(unroll(cell, x)), state_tensors(unroll(large, x)), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(UsageError, match=f"{kind.__name__}: slots is 0. Needed: a positive whole number"):
        cell.slots = 0


@pytest.mark.parametrize("kind", [NTM, DNC])
@pytest.mark.parametrize("controller", ["lstm", "gru", "elman_relu", "scrn", GRU])
def test_any_controller_in_a_layer_with_padding(kind: Any, controller: Any) -> None:
    torch.manual_seed(0)
    layer = Recurrent(kind, 3, 4, slots=5, width=3, controller=controller, dtype=torch.float64)
    x = numbers(6, 2, 3)
    padded = x.clone()
    padded[4:, 1] = float("nan")
    y, state = layer(padded, lengths=[6, 4])
    alone, final = layer(x[:4, 1:])
    torch.testing.assert_close(y[:4, 1:], alone, rtol=1e-12, atol=1e-12)
    assert not y[4:, 1].any() and layer.output_size == y.shape[-1]
    for a, b in zip(state_tensors(map_state(lambda part: part[1:], state)), state_tensors(final), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    y.square().sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in layer.parameters() if weight.grad is not None)


@pytest.mark.parametrize("kind", [NTM, DNC])
def test_without_biases_and_drawn_anew(kind: Any) -> None:
    cell = small(kind, bias=False)
    assert not [name for name in cell.state_dict() if "bias" in name]
    before = {name: weight.clone() for name, weight in small(kind).state_dict().items()}
    cell = small(kind)
    torch.manual_seed(0)
    cell.reset_parameters()
    assert all(torch.isfinite(weight).all() for weight in cell.parameters())
    assert any(not torch.equal(before[name], weight) for name, weight in cell.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (NTM, {"width": 0}, "NTM: width is 0. Needed: a positive whole number."),
        (NTM, {"write_heads": 0}, "NTM: write_heads is 0. Needed: a positive whole number."),
        (NTM, {"max_shift": -1}, "NTM: max_shift is -1. Needed: a whole number of 0 or more."),
        (DNC, {"read_heads": 1.5}, "DNC: read_heads is 1.5. Needed: a positive whole number."),
        (
            DNC,
            {"controller": torch.nn.Linear},
            "DNC: controller is Linear. Needed: the name of a cell for sequences, or a class derived from Cell.",
        ),
        (
            NTM,
            {"controller": "recursive"},
            "NTM: controller is 'recursive', which does not run along time. "
            "Needed: the name of a cell for sequences, or a class derived from Cell.",
        ),
    ],
)
def test_messages(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind(3, 4, **options)
    assert str(caught.value) == message


def test_the_controller_is_the_cell_itself() -> None:
    """With heads that are cut off, y is the controller's, which reads (x, 0)."""
    cell = small(NTM, memory_start=0.0)
    with torch.no_grad():
        cell.heads.map.weight.zero_()
        cell.heads.map.bias.zero_()
    x = numbers(5, 2, 3)
    y, _ = unroll(cell, x)
    controller = LSTM(6, 4, dtype=torch.float64)
    controller.load_state_dict(cell.controller.state_dict())
    wanted, _ = unroll(controller, torch.cat([x, torch.zeros(5, 2, 3, dtype=torch.float64)], -1))
    torch.testing.assert_close(y[..., :4], wanted)
    assert not y[..., 4:].any()
