"""Hopfield's network against loops over units in numpy, the exact Boltzmann distribution, and what theory proves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.cells import HiddenState
from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import hebbian, pseudo_inverse, storkey
from recurra.memory import Hopfield, HopfieldCell, draw_energy, draw_patterns
from recurra.memory.recall import recall_by_units
from recurra.unroll import unroll


def draw(rows: int, units: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (rows, units), generator=generator, dtype=torch.float64) - 1.0


def flipped(patterns: Tensor, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    state = patterns.clone()
    for row in state:
        row[torch.randperm(len(row), generator=generator)[:count]] *= -1
    return state


def energy_by_units(w: np.ndarray, theta: np.ndarray, field: np.ndarray, s: np.ndarray) -> float:
    total = 0.0
    for i in range(len(s)):
        total += theta[i] * s[i] - field[i] * s[i]
        for j in range(len(s)):
            total -= 0.5 * w[i, j] * s[i] * s[j]
    return total


def one_after_another(w: np.ndarray, theta: np.ndarray, field: np.ndarray, s: np.ndarray, sweeps: int) -> list:
    """The states after each sweep from the first unit to the last, the cue first; fields computed at every visit."""
    s, states = s.copy(), [s.copy()]
    for _ in range(sweeps):
        for i in range(len(s)):
            h = w[i] @ s - theta[i] + field[i]
            if abs(h) > 1e-12:
                s[i] = 1.0 if h > 0 else -1.0
        states.append(s.copy())
    return states


def random_memory(units: int, seed: int, symmetric: bool = True) -> Hopfield:
    """Any weights, with a diagonal and thresholds."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(units, units, generator=generator, dtype=torch.float64)
    w = w + w.mT if symmetric else w
    theta = torch.randn(units, generator=generator, dtype=torch.float64)
    memory = Hopfield(units, rule=lambda patterns: w, threshold=theta, dtype=torch.float64)
    memory.store(draw(1, units))
    return memory


@pytest.mark.parametrize(("units", "symmetric"), [(1, True), (7, True), (7, False), (100, True), (130, False)])
def test_asynchronous_recall_is_one_unit_after_another(units: int, symmetric: bool) -> None:
    memory = random_memory(units, units, symmetric)
    generator = torch.Generator().manual_seed(1)
    cue, field = draw(5, units, 3), torch.randn(5, units, generator=generator, dtype=torch.float64)
    w, theta = memory.weight.numpy(), memory.threshold.numpy()
    for sweeps in (1, 3):
        found = memory.recall(cue, steps=sweeps, field=field, order="fixed")
        for row in range(5):
            states = one_after_another(w, theta, field[row].numpy(), cue[row].numpy(), sweeps)
            np.testing.assert_array_equal(found.state[row].numpy(), states[-1])
            expected = [energy_by_units(w, theta, field[row].numpy(), s) for s in states]
            trace = found.energy[:, row].numpy()
            np.testing.assert_allclose(trace, expected[: len(trace)], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(memory.energy(found.state, field)[row], expected[-1], rtol=1e-9, atol=1e-9)
            final = np.array_equal(states[-1], one_after_another(w, theta, field[row].numpy(), states[-1], 1)[-1])
            assert bool(found.converged[row]) == final == bool(found.cycle[row])


def test_in_any_order_the_energy_falls_and_the_end_is_a_fixed_point() -> None:
    memory = random_memory(90, 5)
    with torch.no_grad():
        memory.connections.learned.diagonal().abs_()
    found = memory.recall(draw(40, 90, 2), generator=torch.Generator().manual_seed(0))
    assert bool(found.converged.all()) and bool((found.energy[1:] <= found.energy[:-1] + 1e-9).all())
    h = found.state @ memory.weight - memory.threshold
    assert bool((h * found.state > 0).all())
    assert len(set(found.steps.tolist())) > 1 and found.energy.shape == (int(found.steps.max()) + 1, 40)
    # Another order leads elsewhere; the same generator to the same place, whatever the neighbours are.
    other = memory.recall(draw(40, 90, 2), generator=torch.Generator().manual_seed(1))
    assert not torch.equal(other.state, found.state)
    alone = memory.recall(draw(40, 90, 2)[7:8], generator=torch.Generator().manual_seed(0))
    assert torch.equal(alone.state, found.state[7:8]) and int(alone.steps) == int(found.steps[7])


def test_synchronous_recall_ends_in_a_fixed_point_or_in_two_states() -> None:
    memory = random_memory(10, 8)
    found = memory.recall(draw(60, 10, 4), "synchronous", steps=500)
    assert set(found.cycle.tolist()) == {1, 2}
    w, theta = memory.weight.numpy(), memory.threshold.numpy()
    for row in range(60):
        s = found.state[row].numpy()
        after = np.sign(w @ s - theta)
        again = np.sign(w @ after - theta)
        assert np.array_equal(after, s) == bool(found.converged[row])
        np.testing.assert_array_equal(again, s)
    # What asymmetric weights can do: a ring of three units that hand on what they hold.
    ring = Hopfield(3, rule=lambda patterns: torch.eye(3).roll(1, 0))
    ring.store(torch.ones(1, 3))
    assert ring.recall(torch.tensor([[1.0, -1.0, -1.0]]), "synchronous").cycle.tolist() == [3]


def test_a_field_of_zero_leaves_a_unit_alone() -> None:
    memory = Hopfield(3)
    cue = torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]])
    for update in ("asynchronous", "synchronous"):
        found = memory.recall(cue, update)
        assert torch.equal(found.state, cue) and bool(found.converged.all())
    # 1/10 is not a binary number: sums of it that ought to be 0 are not quite, and must not turn units over for ever.
    w = torch.full((11, 11), 0.1, dtype=torch.float64)
    one = torch.tensor([[1.0, -1.0] * 5 + [1.0]], dtype=torch.float64)
    found = recall_by_units(w - 0.1 * torch.eye(11, dtype=torch.float64), one, torch.zeros_like(one), 50, "fixed")
    assert bool(found.converged.all())


