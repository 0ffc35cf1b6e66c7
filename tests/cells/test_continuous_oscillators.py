"""Networks of oscillators and long expressive memories: what their papers prove of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from recurra.cells.cornn import CoRNN, CoRNNState
from recurra.cells.lem import LEM
from recurra.cells.unicornn import UnICORNN, UnICORNNState
from recurra.unroll import unroll


def made(kind: Any, *sizes: int, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return kind(*sizes, **arguments, dtype=torch.float64)


def set_all(cell: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for weight in cell.parameters():
            weight.fill_(value)


def test_cornn_gains_at_most_a_fixed_energy_a_step() -> None:
    dt, gamma = 0.1, 1.5
    cell = made(CoRNN, 3, 7, damping="implicit", dt=dt, gamma=gamma, epsilon=(1 + gamma * dt) / 2)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(20)
    x = 5 * torch.randn(300, 4, 3, dtype=torch.float64)
    _, _, states = unroll(cell, x, all_states=True)
    energy = gamma * states.h.square().sum(-1) + states.z.square().sum(-1)
    gained = torch.diff(energy, dim=0, prepend=torch.zeros(1, 4, dtype=torch.float64))
    assert bool((gained <= 7 * dt + 1e-12).all())
    assert gained.max() > 0.3 * 7 * dt


def test_cornn_without_damping_breaks_that_bound() -> None:
    dt, gamma = 0.1, 1.5
    cell = made(CoRNN, 1, 1, damping="implicit", dt=dt, gamma=gamma, epsilon=0.0)
    set_all(cell, 0.0)
    with torch.no_grad():
        cell.weight_velocity.fill_(50.0)
    state = CoRNNState(torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), 3.0, dtype=torch.float64))
    after = cell(torch.zeros(1, 1, dtype=torch.float64), state)[1]
    assert gamma * after.h.square() + after.z.square() - 9.0 > dt


@pytest.mark.parametrize("damping", ["explicit", "implicit"])
def test_cornn_without_weights_is_the_damped_oscillator(damping: str) -> None:
    gamma, epsilon, end = 2.7, 0.8, 2.0
    rate, turn = epsilon / 2, math.sqrt(gamma - epsilon**2 / 4)
    wanted = math.exp(-rate * end) * (math.cos(turn * end) + rate / turn * math.sin(turn * end))
    errors = []
    for steps in (400, 800):
        cell = made(CoRNN, 1, 1, damping=damping, dt=end / steps, gamma=gamma, epsilon=epsilon)
        set_all(cell, 0.0)
        state = CoRNNState(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
        found = unroll(cell, torch.zeros(steps, 1, 1, dtype=torch.float64), state)[1].h
        errors.append(abs(found.item() - wanted))
    assert errors[0] < 5e-3
    assert 1.9 < errors[0] / errors[1] < 2.1


def joint_step(cell: Any, kind: Any, x: Tensor, dt: Tensor | None = None) -> Any:
    """The step of one sequence as a function of positions and velocities in one vector."""

    def step(both: Tensor) -> Tensor:
        state = kind(*(part.unsqueeze(0) for part in both.chunk(2)))
        after = cell(x, state, dt)[1]
        return torch.cat([after.h[0], after.z[0]])

    return step


@pytest.mark.parametrize("damping", ["explicit", "implicit"])
def test_cornn_without_weights_is_stable_at_its_default_constants(damping: str) -> None:
    cell = made(CoRNN, 1, 3, damping=damping)
    set_all(cell, 0.0)
    step = joint_step(cell, CoRNNState, torch.zeros(1, 1, dtype=torch.float64))
    radius = torch.linalg.eigvals(jacrev(step)(torch.randn(6, dtype=torch.float64))).abs().max()
    assert 0.5 < radius < 1


def test_unicornn_keeps_the_volume_of_states() -> None:
    cell = made(UnICORNN, 3, 5)
    with torch.no_grad():
        cell.weight_hh.mul_(9)
    for seed in range(3):
        torch.manual_seed(seed)
        step = joint_step(cell, UnICORNNState, torch.randn(1, 3, dtype=torch.float64), torch.rand(1).double() * 3)
        jacobian = jacrev(step)(torch.randn(10, dtype=torch.float64))
        torch.testing.assert_close(torch.linalg.det(jacobian), torch.ones((), dtype=torch.float64), rtol=1e-9, atol=0)
        assert not torch.allclose(jacobian @ jacobian.T, torch.eye(10, dtype=torch.float64), atol=0.1)


def test_unicornn_goes_back_to_where_it_began() -> None:
    cell = made(UnICORNN, 3, 5)
    x = torch.randn(100, 2, 3, dtype=torch.float64)
    start = UnICORNNState(*torch.randn(2, 2, 5, dtype=torch.float64).unbind(0))
    dt = 0.05 + 0.1 * torch.rand(100, 2, dtype=torch.float64)
    _, state = unroll(cell, x, start, dt=dt)
    assert not torch.allclose(state.h, start.h, atol=0.1)
    for t in reversed(range(100)):
        state = cell.back(x[t], state, dt[t].unsqueeze(-1))
    torch.testing.assert_close(tuple(state), tuple(start), rtol=1e-9, atol=1e-9)


def test_unicornn_without_input_holds_its_energy_for_a_long_time() -> None:
    cell = made(UnICORNN, 1, 4, dt=0.1, alpha=2.0, bias=False)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.copy_(torch.tensor([0.5, 1.0, 2.0, 4.0]))
    start = UnICORNNState(torch.ones(1, 4, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64))
    _, _, states = unroll(cell, torch.zeros(3000, 1, 1, dtype=torch.float64), start, all_states=True)

    def energy(h: Tensor, z: Tensor) -> Tensor:
        return z.square() / 2 + cell.alpha * h.square() / 2 + torch.log(torch.cosh(cell.weight_hh * h)) / cell.weight_hh

    drift = energy(states.h, states.z) / energy(start.h, start.z) - 1
    assert drift.abs().max() < 0.1
    assert states.h.min() < -0.8


def test_unicornn_stays_bounded_for_positive_weights_and_runs_away_for_negative_ones() -> None:
    cell = made(UnICORNN, 1, 2, dt=0.5, alpha=0.0, bias=False)
    set_all(cell, 0.0)
    with torch.no_grad():
        cell.weight_hh.copy_(torch.tensor([1.0, -1.0]))
    start = UnICORNNState(torch.full((1, 2), 0.1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    _, _, states = unroll(cell, torch.zeros(400, 1, 1, dtype=torch.float64), start, all_states=True)
    bounded, gone = states.h.abs().amax((0, 1))
    assert bounded < 0.11 and gone > 1000


def test_lem_never_leaves_the_cube() -> None:
    cell = made(LEM, 3, 6)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(50)
    x = 10 * torch.randn(200, 3, 3, dtype=torch.float64)
    _, _, states = unroll(cell, x, dt=torch.rand(200, 3, dtype=torch.float64), all_states=True)
    assert bool((states.h.abs() <= 1).all()) and bool((states.z.abs() <= 1).all())
    assert states.h.abs().max() > 0.9


def test_lem_with_constant_time_scales_relaxes_as_a_geometric_series() -> None:
    cell = made(LEM, 1, 2, dt=0.5)
    set_all(cell, 0.0)
    scales, targets = torch.tensor([-1.0, 2.0], dtype=torch.float64), torch.tensor([0.3, -0.7], dtype=torch.float64)
    with torch.no_grad():
        cell.bias_ih.copy_(torch.cat([scales, scales + 1, targets, targets / 2]))
    y, state = unroll(cell, torch.zeros(9, 1, 1, dtype=torch.float64))
    memory = torch.tanh(targets) * (1 - (1 - 0.5 * torch.sigmoid(scales)) ** 9)
    hidden = torch.tanh(targets / 2) * (1 - (1 - 0.5 * torch.sigmoid(scales + 1)) ** 9)
    torch.testing.assert_close(state.z[0], memory, rtol=1e-12, atol=0)
    torch.testing.assert_close(state.h[0], hidden, rtol=1e-12, atol=0)


def test_the_input_of_lem_reaches_the_hidden_units_through_the_memory_in_the_same_step() -> None:
    cell = made(LEM, 2, 3)
    with torch.no_grad():
        cell.weight_ih[:6] = 0.0
        cell.weight_ih[9:] = 0.0
    x, start = torch.randn(2, 2, dtype=torch.float64), cell.initial_state(2)
    assert (cell(x, start)[0] - cell(x + 1, start)[0]).abs().min() > 1e-4
    with torch.no_grad():
        cell.weight_memory.zero_()
    assert torch.equal(cell(x, start)[0], cell(x + 1, start)[0])
