"""The bidirectional memory against loops in numpy, exact distributions, and Kosko's theorem."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.memory import BidirectionalMemory, BidirectionalState
from recurra.unroll import unroll


def draw(rows: int, units: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randint(0, 2, (rows, units), generator=generator, dtype=torch.float64) - 1.0


def stored(pairs: int, first: int, second: int, seed: int = 0) -> tuple[BidirectionalMemory, Tensor, Tensor]:
    a, b = draw(pairs, first, seed), draw(pairs, second, seed + 1)
    memory = BidirectionalMemory(first, second, dtype=torch.float64)
    memory.store(a, b)
    return memory, a, b


def to_and_fro(m: np.ndarray, a: np.ndarray, b: np.ndarray, steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kosko's steps, unit by unit."""
    states = [(a.copy(), b.copy())]
    for _ in range(steps):
        a, b = states[-1][0].copy(), states[-1][1].copy()
        for j in range(len(b)):
            total = sum(a[i] * m[i, j] for i in range(len(a)))
            b[j] = b[j] if total == 0 else np.sign(total)
        for i in range(len(a)):
            total = sum(b[j] * m[i, j] for j in range(len(b)))
            a[i] = a[i] if total == 0 else np.sign(total)
        states.append((a, b))
    return states


@pytest.mark.parametrize(("first", "second", "pairs"), [(1, 1, 1), (6, 4, 2), (9, 13, 4)])
def test_steps_weights_and_energies_are_koskos(first: int, second: int, pairs: int) -> None:
    memory, a, b = stored(pairs, first, second)
    m = sum(np.outer(a[p], b[p]) for p in range(pairs))
    np.testing.assert_array_equal(memory.weight.numpy(), m)
    cue = draw(7, first, 5), draw(7, second, 6)
    found = memory.recall(cue, steps=50)
    y, last = unroll(memory.cell(), torch.zeros(3, 7, first + second, dtype=torch.float64), BidirectionalState(*cue))
    for row in range(7):
        states = to_and_fro(m, cue[0][row].numpy(), cue[1][row].numpy(), int(found.energy.shape[0]) - 1)
        np.testing.assert_array_equal(found.state.first[row], states[-1][0])
        np.testing.assert_array_equal(found.state.second[row], states[-1][1])
        np.testing.assert_allclose(found.energy[:, row], [-s @ m @ t for s, t in states])
        np.testing.assert_array_equal(y[0, row].detach(), np.concatenate(states[1]))
    assert torch.equal(y[-1], torch.cat(last, 1))


