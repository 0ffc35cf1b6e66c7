"""NEAT: its parts against the paper's equations, worked out here anew gene by gene, and what a search keeps to."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from neat_genomes import INPUTS, NODES, OUTPUTS, genome, random_table
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.search import WeightVector, evaluate, run_search
from recurra.learn.search.neat import NEAT
from recurra.learn.search.neat_cell import NeatCell, cell_of
from recurra.learn.search.neat_genes import Choices, cross, dense_weights, hidden_nodes
from recurra.learn.search.neat_parents import Parents
from recurra.learn.search.neat_species import AT_ONCE, Compatibility, Distances, allot, speciate
from recurra.learn.search.stopping import MaxGenerations, MinFitness
from recurra.unroll import unroll


def paper_distance(one: dict, two: dict, excess: float, disjoint: float, difference: float) -> float:
    """Section 3.3, gene by gene."""
    matching = one.keys() & two.keys()
    bound = min(max(one), max(two))
    lone = one.keys() ^ two.keys()
    beyond = sum(marking > bound for marking in lone)
    size = max(len(one), len(two))
    size = 1 if size < 20 else size
    mean = sum(abs(one[m][2] - two[m][2]) for m in matching) / len(matching)
    return excess * beyond / size + disjoint * (len(lone) - beyond) / size + difference * mean


@pytest.mark.parametrize(("genes", "share"), [(9, 0.7), (28, 0.7), (28, 0.1), (20, 1.0)])
@pytest.mark.parametrize("excess", [1.3, 0.7])
def test_distance_is_the_papers(genes: int, share: float, excess: float) -> None:
    """Common genes, rare ones (few genomes hold them), and genes that all hold."""
    table = random_table(13, genes, seed=genes, share=share)
    others = table.rows(slice(4, 11))
    which = torch.tensor([12, *range(11)])
    got = Distances(table, Compatibility(excess, 0.7, 0.4)).to(others, which)
    assert got.shape == (12, 7)
    for place, row in enumerate(which.tolist()):
        wanted = [paper_distance(genome(table, row), genome(others, k), excess, 0.7, 0.4) for k in range(7)]
        np.testing.assert_allclose(got[place], wanted, rtol=1e-12, atol=1e-13)
    sizes = table.size
    assert bool((sizes < 20).any()) != (share == 1.0) and (share < 0.7 or genes < 20 or bool((sizes >= 20).any()))


@pytest.mark.parametrize(("genomes", "threshold"), [(40, 4.0), (AT_ONCE + 70, 2.5), (AT_ONCE + 70, 0.6), (30, 1e-9)])
def test_species_are_filled_in_order(genomes: int, threshold: float) -> None:
    table = random_table(genomes, 9, seed=3)
    representatives = table.rows(torch.tensor([7, 21]))
    distance = Compatibility(1.0, 1.0, 0.4)
    found = speciate(table, representatives, distance, threshold).tolist()
    known = [genome(representatives, 0), genome(representatives, 1)]
    for row in range(genomes):
        own = genome(table, row)
        near = [k for k, other in enumerate(known) if paper_distance(own, other, 1.0, 1.0, 0.4) < threshold]
        if not near:
            known.append(own)
        assert found[row] == (near[0] if near else len(known) - 1)
    assert len(known) > 3
    # Representatives beyond those that are looked at together.
    many = speciate(table, table, distance, 1e-9)
    assert many.tolist() == list(range(genomes))


def test_parents_are_the_best_of_their_species() -> None:
    chance = np.random.default_rng(1)
    fitness, species = chance.random(60), np.concatenate([np.arange(6), chance.integers(0, 6, 54)])
    parents = Parents(torch.from_numpy(fitness), torch.from_numpy(species), survival=0.4)
    shares = torch.linspace(0.0, 0.9999, 200)
    for number in range(6):
        members = sorted(np.flatnonzero(species == number), key=lambda k: -fitness[k])
        best = members[: int(np.ceil(0.4 * len(members)))]
        drawn = parents.drawn(torch.full((200,), number), shares)
        assert drawn.unique().tolist() == sorted(best)
        assert max(np.bincount(drawn)[best]) - min(np.bincount(drawn)[best]) <= 1
        assert int(parents.champions[number]) == members[0] and int(parents.size[number]) == len(members)


def test_offspring_follow_the_shared_fitness() -> None:
    chance = np.random.default_rng(0)
    fitness, species = chance.random(101), np.concatenate([np.arange(7), chance.integers(0, 7, 94)])
    allowed = np.array([True, True, False, True, True, True, True])
    got = allot(*(torch.from_numpy(part) for part in (fitness, species, allowed)), 101).numpy()
    sums = np.array([sum(f / (species == s).sum() for f in fitness[species == s]) for s in range(7)]) * allowed
    assert got.sum() == 101 and got[2] == 0
    assert np.abs(got - 101 * sums / sums.sum()).max() < 1
    # Without any fitness, the species keep their sizes.
    sizes = np.bincount(species) * allowed
    even = allot(torch.zeros(101), torch.from_numpy(species), torch.from_numpy(allowed), 101).numpy()
    assert even.sum() == 101 and np.abs(even - 101 * sizes / sizes.sum()).max() < 1


def test_crossover_lines_genes_up_by_their_markings() -> None:
    first, second = random_table(30, 12, seed=5), random_table(60, 12, seed=5).rows(slice(30, 60)).sorted()
    chance = torch.Generator().manual_seed(1)
    one, two = (
        [torch.rand(30, parent.marking.shape[1], generator=chance) < 0.5 for _ in range(3)]
        for parent in (first, second)
    )
    average = torch.rand(30, 1, generator=chance) < 0.4
    born = cross(first, second, Choices(one[0], one[1], two[0], average, one[2], two[1]))
    assert bool((born.marking.diff() >= 0).all()) and int(born.size.max()) == born.marking.shape[1]
    for row in range(30):
        mother, father, child = genome(first, row), genome(second, row), genome(born, row)
        slots, others = ({m: k for k, m in enumerate(table.marking[row].tolist())} for table in (first, second))
        wanted = {}
        for marking in mother.keys() | father.keys():
            a, b = mother.get(marking), father.get(marking)
            mine, yours = slots.get(marking), others.get(marking)
            if a and b:
                weight = (a[2] + b[2]) / 2 if average[row] else (b if one[0][row, mine] else a)[2]
            elif (a and one[1][row, mine]) or (b and two[0][row, yours]):
                weight = (a or b)[2]
            else:
                continue
            stays = one[2][row, mine] if a else two[1][row, yours]
            disabled = any(parent is not None and not parent[3] for parent in (a, b))
            wanted[marking] = (*(a or b)[:2], pytest.approx(weight, rel=1e-15), not (disabled and stays))
        assert child == wanted


def reference_run(genes: dict, x: np.ndarray) -> np.ndarray:
    """The network of a genome, node by node: every node from the values that all had a step before."""
    nodes = sorted({3, *(end for gene in genes.values() for end in gene[:2] if end > 2)})
    last = dict.fromkeys(nodes, 0.0)
    said = []
    for seen in x:
        value = {0: seen[0], 1: seen[1], 2: 1.0, **last}
        total = dict.fromkeys(nodes, 0.0)
        for source, target, weight, enabled in genes.values():
            if enabled:
                total[target] += weight * value[source]
        last = {node: 1.0 / (1.0 + np.exp(-4.9 * z)) for node, z in total.items()}
        said.append(last[3])
    return np.array(said)


def test_the_batch_of_graphs_is_every_graph() -> None:
    """Whole rows through vmap, and each one's own small cell, against a run along the genes."""
    table = random_table(25, 17, seed=2)
    rows = dense_weights(table, INPUTS, OUTPUTS, NODES)
    template = NeatCell(INPUTS, NODES, OUTPUTS, dtype=torch.float64)
    vector = WeightVector(template)
    x = torch.randn(7, 1, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    state = template.initial_state(1)
    together = []
    weights = vector.stack(rows)
    states = type(state)(state.h.expand(25, *state.h.shape))
    for step in x:
        y, states = torch.vmap(vector.call, in_dims=(0, None, 0))(weights, step, states)
        together.append(y[:, 0, 0])
    for row in range(25):
        wanted = reference_run(genome(table, row), x[:, 0].numpy())
        np.testing.assert_allclose(torch.stack(together)[:, row].detach(), wanted, rtol=1e-12)
        cell = cell_of(rows[row], INPUTS, OUTPUTS, NODES)
        np.testing.assert_allclose(unroll(cell, x)[0][:, 0, 0].detach(), wanted, rtol=1e-12)
        assert cell.hidden_size <= NODES


def test_offspring_of_two_parents_may_stay_as_they_were_born() -> None:
    changed = []
    for unmutated in (0.0, 1.0):
        rates = dict(node_rate=0.0, connection_rate=0.0, weight_rate=1.0, asexual=0.0, averaged=0.0, replaced=0.0)
        search = NEAT(INPUTS, OUTPUTS, NODES, 100, threshold=1e9, elite_size=999, unmutated=unmutated, seed=2, **rates)
        old = search._genes.weight
        told(search, 1)
        changed.append((~torch.isin(search._genes.weight, old)).any(1).double().mean())
    # Of 40 parents, one in 40 offspring has the same one twice, and is changed.
    assert float(changed[0]) == 1.0 and 0.0 <= float(changed[1]) < 0.15


def test_the_bias_node_has_a_value() -> None:
    one, half = (NEAT(INPUTS, OUTPUTS, NODES, population=20, bias=bias, seed=1).ask() for bias in (1.0, 0.5))
    assert torch.equal(one[:, :-NODES], half[:, :-NODES]) and torch.equal(0.5 * one[:, -NODES:], half[:, -NODES:])
    assert bool((one[:, -NODES] != 0).all())


def told(search: NEAT, generations: int) -> Tensor:
    seen = []
    for _ in range(generations):
        seen.append(search.ask())
        search.tell(1.0 / (1.0 + (seen[-1].sum(1) - 3.0).square()))
    return torch.stack(seen)


def test_it_begins_without_hidden_nodes_and_grows() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=80, node_rate=0.3, seed=1)
    template = WeightVector(search.template)
    assert template.dimension == search.dimension == search.ask().shape[1]
    first = search.ask()
    assert bool(((first != 0).sum(1) == 3).all()) and float(first.abs().max()) <= 1.0
    told(search, 12)
    _, held = hidden_nodes(search._genes, INPUTS + 1 + OUTPUTS)
    assert 2 <= int(held.sum(1).max()) <= NODES - OUTPUTS  # never more than there is room for
    ends: dict[int, tuple] = {}
    for row in range(80):
        own = genome(search._genes, row)
        assert len({gene[:2] for gene in own.values()}) == len(own) and list(own) == sorted(own)
        # A marking stands for the same connection everywhere.
        assert all(ends.setdefault(marking, gene[:2]) == gene[:2] for marking, gene in own.items())


