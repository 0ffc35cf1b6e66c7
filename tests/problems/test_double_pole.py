"""Pole balancing against Lagrange's equations, conservation of energy, and carts simulated alone in plain Python."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recurra.cells import LSTM, Elman
from recurra.errors import ShapeError, UsageError
from recurra.problems.double_pole import DOUBLE_POLE, SINGLE_POLE, PolePlant
from recurra.problems.lanes import sine_and_cosine
from recurra.problems.pole_cell_controller import CellController
from recurra.problems.pole_controllers import RecurrentController
from recurra.problems.pole_trials import PoleTrials, balance

PLANTS = {
    "single": SINGLE_POLE,
    "double": DOUBLE_POLE,
    "triple": PolePlant((0.1, 0.2, 0.05), (0.5, 0.3, 0.1), (4.0, -1.0, 2.0), failure_angle=36.0, cart_friction=0.1),
}


def lagrange(plant: PolePlant, state: np.ndarray, force: float) -> np.ndarray:
    """One cart's accelerations from the equations of motion in implicit form, a linear system in x'' and th_i''."""
    n = plant.poles
    angle, speed, spin = state[1 : n + 1], state[n + 1], state[n + 2 :]
    matrix, right = np.zeros((n + 1, n + 1)), np.zeros(n + 1)
    matrix[0, 0] = plant.cart_mass + sum(plant.pole_masses)
    right[0] = force - plant.cart_friction * np.sign(speed)
    for i, (m, half) in enumerate(zip(plant.pole_masses, plant.half_lengths, strict=True)):
        matrix[0, i + 1] = matrix[i + 1, 0] = m * half * math.cos(angle[i])
        matrix[i + 1, i + 1] = m * half**2 + m * (2 * half) ** 2 / 12  # about the hinge
        right[0] += m * half * spin[i] ** 2 * math.sin(angle[i])
        right[i + 1] = m * plant.gravity * half * math.sin(angle[i]) - plant.hinge_friction * spin[i]
    return np.linalg.solve(matrix, right)


def paper_derivative(state: list[float], force: float) -> list[float]:
    """The two poles by the paper's own equations, scalars alone."""
    x, a1, a2, v, w1, w2 = state
    g, big, mu_c, mu_p = -9.8, 1.0, 0.0005, 0.000002
    total, mass = force - mu_c * ((v > 0) - (v < 0)), big
    for m, half, a, w in ((0.1, 0.5, a1, w1), (0.01, 0.05, a2, w2)):
        inner = mu_p * w / (m * half) + g * math.sin(a)
        total += m * half * w * w * math.sin(a) + 0.75 * m * math.cos(a) * inner
        mass += m * (1 - 0.75 * math.cos(a) ** 2)
    push = total / mass
    turn = [
        -3 / (4 * half) * (push * math.cos(a) + g * math.sin(a) + mu_p * w / (m * half))
        for m, half, a, w in ((0.1, 0.5, a1, w1), (0.01, 0.05, a2, w2))
    ]
    return [v, w1, w2, push, *turn]


def paper_step(state: list[float], force: float) -> list[float]:
    h = 0.01
    for _ in range(2):
        k1 = paper_derivative(state, force)
        k2 = paper_derivative([s + h / 2 * k for s, k in zip(state, k1, strict=True)], force)
        k3 = paper_derivative([s + h / 2 * k for s, k in zip(state, k2, strict=True)], force)
        k4 = paper_derivative([s + h * k for s, k in zip(state, k3, strict=True)], force)
        state = [s + h / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)]
    return state


