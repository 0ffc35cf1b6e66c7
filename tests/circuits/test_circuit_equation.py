"""Memristive circuits against Kirchhoff's laws written out in full, and against the published equation."""

from __future__ import annotations

import numpy as np
import pytest

import recurra.circuits.nodal as nodal
from recurra.circuits import (
    Circuit,
    MemristiveNetwork,
    NodalSolver,
    ResistorCapacitorNetwork,
    grid_circuit,
    random_circuit,
    simulate,
)
from recurra.errors import ShapeError, UsageError

GRAPHS = {
    "triangle": Circuit([(0, 1), (1, 2), (2, 0)]),
    "parallel": Circuit([(0, 1), (0, 1), (1, 0)]),
    "loop at a node": Circuit([(0, 0), (0, 1), (1, 0)]),
    "dead end": Circuit([(0, 1), (1, 2), (2, 0), (2, 3)]),
    "two parts": Circuit([(0, 1), (1, 0), (2, 3), (3, 4), (4, 2)]),
    "grid": grid_circuit(4, 5),
    "random": random_circuit(11, 29, seed=0),
}
every_graph = pytest.mark.parametrize("circuit", GRAPHS.values(), ids=GRAPHS.keys())


def incidence(circuit: Circuit) -> np.ndarray:
    a = np.zeros((circuit.branches, circuit.nodes))
    for k, (tail, head) in enumerate(zip(circuit.tails, circuit.heads, strict=True)):
        a[k, tail] += 1.0
        a[k, head] -= 1.0
    return a


