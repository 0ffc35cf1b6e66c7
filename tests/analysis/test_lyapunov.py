"""Lyapunov exponents against logarithms of eigenvalues, a known sum, a numpy reference and two known flows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from recurra.analysis.lyapunov import kaplan_yorke_dimension, lyapunov_spectrum
from recurra.analysis.systems import CellMap, Flow, jacobians
from recurra.cells import GRU, LSTM, Elman
from recurra.cells.clockwork import ClockworkRNN
from recurra.errors import ShapeError, UsageError
from recurra.problems.henon import henon_map
from recurra.problems.lorenz import lorenz_field


def test_a_linear_maps_exponents_are_the_logarithms_of_its_eigenvalues() -> None:
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(4, 4))
    values = np.array([1.5, 0.9, 0.4, 0.1])
    matrix = torch.from_numpy(basis @ np.diag(values) @ np.linalg.inv(basis))
    found = lyapunov_spectrum(lambda s: s @ matrix.T, state=torch.zeros(4), steps=60, warmup=60)
    np.testing.assert_allclose(found.exponents, np.log(values), atol=1e-9)
    rare = lyapunov_spectrum(lambda s: s @ matrix.T, state=torch.zeros(4), steps=63, warmup=60, every=5)
    np.testing.assert_allclose(rare.exponents, np.log(values), atol=1e-9)


def test_henons_exponents_add_up_to_the_logarithm_of_its_shrinking() -> None:
    found = lyapunov_spectrum(henon_map, state=0.1 * torch.rand(64, 2, dtype=torch.float64), steps=300)
    assert abs(float(found.exponents.sum()) - math.log(0.3)) < 1e-12
    # A published value: 0.419; with 19,200 steps the band is about 0.005 wide.
    assert abs(float(found.exponents[0]) - 0.4192) < 2 * float(found.band[0]) < 0.03
    assert found.dimension == pytest.approx(1.258, abs=0.01)


def reference(weights: dict[str, np.ndarray], x: np.ndarray, warmup: int) -> np.ndarray:
    """The same by numpy and Gram-Schmidt, for the simple recurrent network, along one sequence."""
    n = len(weights["hh"])
    h, q, logs = np.zeros(n), np.eye(n), np.zeros(n)
    for t, u in enumerate(x):
        h = np.tanh(weights["ih"] @ u + weights["b"] + weights["hh"] @ h)
        q = np.diag(1 - h**2) @ weights["hh"] @ q
        for i in range(n):
            for j in range(i):
                q[:, i] -= (q[:, j] @ q[:, i]) * q[:, j]
            size = np.linalg.norm(q[:, i])
            q[:, i] /= size
            logs[i] += math.log(size) * (t >= warmup)
    return logs / (len(x) - warmup)


def test_a_driven_cell_equals_a_reference_and_padding_does_not_count() -> None:
    torch.manual_seed(0)
    cell = Elman(2, 3)
    x = torch.randn(700, 2, 2)
    weights = {k: v.detach().double().numpy() for k, v in (("ih", cell.weight_ih), ("hh", cell.weight_hh))}
    weights["b"] = (cell.bias_ih + cell.bias_hh).detach().double().numpy()
    wanted = [reference(weights, x[:length, b].double().numpy(), 100) for b, length in ((0, 700), (1, 400))]
    x[400:, 1] = float("nan")
    found = lyapunov_spectrum(cell, torch.nan_to_num(x, nan=1e3), lengths=[700, 400])
    # Another first basis: the two forget it at the rate of the gaps between exponents.
    np.testing.assert_allclose(found.each, np.stack(wanted), atol=5e-3)
    np.testing.assert_allclose(found.exponents, (600 * wanted[0] + 300 * wanted[1]) / 900, atol=5e-3)
    assert found.conditional and "the first state is forgotten" in found.text


@pytest.mark.parametrize("cell", [GRU(2, 3), LSTM(2, 3), ClockworkRNN(2, 4)])
def test_any_cells_state_has_a_jacobian(cell: torch.nn.Module) -> None:
    step = CellMap(cell)  # type: ignore[arg-type]
    s, beside = step.start(2)
    s = s + torch.randn(s.shape, dtype=torch.float64) * 0.3
    advance = step.next_vector(torch.randn(2, 2, dtype=torch.float64), beside)
    _, found = jacobians(advance, s)
    for unit in range(step.features):
        push = torch.zeros_like(s)
        push[:, unit] = 1e-6
        np.testing.assert_allclose(found[:, :, unit], (advance(s + push) - advance(s - push)) / 2e-6, atol=1e-8)


def test_conditional_exponents_of_lorenz() -> None:
    # y and z driven by x: dy/dt = -y - x z, dz/dt = x y - b z shrink areas at the rate 1 + b, whatever x does.
    flow = Flow(lorenz_field, 0.02)
    start = torch.tensor([1.0, 1.0, 20.0]) + torch.rand(4, 3)
    found = lyapunov_spectrum(flow, state=start, steps=30, warmup=10, response=[1, 2])
    assert float(found.exponents.sum()) == pytest.approx(-(1 + 8 / 3), abs=3e-3)
    assert float(found.exponents[0]) < 0 and found.conditional
    # x and y driven by z: dx/dt = s (y - x), dy/dt = x (r - z) - y shrink areas at the rate s + 1.
    other = lyapunov_spectrum(flow, state=start, steps=20, warmup=5, response=[0, 1])
    assert float(other.exponents.sum()) == pytest.approx(-11.0, abs=5e-3)


def test_a_flows_exponents_are_per_unit_of_time() -> None:
    found = lyapunov_spectrum(Flow(lambda s: s * torch.tensor([-1.0, -3.0]), 0.05), state=torch.ones(2), steps=40)
    np.testing.assert_allclose(found.exponents, [-1, -3], atol=1e-4)


def test_the_cell_is_left_as_it_is() -> None:
    cell = GRU(2, 3)
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    lyapunov_spectrum(cell, steps=20, warmup=5)
    assert cell.training and all(p.requires_grad and p.grad is None for p in cell.parameters())
    assert all(torch.equal(before[name], value) for name, value in cell.state_dict().items())


def test_dimension_course_and_drawing() -> None:
    assert kaplan_yorke_dimension([-0.1, -1]) == 0
    assert kaplan_yorke_dimension([1.0, 0.5], complete=False) is None
    assert kaplan_yorke_dimension([1.0, 0.5]) == 2.0
    found = lyapunov_spectrum(henon_map, state=torch.zeros(2), steps=100)
    assert found.course.shape == (10, 2)
    np.testing.assert_allclose(found.course[-1], found.exponents, atol=1e-12)
    assert found.entropy == float(found.exponents[0])
    axes = Figure().add_subplot()
    found.draw(axes)
    assert axes.get_ylabel() == "Lyapunov exponent"


def test_messages() -> None:
    with pytest.raises(UsageError, match="neither x nor steps was given. Needed: one of them"):
        lyapunov_spectrum(GRU(2, 3))
    with pytest.raises(UsageError, match="x has 5 steps, and warmup is 100. Needed: more steps"):
        lyapunov_spectrum(GRU(2, 3), torch.zeros(5, 1, 2))
    with pytest.raises(UsageError, match="count is 9. Needed: at most 3"):
        lyapunov_spectrum(GRU(2, 3), steps=5, count=9)
    with pytest.raises(UsageError, match=r"response is \[0, 5\]. Needed: different numbers from 0 to 1"):
        lyapunov_spectrum(henon_map, state=torch.zeros(2), steps=5, response=[0, 5])
    with pytest.raises(UsageError, match="steps is None"):
        lyapunov_spectrum(henon_map, state=torch.zeros(2))
    with pytest.raises(ShapeError, match="state is NoneType. Needed: the first states"):
        lyapunov_spectrum(henon_map, steps=5)
    with pytest.raises(UsageError, match="every is 0. Needed: a whole number of at least 1"):
        lyapunov_spectrum(GRU(2, 3), steps=5, every=0)
    with pytest.raises(UsageError, match="response was given for a cell"):
        lyapunov_spectrum(GRU(2, 3), steps=5, response=[0])
