"""Single steps of the searches against what their papers say, worked out here anew in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.errors import UsageError
from recurra.learn.search import (
    CMAES,
    ESP,
    GA,
    CoSyNE,
    OpenAIES,
    ParticleSwarm,
    RandomGuess,
    Restarts,
    SimulatedAnnealing,
)
from recurra.learn.search.openai_es import centred_ranks


def told(search, fitness) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A population, its fitness, and the population after it."""
    before = search.ask()
    values = fitness(before) if callable(fitness) else torch.as_tensor(fitness, dtype=torch.float64)
    search.tell(values)
    return before.numpy(), values.numpy(), search.ask().numpy()


def splices(child: np.ndarray, parents: np.ndarray, segments: list[list[int]]) -> bool:
    """Whether in every segment the child is the beginning of one parent and the end of another, both genes or more."""
    for first in parents:
        for second in parents:
            if all(
                any(
                    np.array_equal(child[s], np.concatenate([first[s][:cut], second[s][cut:]]))
                    for cut in range(1, max(len(s), 2))
                )
                for s in segments
            ):
                return True
    return False


def test_random_guesses_fill_the_box_evenly() -> None:
    search = RandomGuess(2, population=4000, spread=3.0, start=torch.tensor([1.0, -1.0]))
    first, _, second = told(search, np.zeros(4000))
    both = np.concatenate([first, second]) - [1.0, -1.0]
    assert not np.isin(first, second).any()
    assert np.abs(both).max() <= 3.0
    shares = np.histogram(both, bins=6, range=(-3, 3))[0] / both.size
    assert np.abs(shares - 1 / 6).max() < 0.015


def test_cosyne_keeps_permutes_and_crosses() -> None:
    segments = [[0, 1, 2], [3, 5], [4]]
    search = CoSyNE(6, population=30, spread=10.0, segments=segments, mutation=0.0, seed=2)
    before, fitness, after = told(search, lambda rows: -rows.square().sum(1))
    ranked = before[np.argsort(-fitness)]
    kept, offspring = after[:16], after[16:]
    # The worst 14 are gone; every column of the rest holds the same weights, in another order, each in its own.
    assert np.array_equal(np.sort(kept, 0), np.sort(ranked[:16], 0))
    orders = [tuple(ranked[:16, k].tolist().index(weight) for weight in kept[:, k]) for k in range(6)]
    assert len(set(orders)) == 6
    assert len(offspring) == 14 and all(splices(child, ranked[:7], segments) for child in offspring)
    assert not any((child == parent).all() for child in offspring[1:7] for parent in ranked[:7])
    # Two offspring of a pair share all genes of the two parents between them.
    for one, two, parent in zip(offspring[:7], offspring[7:], ranked[:7], strict=True):
        assert ((one == parent) | (two == parent)).all()


def test_cosyne_mutates_by_cauchy_noise() -> None:
    plain, moved = (CoSyNE(8, population=4000, mutation=m, mutation_scale=0.3, seed=1) for m in (0.0, 0.3))
    noise = told(moved, np.arange(4000.0))[2] - told(plain, np.arange(4000.0))[2]
    assert not noise[:2000].any()  # only offspring are moved
    noise = noise[2000:]
    assert (noise != 0).mean() == pytest.approx(0.3, abs=0.015)
    sizes = np.abs(noise[noise != 0])
    # |Cauchy| of scale s: quartiles s tan(pi/8), s, s tan(3 pi/8).
    for quantile, value in ((0.25, math.tan(math.pi / 8)), (0.5, 1.0), (0.75, math.tan(3 * math.pi / 8))):
        assert np.quantile(sizes, quantile) == pytest.approx(0.3 * value, rel=0.08)
    assert abs(np.median(noise[noise != 0])) < 0.02