def test_the_champion_stays_and_so_the_best_never_falls() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=60, elite_size=0, seed=3)
    best = [float((1.0 / (1.0 + (rows.sum(1) - 3.0).square())).max()) for rows in told(search, 15)]
    assert all(later >= earlier for earlier, later in zip(best, best[1:], strict=False)) and best[-1] > 0.99


def test_a_stagnant_species_has_no_offspring() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=50, threshold=1e9, stagnation=2, refocus=99, seed=0)
    search.ask()
    search._member_of = torch.arange(50) % 2  # two species by hand
    search._record, search._since = torch.tensor([5.0, 0.0], dtype=torch.float64), torch.tensor([1, 0])
    fitness = torch.ones(50, dtype=torch.float64)
    assert search._allowed(fitness).tolist() == [False, True]
    assert search._record.tolist() == [5.0, 1.0] and search._since.tolist() == [2, 0]
    # None is left: the best one goes on.
    search._record, search._since = torch.tensor([5.0, 6.0], dtype=torch.float64), torch.tensor([1, 1])
    assert search._allowed(fitness + torch.arange(50) % 2).tolist() == [False, True]


def test_a_standstill_leaves_the_two_best_species() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=50, stagnation=99, refocus=3, seed=0)
    search.ask()
    search._member_of = torch.arange(50) % 5
    search._record, search._since = -torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.long)
    search.stale = 1
    fitness = (torch.arange(50) % 5).double()
    assert [search._allowed(fitness).tolist() for _ in range(3)][1:] == [[True] * 5, [False, False, False, True, True]]


