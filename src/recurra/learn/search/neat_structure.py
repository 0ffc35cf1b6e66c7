"""Structural mutations of NEAT: a new node in a connection, and a new connection between two nodes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recurra.learn.search.neat_genes import GeneTable, hidden_nodes

Newest = tuple[int, int]
"""The highest number of a node, and the highest historical marking, so far."""


def split_connections(
    table: GeneTable, rows: Tensor, drawn: Tensor, newest: Newest, inputs: int, outputs: int, nodes: int
) -> tuple[GeneTable, Newest]:
    """Split an enabled connection by a new node: weight 1 into it, the old weight out of it.

    Genomes that split the same gene in the same call are given the same node and the same historical markings.
    A genome without room for a node, or without a connection to split, stays as it is.

    Args:
        table: the genomes.
        rows: which of them are mutated, (genomes,).
        drawn: which connection is split, as a share in [0, 1) of those there are, one for each mutated genome.
        newest: numbers given out so far.
        inputs, outputs, nodes: of the networks; `nodes` is the most they may have.
    """
    _, held = hidden_nodes(table, inputs + 1 + outputs)
    room = held.sum(1) < nodes - outputs
    # The bias is on always: a node behind it alone would be another bias.
    may = table.enabled & (table.source != inputs)
    splits: dict[int, list[int]] = {}
    for row, share in zip(rows.nonzero().squeeze(1).tolist(), drawn.tolist(), strict=True):
        genes = may[row].nonzero().squeeze(1)
        if len(genes) and bool(room[row]):
            splits.setdefault(int(genes[int(share * len(genes))]), []).append(row)
    node, marking = newest
    old = len(table.marking)
    sources, targets = [], []
    for gene in splits:
        node += 1
        sources += [int(table.source[gene]), node]
        targets += [node, int(table.target[gene])]
    table = table.widened(list(range(marking + 1, marking + 1 + len(sources))), sources, targets)
    present, enabled, weight = table.present.clone(), table.enabled.clone(), table.weight.clone()
    for number, (gene, genomes) in enumerate(splits.items()):
        into = old + 2 * number
        weight[genomes, into] = 1.0
        weight[genomes, into + 1] = weight[genomes, gene]
        present[genomes, into : into + 2] = True
        enabled[genomes, into : into + 2] = True
        enabled[genomes, gene] = False
    return replace(table, present=present, enabled=enabled, weight=weight), (node, marking + len(sources))


def add_connections(
    table: GeneTable,
    rows: Tensor,
    drawn: Tensor,
    weights: Tensor,
    newest: Newest,
    inputs: int,
    outputs: int,
    nodes: int,
) -> tuple[GeneTable, Newest]:
    """Join two nodes that no gene of the genome joins yet; the connection may be recurrent, from a node to itself too.

    A connection that some genome of the table has already is given that gene's historical marking. A genome in which
    every connection exists stays as it is.

    Args:
        table, rows, newest, inputs, outputs, nodes: as in `split_connections`.
        drawn: which connection is made, as a share in [0, 1) of those that are lacking, one for each mutated genome.
        weights: of the new connections, one for each mutated genome.
    """
    first = inputs + 1 + outputs
    hidden, held = hidden_nodes(table, first)
    known = {ends: gene for gene, ends in enumerate(zip(table.source.tolist(), table.target.tolist(), strict=True))}
    every = list(known)
    made: list[tuple[int, int, float]] = []
    old = len(every)
    for row, share, weight in zip(rows.nonzero().squeeze(1).tolist(), drawn.tolist(), weights.tolist(), strict=True):
        own = hidden[held[row]].tolist()
        existing = {every[gene] for gene in table.present[row].nonzero().squeeze(1).tolist()}
        ends = [*range(first), *own]
        lacking = [(a, b) for a in ends for b in ends[inputs + 1 :] if (a, b) not in existing]
        if lacking:
            pair = lacking[int(share * len(lacking))]
            made.append((row, known.setdefault(pair, len(known)), weight))
    fresh = list(known)[old:]
    node, marking = newest
    markings = list(range(marking + 1, marking + 1 + len(fresh)))
    table = table.widened(markings, [a for a, _ in fresh], [b for _, b in fresh])
    present, enabled, weight_of = table.present.clone(), table.enabled.clone(), table.weight.clone()
    if made:
        genomes, genes, values = (torch.tensor(part) for part in zip(*made, strict=True))
        present[genomes, genes] = True
        enabled[genomes, genes] = True
        weight_of[genomes, genes] = values.to(weight_of.dtype)
    return replace(table, present=present, enabled=enabled, weight=weight_of), (node, marking + len(fresh))