def test_esp_lets_each_neuron_take_part_equally_and_recombines_within() -> None:
    neurons = [[0, 2, 4], [1, 3]]
    search = ESP(5, subpopulation=8, trials=5, spread=4.0, neurons=neurons, mutation=0.0, burst=None, seed=3)
    before, fitness, after = told(search, lambda rows: rows[:, 0] + 3 * rows[:, 1])
    for genes in neurons:
        units, number, counts = np.unique(before[:, genes], axis=0, return_inverse=True, return_counts=True)
        assert len(units) == 8 and (counts == 5).all()
        mean = np.array([fitness[number.ravel() == k].mean() for k in range(8)])
        ranked = units[np.argsort(-mean)]
        left = np.unique(after[:, genes], axis=0)
        assert all((left == unit).all(1).any() for unit in ranked[:4])  # 2 parents give 4 offspring, which replace 4
        assert not any((left == unit).all(1).any() for unit in ranked[4:])
        fresh = [unit for unit in left if not (ranked == unit).all(1).any()]
        assert fresh and all(splices(unit, ranked[:2], [list(range(len(genes)))]) for unit in fresh)
    pairs = {(tuple(row[neurons[0]]), tuple(row[neurons[1]])) for row in before}
    assert len(pairs) > 20  # they meet at random


def test_esp_mutates_one_gene_of_some_offspring() -> None:
    search = ESP(6, subpopulation=4000, trials=1, mutation=0.4, mutation_scale=0.3, burst=None, seed=1)
    before, fitness, after = told(search, lambda rows: rows[:, 0])
    parents = before[np.argsort(-fitness)][:1000]
    strange = (~np.isin(after, before)).sum(1)
    assert set(strange) == {0, 1}
    assert strange.sum() / 2000 == pytest.approx(0.4, abs=0.04)
    assert np.isin(after, parents).any()


def test_esp_bursts_about_the_best_after_standing_still() -> None:
    search = ESP(3, subpopulation=2000, trials=1, neurons=[[0, 1], [2]], burst=3, burst_scale=0.5, seed=0)
    first = search.ask()
    search.tell(torch.arange(2000.0))
    for generation in range(3):
        assert search.bursts == 0, generation
        search.ask()
        search.tell(torch.zeros(2000))
    assert search.bursts == 1
    best = first[1999]
    assert torch.equal(search.best.vector, best)
    distance = (search.ask() - best).abs()
    assert torch.allclose(distance.median(0).values, torch.full((3,), 0.5, dtype=torch.float64), rtol=0.12)
    search.tell(torch.zeros(2000))
    assert search.bursts == 1  # what comes after a burst is measured by itself


@pytest.mark.parametrize("selection", ["roulette", "rank", "tournament"])
def test_ga_selects_with_the_probabilities_of_the_textbook(selection: str) -> None:
    fitness = np.array([1.0, 4.0, 0.0, 2.0, 3.0])
    search = GA(2, population=5, selection=selection, pressure=1.6, tournament=2, seed=0)
    shares = np.bincount(search.select(torch.from_numpy(fitness), 40000).numpy(), minlength=5) / 40000
    rank = np.array([1, 4, 0, 2, 3])
    expected = {
        "roulette": fitness / 10,
        "rank": (2 - 1.6 + 2 * 0.6 * rank / 4) / 5,
        "tournament": ((rank + 1) / 5) ** 2 - (rank / 5) ** 2,
    }[selection]
    assert np.abs(shares - expected).max() < 0.012


def test_ga_roulette_takes_what_is_not_negative() -> None:
    search = GA(2, population=4, selection="roulette")
    search.ask()
    with pytest.raises(
        UsageError, match="GA with selection='roulette': a fitness is -1.*not negative.*Cure: use selection='rank'"
    ):
        search.tell([1.0, -1.0, 0.0, 2.0])
    search.tell([math.inf, 1.0, math.nan, 1.0])  # the refused fitness left the search as it was
    assert search.evaluations == 4
    assert set(search.select(torch.tensor([1.0, math.inf, 2.0, -math.inf]).double(), 50).tolist()) == {1}
    assert len(set(search.select(torch.zeros(4).double(), 200).tolist())) == 4


