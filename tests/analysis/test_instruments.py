"""Stability, portraits, bifurcations, effective memory, gates and memory capacity, each against what is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from recurra.analysis.bifurcation import bifurcation, scaled
from recurra.analysis.effective_memory import effective_memory
from recurra.analysis.gate_saturation import gate_saturation
from recurra.analysis.memory_capacity import memory_capacity
from recurra.analysis.phase_portrait import phase_portrait
from recurra.analysis.stability import linear_stability, weight_stability
from recurra.analysis.systems import Flow
from recurra.cells import GRU, LRU, LSTM, Elman, GateVariantGRU, IndRNN
from recurra.errors import ShapeError, UsageError


def axes() -> object:
    return Figure().add_subplot()


def test_the_poles_of_a_linear_recurrent_unit_are_its_own() -> None:
    torch.manual_seed(0)
    cell = LRU(3, 5)
    found = linear_stability(cell, state=cell.initial_state(1), x=torch.randn(3))
    impulse = cell.double()
    # The same poles from the decay of free states: each step multiplies them.
    assert found.exact and found.stable and found.text.startswith("Stable everywhere")
    _, state = impulse(torch.zeros(1, 3, dtype=torch.float64), impulse.initial_state(1))
    start = type(state)(*(torch.randn_like(part) for part in state))
    first = start
    for _ in range(50):
        _, first = impulse(torch.zeros(1, 3, dtype=torch.float64), first)
    size = math.sqrt(sum(float(part.detach().square().sum()) for part in first))
    begin = math.sqrt(sum(float(part.square().sum()) for part in start))
    assert size <= begin * found.spectral_radius**50 * (1 + 1e-9)
    found.draw(axes())


def test_stability_of_a_known_step() -> None:
    cell = Elman(1, 2, bias=False)
    angle = 2 * math.pi / 12
    turn = 0.9 * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    with torch.no_grad():
        cell.weight_hh.copy_(turn)
    found = linear_stability(cell)
    np.testing.assert_allclose(found.eigenvalues.abs(), 0.9, rtol=1e-6)
    np.testing.assert_allclose(found.periods, 12, rtol=1e-6)
    np.testing.assert_allclose(found.decay_times, -1 / math.log(0.9), rtol=1e-5)
    assert found.growth == 1.0 and found.norm == pytest.approx(0.9, rel=1e-6) and not found.exact
    ((radius, norm),) = weight_stability(cell)["weight_hh"]
    assert radius == pytest.approx(0.9, rel=1e-6) and norm == pytest.approx(0.9, rel=1e-6)
    assert "Unstable at this state: the spectral radius is 1.8" in linear_stability(scaled(cell, 2.0)).text
    assert weight_stability(IndRNN(2, 3))["weight_hh"][0][0] > 0
    with pytest.raises(ShapeError, match="the state has 2 rows. Needed: a batch of one"):
        linear_stability(cell, state=cell.initial_state(2))


def test_a_portrait_holds_the_step_itself() -> None:
    flow = Flow(lambda s: torch.stack([s[..., 1], -s[..., 0]], -1), 0.1)
    found = phase_portrait(flow, torch.tensor([[1.0, 0.0], [0.5, 0.5]]), steps=63)
    np.testing.assert_allclose(found.paths[0], torch.tensor([[1.0, 0.0], [0.5, 0.5]]) - found.centre, atol=1e-12)
    radius = (found.paths + found.centre).norm(dim=-1)
    np.testing.assert_allclose(radius[:, 0], 1.0, atol=1e-4)  # circles
    full = found.points + found.centre
    np.testing.assert_allclose(found.arrows, flow.advance(full) - full, atol=1e-12)
    torch.manual_seed(0)
    cell = LSTM(2, 3)
    portrait = phase_portrait(cell, torch.randn(5, 6), torch.ones(2), paths=3)
    assert portrait.paths.shape == (51, 3, 2) and 0 < portrait.flat <= 1
    portrait.draw(axes(), torch.zeros(1, 6, dtype=torch.float64))
    with pytest.raises(ShapeError, match="the states have 4 features. Needed: 6"):
        phase_portrait(cell, torch.randn(5, 4))
    with pytest.raises(UsageError, match="x was given for a map"):
        phase_portrait(flow, torch.zeros(1, 2), torch.ones(2))


def test_the_logistic_map_doubles_its_period_where_it_should() -> None:
    values = [2.9, 3.3, 3.5, 3.55, 3.83, 3.9]
    found = bifurcation(lambda r: lambda s: r * s * (1 - s), values, torch.tensor([[0.3], [0.6]]), warmup=3000)
    assert found.periods() == [1, 2, 4, 8, 3, None]
    np.testing.assert_allclose(found.seen[0], 1 - 1 / 2.9, atol=1e-9)
    found.draw(axes())


def test_a_unit_has_two_states_beyond_the_gain_of_one() -> None:
    cell = Elman(1, 1, bias=False)
    cell.weight_hh.data.fill_(1.0)
    found = bifurcation(lambda g: scaled(cell, g), [0.5, 1.5], torch.tensor([[-0.5], [0.5]]), steps=4)
    np.testing.assert_allclose(found.seen[0], 0, atol=1e-9)
    assert (found.seen[1, :, 0] < -0.5).all() and (found.seen[1, :, 1] > 0.5).all()
    with pytest.raises(UsageError, match="there are 0 values"):
        bifurcation(lambda g: scaled(cell, g), [], torch.zeros(1, 1))


def test_effective_memory_of_leaky_units_and_of_a_counter() -> None:
    torch.manual_seed(0)
    cell = IndRNN(1, 1)
    for weight, value in zip(cell.parameters(), (1.0, 0.9, 0.0), strict=True):
        weight.data.fill_(value)
    x = torch.rand(60, 5, 1)
    found = effective_memory(cell, x, [60, 60, 30, 60, 0], tolerance=0.1)
    wanted = []
    kernel = np.array([0.9**k for k in range(60)])
    whole = [
        (float(x[:n, b, 0].double().numpy()[::-1] @ kernel[:n]), n, b) for b, n in ((0, 60), (1, 60), (2, 30), (3, 60))
    ]
    for lag in found.lags:
        cut = [x[max(0, n - lag) : n, b, 0].double().numpy()[::-1] for _, n, b in whole]
        lost = [float(part @ kernel[: len(part)]) - y for part, (y, _, _) in zip(cut, whole, strict=True)]
        wanted.append(np.linalg.norm(lost) / np.linalg.norm([y for y, _, _ in whole]))
    np.testing.assert_allclose(found.error, wanted, atol=1e-6)
    assert found.steps == next(lag for lag, e in zip(found.lags, wanted, strict=True) if e <= 0.1)
    cell.weight_hh.data.fill_(1.0)
    assert effective_memory(cell, x[:10]).steps is None  # a sum needs all steps
    assert "all steps count" in effective_memory(cell, x[:10]).text
    found.draw(axes())
    with pytest.raises(UsageError, match="tolerance is 2"):
        effective_memory(cell, x, tolerance=2)


def test_gates_are_those_of_the_equations() -> None:
    torch.manual_seed(0)
    cell, x = LSTM(2, 3), 3 * torch.randn(8, 4, 2)
    lengths = [8, 8, 5, 0]
    found = gate_saturation(cell, x, lengths)
    weights = [weight.detach().double().numpy() for weight in cell.parameters()]
    w, u, b, d = weights
    kept: dict[str, list[np.ndarray]] = {"write": [], "keep": [], "gate 1": []}
    for index, length in enumerate(lengths):
        h = c = np.zeros(3)
        for t in range(length):
            i, f, g, o = np.split(w @ x[t, index].double().numpy() + b + u @ h + d, 4)
            i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
            for name, gate in (("write", i), ("keep", f), ("gate 1", o)):
                kept[name].append(gate)
    assert set(found.mean) == set(kept)
    for name, gates in kept.items():
        np.testing.assert_allclose(found.mean[name], np.mean(gates, axis=0), atol=1e-9)
        np.testing.assert_allclose(found.shut[name], np.mean(np.array(gates) < 0.1, axis=0), atol=1e-12)
        np.testing.assert_allclose(found.open[name], np.mean(np.array(gates) > 0.9, axis=0), atol=1e-12)
    found.draw(axes())
    assert torch.equal(cell.bias_hh.detach().double(), torch.from_numpy(d))


@pytest.mark.parametrize("cell", [GRU(1, 4), GateVariantGRU(1, 4)])
def test_a_keep_gate_is_open_where_the_state_stays(cell: torch.nn.Module) -> None:
    gate = cell.keep_gate
    bias = getattr(cell, gate.bias)
    bias.data[gate.index * 4 : gate.index * 4 + 4].fill_(gate.sign * 20.0)
    found = gate_saturation(cell, torch.randn(6, 2, 1))  # type: ignore[arg-type]
    assert found.open["keep"].tolist() == [1.0] * 4 and found.shut["keep"].tolist() == [0.0] * 4
    assert "keep: 0 % of the time below 0.1, 100 % above 0.9." in found.text


def test_a_cell_without_gates_says_so() -> None:
    with pytest.raises(UsageError, match="the step of Elman has no gate"):
        gate_saturation(Elman(1, 2), torch.zeros(3, 1, 1))
    with pytest.raises(UsageError, match="low is 0.9, and high is 0.1"):
        gate_saturation(GRU(1, 2), torch.zeros(3, 1, 1), low=0.9, high=0.1)
    with pytest.raises(UsageError, match="x holds no step"):
        gate_saturation(GRU(1, 2), torch.zeros(0, 1, 1))


def test_a_line_of_units_has_the_capacity_of_its_length_and_not_more() -> None:
    cell = Elman(1, 10, bias=False)
    with torch.no_grad():
        cell.weight_hh.copy_(torch.diag(torch.ones(9), -1))
        cell.weight_ih.copy_(torch.eye(10)[:, :1])
    found = memory_capacity(cell, scale=0.01, steps=1000, warmup=20)
    assert found.total == pytest.approx(9, abs=0.01)
    np.testing.assert_allclose(found.each[10:], 0, atol=1e-12)
    assert found.bound == 10 and "of at most 10" in found.text
    found.draw(axes())


def test_capacity_that_is_chance_counts_as_none() -> None:
    """A known trap: on the steps of the fit every delay seems to be told, by features / steps of it."""
    torch.manual_seed(0)
    forgetful = scaled(Elman(1, 40), 0.0)  # the present input alone is in the state
    found = memory_capacity(forgetful, delays=300, steps=400, warmup=10)
    assert found.total < 0.5
    assert abs(sum(found.raw[1:])) > 1  # what it would have been
    assert found.chance[0] < 0
    with pytest.raises(UsageError, match="steps is 40. Needed: more than 40"):
        memory_capacity(forgetful, steps=40)


def test_a_random_network_stays_below_its_bound() -> None:
    torch.manual_seed(1)
    cell = Elman(1, 20, bias=False)
    q, _ = torch.linalg.qr(torch.randn(20, 20))
    with torch.no_grad():
        cell.weight_hh.copy_(0.95 * q)
    found = memory_capacity(cell, scale=0.01, steps=2000, include_present=True)
    assert 17 < found.total < 20.1
