"""Hopfield's network of graded units: the equation by scipy's solver, the energy by quadrature, and its fall."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp

from recurra.cells import HiddenState
from recurra.errors import ShapeError, UsageError
from recurra.memory import ContinuousHopfield, ContinuousHopfieldCell
from recurra.unroll import unroll


def draw(rows: int, units: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (rows, units), generator=generator, dtype=torch.float64) - 1.0


def memory_of(patterns: torch.Tensor, **given: float) -> ContinuousHopfield:
    memory = ContinuousHopfield(patterns.shape[1], threshold=0.05, dtype=torch.float64, **given)  # type: ignore[arg-type]
    memory.store(patterns)
    return memory


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk2", 2), ("rk4", 4)])
def test_the_cell_solves_the_equation_in_its_order(method: str, order: int) -> None:
    memory = memory_of(draw(2, 9), gain=3.0, time_constant=2.0)
    w, u0 = memory.weight.numpy(), np.random.default_rng(0).normal(size=9)
    field = np.random.default_rng(1).normal(size=9)

    def speed(_: float, u: np.ndarray) -> np.ndarray:
        return (-u + w @ np.tanh(3.0 * u) - 0.05 + field) / 2.0

    exact = solve_ivp(speed, (0.0, 1.6), u0, rtol=1e-12, atol=1e-13, method="DOP853").y[:, -1]
    errors = []
    for steps in (8, 16):
        cell = memory.cell(dt=1.6 / steps, method=method)
        x = torch.from_numpy(field).expand(steps, 1, 9)
        y, state = unroll(cell, x, HiddenState(torch.from_numpy(u0)[None]))
        np.testing.assert_allclose(y[-1].detach(), torch.tanh(3.0 * state.h.detach()), atol=1e-14)
        errors.append(np.abs(state.h.detach().numpy()[0] - exact).max())
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.35, errors


def test_the_energy_is_the_papers_integral_and_falls() -> None:
    memory = memory_of(draw(3, 8, 1), gain=2.5)
    w = memory.weight.numpy()
    field = torch.randn(4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = 2 * torch.rand(4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) - 1
    for row in range(4):
        v, b = y[row].numpy(), field[row].numpy()
        bowl = sum(quad(np.arctanh, 0.0, one)[0] for one in v)
        expected = -0.5 * v @ w @ v + 0.05 * v.sum() - b @ v + bowl / 2.5
        assert abs(float(memory.energy(y, field)[row]) - expected) < 1e-9
    assert torch.isfinite(memory.energy(torch.ones(1, 8, dtype=torch.float64))).all()
    found = memory.recall(y, dt=0.1, field=field)
    assert bool(found.converged.all()) and bool((found.energy[1:] <= found.energy[:-1] + 1e-12).all())
    assert float((found.energy[0] - found.energy[-1]).min()) > 0.1
    torch.testing.assert_close(found.energy[-1], memory.energy(found.state, field))
    u = np.arctanh(found.state.numpy()) / 2.5
    residual = -u + found.state.numpy() @ w - 0.05 + field.numpy()
    # At rest up to the tolerance of a step.
    assert np.abs(residual[np.abs(found.state.numpy()) < 0.999]).max() < 1e-3


def test_recall_from_a_part_and_no_memory_below_the_critical_gain() -> None:
    x = draw(3, 60, 2)
    cue = x.clone()
    cue[:, :20] = 0  # a third of each pattern is not known
    memory = ContinuousHopfield(60, gain=5.0, dtype=torch.float64)
    memory.store(x)
    found = memory.recall(cue)
    assert bool((found.state.sign() == x).all()) and bool(found.converged.all())
    largest = float(torch.linalg.eigvalsh(memory.weight)[-1])
    weak = ContinuousHopfield(60, gain=0.8 / largest, dtype=torch.float64)
    weak.store(x)
    assert float(weak.recall(cue, tolerance=1e-9, steps=3000).state.abs().max()) < 1e-6
    memory.forget(x[:1])
    assert not bool((memory.recall(cue[:1]).state.sign() == x[:1]).all())


def test_the_cell_has_gradients_and_takes_times() -> None:
    cell = ContinuousHopfieldCell(3, gain=2.0, method="rk4", dtype=torch.float64)
    x, h = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: cell(x, HiddenState(h), dt=0.3)[0], h)
    torch.testing.assert_close(cell(x, HiddenState(h))[0], cell(x, HiddenState(h), dt=0.1)[0])


def test_messages() -> None:
    with pytest.raises(UsageError, match="ContinuousHopfield: gain is 0. Needed: a positive number"):
        ContinuousHopfield(3, gain=0)
    with pytest.raises(UsageError, match="ContinuousHopfieldCell: method is 'heun'"):
        ContinuousHopfieldCell(3, method="heun")
    with pytest.raises(UsageError, match="ContinuousHopfieldCell: substeps is 0. Needed: a positive whole number"):
        ContinuousHopfieldCell(3, substeps=0)
    with pytest.raises(ShapeError, match=r"ContinuousHopfield.recall: cue has shape \(1, 2\)"):
        ContinuousHopfield(3).recall(torch.zeros(1, 2))