def test_ga_keeps_its_elite_and_crosses_as_named() -> None:
    arguments = dict(population=21, elite=3, mutation_rate=0.0, crossover_rate=1.0, seed=5)
    for crossover in ("one-point", "uniform", "blend"):
        before, fitness, after = told(GA(8, crossover=crossover, **arguments), lambda rows: rows[:, 0])
        assert np.array_equal(after[:3], before[np.argsort(-fitness)][:3])
        if crossover == "blend":
            copied = np.array([(before == child).all(1).any() for child in after[3:]])  # of one parent drawn twice
            assert copied.sum() < 6 and not np.isin(after[3:][~copied], before).any()
            assert (after[3:].max(0) <= before.max(0) + 0.5 * np.ptp(before, 0)).all()
        elif crossover == "one-point":
            assert all(splices(child, before, [list(range(8))]) for child in after[3:])
        else:
            columns = [np.isin(after[3:, k], before[:, k]).all() for k in range(8)]
            assert all(columns) and not all(splices(child, before, [list(range(8))]) for child in after[3:])
    copies = told(GA(8, **{**arguments, "crossover_rate": 0.0}), lambda rows: rows[:, 0])
    assert all((copies[0] == child).all(1).any() for child in copies[2])


def test_ga_blend_reaches_alpha_beyond_both_parents() -> None:
    search = GA(
        1, population=4000, crossover="blend", alpha=0.5, elite=0, mutation_rate=0.0, crossover_rate=1.0, seed=0
    )
    first = torch.zeros(4000, 1, dtype=torch.float64)
    one, two = search._cross(first, first + 2.0)
    both = torch.cat([one, two]).numpy()
    assert both.min() >= -1.0 and both.max() <= 3.0
    assert np.abs(np.histogram(both, bins=4, range=(-1, 3))[0] / 8000 - 0.25).max() < 0.02


def test_ga_mutates_genes_at_its_rate() -> None:
    search = GA(10, population=2001, mutation_rate=0.2, mutation_scale=0.7, crossover_rate=0.0, seed=0)
    before, _, after = told(search, np.zeros(2001))
    strange = ~np.isin(after[1:], before)
    assert strange.mean() == pytest.approx(0.2, abs=0.01)


def test_openai_es_climbs_by_adam_on_centred_ranks() -> None:
    sigma, rate, decay, (b1, b2) = 0.2, 0.05, 0.01, (0.8, 0.95)
    search = OpenAIES(
        4, population=10, spread=sigma, rate=rate, decay=decay, betas=(b1, b2), start=torch.ones(4), seed=7
    )
    centre, mean, square = np.ones(4), np.zeros(4), np.zeros(4)
    for t in range(1, 6):
        rows = search.ask().numpy()
        assert np.allclose(rows[:5] - centre, centre - rows[5:], atol=1e-12)  # mirrored
        fitness = -(rows**2).sum(1)
        search.tell(fitness)
        utility = np.empty(10)
        utility[np.argsort(fitness)] = np.arange(10) / 9 - 0.5
        gradient = sum(u * (x - centre) / sigma for u, x in zip(utility, rows, strict=True)) / (10 * sigma)
        gradient = gradient - decay * centre
        mean, square = b1 * mean + (1 - b1) * gradient, b2 * square + (1 - b2) * gradient**2
        centre = centre + rate * (mean / (1 - b1**t)) / (np.sqrt(square / (1 - b2**t)) + 1e-8)
        assert np.allclose(search.centre.numpy(), centre, rtol=1e-10, atol=1e-12)


def test_centred_ranks_share_ties() -> None:
    ranks = centred_ranks(torch.tensor([2.0, -math.inf, 2.0, 5.0, 2.0]))
    assert torch.allclose(ranks, torch.tensor([0.0, -0.5, 0.0, 0.5, 0.0]).double())


@pytest.mark.parametrize(("c1", "c2"), [(1.1, 0.9), (1.1, 0.0), (0.0, 0.9)])
def test_particles_move_as_the_equations_say(c1: float, c2: float) -> None:
    w = 0.6
    search = ParticleSwarm(3, population=400, inertia=w, own=c1, shared=c2, seed=0)

    def value(rows: torch.Tensor) -> torch.Tensor:
        return -(rows - 1.0).square().sum(1)

    x0 = search.ask().numpy()
    search.tell(value(search.ask()))
    x1 = search.ask().numpy()
    search.tell(value(search.ask()))
    x2 = search.ask().numpy()
    f0, f1 = value(torch.from_numpy(x0)).numpy(), value(torch.from_numpy(x1)).numpy()
    own = np.where((f1 > f0)[:, None], x1, x0)
    leader = own[np.argmax(np.maximum(f0, f1))]
    rest = (x2 - x1) - w * (x1 - x0)  # c1 r1 (p - x) + c2 r2 (g - x)
    mine, ours = c1 * (own - x1), c2 * (leader - x1)
    low, high = np.minimum(mine, 0) + np.minimum(ours, 0), np.maximum(mine, 0) + np.maximum(ours, 0)
    assert ((rest >= low - 1e-12) & (rest <= high + 1e-12)).all()
    # Where the particle stands at its own best, or c1 is 0, r2 stands alone; where c2 is 0, r1 does.
    one = mine if c2 == 0.0 else ours
    rows = (np.abs(one).min(1) > 1e-9) & ((f1 > f0) | (c1 * c2 == 0.0))
    drawn = rest[rows] / one[rows]
    assert len(drawn) > 40 and drawn.mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(drawn[:, 0] - drawn[:, 1]).min() > 1e-9  # drawn anew in every gene
    assert drawn.std() == pytest.approx(1 / math.sqrt(12), abs=0.03)