def exact_boltzmann(w: np.ndarray, theta: np.ndarray, temperature: float) -> np.ndarray:
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=len(theta))))
    energies = np.array([energy_by_units(w, theta, 0 * theta, s) for s in states])
    weights = np.exp(-(energies - energies.min()) / temperature)
    return weights / weights.sum()


def test_gibbs_draws_from_the_boltzmann_distribution() -> None:
    """4 units, weights with a diagonal, which adds the same to every energy and must not count."""
    memory = random_memory(4, 11)
    generator = torch.Generator().manual_seed(2)
    chains, temperature = 10_000, 2.5
    cue = torch.ones(chains, 4, dtype=torch.float64)
    found = memory.recall(cue, "gibbs", steps=30, temperature=temperature, generator=generator)
    places = ((found.state + 1) / 2 @ torch.tensor([8.0, 4, 2, 1], dtype=torch.float64)).long()
    share = torch.bincount(places, minlength=16).double().numpy() / chains
    exact = exact_boltzmann(memory.weight.numpy(), memory.threshold.numpy(), temperature)
    # Five standard deviations of each of the sixteen shares.
    assert (np.abs(share - exact) < 5 * np.sqrt(exact * (1 - exact) / chains) + 1e-12).all()
    assert exact.max() > 3 * np.median(exact), "a distribution that is far from uniform"
    assert found.energy.shape == (31, chains)


def test_gibbs_at_zero_is_asynchronous_and_annealing_finds_lower_energies() -> None:
    memory = random_memory(40, 3)
    with torch.no_grad():
        memory.connections.learned.fill_diagonal_(0)
    cue = draw(50, 40, 6)
    cold = memory.recall(cue, "gibbs", steps=60, temperature=0.0, generator=torch.Generator().manual_seed(0))
    assert bool(cold.converged.all())
    falling = torch.linspace(20.0, 0.0, 60)
    slow = memory.recall(cue, "gibbs", steps=60, temperature=falling, generator=torch.Generator().manual_seed(0))
    assert float(slow.energy[-1].mean()) < float(cold.energy[-1].mean()) - 10


