"""Each instrument of states runs on every registered cell, and what it gives is true of that cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from recurra.analysis.effective_memory import effective_memory
from recurra.analysis.fixed_points import fixed_points, time_counters
from recurra.analysis.gate_saturation import gate_saturation
from recurra.analysis.lyapunov import lyapunov_spectrum
from recurra.analysis.memory_capacity import memory_capacity
from recurra.analysis.phase_portrait import phase_portrait
from recurra.analysis.stability import linear_stability
from recurra.analysis.systems import CellMap, jacobians
from recurra.analysis.visited import visited_states
from recurra.cells import CELLS, Cell
from recurra.cells.registry import cell_class
from recurra.errors import UsageError

NAMES = [name for name, row in CELLS.items() if row.driver == "unroll"]
CORE = ["elman", "lstm", "clockwork", "lru", "ctrnn", "second_order"]
STEPS = {"hm_rnn", "hm_lstm", "liquid"}
"""Cells whose step has jumps, so that a difference quotient is no derivative."""

every_cell = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in CORE else (pytest.mark.slow,)) for name in NAMES]
)


def made(name: str) -> Cell:
    torch.manual_seed(0)
    kind: Any
    kind, arguments = cell_class(name)
    # How many slots a memory has changes nothing of what is claimed, and all that is measured grows with their square.
    return kind(2, 8, **arguments, **({"slots": 6} if kind.external_memory else {}))


@every_cell
def test_the_jacobian_is_that_of_the_step(name: str) -> None:
    step = CellMap(made(name))
    s, beside = step.start(1)
    x = torch.randn(1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(3):
            _, s, beside = step.advance(x, s, beside)
    advance = step.next_vector(x, beside)
    with torch.no_grad():
        after, found = jacobians(advance, s)
        assert after.shape == s.shape and bool(found.isfinite().all())
        if name in STEPS:
            return
        for unit in range(0, step.features, 3):
            push = torch.zeros_like(s)
            push[:, unit] = 1e-6
            wanted = (advance(s + push) - advance(s - push)) / 2e-6
            np.testing.assert_allclose(found[..., unit], wanted, atol=2e-5)


@every_cell
def test_each_instrument_runs(name: str) -> None:
    cell = made(name)
    before = {key: value.clone() for key, value in cell.state_dict().items()}
    learned = [weight.requires_grad for weight in cell.parameters()]
    x = torch.randn(12, 3, 2, generator=torch.Generator().manual_seed(1))
    lengths = [12, 7, 0]
    spectrum = lyapunov_spectrum(cell, x, lengths=lengths, warmup=2, count=2)
    assert spectrum.exponents.shape == (2,) and not bool(spectrum.exponents.isnan().any())
    vectors = visited_states(cell, x, lengths)
    found: Any = linear_stability(cell)
    assert found.spectral_radius >= 0 and (found.exact == cell.linear)
    found = fixed_points(cell, starts=vectors[:4], adam_iterations=5, iterations=15, tolerance=1e-6, slow=10.0)
    assert found.points.shape[1] == len(CellMap(cell, hold=time_counters(cell)).names) <= vectors.shape[1]
    found.draw(Figure().add_subplot(), vectors)
    assert bool((found.speed[found.fixed] <= 1e-6).all())
    portrait = phase_portrait(cell, vectors, steps=3, grid=3)
    assert portrait.arrows.shape == (9, 2)
    memory = effective_memory(cell, x, lengths)
    assert memory.error[-1] < 1e-9
    assert memory_capacity(cell, 3, steps=200, warmup=5).total <= vectors.shape[1] + 0.5
    try:
        gates = gate_saturation(cell, x, lengths)
        assert all(bool(((0 <= mean) & (mean <= 1)).all()) for mean in gates.mean.values())
    except UsageError as error:
        assert "has no gate" in str(error)
    assert all(torch.equal(before[key], value) for key, value in cell.state_dict().items())
    assert [weight.requires_grad for weight in cell.parameters()] == learned