def kirchhoff(circuit: Circuit, resistance: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Ohm's law on every branch and the current law at every node, as one dense system in currents and potentials."""
    a = incidence(circuit)
    branches, nodes = a.shape
    system = np.zeros((branches + nodes, branches + nodes))
    system[:branches, :branches] = np.diag(resistance)
    system[:branches, branches:] = -a
    system[branches:, :branches] = a.T
    return np.linalg.lstsq(system, np.append(sources, np.zeros(nodes)), rcond=None)[0][:branches]


def projector(circuit: Circuit, weights: np.ndarray | None = None) -> np.ndarray:
    """The orthogonal projection on D^(1/2) times the currents that obey the current law."""
    a = incidence(circuit)
    _, values, vectors = np.linalg.svd(a.T)
    loops = vectors[(values > 1e-9).sum() :].T
    scaled = loops if weights is None else np.sqrt(weights)[:, None] * loops
    basis, _ = np.linalg.qr(scaled)
    return basis @ basis.T


@every_graph
def test_the_nodal_currents_obey_kirchhoff(circuit: Circuit) -> None:
    chance = np.random.default_rng(1)
    resistance, sources = 0.1 + 5 * chance.random(circuit.branches), chance.standard_normal(circuit.branches)
    found = NodalSolver(circuit).currents(1 / resistance, sources)
    np.testing.assert_allclose(found, kirchhoff(circuit, resistance, sources), rtol=1e-11, atol=1e-12)


@every_graph
def test_the_projection_is_on_loop_currents(circuit: Circuit) -> None:
    solver, wanted = NodalSolver(circuit), projector(circuit)
    np.testing.assert_allclose(solver.projector(), wanted, atol=1e-12)
    v = np.random.default_rng(2).standard_normal((2, 3, circuit.branches))
    np.testing.assert_allclose(solver.project(v), v @ wanted, atol=1e-12)
    assert circuit.loops == round(float(np.trace(wanted)))


@every_graph
@pytest.mark.parametrize("memory", ["off", "on"])
def test_the_equation_equals_kirchhoff(circuit: Circuit, memory: str) -> None:
    """The published formula with its dense inverse, the laws written out, and the network agree."""
    on, off, alpha, beta = 0.7, 90.0, 0.3, 1.7
    network = MemristiveNetwork(circuit, on, off, decay=alpha, scale=beta, memory=memory)
    chance = np.random.default_rng(3)
    w, s = chance.random(circuit.branches), chance.standard_normal(circuit.branches)
    omega, identity = projector(circuit), np.eye(circuit.branches)
    if memory == "off":
        xi = (off - on) / on
        formula = alpha * w - np.linalg.inv(identity + xi * omega @ np.diag(w)) @ omega @ s / beta
        laws = alpha * w - on / beta * kirchhoff(circuit, on * (1 - w) + off * w, s)
    else:
        chi = (off - on) / off
        formula = -alpha * w + np.linalg.inv(identity - chi * omega @ np.diag(w)) @ omega @ s / beta
        laws = -alpha * w + off / beta * kirchhoff(circuit, off * (1 - w) + on * w, s)
    np.testing.assert_allclose(network.derivative(w, s), formula, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(network.derivative(w, s), laws, rtol=1e-11, atol=1e-11)


def mixed_network(memory: str = "off") -> tuple[MemristiveNetwork, np.ndarray, np.ndarray]:
    circuit = GRAPHS["random"]
    chance = np.random.default_rng(4)
    resistors = np.where(chance.random(circuit.branches) < 0.4, 0.5 + chance.random(circuit.branches), np.nan)
    on = 0.5 + chance.random(circuit.branches)
    network = MemristiveNetwork(circuit, on, 20 * on, decay=0.2, scale=3.0, memory=memory, resistors=resistors)
    return network, resistors, on


def test_resistors_among_memristors_obey_the_weighted_equation() -> None:
    network, resistors, on = mixed_network()
    circuit, chance = network.circuit, np.random.default_rng(5)
    w = np.where(np.isnan(resistors), chance.random(circuit.branches), 0.0)
    s = chance.standard_normal(circuit.branches)
    d = np.where(np.isnan(resistors), on, resistors)
    xi = np.where(np.isnan(resistors), 19.0, 0.0)
    omega = projector(circuit, d)
    j = np.linalg.solve(np.eye(circuit.branches) + omega @ np.diag(xi * w), omega @ (s / np.sqrt(d)))
    current = j / np.sqrt(d)
    np.testing.assert_allclose(network.currents(w, s), current, atol=1e-11)
    np.testing.assert_allclose(current, kirchhoff(circuit, d * (1 + xi * w), s), atol=1e-11)
    wanted = np.where(np.isnan(resistors), 0.2 * w - on / 3.0 * current, 0.0)
    np.testing.assert_allclose(network.derivative(w, s), wanted, atol=1e-11)


@pytest.mark.parametrize("memory", ["off", "on"])
def test_resistors_keep_their_resistance_and_no_memory(memory: str) -> None:
    network, resistors, _ = mixed_network(memory)
    fixed = ~np.isnan(resistors)
    assert fixed.any() and not fixed.all()
    motion = simulate(network, np.ones(network.circuit.branches), 0.05, steps=5)
    assert (motion.states[:, fixed] == 0).all()
    assert (motion.states[-1, ~fixed] != motion.states[0, ~fixed]).any()
    np.testing.assert_array_equal(network.resistances(motion.states[-1])[fixed], resistors[fixed])


def test_the_two_conventions_are_one_motion_without_decay() -> None:
    circuit = GRAPHS["grid"]
    s = np.random.default_rng(6).standard_normal((30, circuit.branches))
    one = MemristiveNetwork(circuit, 1.0, 8.0, scale=1.0, memory="off")
    other = MemristiveNetwork(circuit, 1.0, 8.0, scale=8.0, memory="on")
    w, x = simulate(one, s, 0.05, one.initial_state(0.6)), simulate(other, s, 0.05, other.initial_state(0.4))
    np.testing.assert_allclose(w.states, 1 - x.states, atol=1e-12)
    assert w.states.min() < w.states[0].min() - 0.05


def test_decay_leads_to_the_off_state_in_both_conventions() -> None:
    circuit, still = GRAPHS["grid"], np.zeros(GRAPHS["grid"].branches)
    for memory, end in (("off", 1.0), ("on", 0.0)):
        network = MemristiveNetwork(circuit, 1.0, 8.0, decay=1.0, memory=memory)
        state = simulate(network, still, 0.1, steps=200).states[-1]
        np.testing.assert_allclose(state, end, atol=1e-6)
        np.testing.assert_allclose(network.resistances(state), 8.0, atol=1e-4)


@pytest.mark.parametrize("memory", ["off", "on"])
def test_the_lyapunov_function_falls_as_the_theorem_says(memory: str) -> None:
    """Its slope along the motion is -v^T (X - chi X Omega X) v, or -v^T (W + xi W Omega W) v, by finite differences."""
    circuit, on, off = GRAPHS["random"], 1.0, 30.0
    network = MemristiveNetwork(circuit, on, off, decay=0.4, scale=2.0, memory=memory)
    chance = np.random.default_rng(7)
    x, s = 0.1 + 0.8 * chance.random((3, circuit.branches)), chance.standard_normal(circuit.branches)
    v = network.derivative(x, s)
    slope = (network.lyapunov(x + 1e-6 * v, s) - network.lyapunov(x - 1e-6 * v, s)) / 2e-6
    omega = projector(circuit)
    for index in range(3):
        d = np.diag(x[index])
        form = d - (off - on) / off * d @ omega @ d if memory == "on" else d + (off - on) / on * d @ omega @ d
        np.testing.assert_allclose(slope[index], -v[index] @ form @ v[index], rtol=1e-5)
    assert (slope < 0).all()


def test_current_in_either_direction_switches_on_with_polarity_both() -> None:
    circuit = Circuit([(0, 1), (1, 0)])
    network = MemristiveNetwork(circuit, 1.0, 5.0, polarity="both")
    up, down = (network.derivative(np.array([0.2, 0.7]), np.array([sign * 2.0, 0.0])) for sign in (1, -1))
    np.testing.assert_allclose(up, down, rtol=1e-12)
    assert (up > 0).all()


def test_a_batch_is_its_rows() -> None:
    network, _, _ = mixed_network("on")
    chance = np.random.default_rng(8)
    states = chance.random((2, 3, network.circuit.branches))
    sources = chance.standard_normal((3, network.circuit.branches))
    together = network.derivative(states, sources)
    for a in range(2):
        for b in range(3):
            np.testing.assert_array_equal(together[a, b], network.derivative(states[a, b], sources[b]))


def test_power_is_what_the_sources_give() -> None:
    network, _, _ = mixed_network("on")
    chance = np.random.default_rng(9)
    x, s = network.initial_state(0.3), chance.standard_normal(network.circuit.branches)
    np.testing.assert_allclose(network.power(x, s), (s * network.currents(x, s)).sum(), rtol=1e-12)


def test_dense_inverse_is_never_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 19,999 branches a dense matrix of branches by branches would take 3.2 GB."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a dense matrix was made")

    for name in ("inv", "solve", "pinv", "lstsq"):
        monkeypatch.setattr(np.linalg, name, refuse)
    monkeypatch.setattr(nodal.np, "eye", refuse)
    circuit = grid_circuit(100, 101)
    network = MemristiveNetwork(circuit, 1.0, 100.0, decay=0.1)
    sources = np.random.default_rng(10).standard_normal(circuit.branches)
    state = np.random.default_rng(11).random(circuit.branches)
    current = network.currents(state, sources)
    assert circuit.branches == 19_999
    assert np.abs(circuit.incidence.T @ current).max() < 1e-10
    across = sources - network.resistances(state) * current
    assert np.abs(network.solver.project(across)).max() < 1e-9
    factors = network.solver.factor(1 / network.resistances(state))
    assert factors.nnz < 60 * circuit.nodes


def test_the_capacitors_charge_as_the_exponential_of_the_loop_matrix_says() -> None:
    circuit = GRAPHS["random"]
    network = ResistorCapacitorNetwork(circuit, 2.0, 0.7)
    s = np.random.default_rng(12).standard_normal(circuit.branches)
    omega = projector(circuit)
    motion = simulate(network, s, 0.02, steps=50)
    wanted = 0.7 * (1 - np.exp(-1.0 / (2.0 * 0.7))) * omega @ s
    np.testing.assert_allclose(motion.states[-1], wanted, atol=1e-8)


def test_capacitors_answer_in_proportion_and_memristors_do_not() -> None:
    circuit = GRAPHS["random"]
    s = 0.3 * np.random.default_rng(13).standard_normal((2, 20, circuit.branches))
    capacitive = ResistorCapacitorNetwork(circuit, 2.0, 0.7)
    memristive = MemristiveNetwork(circuit, 1.0, 20.0, decay=0.4, scale=2.0)

    def answer(network: MemristiveNetwork | ResistorCapacitorNetwork, sources: np.ndarray) -> np.ndarray:
        return simulate(network, sources, 0.1).states[-1] - simulate(network, 0 * sources, 0.1).states[-1]

    for network, low, high in ((capacitive, 0.0, 1e-12), (memristive, 1e-3, np.inf)):
        excess = answer(network, s[0] + s[1]) - answer(network, s[0]) - answer(network, s[1])
        assert low <= np.abs(excess).max() <= high


def test_steps_have_their_order() -> None:
    circuit = GRAPHS["grid"]
    network = MemristiveNetwork(circuit, 1.0, 5.0, decay=0.4, scale=3.0)
    s = 0.3 * np.random.default_rng(14).standard_normal(circuit.branches)
    for method, order in (("euler", 1), ("rk4", 4)):
        ends = [simulate(network, s, 1.0 / n, steps=n, method=method).states[-1] for n in (4, 8, 128)]
        errors = [np.abs(end - ends[2]).max() for end in ends[:2]]
        assert abs(np.log2(errors[0] / errors[1]) - order) < 0.35
        assert 0 < ends[2].min() and ends[2].max() < 1


def test_the_memory_stays_between_its_walls() -> None:
    network = MemristiveNetwork(GRAPHS["grid"], 1.0, 50.0, scale=0.1)
    s = 10 * np.random.default_rng(15).standard_normal((20, network.circuit.branches))
    for method in ("euler", "rk4"):
        states = simulate(network, s, 0.5, method=method).states
        assert states.min() == 0.0 and states.max() == 1.0


def test_graphs_have_every_branch_on_a_loop_and_heed_seed_0() -> None:
    for nodes, branches in ((1, 1), (1, 3), (2, 2), (7, 7), (10, 31)):
        circuit = random_circuit(nodes, branches, seed=5)
        assert (circuit.nodes, circuit.branches) == (nodes, branches)
        assert (np.diag(projector(circuit)) > 1e-9).all()
    same, other = random_circuit(10, 31, seed=0), random_circuit(10, 31, seed=1)
    np.testing.assert_array_equal(same.tails, random_circuit(10, 31, seed=0).tails)
    assert not np.array_equal(same.tails, other.tails)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Circuit([]), "Circuit: branches is empty. Needed: at least one pair (tail, head)."),
        (lambda: Circuit([(0, 1, 2)]), "Circuit: branches has shape (1, 3). Needed: pairs, (branches, 2)."),
        (lambda: Circuit([(0, 3)], 3), "Circuit: branches names the node 3. Needed: nodes from 0 to 2."),
        (lambda: Circuit([(0, -1)]), "Circuit: branches names the node -1. Needed: nodes from 0 to 0."),
        (lambda: Circuit(np.array([[0.5, 1.0]])), "Circuit: branches holds float64. Needed: whole numbers of nodes."),
        (lambda: random_circuit(5, 4), "random_circuit: branches is 4. Needed: at least 5, which the ring of nodes"),
        (lambda: grid_circuit(1, 1), "grid_circuit: rows and columns are 1. Needed: at least two nodes."),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"], 2.0, 2.0),
            "MemristiveNetwork: off_resistance is not above on_resistance. Needed: R_on < R_off at every memristor.",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"], memory="x"),
            "MemristiveNetwork: memory is 'x'. Needed: 'off' or 'on'.",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"], polarity="x"),
            "MemristiveNetwork: polarity is 'x'. Needed: 'directed' or 'both'.",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"], -1.0),
            "MemristiveNetwork: on_resistance holds -1.0. Needed: positive numbers of ohms.",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"], [1.0, 2.0]),
            "MemristiveNetwork: on_resistance has shape (2,). Needed: a number, or (3,), one a branch.",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"], scale=0.0),
            "MemristiveNetwork: scale is 0.0. Needed: a positive number.",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"], resistors=[1.0]),
            "MemristiveNetwork: resistors has shape (1,). Needed: (3,).",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"]).derivative(np.zeros(2), np.zeros(3)),
            "MemristiveNetwork: state has shape (2,). Needed: (..., 3), one for each branch.",
        ),
        (
            lambda: MemristiveNetwork(GRAPHS["triangle"]).derivative(np.zeros(3), np.zeros(4)),
            "NodalSolver: sources has shape (4,). Needed: (..., 3), one for each branch.",
        ),
        (
            lambda: mixed_network()[0].lyapunov(np.zeros(29), np.zeros(29)),
            "lyapunov: this circuit has no known Lyapunov function here. Needed: memristors alone",
        ),
        (
            lambda: ResistorCapacitorNetwork(GRAPHS["triangle"], capacitance=0.0),
            "ResistorCapacitorNetwork: capacitance holds 0.0. Needed: positive numbers",
        ),
        (
            lambda: simulate(MemristiveNetwork(GRAPHS["triangle"]), np.zeros(3), 0.1),
            "simulate: sources has shape (3,). Needed: (steps, ..., 3). Cure: give steps=...",
        ),
        (
            lambda: simulate(MemristiveNetwork(GRAPHS["triangle"]), np.zeros(3), 0.1, steps=0),
            "simulate: steps is 0. Needed: a positive whole number.",
        ),
        (
            lambda: simulate(MemristiveNetwork(GRAPHS["triangle"]), np.zeros(3), 0.1, steps=1, method="x"),
            "simulate: method is 'x'. Needed: 'euler' or 'rk4'.",
        ),
    ],
)
def test_messages_name_the_argument(make: object, message: str) -> None:
    with pytest.raises((UsageError, ShapeError)) as caught:
        make()  # type: ignore[operator]
    assert str(caught.value).startswith(message)
