"""Structural mutations of NEAT: a new node in a connection, and a new connection between two nodes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recurra.learn.search.neat_genes import GeneTable, Places, hidden_nodes, with_genes

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
    genomes = rows.nonzero().squeeze(1)
    chosen = table.rows(genomes)
    # The bias is on always: a node behind it alone would be another bias.
    may = chosen.enabled & (chosen.source != inputs)
    _, held = hidden_nodes(chosen, inputs + 1 + outputs)
    able = may.any(1) & (held.sum(1) < nodes - outputs)
    genomes, place = genomes[able], nth_true(may, drawn)[able]
    at = (genomes, place)
    splits, number = table.marking[at].unique(return_inverse=True)
    node, marking = newest
    made, into = node + 1 + number, marking + 1 + 2 * number
    weight = table.weight[at]
    grown = with_genes(
        replace(table, enabled=table.enabled.index_put(at, torch.tensor(False))),
        genomes,
        torch.stack([into, into + 1], 1),
        torch.stack([table.source[at], made], 1),
        torch.stack([made, table.target[at]], 1),
        torch.stack([torch.ones_like(weight), weight], 1),
    )
    return grown, (node + len(splits), marking + 2 * len(splits))


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
    genomes = rows.nonzero().squeeze(1)
    chosen = table.rows(genomes)
    places = Places(chosen, inputs, outputs)
    # A grid for each genome: all that its nodes may hear, by the nodes.
    heard = places.node.shape[1]
    hears = heard - inputs - 1
    lacking = (torch.arange(heard) < (places.size + inputs + 1).unsqueeze(1)).unsqueeze(2) & (
        torch.arange(hears) < places.size.unsqueeze(1)
    ).unsqueeze(1)
    row, slot = chosen.present.nonzero(as_tuple=True)
    lacking[row, places.source[row, slot] + inputs + 1, places.target[row, slot]] = False
    lacking = lacking.flatten(1)
    able, pair = lacking.any(1), nth_true(lacking, drawn)
    source = places.node.gather(1, (pair // hears).unsqueeze(1))[able]
    target = places.node.gather(1, (inputs + 1 + pair % hears).unsqueeze(1))[able]
    genomes, weights = genomes[able], weights[able].unsqueeze(1)
    # One number for a pair of nodes, under which the marking of a gene that exists is found.
    node, newest_marking = newest
    every = node + 1
    pairs, which = (source * every + target).squeeze(1).unique(return_inverse=True)
    marking_of = torch.full((len(pairs),), -1)
    if len(pairs):
        known = table.source * every + table.target  # negative where a slot is left over
        place = torch.searchsorted(pairs, known).clamp_(max=len(pairs) - 1)
        same = pairs[place] == known
        marking_of[place[same]] = table.marking[same]
    new = marking_of < 0
    count = int(new.sum())
    marking_of[new] = torch.arange(newest_marking + 1, newest_marking + 1 + count)
    marking = marking_of[which].unsqueeze(1)
    grown = with_genes(table, genomes, marking, source, target, weights)
    return grown.sorted(genomes), (node, newest_marking + count)


def nth_true(which: Tensor, drawn: Tensor) -> Tensor:
    """A place among the true ones of each row, by a share in [0, 1) of them; 0 where there is none.

    Shapes:
        which (rows, places), drawn (rows,); the result (rows,).
    """
    count = which.cumsum(1)
    wanted = (drawn * count[:, -1]).long() + 1
    return (count == wanted.unsqueeze(1)).max(1).indices