def alone(weights: np.ndarray, units: int, limit: int) -> tuple[int, float]:
    """One network's trial in plain Python: steps balanced and damping fitness."""
    state, last = [0.0, math.radians(4.0), 0.0, 0.0, 0.0, 0.0], [0.0] * units
    moved = [abs(state[0]) + abs(state[3]) + abs(state[1]) + abs(state[4])]
    rows = weights.reshape(units, 3 + units)
    for _ in range(limit):
        seen = [state[0] / 2.4, state[1] / math.radians(36), state[2] / math.radians(36)]
        last = [math.tanh(sum(w * s for w, s in zip(row, [*seen, *last], strict=True))) for row in rows]
        force = 10 * last[0]
        if abs(force) < 10 / 256:
            force = math.copysign(10 / 256, force)
        state = paper_step(state, force)
        if abs(state[0]) > 2.4 or max(abs(state[1]), abs(state[2])) > math.radians(36):
            break
        moved.append(abs(state[0]) + abs(state[3]) + abs(state[1]) + abs(state[4]))
    steps = len(moved) - 1
    still = 0.0 if steps < 100 else 0.75 / sum(moved[steps - 100 : steps + 1])
    return steps, 0.1 * steps / 1000 + 0.9 * still


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_accelerations_are_those_of_lagrange(plant: PolePlant) -> None:
    chance = np.random.default_rng(0)
    states, forces = chance.normal(0, 2, (2 + 2 * plant.poles, 40)), chance.normal(0, 10, 40)
    change = plant.derivative(states, forces)
    assert np.array_equal(change[: 1 + plant.poles], states[1 + plant.poles :])
    for k in range(40):
        assert np.allclose(change[1 + plant.poles :, k], lagrange(plant, states[:, k], forces[k]), rtol=1e-9, atol=1e-9)


