"""Leaky units and learned differential equations: their steps against exact solutions and against a solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from recurra.cells import GRU, Elman
from recurra.cells.ctrnn import CTRNN
from recurra.cells.leaky_rnn import LeakyRNN
from recurra.cells.ltc import LTC
from recurra.cells.mtrnn import MTRNN, MTRNNState
from recurra.cells.ode_rnn import ODERNN
from recurra.cells.state import HiddenState
from recurra.unroll import unroll


def made(kind: Any, *sizes: int, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return kind(*sizes, **arguments, dtype=torch.float64)


def arrays(cell: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy() for name, weight in cell.named_parameters()}


def logistic(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


def solved(rate: Any, x: np.ndarray, dt: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The end of a path driven by inputs that are each held for their time."""
    h = start
    for x_t, time in zip(x, dt, strict=True):
        h = solve_ivp(lambda _, h, x_t=x_t: rate(h, x_t), (0, time), h, rtol=1e-11, atol=1e-12).y[:, -1]
    return h


def ratios(cells: list[Any], rate: Any, start: float = 0.5) -> tuple[list[float], float]:
    """How much each cell's error is smaller than the last one's, over five inputs at uneven times; the last error."""
    x, dt = torch.randn(5, 1, 2, dtype=torch.float64), 0.3 + torch.rand(5, 1, dtype=torch.float64)
    h = torch.full((1, cells[0].hidden_size), start, dtype=torch.float64)
    wanted = solved(rate, x[:, 0].numpy(), dt[:, 0].numpy(), h[0].numpy())
    ends = [unroll(cell, x, HiddenState(h), dt=dt)[1].h[0].detach().numpy() for cell in cells]
    errors = [float(np.abs(end - wanted).max()) for end in ends]
    return [a / b for a, b in zip(errors, errors[1:], strict=False)], errors[-1]


@pytest.mark.parametrize(("method", "order", "steps"), [("euler", 1, 32), ("exponential", 1, 32), ("rk4", 4, 16)])
def test_ctrnn_converges_to_the_solution_at_the_order_of_its_method(method: str, order: int, steps: int) -> None:
    taus = [0.4, 1.0, 3.0]
    cells = [
        made(CTRNN, 2, 3, method=method, substeps=count, time_constant=taus) for count in (steps, 2 * steps, 4 * steps)
    ]
    with torch.no_grad():
        for cell in cells:
            cell.weight_hh.mul_(4)
    w = arrays(cells[0])

    def rate(h: np.ndarray, x: np.ndarray) -> np.ndarray:
        return (-h + w["weight_hh"] @ logistic(h + w["bias_hh"]) + w["weight_ih"] @ x) / np.array(taus)

    found, error = ratios(cells, rate)
    assert all(0.85 * 2**order < ratio < 1.15 * 2**order for ratio in found)
    assert error < (1e-2 if order == 1 else 1e-5)


