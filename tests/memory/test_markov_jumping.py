"""The jumping memory against scipy's solver, the moments of linear equations, and what its guarantee says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm

from recurra.errors import ShapeError, UsageError
from recurra.memory import JumpMode, MarkovJumpingMemory


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_without_chance_it_solves_the_equation() -> None:
    w, v, inputs = normal(3, 2), normal(2, 3, seed=1), (normal(3, seed=2), normal(2, seed=3))
    memory = MarkovJumpingMemory([JumpMode(w, v, decay=1.3)], [[0.0]], *inputs)
    x, y = normal(1, 3, seed=4), normal(1, 2, seed=5)

    def speed(_: float, z: np.ndarray) -> np.ndarray:
        dx = -1.3 * z[:3] + w.numpy() @ np.tanh(z[3:]) + inputs[0].numpy()
        return np.concatenate([dx, -1.3 * z[3:] + v.numpy() @ np.tanh(z[:3]) + inputs[1].numpy()])

    exact = solve_ivp(speed, (0, 2), np.concatenate([x[0], y[0]]), rtol=1e-11, atol=1e-12).y[:, -1]
    errors = []
    for dt in (0.02, 0.01):
        run = memory.simulate(x, y, 2.0, dt)
        errors.append(np.abs(np.concatenate([run.first[-1, 0], run.second[-1, 0]]) - exact).max())
        assert abs(float(run.time[-1]) - 2.0) < 1e-12
    assert errors[1] < 0.01 and abs(errors[0] / errors[1] - 2) < 0.2, "Euler's order"


def test_a_delay_hears_what_was() -> None:
    """y is alone and known; x hears it late: dx = -x + tanh(y(t - tau)), y = 2 e^(-t), and 2 before time 0."""
    memory = MarkovJumpingMemory([JumpMode(torch.ones(1, 1).double(), torch.zeros(1, 1).double(), delay=0.5)], [[0.0]])
    run = memory.simulate(torch.zeros(1, 1), torch.full((1, 1), 2.0), 1.5, dt=0.001)

    def heard(t: float) -> float:
        return math.tanh(2.0 * math.exp(-max(0.0, t - 0.5)))

    exact = quad(lambda t: math.exp(t - 1.5) * heard(t), 0.0, 1.5)[0]
    assert abs(float(run.first[-1, 0, 0]) - exact) < 2e-3
    early = quad(lambda t: math.exp(t - 1.5) * math.tanh(2 * math.exp(-t)), 0.0, 1.5)[0]
    assert abs(exact - early) > 0.1, "without the delay it would be another number"


def test_noise_and_jumps_have_the_exact_moments() -> None:
    """Without weights, x^2 has a mean that obeys a linear equation over the modes."""
    rates = np.array([[-1.5, 1.5], [0.7, -0.7]])
    zero = torch.zeros(1, 1, dtype=torch.float64)
    memory = MarkovJumpingMemory([JumpMode(zero, decay=0.5, noise=0.6), JumpMode(zero, decay=1.5, noise=0.2)], rates)
    rows = 8_000
    one = torch.ones(rows, 1, dtype=torch.float64)
    run = memory.simulate(one, one, 1.0, dt=0.01, mode=1, generator=torch.Generator().manual_seed(0))
    growth = np.diag([-2 * 0.5 + 0.36, -2 * 1.5 + 0.04])
    exact = (np.array([0.0, 1.0]) @ expm(rates + growth)).sum() * 2
    samples = (run.first[-1].square() + run.second[-1].square()).squeeze(-1)
    spread = float(samples.std()) / math.sqrt(rows)
    assert abs(float(run.mean_square[-1]) - exact) < 5 * spread + 0.01 * exact
    assert 10 * spread < exact, "a sharp test"
    in_second = float((run.mode[-1] == 1).double().mean())
    assert abs(in_second - expm(rates)[1, 1]) < 5 * 0.5 / math.sqrt(rows)
    assert run.mode[0].tolist() == [1] * rows


def test_the_energy_is_the_integral_and_falls() -> None:
    w = normal(4, 3)
    memory = MarkovJumpingMemory([JumpMode(0 * w), JumpMode(w, decay=0.8)], [[-1, 1], [0, 0]], normal(4), normal(3))
    x, y = 2 * normal(5, 4, seed=1), 2 * normal(5, 3, seed=2)
    for row in range(5):
        u = np.concatenate([x[row], y[row]])
        bowl = sum(quad(lambda s: s / np.cosh(s) ** 2, 0, one)[0] for one in u)
        f, g = np.tanh(x[row].numpy()), np.tanh(y[row].numpy())
        expected = 0.8 * bowl - f @ w.numpy() @ g - f @ normal(4).numpy() - g @ normal(3).numpy()
        assert abs(float(memory.energy(x, y, 1)[row]) - expected) < 1e-9
    run = memory.simulate(x, y, 5.0, dt=0.01, mode=1)
    energy = torch.stack([memory.energy(*pair, 1) for pair in zip(run.first, run.second, strict=True)])
    assert bool((energy[1:] <= energy[:-1] + 1e-12).all()) and float((energy[0] - energy[-1]).min()) > 0.1


def test_the_guarantee_holds_and_is_refused_where_it_may_not() -> None:
    def mode(strength: float, decay: float, noise: float, delay: float, seed: int) -> JumpMode:
        w, v = normal(3, 2, seed=seed), normal(2, 3, seed=seed + 1)
        scale = strength / max(float(torch.linalg.matrix_norm(part, 2)) for part in (w, v))
        return JumpMode(scale * w, scale * v, decay, delay, noise)

    rates = [[-2.0, 2.0], [1.0, -1.0]]
    memory = MarkovJumpingMemory([mode(0.4, 1.0, 0.3, 0.3, 0), mode(0.3, 1.2, 0.8, 0.3, 2)], rates)
    alpha = min(2 - 0.09 - 0.4, 2.4 - 0.64 - 0.3)
    rate = memory.guaranteed_rate()
    assert abs(rate - (alpha - 0.4 * math.exp(rate * 0.3))) < 1e-9 and rate > 0.5
    x, y = normal(1000, 3, seed=7), normal(1000, 2, seed=8)
    run = memory.simulate(x, y, 3.0, generator=torch.Generator().manual_seed(0))
    bound = run.mean_square[0] * torch.exp(-rate * run.time)
    assert bool((run.mean_square <= 1.05 * bound).all())
    two = MarkovJumpingMemory([mode(0.4, 1.0, 0.3, 0.3, 0), mode(0.3, 1.2, 0.8, 0.1, 2)], rates)
    assert 0 < two.guaranteed_rate() < rate, "two delays are heard at two times"
    wild = MarkovJumpingMemory([mode(3.0, 1.0, 0.0, 0.0, 0)], [[0.0]])
    assert wild.guaranteed_rate() == 0.0


def test_messages() -> None:
    one = torch.ones(2, 3)
    with pytest.raises(UsageError, match="modes is empty"):
        MarkovJumpingMemory([], [])
    with pytest.raises(ShapeError, match=r"first_weight of mode 1 has shape \(3, 2\)"):
        MarkovJumpingMemory([JumpMode(one), JumpMode(one.mT)], torch.zeros(2, 2))
    with pytest.raises(ShapeError, match=r"second_weight of mode 0 has shape \(2, 3\)"):
        MarkovJumpingMemory([JumpMode(one, one)], [[0.0]])
    with pytest.raises(UsageError, match="noise of mode 0 is -1"):
        MarkovJumpingMemory([JumpMode(one, noise=-1)], [[0.0]])
    with pytest.raises(ShapeError, match=r"rates has shape \(1, 1\). Needed: \(2, 2\)"):
        MarkovJumpingMemory([JumpMode(one), JumpMode(one)], [[0.0]])
    with pytest.raises(UsageError, match="rates is not that of a Markov chain. Needed: rates of 0 or more off"):
        MarkovJumpingMemory([JumpMode(one), JumpMode(one)], [[1.0, -1.0], [0.0, 0.0]])
    with pytest.raises(ShapeError, match=r"first_input has shape \(3,\). Needed: \(2,\)"):
        MarkovJumpingMemory([JumpMode(one)], [[0.0]], torch.ones(3))
    memory = MarkovJumpingMemory([JumpMode(one, 2 * one.mT)], [[0.0]])
    with pytest.raises(UsageError, match="simulate: mode is 1. Needed: 0 to 0"):
        memory.simulate(torch.ones(1, 2), torch.ones(1, 3), 1.0, mode=1)
    with pytest.raises(UsageError, match="energy: mode 0 hears differently in the two directions"):
        memory.energy(torch.ones(1, 2), torch.ones(1, 3))