def test_a_trajectory_is_that_of_the_papers_equations() -> None:
    chance = np.random.default_rng(1)
    state = DOUBLE_POLE.initial(5)
    single = state.T.tolist()
    assert single[0] == [0.0, math.radians(4.0), 0.0, 0.0, 0.0, 0.0]
    for _ in range(60):
        force = chance.uniform(-10, 10, 5)
        state = DOUBLE_POLE.advance(state, force)
        single = [paper_step(s, float(f)) for s, f in zip(single, force, strict=True)]
    assert np.allclose(state, np.array(single).T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_energy_is_kept_without_friction_and_force(plant: PolePlant) -> None:
    """And the error falls as the fourth power of the step, or faster."""
    drift = []
    for step in (0.004, 0.002):
        free = replace(plant, cart_friction=0.0, hinge_friction=0.0, integration_step=step, control_step=step)
        state = free.initial(2)
        state[1:, 1] += 0.3
        first = free.energy(state)
        for _ in range(round(1.0 / step)):
            state = free.advance(state, np.zeros(2))
        assert np.abs(state[1]).max() > 0.5  # the poles fell and swung
        drift.append(float(np.abs(free.energy(state) - first).max()))
    assert drift[0] < 1e-3 and drift[1] < 1e-4 and drift[1] < drift[0] / 12


def test_force_does_work_and_friction_takes_it() -> None:
    plant = replace(DOUBLE_POLE, cart_friction=0.2, hinge_friction=0.001, integration_step=0.001, control_step=0.001)
    state = plant.initial(1)
    state[3:, 0] = [0.5, 0.2, -0.3]
    energy, work = plant.energy(state), 0.0
    force = np.array([2.0])
    for _ in range(200):
        after = plant.advance(state, force)
        middle = 0.5 * (state + after)
        lost = 0.2 * np.sign(middle[3]) * middle[3] + 0.001 * (middle[4] ** 2 + middle[5] ** 2)
        work += float((force * middle[3] - lost)[0]) * 0.001
        state = after
    assert float((plant.energy(state) - energy)[0]) == pytest.approx(work, rel=1e-4)


def test_the_push_is_never_too_weak_and_never_too_strong() -> None:
    force = DOUBLE_POLE.force(np.array([-1.0, -1e-6, 0.0, 1e-6, 0.002, 0.5, 1.0]))
    assert force.tolist() == [-10.0, -10 / 256, 10 / 256, 10 / 256, 10 / 256, 5.0, 10.0]


def test_what_networks_see() -> None:
    state = np.array([[2.4], [math.radians(36)], [-math.radians(18)], [1.0], [2.0], [-4.0]])
    assert np.allclose(DOUBLE_POLE.observe(state, False)[:, 0], [1.0, 1.0, -0.5])
    assert np.allclose(DOUBLE_POLE.observe(state, True)[:, 0], [1.0, 1.0, -0.5, 0.5, 1.0, -2.0])


def test_when_a_trial_has_failed() -> None:
    state = DOUBLE_POLE.initial(6)
    state[0, 1], state[0, 2], state[1, 3], state[2, 4], state[0, 5] = 2.39, -2.41, math.radians(36.1), -0.7, math.nan
    assert DOUBLE_POLE.upright(state).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("units", [1, 3])
def test_trials_are_as_carts_alone(units: int) -> None:
    controller = RecurrentController(3, units)
    weights = np.random.default_rng(units).uniform(-10, 10, (60, controller.dimension))
    weights[0] = 0.0
    ended = balance(PoleTrials(DOUBLE_POLE, controller, limit=120, damping=True), weights)
    expected = [alone(row, units, 120) for row in weights]
    assert ended.steps.tolist() == [steps for steps, _ in expected]
    assert len(set(ended.steps.tolist())) > 8
    assert np.allclose(ended.damping, [damping for _, damping in expected], rtol=1e-6)


BALANCES = [-0.0952, -5.6897, 6.5525, -1.1208]


def test_a_network_that_balances() -> None:
    """Found by CoSyNE; it must hold for 100,000 steps, of which a thousand are run here."""
    ended = balance(PoleTrials(DOUBLE_POLE, RecurrentController(3), limit=1000, damping=True), [BALANCES])
    assert ended.steps.tolist() == [1000]
    steps, damping = alone(np.array(BALANCES), 1, 1000)
    assert steps == 1000 and ended.damping[0] == pytest.approx(damping, rel=1e-5)
    # The state before the first step is in the sum of a trial of just 100.
    ended = balance(PoleTrials(DOUBLE_POLE, RecurrentController(3), limit=100, damping=True), [BALANCES])
    assert ended.damping[0] == pytest.approx(alone(np.array(BALANCES), 1, 100)[1], rel=1e-7)


@pytest.mark.slow
def test_it_balances_for_half_an_hour() -> None:
    assert balance(PoleTrials(DOUBLE_POLE, RecurrentController(3), limit=100_000), [BALANCES]).steps.tolist() == [
        100_000
    ]


def test_carts_that_join_later_have_the_same_trial() -> None:
    controller = RecurrentController(3, 2, bias=True, output="weights", squash="logistic")
    weights = np.random.default_rng(5).uniform(-10, 10, (20, controller.dimension))
    together = balance(PoleTrials(DOUBLE_POLE, controller, limit=300), weights)
    trials = PoleTrials(DOUBLE_POLE, controller, limit=300)
    tickets, found = list(trials.join(weights[:5])), {}
    for group in range(1, 5):
        for _ in range(7):
            ended = trials.step()
            found |= {} if ended is None else dict(zip(ended.ticket.tolist(), ended.steps.tolist(), strict=True))
        tickets += list(trials.join(weights[5 * group : 5 * group + 5]))
    ended = trials.run()
    found |= dict(zip(ended.ticket.tolist(), ended.steps.tolist(), strict=True))
    assert [found[ticket] for ticket in tickets] == together.steps.tolist()
    assert len(trials) == 0 and trials.step() is None and len(trials.run().steps) == 0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("output", ["unit", "weights"])
@pytest.mark.parametrize("squash", ["tanh", "logistic"])
def test_a_controllers_network(bias: bool, output: str, squash: str) -> None:
    controller = RecurrentController(2, 3, bias, output, squash)
    chance = np.random.default_rng(0)
    weights, inputs = chance.normal(0, 1, (4, controller.dimension)), chance.normal(0, 1, (5, 2, 4))
    rows, memory = controller.begin(weights)
    pushes = []
    for observed in inputs:
        push, memory = controller.act(observed, memory, rows)
        pushes.append(push)
    for k, vector in enumerate(weights):
        units, last = vector.reshape(3, -1), np.zeros(3)
        for t, observed in enumerate(inputs[:, :, k]):
            total = units[:, :2] @ observed + units[:, 2:5] @ last + (units[:, 5] if bias else 0)
            last = np.tanh(total) if squash == "tanh" else 1 / (1 + np.exp(-total))
            read = units[:, -1] @ last
            expected = {
                ("unit", "tanh"): last[0],
                ("unit", "logistic"): 2 * last[0] - 1,
                ("weights", "tanh"): np.tanh(read),
                ("weights", "logistic"): 2 / (1 + np.exp(-read)) - 1,
            }[output, squash]
            assert pushes[t][k] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [Elman, LSTM])