def test_it_resumes_exactly_through_a_file() -> None:
    whole = NEAT(INPUTS, OUTPUTS, NODES, population=40, seed=5)
    told(whole, 7)
    whole.ask()
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    wanted = told(whole, 6)
    file.seek(0)
    resumed = NEAT(INPUTS, OUTPUTS, NODES, population=40, seed=5)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(told(resumed, 6), wanted) and resumed.best.fitness == whole.best.fitness
    other = told(NEAT(INPUTS, OUTPUTS, NODES, population=40, seed=6), 1)
    assert not torch.equal(other[0], told(NEAT(INPUTS, OUTPUTS, NODES, population=40, seed=5), 1)[0])


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    search = NEAT(INPUTS, OUTPUTS, NODES, population=30, seed=5)
    told(search, 3)
    search.network()
    assert torch.equal(torch.get_rng_state(), before)


def test_networks_that_blow_up_are_the_worst() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=30, seed=1)
    for _ in range(4):
        rows = search.ask()
        search.tell(torch.where(rows[:, 0] > 0.1, torch.nan, 1.0))
    assert float(search.best.vector[0]) <= 0.1
    search.ask()
    search.tell([float("nan")] * 30)
    search.ask()
    search.tell([float("inf")] * 30)
    assert bool(search.ask().isfinite().all())


