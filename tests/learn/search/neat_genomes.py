"""Genomes for the tests of NEAT."""

from __future__ import annotations

import numpy as np
import torch

from recurra.learn.search.neat_genes import ABSENT, GeneTable

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
    slots = present.sum(1).max()
    rows: list[list[tuple]] = []
    for held in present:
        own = [
            (int(marking[k]), *map(int, ends[k]), chance.random() < 0.8, chance.normal()) for k in np.flatnonzero(held)
        ]
        rows.append(own + [(ABSENT, -1, -1, False, 0.0)] * (slots - len(own)))
    return GeneTable(
        *(torch.tensor([[gene[part] for gene in row] for row in rows]) for part in range(4)),
        *(torch.tensor([[gene[4] for gene in row] for row in rows], dtype=torch.float64),),
    )


def genome(table: GeneTable, row: int) -> dict[int, tuple[int, int, float, bool]]:
    """{marking: (source, target, weight, enabled)}: a genome as the paper draws it."""
    found = {
        int(table.marking[row, slot]): (
            int(table.source[row, slot]),
            int(table.target[row, slot]),
            float(table.weight[row, slot]),
            bool(table.enabled[row, slot]),
        )
        for slot in range(table.marking.shape[1])
        if table.present[row, slot]
    }
    left_over = ~table.present[row]
    assert not bool(table.enabled[row][left_over].any()) and not bool(table.weight[row][left_over].any())
    assert bool((table.source[row][left_over] == -1).all()) and len(found) == int(table.size[row])
    return found
