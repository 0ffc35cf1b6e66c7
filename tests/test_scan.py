"""The linear recurrence over all steps at once: its numbers, its gradients and its laws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, jvp, vmap

from recurra.cells import linear_scan as room
from recurra.cells.linear_scan import linear_scan, max_plus_scan
from recurra.cells.min_gru import MinGRU
from recurra.unroll import scan, unroll

KINDS = [torch.float64, torch.complex128]
# Around the places where the blocks change: none, one, full, one step more and less.
STEPS = [0, 1, 2, 3, 15, 16, 17, 24, 25, 26, 49, 63, 64, 65, 100]


def numbers(*shape: int, seed: int = 0, kind: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=kind, generator=torch.Generator().manual_seed(seed))


def decays(*shape: int, seed: int = 1, kind: torch.dtype = torch.float64) -> Tensor:
    factors = numbers(*(shape or (1,)), seed=seed, kind=kind).reshape(shape)
    return factors / (1.0 + factors.abs())


def loop(a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    states = [b[:0]]
    for factor, added in zip(a.expand_as(b), b, strict=True):
        state = factor * state + added
        states.append(state.unsqueeze(0))
    return torch.cat(states)


@pytest.mark.parametrize("kind", KINDS, ids=["real", "complex"])
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("small", [0, 1 << 20], ids=["one block", "blocks"])
def test_it_is_the_loop(monkeypatch: pytest.MonkeyPatch, kind: torch.dtype, steps: int, small: int) -> None:
    monkeypatch.setitem(room._SMALL, "cpu", small)
    a, b, start = decays(steps, 2, 3, kind=kind), numbers(steps, 2, 3, kind=kind), numbers(2, 3, seed=5, kind=kind)
    torch.testing.assert_close(linear_scan(a, b, start), loop(a, b, start), rtol=1e-13, atol=1e-14)
    backwards = room._Recurrence.apply(a, b, start, True)
    torch.testing.assert_close(backwards, loop(a.flip(0), b.flip(0), start).flip(0), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1), (17, 1, 1), (17, 2, 3)])
def test_factors_broadcast(shape: tuple[int, ...]) -> None:
    a, b, start = decays(*shape).requires_grad_(), numbers(17, 2, 3), numbers(2, 3, seed=5)
    y, wanted = linear_scan(a, b, start), loop(a, b, start)
    torch.testing.assert_close(y, wanted, rtol=1e-13, atol=1e-14)
    factors = numbers(17, 2, 3, seed=9)
    found = torch.autograd.grad((y * factors).sum(), a)
    torch.testing.assert_close(found, torch.autograd.grad((wanted * factors).sum(), a), rtol=1e-11, atol=1e-13)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(parts=st.lists(st.integers(0, 20), min_size=1, max_size=5), seed=st.integers(0, 100))
def test_joining_is_associative_so_that_any_cut_gives_the_whole(parts: list[int], seed: int) -> None:
    steps = sum(parts)
    a, b, state = decays(steps, 1, 2, seed=seed), numbers(steps, 1, 2, seed=seed + 1), numbers(1, 2, seed=seed + 2)
    whole, pieces = linear_scan(a, b, state), []
    for a_part, b_part in zip(a.split(parts), b.split(parts), strict=True):
        pieces.append(linear_scan(a_part, b_part, state))
        state = pieces[-1][-1] if len(a_part) else state
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS, ids=["real", "complex"])
@pytest.mark.parametrize("steps", [1, 2, 19])
def test_derivatives_of_both_orders_and_modes(kind: torch.dtype, steps: int) -> None:
    tensors = (decays(steps, 1, 2, kind=kind), numbers(steps, 1, 2, kind=kind), numbers(1, 2, seed=5, kind=kind))
    tensors = tuple(tensor.requires_grad_() for tensor in tensors)
    assert torch.autograd.gradcheck(
        linear_scan, tensors, check_forward_ad=True, check_batched_grad=True, fast_mode=True
    )
    assert torch.autograd.gradgradcheck(linear_scan, tensors, check_fwd_over_rev=True, fast_mode=True)


def test_an_empty_sequence_gives_gradients_of_zero() -> None:
    a, b, start = decays(0, 2).requires_grad_(), numbers(0, 2).requires_grad_(), numbers(2).requires_grad_()
    gradients = torch.autograd.grad(linear_scan(a, b, start).sum(), (a, b, start))
    assert [tuple(gradient.shape) for gradient in gradients] == [(0, 2), (0, 2), (2,)]
    assert not gradients[2].any()


@pytest.mark.parametrize("places", [(1, 1, 0), (2, None, None), (None, 0, None), (None, None, 1), (0, 2, 1)])
def test_vmap_over_any_of_its_arguments(places: tuple[int | None, ...]) -> None:
    shapes, seeds = [(18, 2), (18, 2), (2,)], [1, 2, 3]
    tensors = []
    for shape, place, seed in zip(shapes, places, seeds, strict=True):
        full = shape if place is None else (*shape[:place], 3, *shape[place:])
        tensors.append(decays(*full, seed=seed))
    y = vmap(linear_scan, in_dims=places)(*tensors)
    directions = vmap(lambda *each: jvp(linear_scan, each, each)[1], in_dims=places)(*tensors)
    slopes = vmap(grad(lambda *each: linear_scan(*each).square().sum(), argnums=(0, 1, 2)), in_dims=places)(*tensors)
    for index in range(3):
        each = [t if place is None else t.select(place, index) for t, place in zip(tensors, places, strict=True)]
        torch.testing.assert_close(y[index], loop(*each), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(directions[index], jvp(loop, tuple(each), tuple(each))[1], rtol=1e-12, atol=1e-13)
        wanted = grad(lambda *one: loop(*one).square().sum(), argnums=(0, 1, 2))(*each)
        for found, right in zip(slopes, wanted, strict=True):
            torch.testing.assert_close(found[index], right, rtol=1e-11, atol=1e-12)


def test_long_sequences_in_single_precision_stay_within_rounding() -> None:
    a = torch.sigmoid(numbers(1000, 3, 5, seed=3) + 3.0)
    b, start = numbers(1000, 3, 5), numbers(3, 5, seed=5)
    exact = loop(a, b, start)
    found = linear_scan(a.float(), b.float(), start.float())
    assert float((found - exact).abs().max() / exact.abs().max()) < 2e-6


def test_the_numbers_of_a_different_precision_are_carried_in_the_wider_one() -> None:
    a, b, start = decays(20, 2).bfloat16(), numbers(20, 2).float(), numbers(2).float()
    assert linear_scan(a, b, start).dtype == torch.float32
    torch.testing.assert_close(linear_scan(a, b, start), loop(a.float(), b, start))


@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_the_recurrence_of_maxima(steps: int) -> None:
    a, b, state = numbers(steps, 2, 3, seed=2), numbers(steps, 2, 3, seed=3), numbers(2, 3, seed=4)
    found, wanted, last = max_plus_scan(a, b, state), [], state
    for added, floor in zip(a, b, strict=True):
        last = torch.maximum(last + added, floor)
        wanted.append(last)
    torch.testing.assert_close(found, torch.stack(wanted), rtol=1e-13, atol=1e-13)
    tensors = tuple(tensor.requires_grad_() for tensor in (a, b, state))
    assert torch.autograd.gradcheck(max_plus_scan, tensors, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(max_plus_scan, tensors, fast_mode=True)


def test_a_scan_exports() -> None:
    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = MinGRU(3, 4, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            return scan(self.cell, x)[0]

    run, x = Run(), numbers(20, 2, 3)
    program = torch.export.export(run, (x,))
    torch.testing.assert_close(program.module()(2 * x), unroll(run.cell, 2 * x)[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS, ids=["real", "complex"])
@pytest.mark.parametrize("steps", STEPS)
def test_the_form_for_export_is_the_loop(kind: torch.dtype, steps: int) -> None:
    a, b, start = decays(steps, 2, kind=kind), numbers(steps, 2, kind=kind), numbers(2, seed=5, kind=kind)
    torch.testing.assert_close(room._pairs(a, b, start), loop(a, b, start), rtol=1e-13, atol=1e-14)


def test_the_memory_for_the_gradient_is_the_states_alone() -> None:
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.untyped_storage().nbytes())
        return tensor

    a, b = decays(64, 4, 8).requires_grad_(), numbers(64, 4, 8).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        linear_scan(a, b, numbers(4, 8))
    size = 64 * 4 * 8 * 8
    assert sum(kept) <= 2 * size + 4 * 8 * 8  # the factors, the states and the start