def test_one_euler_step_of_the_time_constant_is_the_discrete_network() -> None:
    cell = made(CTRNN, 3, 5, time_constant=0.7, nonlinearity="tanh")
    discrete = made(Elman, 3, 5)
    with torch.no_grad():
        discrete.weight_ih.copy_(cell.weight_ih)
        discrete.weight_hh.copy_(cell.weight_hh)
        discrete.bias_ih.copy_(cell.bias_hh)
        discrete.bias_hh.zero_()
    x, h = torch.randn(8, 2, 3, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    y, _ = unroll(cell, x, HiddenState(h), dt=0.7)
    wanted, _ = unroll(discrete, x, HiddenState(torch.tanh(h + cell.bias_hh)))
    torch.testing.assert_close(torch.tanh(y + cell.bias_hh), wanted, rtol=1e-12, atol=1e-14)


def test_exponential_steps_are_exact_without_recurrent_weights_however_the_time_is_cut() -> None:
    x, h = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    dt = torch.tensor([0.3, 40.0], dtype=torch.float64)
    ends = {}
    for method, substeps in (("exponential", 1), ("exponential", 2), ("exponential", 7), ("euler", 7)):
        cell = made(CTRNN, 3, 4, method=method, substeps=substeps, time_constant=[0.2, 1.0, 5.0, 30.0])
        with torch.no_grad():
            cell.weight_hh.zero_()
        ends[method, substeps] = cell(x, HiddenState(h), dt)[0]
    kept = torch.exp(-dt.unsqueeze(1) / cell.time_constant)
    wanted = kept * h + (1 - kept) * (x @ cell.weight_ih.T)
    for substeps in (1, 2, 7):
        torch.testing.assert_close(ends["exponential", substeps], wanted, rtol=1e-12, atol=1e-13)
    assert (ends["euler", 7] - wanted).abs().max() > 0.01


def test_time_constants_are_learned_and_stay_positive() -> None:
    cell = made(CTRNN, 2, 3, time_constant=0.01)
    optimiser = torch.optim.SGD([cell.log_time_constant], lr=3.0)
    for _ in range(20):
        optimiser.zero_grad()
        (cell.time_constant.sum() * 100).backward()
        optimiser.step()
    assert bool((cell.time_constant > 0).all()) and bool((cell.time_constant < 0.005).all())


def test_slow_groups_hear_of_the_input_through_their_neighbours_only() -> None:
    cell = made(MTRNN, 2, 6, time_constants=(2.0, 5.0, 70.0), group_sizes=(2, 3, 1))
    x = torch.randn(5, 1, 2, dtype=torch.float64)
    other = torch.cat([x[:1] + 1, x[1:]])
    changed = (unroll(cell, x)[0] - unroll(cell, other)[0])[:, 0].abs() > 0
    first = [int(group.any(1).nonzero()[0]) for group in changed.split([2, 3, 1], 1)]
    assert first == [0, 1, 2]
    before = unroll(cell, x)[0]
    with torch.no_grad():
        cell.weight_hh[:2, 5] += 1
        cell.weight_hh[5, :2] += 1
        cell.weight_ih[2:] += 1
    assert torch.equal(unroll(cell, x)[0], before)


def test_groups_forget_at_their_own_time_scales() -> None:
    cell = made(MTRNN, 1, 4, time_constants=(2.0, 70.0), bias=False)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
    _, state = unroll(cell, torch.zeros(30, 1, 1, dtype=torch.float64), MTRNNState(torch.ones(1, 4).double()))
    wanted = torch.tensor([0.5**30, 0.5**30, (69 / 70) ** 30, (69 / 70) ** 30], dtype=torch.float64)
    torch.testing.assert_close(state.u[0], wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("hidden", [1, 2, 3, 7])
def test_units_are_shared_out_among_the_groups(hidden: int) -> None:
    sizes = MTRNN(1, hidden, time_constants=(2.0, 5.0, 70.0)).group_sizes
    assert sum(sizes) == hidden and max(sizes) - min(sizes) <= 1 and list(sizes) == sorted(sizes, reverse=True)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_a_leaky_network_of_rate_one_is_the_simple_network(nonlinearity: str) -> None:
    cell, simple = (made(kind, 3, 5, nonlinearity=nonlinearity, bias=False) for kind in (LeakyRNN, Elman))
    cell.rate.fill_(1.0)
    simple.load_state_dict({name: value for name, value in cell.state_dict().items() if name != "rate"})
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(unroll(cell, x)[0], unroll(simple, x)[0], rtol=1e-12, atol=1e-14)


def test_leaky_units_without_input_leak_and_without_a_leak_integrate() -> None:
    x = torch.zeros(10, 1, 1, dtype=torch.float64)
    for leak, wanted in ((0.5, (1 - 0.2 * 0.5 * 0.3) ** 10), (0.0, 1.0)):
        cell = made(LeakyRNN, 1, 1, rate=0.2, leak=leak, bias=False)
        with torch.no_grad():
            cell.weight_hh.zero_()
        found = unroll(cell, x, HiddenState(torch.ones(1, 1, dtype=torch.float64)), dt=0.3)[1].h
        assert found.item() == pytest.approx(wanted, rel=1e-12)


def test_learned_rates_begin_at_the_rates_given_and_have_gradients() -> None:
    cell = made(LeakyRNN, 2, 3, rate=[0.1, 0.5, 0.9], learn_rate=True)
    torch.testing.assert_close(torch.sigmoid(cell.rate_logit).tolist(), [0.1, 0.5, 0.9])
    assert "rate" not in dict(cell.named_buffers())
    unroll(cell, torch.randn(4, 2, 2, dtype=torch.float64))[0].square().sum().backward()
    assert bool((cell.rate_logit.grad != 0).all())


def test_ltc_stays_between_zero_and_its_reversal_levels_whatever_the_step() -> None:
    cell = made(LTC, 3, 6, substeps=2)
    with torch.no_grad():
        cell.weight_hh.mul_(100)
        cell.reversal.mul_(5)
    low, high = cell.reversal.clamp(max=0), cell.reversal.clamp(min=0)
    dt = 10 ** (6 * torch.rand(100, 4, dtype=torch.float64) - 3)
    start = low + (high - low) * torch.rand(4, 6, dtype=torch.float64)
    y, _ = unroll(cell, 10 * torch.randn(100, 4, 3, dtype=torch.float64), HiddenState(start), dt=dt)
    assert bool((y >= low - 1e-12).all()) and bool((y <= high + 1e-12).all())
    assert y.std(0).max() > 0.1


def test_ltc_converges_to_the_solution_at_order_one() -> None:
    cells = [made(LTC, 2, 3, substeps=substeps, time_constant=[0.5, 1.0, 4.0]) for substeps in (32, 64, 128)]
    w = arrays(cells[0])

    def rate(h: np.ndarray, x: np.ndarray) -> np.ndarray:
        f = logistic(w["weight_hh"] @ h + w["weight_ih"] @ x + w["bias_ih"])
        return -(1 / np.array([0.5, 1.0, 4.0]) + f) * h + f * w["reversal"]

    found, error = ratios(cells, rate)
    assert all(1.85 < ratio < 2.15 for ratio in found)
    assert error < 1e-2


def test_ltc_relaxes_with_its_effective_time_constant() -> None:
    """With f held at a constant c the unit moves to tau c A / (1 + tau c) with the time constant tau / (1 + tau c)."""
    cell = made(LTC, 1, 1, substeps=3000, time_constant=2.0)
    with torch.no_grad():
        cell.weight_hh.zero_()
        cell.weight_ih.zero_()
        cell.bias_ih.fill_(0.4)
        cell.reversal.fill_(-1.5)
    f = 1 / (1 + np.exp(-0.4))
    end, tau = 2.0 * f * -1.5 / (1 + 2.0 * f), 2.0 / (1 + 2.0 * f)
    found, _ = cell(torch.zeros(1, 1).double(), HiddenState(torch.full((1, 1), 0.8).double()), 1.3)
    assert found.item() == pytest.approx(end + (0.8 - end) * np.exp(-1.3 / tau), abs=5e-4)


def test_an_ode_rnn_that_does_not_move_or_has_no_time_is_its_gru() -> None:
    cell = made(ODERNN, 3, 4)
    x, start = torch.randn(5, 2, 3, dtype=torch.float64), HiddenState(torch.randn(2, 4, dtype=torch.float64))
    gru = made(GRU, 3, 4)
    gru.load_state_dict(cell.update.state_dict())
    wanted = unroll(gru, x, start)[0]
    torch.testing.assert_close(unroll(cell, x, start, dt=0.0)[0], wanted, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(unroll(cell, x, start)[0], wanted, atol=1e-3)
    with torch.no_grad():
        cell.weight_ode_out.zero_()
        cell.bias_ode_out.zero_()
    torch.testing.assert_close(unroll(cell, x, start)[0], wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk2", 2), ("rk4", 4)])
def test_between_observations_the_ode_rnn_follows_its_equation(method: str, order: int) -> None:
    cell = made(ODERNN, 1, 3, ode_units=5)
    with torch.no_grad():
        cell.weight_ode_in.mul_(3)
        # An update gate held open keeps what the equation gave.
        cell.update.bias_hh[3:6] = 200.0
    w = arrays(cell)

    def rate(h: np.ndarray, _: np.ndarray) -> np.ndarray:
        return w["weight_ode_out"] @ np.tanh(w["weight_ode_in"] @ h + w["bias_ode_in"]) + w["bias_ode_out"]

    start = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    wanted = solved(rate, np.zeros((1, 1)), np.array([1.7]), start[0].numpy())
    errors = []
    for substeps in (8, 16):
        cell.method, cell.substeps = method, substeps
        found = cell(torch.zeros(1, 1, dtype=torch.float64), HiddenState(start), 1.7)[0][0]
        errors.append(float(np.abs(found.detach().numpy() - wanted).max()))
    assert 0.8 * 2**order < errors[0] / errors[1] < 1.25 * 2**order