def test_any_matrix_is_bidirectionally_stable() -> None:
    """Kosko: from any cue, under any weights, the energy never rises and the pair comes to rest."""
    memory = BidirectionalMemory(30, 20, dtype=torch.float64)
    memory.connections.learned = torch.randn(30, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for update in ("synchronous", "asynchronous"):
        found = memory.recall((draw(50, 30), draw(50, 20, 1)), update, generator=torch.Generator().manual_seed(0))
        assert bool(found.converged.all()) and bool((found.energy[1:] <= found.energy[:-1] + 1e-9).all())
        assert bool((found.state.first * (found.state.second @ memory.weight.mT) > 0).all())
        assert bool((found.state.second * (found.state.first @ memory.weight) > 0).all())
        assert float((found.energy[0] - found.energy[-1]).min()) > 0
        torch.testing.assert_close(found.energy[-1], memory.energy(*found.state))


@pytest.mark.parametrize("update", ["synchronous", "asynchronous"])
def test_either_side_recalls_the_other(update: str) -> None:
    memory, a, b = stored(4, 60, 40, 3)
    noisy_a, noisy_b = a.clone(), b.clone()
    noisy_a[:, :6] *= -1
    noisy_b[:, :4] *= -1
    for found in (memory.recall(noisy_a, update), memory.recall(noisy_b, update, side="second")):
        assert torch.equal(found.state.first, a) and torch.equal(found.state.second, b)
    memory.damage(0.4, torch.Generator().manual_seed(0))
    assert abs(float((memory.weight == 0).double().mean()) - 0.4) > 0.05, "zeros of the sum itself come on top"
    assert torch.equal(memory.recall(noisy_a, update).state.second, b)
    memory.repair()
    memory.forget(a[1:2], b[1:2])
    rest = [0, 2, 3]
    assert torch.equal(memory.weight, a[rest].mT @ b[rest])
    assert not torch.equal(memory.recall(a[1:2], update).state.second, b[1:2])
    memory.forget()
    assert not memory.weight.any()


def test_gibbs_draws_from_the_boltzmann_distribution() -> None:
    memory = BidirectionalMemory(3, 2, dtype=torch.float64)
    memory.connections.learned = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    m, temperature, chains = memory.weight.numpy(), 2.0, 40_000
    states = np.array(list(itertools.product([-1.0, 1.0], repeat=5)))
    exact = np.exp([s[:3] @ m @ s[3:] / temperature for s in states])
    exact /= exact.sum()
    cue = torch.ones(chains, 3, dtype=torch.float64)
    found = memory.recall(cue, "gibbs", steps=80, temperature=temperature, generator=torch.Generator().manual_seed(0))
    places = ((torch.cat(found.state, 1) + 1) / 2 @ torch.tensor([16.0, 8, 4, 2, 1], dtype=torch.float64)).long()
    share = torch.bincount(places, minlength=32).double().numpy() / chains
    assert (np.abs(share - exact) < 5 * np.sqrt(exact * (1 - exact) / chains)).all()
    assert exact.max() > 3 * np.median(exact)
    draws = [
        memory.recall(
            cue[:50], "gibbs", steps=3, temperature=temperature, generator=torch.Generator().manual_seed(seed)
        )
        for seed in (1, 1, 2)
    ]
    assert all(map(torch.equal, draws[0].state, draws[1].state)), "all chance comes from the generator"
    assert not torch.equal(draws[0].state.second, draws[2].state.second)
    # At temperature 0 it is the deterministic update.
    cold = memory.recall(cue[:5], "gibbs", steps=10, temperature=0.0)
    assert torch.equal(cold.state.first, memory.recall(cue[:5]).state.first) and bool(cold.converged.all())


def test_saved_and_loaded() -> None:
    memory, a, b = stored(3, 6, 5)
    other = BidirectionalMemory(6, 5, dtype=torch.float64)
    other.load_state_dict(memory.state_dict())
    other.forget(a[:1], b[:1])
    assert torch.equal(other.weight, a[1:].mT @ b[1:])


def test_messages() -> None:
    memory = BidirectionalMemory(3, 2)
    with pytest.raises(ShapeError, match="store: first has 2 rows and second 1. Needed: as many"):
        memory.store(torch.ones(2, 3), torch.ones(1, 2))
    with pytest.raises(ShapeError, match=r"store: second has shape \(1, 3\). Needed: a tensor \(pairs, 2\)"):
        memory.store(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(UsageError, match=r"recall: cue\[0, 0\] is 0.5. Needed: units that are .1 or -1"):
        memory.recall(torch.full((1, 3), 0.5))
    with pytest.raises(UsageError, match="side is 'left'. Needed: 'first' or 'second'"):
        memory.recall(torch.ones(1, 3), side="left")
    with pytest.raises(ShapeError, match="cue has 1 parts"):
        memory.recall((torch.ones(1, 3),))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="forget: one side of the pairs is given. Needed: both"):
        memory.forget(torch.ones(1, 3))
    with pytest.raises(UsageError, match="forget: pattern 0 of those given is not stored"):
        memory.forget(torch.ones(1, 3), torch.ones(1, 2))
    with pytest.raises(UsageError, match="temperature is not given"):
        memory.recall(torch.ones(1, 3), "gibbs")
