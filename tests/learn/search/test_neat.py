"""NEAT: its parts against the paper's equations, worked out here anew gene by gene, and what a search keeps to."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.search import WeightVector, evaluate, run_search
from recurra.learn.search.neat import NEAT
from recurra.learn.search.neat_cell import NeatCell, cell_of
from recurra.learn.search.neat_genes import GeneTable, cross, dense_weights, hidden_nodes
from recurra.learn.search.neat_species import Distances, allot, speciate
from recurra.learn.search.neat_structure import add_connections, split_connections
from recurra.learn.search.stopping import MaxGenerations, MinFitness
from recurra.unroll import unroll

INPUTS, OUTPUTS, NODES = 2, 1, 5
"""Nodes 0 and 1 are inputs, 2 the bias, 3 the output; hidden nodes follow."""


def random_table(genomes: int, genes: int, seed: int, share: float = 0.6) -> GeneTable:
    """Genomes of random genes among three hidden nodes, all with distinct ends."""
    chance = np.random.default_rng(seed)
    pairs = [(a, b) for a in range(7) for b in range(3, 7)]
    ends = np.array([pairs[k] for k in chance.permutation(len(pairs))[:genes]])
    marking = np.sort(chance.permutation(100)[:genes])
    present = chance.random((genomes, genes)) < share
    present[:, 0] = True
    enabled = present & (chance.random((genomes, genes)) < 0.8)
    weight = np.where(present, chance.normal(size=(genomes, genes)), 0.0)
    return GeneTable(*(torch.from_numpy(part) for part in (marking, ends[:, 0], ends[:, 1], present, enabled, weight)))


def genome(table: GeneTable, row: int) -> dict[int, tuple[int, int, float, bool]]:
    """{marking: (source, target, weight, enabled)}: a genome as the paper draws it."""
    return {
        int(table.marking[gene]): (
            int(table.source[gene]),
            int(table.target[gene]),
            float(table.weight[row, gene]),
            bool(table.enabled[row, gene]),
        )
        for gene in range(len(table.marking))
        if table.present[row, gene]
    }


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


@pytest.mark.parametrize("genes", [9, 28])
def test_distance_is_the_papers(genes: int) -> None:
    table = random_table(13, genes, seed=genes, share=0.7)
    measure = Distances(table, 1.3, 0.7, 0.4)
    for other in range(13):
        wanted = [paper_distance(genome(table, row), genome(table, other), 1.3, 0.7, 0.4) for row in range(13)]
        np.testing.assert_allclose(measure.to_own(other), wanted, rtol=1e-12, atol=1e-14)
    sizes = table.present.sum(1)
    assert bool((sizes < 20).any()) and (genes < 20 or bool((sizes >= 20).any()))


def test_species_are_filled_in_order() -> None:
    table = random_table(40, 9, seed=3)
    representatives = random_table(40, 9, seed=3).rows(torch.tensor([7, 21]))
    threshold = 4.0
    found = speciate(Distances(table, 1.0, 1.0, 0.4), representatives, threshold).tolist()
    known = [genome(representatives, 0), genome(representatives, 1)]
    for row in range(40):
        own = genome(table, row)
        near = [k for k, other in enumerate(known) if paper_distance(own, other, 1.0, 1.0, 0.4) < threshold]
        if not near:
            known.append(own)
        assert found[row] == (near[0] if near else len(known) - 1)
    assert len(known) > 3


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
    first, second = random_table(30, 12, seed=5), random_table(60, 12, seed=5).rows(slice(30, 60))
    chance = torch.Generator().manual_seed(1)
    from_second, keep, take, stays = (torch.rand(30, 12, generator=chance) < 0.5 for _ in range(4))
    average = torch.rand(30, 1, generator=chance) < 0.4
    born = cross(first, second, from_second, keep, take, average, stays)
    for row in range(30):
        one, two, child = genome(first, row), genome(second, row), genome(born, row)
        for gene, marking in enumerate(first.marking.tolist()):
            a, b = one.get(marking), two.get(marking)
            if a and b:
                weight = (a[2] + b[2]) / 2 if average[row] else (b if from_second[row, gene] else a)[2]
            elif (a and keep[row, gene]) or (b and take[row, gene]):
                weight = (a or b)[2]
            else:
                assert marking not in child
                continue
            disabled = any(parent is not None and not parent[3] for parent in (a, b))
            assert child[marking][2:] == (pytest.approx(weight, rel=1e-15), not (disabled and stays[row, gene]))


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


def test_a_split_keeps_the_weight_behind_the_new_node() -> None:
    table = random_table(6, 10, seed=4)
    may = table.enabled & (table.source != INPUTS)
    rows, drawn = torch.tensor([True, True, False, True, True, False]), torch.tensor([0.0, 0.0, 0.5, 0.99])
    grown, newest = split_connections(table, rows, drawn, (6, 200), INPUTS, OUTPUTS, nodes=8)
    splits = {}
    for row, share in zip([0, 1, 3, 4], drawn.tolist(), strict=True):
        gene = may[row].nonzero().squeeze(1)[int(share * int(may[row].sum()))]
        marking = int(table.marking[gene])
        before, after = genome(table, row), genome(grown, row)
        source, target, weight, _ = before[marking]
        assert after[marking] == (source, target, weight, False)
        added = {m: g for m, g in after.items() if m not in before}
        (into, first), (out, second) = sorted(added.items())
        node = first[1]
        assert first == (source, node, 1.0, True) and second == (node, target, weight, True)
        # The same gene split in one generation is the same node, with the same markings.
        assert splits.setdefault(marking, (node, into, out)) == (node, into, out)
    assert len({node for node, _, _ in splits.values()}) == len(splits)
    assert newest == (6 + len(splits), 200 + 2 * len(splits))
    for row in (2, 5):
        assert genome(grown, row) == genome(table, row)


def test_a_full_genome_and_the_bias_are_not_split() -> None:
    table = random_table(6, 10, seed=4)
    rows, drawn = torch.ones(6, dtype=torch.bool), torch.rand(6)
    _, held = hidden_nodes(table, 4)
    full = held.sum(1) >= 2
    grown, _ = split_connections(table, rows, drawn, (6, 200), INPUTS, OUTPUTS, nodes=3)
    assert bool(full.any()) and all(genome(grown, row) == genome(table, row) for row in full.nonzero().flatten())
    only_bias = table.columns(table.source == INPUTS)
    assert len(only_bias.marking) > 0
    same, newest = split_connections(only_bias, rows, drawn, (6, 200), INPUTS, OUTPUTS, nodes=9)
    assert newest == (6, 200) and torch.equal(same.weight, only_bias.weight)


def test_new_connections_join_what_is_not_joined() -> None:
    table = random_table(9, 12, seed=6)
    rows = torch.ones(9, dtype=torch.bool)
    drawn, weights = torch.linspace(0, 0.999, 9), torch.arange(1.0, 10.0)
    grown, (node, newest) = add_connections(table, rows, drawn, weights, (6, 200), INPUTS, OUTPUTS, NODES)
    markings: dict[tuple[int, int], int] = {(g[0], g[1]): m for r in range(9) for m, g in genome(table, r).items()}
    for row in range(9):
        before, after = genome(table, row), genome(grown, row)
        ((marking, (source, target, weight, enabled)),) = [(m, g) for m, g in after.items() if m not in before]
        ends = {(g[0], g[1]) for g in before.values()}
        own = {3, *(end for pair in ends for end in pair if end > 3)}
        assert (source, target) not in ends and target in own and source in {0, 1, 2, *own}
        assert weight == row + 1 and enabled
        assert markings.setdefault((source, target), marking) == marking
    assert node == 6 and newest == max(markings.values())
    whole = grown
    for _ in range(40):
        whole, _ = add_connections(whole, rows, torch.rand(9), weights, (6, newest), INPUTS, OUTPUTS, NODES)
        newest = int(whole.marking.max())
    for row in range(9):  # every pair of its nodes, once
        own = {end for gene in genome(whole, row).values() for end in gene[:2] if end > 2}
        assert len(genome(whole, row)) == len(own) * (3 + len(own))


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
    ends = list(zip(search._genes.source.tolist(), search._genes.target.tolist(), strict=True))
    assert len(set(ends)) == len(ends) and bool((search._genes.marking.diff() > 0).all())
    assert bool(search._genes.present.any(0).all())


def test_the_champion_stays_and_so_the_best_never_falls() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=60, elite_size=0, seed=3)
    best = [float((1.0 / (1.0 + (rows.sum(1) - 3.0).square())).max()) for rows in told(search, 15)]
    assert all(later >= earlier for earlier, later in zip(best, best[1:], strict=False)) and best[-1] > 0.99


def test_a_stagnant_species_has_no_offspring() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=50, threshold=1e9, stagnation=2, refocus=99, seed=0)
    search.ask()
    search._member_of = torch.arange(50) % 2  # two species by hand
    search._records = [[5.0, 1], [0.0, 0]]
    fitness = torch.ones(50, dtype=torch.float64)
    assert search._allowed(fitness).tolist() == [False, True] and search._records == [[5.0, 2], [1.0, 0]]
    # None is left: the best one goes on.
    search._records = [[5.0, 1], [6.0, 1]]
    assert search._allowed(fitness + torch.arange(50) % 2).tolist() == [False, True]


def test_a_standstill_leaves_the_two_best_species() -> None:
    search = NEAT(INPUTS, OUTPUTS, NODES, population=50, stagnation=99, refocus=3, seed=0)
    search.ask()
    search._member_of = torch.arange(50) % 5
    search._records = [[-1.0, 0] for _ in range(5)]
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
