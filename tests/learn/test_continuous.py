"""The adjoint equation of CTRNNs: against numpy, against closed forms, and its approach to the discrete gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sequence_learner import SequenceLearner, Sequences, assert_close, far_apart, gradient_by, sequences
from torch import nn

from recurra.errors import UsageError
from recurra.learn.rules.bptt import BPTT
from recurra.learn.rules.continuous import Continuous
from recurra.nn import Recurrent


def layer(layers: int = 1, **more: Any) -> Recurrent:
    return Recurrent("ctrnn", 2, 4, layers, **{"time_constant": [0.7, 1.0, 1.5, 2.0], **more})


class Plain(nn.Module):
    """The squared error of the states themselves."""

    def __init__(self, layer: Recurrent):
        super().__init__()
        self.layer = layer

    def forward(self, batch: Sequences, start: int, stop: int, state: Any) -> Any:
        dt = None if batch.dt is None else batch.dt[start:stop]
        y, state = self.layer(batch.x[start:stop], state, dt=dt)
        return ((y - batch.y[start:stop]) ** 2).sum(), state


def by_hand(cell: Any, x: np.ndarray, target: np.ndarray, dt: np.ndarray, order: int) -> dict[str, np.ndarray]:
    """One sequence: Euler's method forward in `substeps` a step, Pearlmutter's equations backward, unit by unit."""
    w, v, theta = (p.detach().numpy() for p in (cell.weight_hh, cell.weight_ih, cell.bias_hh))
    tau = np.exp(cell.log_time_constant.detach().numpy())
    n, substeps = len(tau), cell.substeps
    f = {"sigmoid": lambda s: 1 / (1 + np.exp(-s)), "tanh": np.tanh}[cell.nonlinearity]
    slope = {"sigmoid": lambda s: f(s) * (1 - f(s)), "tanh": lambda s: 1 - np.tanh(s) ** 2}[cell.nonlinearity]
    h, states, times, owner = np.zeros(n), [np.zeros(n)], [], []
    for t in range(len(x)):
        for _ in range(substeps):
            s = dt[t] / substeps
            h = h + s * (-h + w @ f(h + theta) + v @ x[t]) / tau
            states.append(h)
            times.append(s)
            owner.append(t)
    g = {"weight_hh": 0 * w, "weight_ih": 0 * v, "bias_hh": 0 * theta, "log_time_constant": 0 * theta}
    z = np.zeros(n)

    def rate(z: np.ndarray, h: np.ndarray) -> np.ndarray:
        out = np.zeros(n)  # minus dz/dt
        for i in range(n):
            out[i] = -z[i] / tau[i]
            for j in range(n):
                out[i] += slope(h[i] + theta[i]) * w[j, i] * z[j] / tau[j]
        return out

    def add(share: float, z: np.ndarray, h: np.ndarray, x: np.ndarray) -> None:
        for i in range(n):
            g["weight_hh"][i] += share * z[i] / tau[i] * f(h + theta)
            g["weight_ih"][i] += share * z[i] / tau[i] * x
            g["bias_hh"][i] += share * slope(h[i] + theta[i]) * sum(w[j, i] * z[j] / tau[j] for j in range(n))
            g["log_time_constant"][i] -= share * z[i] * (-h[i] + w[i] @ f(h + theta) + v[i] @ x) / tau[i]

    for k in reversed(range(len(times))):
        t, s, after, before = owner[k], times[k], states[k + 1], states[k]
        if k % substeps == substeps - 1:
            z = z + 2 * (after - target[t])
        if order == 1:
            add(s, z, after, x[t])
            z = z + s * rate(z, after)
        else:
            first = rate(z, after)
            guess = z + s * first
            add(s / 2, z, after, x[t])
            add(s / 2, guess, before, x[t])
            z = z + s / 2 * (first + rate(guess, before))
    return g


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("nonlinearity", "substeps"), [("sigmoid", 1), ("tanh", 3)])
def test_the_papers_equations(order: int, nonlinearity: str, substeps: int, double: None) -> None:
    made = layer(nonlinearity=nonlinearity, substeps=substeps)
    batch = sequences(6, size=1, outputs=4, dt=0.1 + torch.rand(6, 1))
    _, found = gradient_by(Continuous(order), Plain(made), batch)
    truth = by_hand(made.cells[0], batch.x[:, 0].numpy(), batch.y[:, 0].numpy(), batch.dt[:, 0].numpy(), order)
    for name, expected in truth.items():
        np.testing.assert_allclose(found[f"layer.cells.0.{name}"].numpy(), expected, rtol=1e-10, atol=1e-13)


def test_a_single_leaky_unit_in_closed_form(double: None) -> None:
    """tau dh/dt = -h + v x with x = 1: h(T) = v (1 - e^(-T/tau)), so that dh/dv and dh/dlog tau are known."""
    made = Recurrent("ctrnn", 1, 1, bias=False, time_constant=2.0, method="rk4", substeps=400)
    cell = made.cells[0]
    with torch.no_grad():
        cell.weight_hh.zero_()
        cell.weight_ih.fill_(0.8)
    batch = Sequences(torch.ones(1, 1, 1), torch.zeros(1, 1, 1), 1.0, dt=torch.full((1, 1), 3.0))
    _, found = gradient_by(Continuous(2), Plain(made), batch)
    gone = np.exp(-3.0 / 2.0)
    h = 0.8 * (1 - gone)
    assert float(found["layer.cells.0.weight_ih"]) == pytest.approx(2 * h * (1 - gone), rel=1e-5)
    assert float(found["layer.cells.0.log_time_constant"]) == pytest.approx(-2 * h * 0.8 * gone * 1.5, rel=1e-5)


def difference(rule: Continuous, method: str, substeps: int) -> float:
    torch.manual_seed(1)
    learner = SequenceLearner(layer(2, method=method, substeps=substeps), below=nn.Linear(2, 2))
    batch = sequences(5, dt=0.5 + torch.rand(5, 3))
    found, truth = gradient_by(rule, learner, batch)[1], gradient_by(BPTT(), learner, batch)[1]
    size = max(float(part.abs().max()) for part in truth.values())
    return far_apart(found, truth) / size


@pytest.mark.parametrize(
    ("order", "method", "expected"),
    [(1, "euler", 1), (1, "exponential", 1), (1, "rk4", 1), (2, "rk4", 2), (2, "euler", 1)],
)
def test_it_approaches_the_discrete_gradient_in_its_order(order: int, method: str, expected: int, double: None) -> None:
    errors = [difference(Continuous(order), method, substeps) for substeps in (8, 16, 32)]
    orders = [np.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert orders[-1] == pytest.approx(expected, abs=0.15)
    assert errors[-1] < (0.05 if expected == 1 else 1e-3)


def test_loss_lengths_and_gradients_of_all_weights(double: None) -> None:
    learner = SequenceLearner(layer(2, substeps=2), below=nn.Linear(2, 2))
    batch = sequences(6, size=4, lengths=torch.tensor([6, 2, 0, 4]))
    loss, found = gradient_by(Continuous(), learner, batch)
    assert float(loss) == pytest.approx(float(learner(batch, 0, 6, None)[0].detach()), rel=1e-12)
    assert all(bool(part.any()) for part in found.values())
    alone = Sequences(batch.x[:2, 1:2], batch.y[:2, 1:2], batch.weight)
    only = Sequences(batch.x, batch.y, batch.weight, torch.tensor([0, 2, 0, 0]))
    assert_close(gradient_by(Continuous(), learner, only)[1], gradient_by(Continuous(), learner, alone)[1])
    rule = Continuous()
    once = gradient_by(rule, learner, batch)[1]
    rule.step(learner, batch, rule.reset(rule.init(learner)))
    for name, parameter in learner.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name])
    loss, found = gradient_by(rule, learner, sequences(0))
    assert float(loss) == 0 and not any(bool(part.any()) for part in found.values())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            lambda: Recurrent("leaky", 2, 4),
            ["continuous serves CTRNN cells alone", "has LeakyRNN", "use the rule bptt"],
        ),
        (lambda: Recurrent("ctrnn", 2, 4, bidirectional=True), ["both directions", "use the rule bptt"]),
        (
            lambda: Recurrent("ctrnn", 2, 4, learn_initial_state=True),
            ["initial state is learned, and continuous takes it as given"],
        ),
    ],
)
def test_what_it_refuses(other: Any, words: list[str]) -> None:
    learner = SequenceLearner(other())
    reason = Continuous().supports(learner)
    assert reason is not None
    for word in words:
        assert word in reason
    with pytest.raises(UsageError):
        Continuous().step(learner, sequences(2), None)
    assert Continuous().supports(SequenceLearner(layer(2))) is None


@pytest.mark.parametrize("order", [0, 3, 1.5, True, "1"])
def test_bad_orders(order: Any) -> None:
    with pytest.raises(UsageError, match=r"order is .*Needed: 1 \(Euler's method\) or 2"):
        Continuous(order)