def test_it_learns_what_needs_a_hidden_node() -> None:
    """The input of the step before: what no network without a hidden node can say."""
    search = NEAT(1, 1, nodes=4, population=100, seed=2, spread=2.0, node_rate=0.1)
    vector = WeightVector(search.template)
    x = (torch.rand(8, 6, 1, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    target = x[:-1, :, 0]

    def likeness(weights: dict[str, Tensor]) -> Tensor:
        state, said = search.template.initial_state(6), []
        for step in x:
            y, state = vector.call(weights, step, state)
            said.append(y[:, 0])
        return 1.0 - (torch.stack(said)[1:] - target).square().mean()

    stop = MinFitness(0.97) | MaxGenerations(40)
    outcome = run_search(search, lambda rows: evaluate(rows, likeness, vector=vector), stop)
    assert outcome.reason.startswith("the fitness is")
    cell = search.network()
    said = unroll(cell, x)[0][1:, :, 0]
    assert torch.equal(said.round(), target) and cell.hidden_size > 1
    # The cell of the graph alone trains on, and what does not exist stays 0.
    (said - target).square().mean().backward()
    gone = cell.connections[:, 1:-1] == 0
    assert bool((cell.weight_hh.grad[gone] == 0).all()) and bool((cell.weight_hh.grad != 0).any())


def test_bad_arguments() -> None:
    for arguments, message in [
        (dict(inputs=0), "NEAT: inputs is 0. Needed: a whole number, at least 1"),
        (dict(inputs=1, outputs=3, nodes=2), "NEAT: nodes is 2. Needed: a whole number, at least 3"),
        (dict(inputs=1, survival=0.0), "NEAT: survival is 0.0. Needed: a number above 0"),
        (dict(inputs=1, bias=0.0), "NEAT: bias is 0.0. Needed: a number above 0"),
        (dict(inputs=1, largest=-1.0), "NEAT: largest is -1.0. Needed: a number, at least 0"),
        (dict(inputs=1, node_rate=1.5), "NEAT: node_rate is 1.5. Needed: a number from 0 to 1"),
        (dict(inputs=1, nonlinearity="relu"), "NEAT: nonlinearity is 'relu'. Needed: one of logistic, tanh"),
    ]:
        with pytest.raises(UsageError, match=message):
            NEAT(**arguments)
    search = NEAT(INPUTS, OUTPUTS, NODES, population=10)
    with pytest.raises(UsageError, match="NEAT.network: no network has a fitness yet.*Cure: call ask"):
        search.network()
    search.ask()
    with pytest.raises(UsageError, match="NEAT: a fitness is -2. Needed: fitness that is not negative.*1/mse"):
        search.tell([-2.0] * 10)
    with pytest.raises(UsageError, match="NeatCell: output_size is 3 and hidden_size 2"):
        NeatCell(1, 2, 3)
    with pytest.raises(UsageError, match="NeatCell: nonlinearity is 'relu'"):
        NeatCell(1, 2, nonlinearity="relu")
    with pytest.raises(ShapeError, match=r"connections has shape \(2, 2\). Needed: \(2, 4\)"):
        NeatCell(1, 2, connections=torch.ones(2, 2))
