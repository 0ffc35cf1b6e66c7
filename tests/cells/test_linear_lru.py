"""Linear recurrent units, complex and real-gated: their rings, their norms, their impulse responses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.cells.lru import LRU
from recurra.cells.rg_lru import RGLRU
from recurra.unroll import scan, unroll


def uniform(values: torch.Tensor, low: float, high: float) -> float:
    """The largest gap between the values' distribution and the uniform one (Kolmogorov and Smirnov)."""
    ranks = torch.linspace(0.0, 1.0, len(values), dtype=values.dtype)
    return float(((values.sort().values - low) / (high - low) - ranks).abs().max())


@pytest.mark.parametrize(("r_min", "r_max", "phase"), [(0.0, 1.0, 2 * math.pi), (0.9, 0.999, math.pi / 10)])
def test_the_first_factors_are_uniform_on_the_ring(r_min: float, r_max: float, phase: float) -> None:
    torch.manual_seed(0)
    cell = LRU(1, 1000, r_min=r_min, r_max=r_max, max_phase=phase, dtype=torch.float64)
    factors = torch.complex(*cell.factor()).detach()
    assert uniform(factors.abs() ** 2, r_min**2, r_max**2) < 0.05
    assert uniform(cell.log_angle.detach().exp(), 0.0, phase) < 0.05
    torch.testing.assert_close(cell.log_scale.exp(), torch.sqrt(1 - factors.abs() ** 2), rtol=1e-9, atol=1e-12)


def test_no_parameter_makes_it_unstable() -> None:
    cell = LRU(2, 7)
    with torch.no_grad():
        cell.log_decay.copy_(torch.linspace(-10.0, 10.0, 7))
    real, imaginary = cell.factor()
    assert bool((real**2 + imaginary**2 < 1).all())


def test_the_response_to_an_impulse_is_the_power_of_the_factor() -> None:
    torch.manual_seed(0)
    cell = LRU(1, 5, output_size=2, dtype=torch.float64)
    x = torch.zeros(30, 1, 1, dtype=torch.float64)
    x[0] = 1.0
    w = {name: weight.detach().numpy() for name, weight in cell.named_parameters()}
    factor = np.exp(-np.exp(w["log_decay"]) + 1j * np.exp(w["log_angle"]))
    matrix_in = w["weight_ih"][:5, 0] + 1j * w["weight_ih"][5:, 0]
    matrix_out = w["weight_out"][:, :5] + 1j * w["weight_out"][:, 5:]
    powers = factor ** np.arange(30)[:, None]
    wanted = (powers * (np.exp(w["log_scale"]) * matrix_in)) @ matrix_out.T
    wanted = wanted.real + x[:, 0].numpy() * w["weight_skip"][:, 0]
    for run in (scan, unroll):
        np.testing.assert_allclose(run(cell, x)[0][:, 0].detach(), wanted, rtol=1e-10, atol=1e-12)


def test_its_scale_keeps_the_variance_of_white_noise() -> None:
    torch.manual_seed(0)
    cell = LRU(4, 20, r_max=0.9)
    with torch.no_grad():
        _, final = scan(cell, torch.randn(60, 4000, 4))
        squares = final.real.square() + final.imaginary.square()
        wanted = cell.weight_ih.square().sum(1).reshape(2, 20).sum(0)
    assert float((squares.mean(0) / wanted - 1.0).abs().mean()) < 0.04


def test_the_real_gated_units_first_decays_and_slow_gate() -> None:
    torch.manual_seed(0)
    cell = RGLRU(3, 4000, dtype=torch.float64)
    kept = torch.sigmoid(cell.decay.detach()) ** 8.0
    assert float(kept.min()) >= 0.9 and float(kept.max()) <= 0.999
    assert uniform(kept, 0.9, 0.999) < 0.05
    with torch.no_grad():
        cell.bias_ih[:4000] = -60.0
    state = type(cell.initial_state(2))(torch.randn(2, 4000, dtype=torch.float64))
    after = scan(cell, torch.randn(100, 2, 3, dtype=torch.float64), state)[1]
    torch.testing.assert_close(after.h, state.h, rtol=1e-9, atol=1e-9)


def test_the_real_gated_unit_keeps_the_variance_of_what_enters() -> None:
    """With gates at one half, sum over k of a^2k (1 - a^2) = 1."""
    torch.manual_seed(0)
    cell = RGLRU(6, 6, dtype=torch.float64)
    torch.nn.init.zeros_(cell.weight_ih)
    with torch.no_grad():
        _, final = scan(cell, torch.randn(600, 1000, 6, dtype=torch.float64))
    share = 1.0 - (torch.sigmoid(cell.decay.detach()) ** 4.0) ** (2 * 600)
    assert float((final.h.var(0) / (0.25 * share) - 1.0).abs().max()) < 0.2


@pytest.mark.parametrize("value", [500.0, 50.0, -50.0, -500.0])
def test_the_real_gated_units_gradient_is_finite_at_extreme_decays(value: float) -> None:
    cell = RGLRU(3, 3)
    torch.nn.init.constant_(cell.decay, value)
    scan(cell, torch.randn(5, 2, 3))[0].sum().backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in cell.parameters())
