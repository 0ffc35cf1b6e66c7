"""The selective-update network: units that rest keep their values exactly, and rhythms can be learned."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from recurra.cells import Elman
from recurra.cells.su_rnn import SuRNN, SuRNNState
from recurra.errors import UsageError
from recurra.unroll import unroll


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def with_rhythm(phase: float, **more: Any) -> SuRNN:
    """All units in a rhythm of four steps."""
    cell = SuRNN(3, 4, dtype=torch.float64, **more)
    torch.nn.init.constant_(cell.phase, phase)
    return cell


def test_units_move_at_the_steps_of_their_rhythm_and_keep_their_last_bit_else() -> None:
    """With phase 1/4 of a turn and a period of 4, sin is positive at t = 1 and t = 4, 5, 8, 9 ... and negative else."""
    cell = with_rhythm(0.25 * math.pi)
    y, _ = unroll(cell, torch.randn(12, 2, 3, dtype=torch.float64))
    before = torch.cat([torch.zeros(1, 2, 4, dtype=torch.float64), y[:-1]])
    moved = [bool((now != last).all()) for now, last in zip(y, before, strict=True)]
    kept = [torch.equal(now, last) for now, last in zip(y, before, strict=True)]
    wanted = [t % 4 in (0, 1) for t in range(1, 13)]
    assert moved == wanted
    assert kept == [not step for step in wanted]


def test_the_gradient_passes_a_rest_unchanged() -> None:
    cell = with_rhythm(0.0)
    torch.nn.init.constant_(cell.offset, -50.0)
    h = torch.randn(2, 4, dtype=torch.float64).requires_grad_()
    state = SuRNNState(h, torch.zeros(2, 1, dtype=torch.float64))
    after = unroll(cell, torch.randn(500, 2, 3, dtype=torch.float64), state)[1].h
    assert torch.equal(after, h)
    assert torch.equal(torch.autograd.grad(after.sum(), h)[0], torch.ones_like(h))


@pytest.mark.parametrize("base", ["elman", "gru"])
def test_a_unit_that_always_moves_is_the_cell_inside(base: str) -> None:
    cell = SuRNN(3, 4, base=base, dtype=torch.float64)
    torch.nn.init.constant_(cell.offset, 50.0)
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(unroll(cell, x)[0], unroll(cell.inner, x)[0], rtol=1e-12, atol=1e-13)


def test_gradients_of_all_but_the_rhythms_are_those_of_a_network_that_is_masked() -> None:
    cell = with_rhythm(0.25 * math.pi)
    x = torch.randn(9, 2, 3, dtype=torch.float64).requires_grad_()
    found = torch.autograd.grad(unroll(cell, x)[0].square().sum(), [x, *cell.inner.parameters()])
    inner = cell.inner
    assert isinstance(inner, Elman)
    mask = torch.tensor([t % 4 in (0, 1) for t in range(1, 10)]).unsqueeze(1).expand(9, 2)
    y, final, states = unroll(inner, x, mask=mask, all_states=True)
    wanted = torch.autograd.grad(states.h.square().sum(), [x, *inner.parameters()])
    for left, right in zip(found, wanted, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("offset", [-0.3, 0.2])
def test_the_gradient_of_a_rhythm_is_that_of_the_smooth_switch(offset: float) -> None:
    cell = with_rhythm(0.0, slope=3.0)
    torch.nn.init.zeros_(cell.amplitude)
    torch.nn.init.constant_(cell.offset, offset)
    x, h = torch.randn(1, 3, dtype=torch.float64), torch.randn(1, 4, dtype=torch.float64)
    state = SuRNNState(h, torch.zeros(1, 1, dtype=torch.float64))
    y, _ = cell(x, state)
    moved = cell.inner(x, (h,))[0]
    smooth = 1.0 / (1.0 + math.exp(-3.0 * offset))
    found = torch.autograd.grad(y.sum(), cell.offset)[0]
    torch.testing.assert_close(found, 3.0 * smooth * (1.0 - smooth) * (moved - h)[0].detach(), rtol=1e-11, atol=1e-12)


def test_first_rhythms() -> None:
    cell = SuRNN(3, 200, harmonics=3)
    torch.testing.assert_close(2 * math.pi / cell.frequency.detach(), torch.tensor([4.0, 8.0, 16.0]))
    assert 0.0 <= float(cell.phase.detach().min()) < 0.2 and 6.0 < float(cell.phase.detach().max()) < 2 * math.pi


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"base": "lstm"}, "base is 'lstm'. Needed: 'elman' or 'gru'"),
        ({"harmonics": 0}, "harmonics is 0. Needed: a positive whole number"),
        ({"slope": 0.0}, "slope is 0.0. Needed: a positive number"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"SuRNN: {words}"):
        SuRNN(3, 4, **arguments)
