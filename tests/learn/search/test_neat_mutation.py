"""NEAT: how genomes are mutated, and where from, worked out here anew gene by gene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from neat_genomes import INPUTS, NODES, OUTPUTS, genome, random_table

from recurra.learn.search.neat import NEAT
from recurra.learn.search.neat_genes import hidden_nodes
from recurra.learn.search.neat_structure import add_connections, split_connections


def test_a_split_keeps_the_weight_behind_the_new_node() -> None:
    table = random_table(6, 10, seed=4)
    may = table.enabled & (table.source != INPUTS)
    rows, drawn = torch.tensor([True, True, False, True, True, False]), torch.tensor([0.0, 0.0, 0.5, 0.99])
    grown, newest = split_connections(table, rows, drawn, (6, 200), INPUTS, OUTPUTS, nodes=8)
    splits = {}
    for row, share in zip([0, 1, 3, 4], drawn.tolist(), strict=True):
        slot = may[row].nonzero().squeeze(1)[int(share * int(may[row].sum()))]
        marking = int(table.marking[row, slot])
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
    only_bias = table.without(table.source != INPUTS).sorted()
    assert bool((only_bias.size > 0).any())
    same, newest = split_connections(only_bias, rows, drawn, (6, 200), INPUTS, OUTPUTS, nodes=9)
    assert newest == (6, 200) and all(genome(same, row) == genome(only_bias, row) for row in range(6))


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
        newest = max(max(genome(whole, row)) for row in range(9))
    for row in range(9):  # every pair of its nodes, once
        own = {end for gene in genome(whole, row).values() for end in gene[:2] if end > 2}
        assert len(genome(whole, row)) == len(own) * (3 + len(own))


def test_a_genome_is_mutated_in_one_way_at_a_time() -> None:
    rates = dict(node_rate=0.3, connection_rate=0.5, weight_rate=0.8, replaced=0.0)
    search = NEAT(INPUTS, OUTPUTS, NODES, population=400, seed=4, **rates)
    table, free = search._genes, torch.arange(400) % 4 > 0
    mutated = search._mutated(table, free)
    seen = dict.fromkeys(["nothing", "node", "connection", "weights"], 0)
    for row in range(400):
        before, after = genome(table, row), genome(mutated, row)
        added = len(after) - len(before)
        kept = [before[m][2] == after[m][2] for m in before]
        what = {2: "node", 1: "connection", 0: "nothing" if all(kept) else "weights"}[added]
        assert all(kept) or not any(kept)
        assert what == "nothing" if not free[row] else (what == "weights") != all(kept) or what == "nothing"
        seen[what] += bool(free[row])
    shares = np.array([0.7 * 0.5 * 0.2, 0.3, 0.7 * 0.5, 0.7 * 0.5 * 0.8])
    assert np.abs(np.array([*seen.values()]) / 300 - shares).max() < 0.1  # of 300: over three deviations


@pytest.mark.parametrize(("severe", "stay", "anew", "reach"), [(0.0, 0.0, 0.15, 3.0), (1.0, 0.1, 0.2, 2.0)])
def test_how_weights_are_mutated(severe: float, stay: float, anew: float, reach: float) -> None:
    rates = dict(node_rate=0.0, connection_rate=0.0, weight_rate=1.0, replaced=0.15)
    search = NEAT(INPUTS, OUTPUTS, NODES, population=2000, seed=1, spread=3.0, step=2.0, severe=severe, **rates)
    far = replace(search._genes, weight=torch.full_like(search._genes.weight, 100.0))
    weight = search._mutated(far, torch.ones(2000, dtype=torch.bool)).weight
    stayed, new = weight == 100.0, weight < 50.0
    moved = weight[~stayed & ~new] - 100.0
    assert abs(float(stayed.double().mean()) - stay) < 0.02 and abs(float(new.double().mean()) - anew) < 0.02
    for drawn, bound in ((moved, 2.0), (weight[new], reach)):  # uniform: its bound, mean and variance
        assert float(drawn.abs().max()) <= bound and float(drawn.abs().max()) > 0.95 * bound
        assert abs(float(drawn.mean())) < 0.1 * bound and abs(float(drawn.var()) / (bound**2 / 3) - 1) < 0.1


def test_weights_do_not_grow_beyond_the_largest() -> None:
    free = torch.ones(200, dtype=torch.bool)
    wide, bound = (NEAT(INPUTS, OUTPUTS, NODES, 200, spread=2.0, step=3.0, largest=x, seed=1) for x in (9.0, 2.5))
    assert torch.equal(
        wide._mutated(wide._genes, free).weight.clamp(-2.5, 2.5), bound._mutated(bound._genes, free).weight
    )