def test_any_cell_may_be_the_controller(kind: type) -> None:
    torch.manual_seed(0)
    cell = kind(3, 2).double()
    controller = CellController(cell)
    weights = np.random.default_rng(0).normal(0, 0.7, (10, controller.dimension))
    ended = balance(PoleTrials(DOUBLE_POLE, controller, limit=60), weights)
    for row, steps in zip(weights, ended.steps, strict=True):
        controller.vector.write(torch.from_numpy(row))
        network, state, carts, stood = controller.vector.module, cell.initial_state(1), DOUBLE_POLE.initial(1), 0
        while stood < 60:
            seen = torch.from_numpy(DOUBLE_POLE.observe(carts, False).T)
            y, state = cell(seen, state)
            push = torch.tanh(network.read(y)).detach().numpy()[0]
            carts = DOUBLE_POLE.advance(carts, DOUBLE_POLE.force(push))
            if not DOUBLE_POLE.upright(carts)[0]:
                break
            stood += 1
        assert stood == steps
    assert len(set(ended.steps.tolist())) > 2


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: PolePlant((0.1,), (0.5, 0.1), (4.0,), 36.0),
            UsageError,
            "1 pole_masses, 2 half_lengths, 1 first_angles",
        ),
        (lambda: PolePlant((0.1,), (-0.5,), (4.0,), 36.0), UsageError, "half_lengths is .-0.5,.. Needed: positive"),
        (lambda: replace(DOUBLE_POLE, control_step=0.015), UsageError, "control_step is 0.015.*a whole multiple"),
        (
            lambda: DOUBLE_POLE.advance(np.zeros((4, 3)), np.zeros(3)),
            ShapeError,
            r"shape \(4, 3\). Needed: \(6, carts\)",
        ),
        (lambda: RecurrentController(0), UsageError, "inputs is 0. Needed: a positive whole number"),
        (lambda: RecurrentController(3, squash="relu"), UsageError, "squash is 'relu'. Needed: 'tanh' or 'logistic'"),
        (lambda: RecurrentController(3).begin(np.zeros((2, 5))), ShapeError, r"shape \(2, 5\). Needed: \(carts, 4\)"),
        (
            lambda: PoleTrials(DOUBLE_POLE, RecurrentController(3), limit=0),
            UsageError,
            "limit is 0. Needed: a positive",
        ),
        (
            lambda: PoleTrials(DOUBLE_POLE, RecurrentController(3), limit=2000, damping=True),
            UsageError,
            "limit is 2000. Needed: at most 1000 control steps with damping=True",
        ),
    ],
)
def test_what_does_not_fit(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("damping", [False, True])
@pytest.mark.parametrize(
    "controller", [RecurrentController(3), RecurrentController(3, 2, True, "weights", "logistic")], ids=repr
)
def test_compiled_trials_are_those_of_numpy(controller: RecurrentController, damping: bool) -> None:
    weights = np.random.default_rng(7).uniform(-10, 10, (150, controller.dimension))
    weights[3] = math.nan
    compiled = PoleTrials(DOUBLE_POLE, controller, 300, damping=damping, backend="fused")
    plain = PoleTrials(DOUBLE_POLE, controller, 300, damping=damping, backend="reference")
    assert compiled.why_reference is None and plain.why_reference is not None
    ours, wanted = balance(compiled, weights), balance(plain, weights)
    assert ours.steps[3] == 0 and ours.steps.tolist() == wanted.steps.tolist()
    assert len(set(wanted.steps.tolist())) > 5
    assert np.allclose(ours.damping, wanted.damping, rtol=1e-6, equal_nan=True)


@pytest.mark.slow
def test_compiled_damping_over_many_calls() -> None:
    """A network that stands all 1000 steps, run in pieces of a length of its own."""
    trials = PoleTrials(DOUBLE_POLE, RecurrentController(3), 1000, damping=True, backend="fused")
    trials.join([BALANCES])
    ended = None
    while ended is None:
        ended = trials.advance(37)
    assert ended.steps.tolist() == [1000]
    assert ended.damping[0] == pytest.approx(alone(np.array(BALANCES), 1, 1000)[1], rel=1e-5)


def test_sine_and_cosine_of_tensors() -> None:
    angle = np.linspace(-60.0, 60.0, 20_001)
    sine, cosine = sine_and_cosine(torch.from_numpy(angle))
    assert np.abs(sine.numpy() - np.sin(angle)).max() < 1e-14
    assert np.abs(cosine.numpy() - np.cos(angle)).max() < 1e-14


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UsageError, match="backend is 'fast'. Needed: 'auto', 'fused' or 'reference'"):
        PoleTrials(DOUBLE_POLE, RecurrentController(3), backend="fast")