def test_particles_keep_to_the_fastest() -> None:
    search = ParticleSwarm(3, population=50, spread=5.0, fastest=0.1)
    before, _, after = told(search, lambda rows: rows[:, 0])
    assert np.abs(after - before).max() <= 0.1 + 1e-12


@pytest.mark.parametrize("generation", [1, 4])
def test_annealing_takes_worse_places_with_metropolis_probability(generation: int) -> None:
    chains, drop = 20000, 0.7
    search = SimulatedAnnealing(1, population=chains, temperature=1.5, cooling=0.8, seed=0)
    for k in range(generation):
        search.ask()
        search.tell(np.full(chains, 2.0 + k))  # every step is better, and is taken
    here = search._place.clone()
    proposed = search.ask()
    length = (proposed - here).std() / 0.25
    assert float(length) == pytest.approx(0.8**generation, rel=0.03)
    search.tell(np.full(chains, 1.0 + generation - drop))
    taken = (search._place == proposed).double().mean()
    assert float(taken) == pytest.approx(math.exp(-drop / (1.5 * 0.8**generation)), abs=0.012)
    assert torch.equal(torch.where(search._place == proposed, proposed, here), search._place)


def test_cma_es_is_that_of_the_package() -> None:
    cma = pytest.importorskip("cma")
    search = CMAES(4, spread=0.3, start=torch.tensor([1.0, 2.0, 3.0, 4.0]), seed=9)
    generator = torch.Generator().manual_seed(9)

    def normal(*shape: int) -> np.ndarray:
        return torch.randn(shape, generator=generator, dtype=torch.float64).numpy()

    options = {"randn": normal, "seed": np.nan, "verbose": -9, "verb_log": 0}
    direct = cma.CMAEvolutionStrategy([1.0, 2.0, 3.0, 4.0], 0.3, options)
    assert search.population == direct.popsize == 4 + math.floor(3 * math.log(4))
    for _ in range(15):
        rows = np.stack(direct.ask())
        assert np.array_equal(search.ask().numpy(), rows)
        costs = (rows**4).sum(1)
        direct.tell(list(rows), costs.tolist())
        search.tell(-costs)


def test_cma_es_says_when_it_has_converged_and_restarts_begin_again() -> None:
    pytest.importorskip("cma")
    search = Restarts(lambda seed: CMAES(2, spread=0.1, seed=seed))
    assert search.inner.exhausted is None
    for _ in range(30):
        search.ask()
        search.tell(torch.zeros(search.population))
    assert search.restarts >= 1 and search.evaluations == 30 * search.population


def test_cma_es_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(UsageError, match=r"CMAES: the package cma is not installed.*pip install 'recurra\[search\]'"):
        CMAES(3)


def test_restarts_begin_again_from_new_weights() -> None:
    search = Restarts(lambda seed: CoSyNE(2, population=4, seed=seed), patience=3, seed=1)
    first = search.ask()
    search.tell([5.0, 4.0, 3.0, 2.0])
    for waited in range(3):
        assert search.restarts == 0, waited
        search.ask()
        search.tell([1.0] * 4)
    assert search.restarts == 1 and search.best.fitness == 5.0 and torch.equal(search.best.vector, first[0])
    assert search.inner.generation == 0 and not torch.equal(search.ask(), first)
    with pytest.raises(UsageError, match="Restarts: patience is 0"):
        Restarts(lambda seed: CoSyNE(2, seed=seed), patience=0)