RULES = {
    "hebbian": hebbian,
    "storkey": storkey,
    "storkey_second_order": lambda x, **given: storkey(x, order=2, **given),
    "pseudo_inverse": pseudo_inverse,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("diagonal", [False, True])
def test_storing_in_parts_and_forgetting_give_the_rules_own_weights(rule: str, diagonal: bool) -> None:
    x = draw(7, 30, 1)
    memory = Hopfield(30, rule, self_connections=diagonal, dtype=torch.float64)
    memory.store(x[:3])
    memory.store(x[3:])
    torch.testing.assert_close(memory.weight, RULES[rule](x, self_connections=diagonal))
    memory.forget(x[[5, 1]])
    torch.testing.assert_close(memory.weight, RULES[rule](x[[0, 2, 3, 4, 6]], self_connections=diagonal))
    assert len(memory.patterns) == 5
    memory.forget()
    assert not memory.weight.any() and len(memory.patterns) == 0


def test_one_of_two_equal_patterns_is_forgotten() -> None:
    x = draw(2, 10)
    memory = Hopfield(10, dtype=torch.float64)
    memory.store(torch.cat([x, x[:1]]))
    memory.forget(x[:1])
    torch.testing.assert_close(memory.weight, hebbian(x))
    with pytest.raises(UsageError, match="Hopfield.forget: pattern 1 of those given is not stored"):
        memory.forget(x[[0, 0]])
    assert len(memory.patterns) == 2, "what cannot be done is not done by half"


def test_recall_from_flips_by_rule() -> None:
    """100 units, 20 patterns, 10 flips: too many for Hebb's rule, few for the others."""
    x = draw(20, 100, 2)
    share = {}
    for rule in RULES:
        memory = Hopfield(100, rule, dtype=torch.float64)
        memory.store(x)
        found = memory.recall(flipped(x, 5), generator=torch.Generator().manual_seed(0))
        share[rule] = float((found.state == x).all(1).double().mean())
    assert share["hebbian"] < 0.5 < 0.85 < min(share[rule] for rule in RULES if rule != "hebbian")


def test_recall_survives_damaged_connections() -> None:
    x = draw(8, 300, 3)
    memory = Hopfield(300, dtype=torch.float64)
    memory.store(x)
    whole = memory.weight
    memory.damage(0.5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(memory.weight, memory.weight.mT)
    assert abs(float((memory.weight == 0)[whole != 0].double().mean()) - 0.5) < 0.02
    found = memory.recall(flipped(x, 30), generator=torch.Generator().manual_seed(0))
    assert float((found.state * x).mean()) > 0.99 and bool(found.converged.all())
    memory.damage(0.9, generator=torch.Generator().manual_seed(1))
    assert float((memory.recall(flipped(x, 30)).state * x).mean()) < 0.9, "19 of 20 are too many"
    memory.repair()
    assert torch.equal(memory.weight, whole)
    memory.damage(0.3, symmetric=False, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(memory.weight, memory.weight.mT)


def test_the_memory_as_a_cell() -> None:
    """One step of the cell is one synchronous update; the smooth cell is the mean field, and has gradients."""
    x = draw(3, 20)
    memory = Hopfield(20, threshold=0.1, dtype=torch.float64)
    memory.store(x)
    cue = flipped(x, 4)
    y, _ = unroll(memory.cell(), torch.zeros(6, 3, 20, dtype=torch.float64), HiddenState(cue))
    assert torch.equal(y[-1], memory.recall(cue, "synchronous", steps=6).state)
    smooth = memory.cell(temperature=0.5)
    state = torch.randn(3, 20, dtype=torch.float64)
    field = torch.randn(3, 20, dtype=torch.float64)
    y, _ = smooth(field, HiddenState(state))
    expected = np.tanh((state.numpy() @ hebbian(x).numpy().T - 0.1 + field.numpy()) / 0.5)
    np.testing.assert_allclose(y.detach().numpy(), expected, atol=1e-12)
    assert torch.autograd.gradcheck(lambda h: smooth(field, HiddenState(h))[0], state.requires_grad_())
    assert "temperature=0.5" in repr(smooth)


def test_a_memory_is_saved_and_loaded_with_its_patterns() -> None:
    memory = Hopfield(12, "storkey", threshold=0.5)
    memory.store(draw(3, 12))
    memory.damage(0.2, generator=torch.Generator().manual_seed(0))
    other = Hopfield(12, "storkey")
    other.load_state_dict(memory.state_dict())
    assert torch.equal(other.weight, memory.weight) and torch.equal(other.threshold, memory.threshold)
    other.repair(), other.forget(draw(3, 12)[:1])
    torch.testing.assert_close(other.weight, storkey(draw(3, 12)[1:].float()))


def test_pictures() -> None:
    from matplotlib.figure import Figure

    memory = Hopfield(6)
    memory.store(torch.ones(1, 6))
    found = memory.recall(torch.tensor([[1.0, 1, 1, 1, -1, -1], [1, 1, 1, 1, 1, 1]]))
    axes = Figure().add_subplot()
    draw_energy(found, axes)
    for row, line in enumerate(axes.lines):
        steps = int(found.steps[row])
        np.testing.assert_allclose(line.get_ydata(), found.energy[: steps + 1, row].numpy())
    assert len(axes.lines) == 2 and axes.get_ylabel() == "energy"
    draw_patterns(found.state, axes, (2, 3))
    assert np.asarray(axes.images[0].get_array()[:, :3]).tolist() == [[1.0] * 3] * 2
    with pytest.raises(ShapeError, match=r"draw_patterns: patterns has shape \(2, 6\) and shape is \(2, 2\)"):
        draw_patterns(found.state, axes, (2, 2))


def test_messages() -> None:
    memory = Hopfield(3)
    with pytest.raises(UsageError, match="Hopfield: rule is 'hebb'. Needed: 'hebbian', 'storkey'"):
        Hopfield(3, "hebb")
    with pytest.raises(ShapeError, match=r"Hopfield: threshold has shape \(2,\). Needed: a number or \(3,\)"):
        Hopfield(3, threshold=torch.zeros(2))
    with pytest.raises(
        UsageError, match=r"Hopfield.store: patterns\[0, 1\] is 0. Needed: units that are .1 or -1. Cure: 2 \* patterns"
    ):
        memory.store(torch.tensor([[1.0, 0.0, 1.0]]))
    with pytest.raises(ShapeError, match=r"Hopfield.store: patterns has shape \(3,\).*Cure: patterns.unsqueeze\(0\)"):
        memory.store(torch.ones(3))
    with pytest.raises(ShapeError, match="Hopfield.recall: cue is list"):
        memory.recall([[1, 1, 1]])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="update is 'async'. Needed: 'asynchronous', 'synchronous' or 'gibbs'"):
        memory.recall(torch.ones(1, 3), "async")
    with pytest.raises(UsageError, match="temperature is not given. Needed: a temperature with update='gibbs'"):
        memory.recall(torch.ones(1, 3), "gibbs")
    with pytest.raises(UsageError, match="temperature is 1.0 and update is 'asynchronous'"):
        memory.recall(torch.ones(1, 3), temperature=1.0)
    with pytest.raises(UsageError, match="temperature has 2 entries. Needed: 100, one for each step"):
        memory.recall(torch.ones(1, 3), "gibbs", temperature=[1.0, 0.5])
    with pytest.raises(UsageError, match="temperature is -1.0"):
        memory.recall(torch.ones(1, 3), "gibbs", temperature=-1.0)
    with pytest.raises(UsageError, match="order is 'sorted'. Needed: 'random' or 'fixed'"):
        memory.recall(torch.ones(1, 3), order="sorted")
    with pytest.raises(ShapeError, match=r"field has shape \(2, 3\). Needed: a tensor \(1, 3\) or \(3,\)"):
        memory.recall(torch.ones(1, 3), field=torch.ones(2, 3))
    with pytest.raises(UsageError, match="Hopfield.damage: share is 2. Needed: a number from 0 to 1"):
        memory.damage(2)
    with pytest.raises(ShapeError, match=r"Hopfield.store: rule gave of shape \(2, 2\). Needed: weights \(3, 3\)"):
        Hopfield(3, lambda patterns: torch.ones(2, 2)).store(torch.ones(1, 3))
    with pytest.raises(UsageError, match="HopfieldCell: temperature is -1"):
        HopfieldCell(3, -1)
