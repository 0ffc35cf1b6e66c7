"""The genomes of NEAT as one table: a row a genome, its genes in the order of their historical markings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

ABSENT = torch.iinfo(torch.int64).max
"""The marking of a slot that holds no gene: beyond every marking, so that such slots stand last."""


@dataclass(frozen=True)
class GeneTable:
    """The connection genes of a whole population: each genome's own ones in slots, those left over at the end.

    Attributes:
        marking: historical markings, ascending in each row, `ABSENT` where a slot is left over, (genomes, slots).
        source, target: the nodes that each gene joins, -1 where a slot is left over.
        enabled: true or false, false where a slot is left over.
        weight: 0 where a slot is left over.
    """

    marking: Tensor
    source: Tensor
    target: Tensor
    enabled: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return self.marking.shape[0]

    @property
    def present(self) -> Tensor:
        """Which slots hold a gene, (genomes, slots)."""
        return self.marking != ABSENT

    @property
    def size(self) -> Tensor:
        """Genes of each genome, (genomes,)."""
        return self.present.sum(1)

    def rows(self, which: Tensor | slice) -> GeneTable:
        """Some of the genomes, in the order given."""
        return GeneTable(*(part[which] for part in self.tensors().values()))

    def below(self, other: GeneTable) -> GeneTable:
        """These genomes and, below them, those of another table."""
        slots = max(self.marking.shape[1], other.marking.shape[1])
        pairs = zip(self.wide(slots).tensors().values(), other.wide(slots).tensors().values(), strict=True)
        return GeneTable(*(torch.cat(pair) for pair in pairs))

    def wide(self, slots: int) -> GeneTable:
        """With at least so many slots."""
        more = slots - self.marking.shape[1]
        if more <= 0:
            return self
        empty: dict[str, Any] = {"marking": ABSENT, "source": -1, "target": -1, "enabled": False, "weight": 0.0}
        return GeneTable(
            **{
                name: torch.cat([tensor, tensor.new_full((len(self), more), empty[name])], 1)
                for name, tensor in self.tensors().items()
            }
        )

    def sorted(self, which: Tensor | None = None) -> GeneTable:
        """With the genes of some genomes, or of all, in the order of their markings, and no more slots than needed."""
        table = self if which is None else self.rows(which)
        marking, order = table.marking.sort(1)
        rest = (part.gather(1, order) for part in (table.source, table.target, table.enabled, table.weight))
        table = GeneTable(marking, *rest)
        if which is not None:
            pairs = zip(self.tensors().values(), table.tensors().values(), strict=True)
            table = GeneTable(*(whole.index_put((which,), some) for whole, some in pairs))
        slots = int(table.size.max()) if len(table) else 0
        return GeneTable(*(part[:, :slots] for part in table.tensors().values()))

    def without(self, which: Tensor) -> GeneTable:
        """Without the genes in these slots, (genomes, slots); their slots are left over, not yet at the end."""
        return GeneTable(
            self.marking.masked_fill(which, ABSENT),
            self.source.masked_fill(which, -1),
            self.target.masked_fill(which, -1),
            self.enabled & ~which,
            self.weight.masked_fill(which, 0.0),
        )

    def tensors(self) -> dict[str, Tensor]:
        """All that is held, by name."""
        return dict(vars(self))


def with_genes(
    table: GeneTable, genomes: Tensor, marking: Tensor, source: Tensor, target: Tensor, weight: Tensor
) -> GeneTable:
    """With enabled genes more in some genomes, which are named once; not sorted.

    Args:
        table: the genomes.
        genomes: which of them, (changed,).
        marking, source, target, weight: of the new genes, (changed, new).
    """
    new = marking.shape[1]
    size = table.size[genomes]
    table = table.wide(int(size.max()) + new if len(genomes) else 0)
    slots = size.unsqueeze(1) + torch.arange(new)
    place = (genomes.unsqueeze(1), slots)
    values = (marking, source, target, torch.ones_like(marking, dtype=torch.bool), weight.to(table.weight.dtype))
    return GeneTable(
        *(old.index_put(place, value) for old, value in zip(table.tensors().values(), values, strict=True))
    )


def hidden_nodes(table: GeneTable, first: int) -> tuple[Tensor, Tensor]:
    """The hidden nodes (those from `first` on) of any genome, ascending, and which genome holds which.

    Shapes:
        nodes (hidden,), held (genomes, hidden).
    """
    ends = torch.cat([table.source, table.target], 1)
    genome, slot = (ends >= first).nonzero(as_tuple=True)
    nodes, place = ends[genome, slot].unique(return_inverse=True)
    held = torch.zeros(len(table), len(nodes), dtype=torch.bool)
    held[genome, place] = True
    return nodes, held


@dataclass(frozen=True)
class Choices:
    """What chance decides in crossover, in the slots of the first parents and of the second ones.

    Attributes:
        from_second: whether a matching gene's weight is the second parent's, first parents' slots.
        keep: whether a gene of the first alone is passed on, first parents' slots.
        take: whether a gene of the second alone is passed on, second parents' slots.
        average: whether the weights of matching genes are averaged, (pairs, 1).
        stays_disabled: whether a gene that either parent had disabled is disabled, first parents' slots.
        stays_disabled_second: the same for genes of the second alone, second parents' slots.
    """

    from_second: Tensor
    keep: Tensor
    take: Tensor
    average: Tensor
    stays_disabled: Tensor
    stays_disabled_second: Tensor


def cross(first: GeneTable, second: GeneTable, choices: Choices) -> GeneTable:
    """Offspring of pairs of genomes, row by row."""
    place = torch.searchsorted(second.marking, first.marking).clamp(max=second.marking.shape[1] - 1)
    both = (second.marking.gather(1, place) == first.marking) & first.present
    other = second.weight.gather(1, place)
    chosen = torch.where(choices.from_second, other, first.weight)
    matching = torch.where(choices.average, 0.5 * (first.weight + other), chosen)
    # A gene that a parent lacks is no disabled gene of that parent.
    disabled = ~first.enabled | (both & ~second.enabled.gather(1, place))
    born = replace(
        first,
        weight=torch.where(both, matching, first.weight),
        enabled=first.present & ~(disabled & choices.stays_disabled),
    )
    gone = first.present & ~both & ~choices.keep
    matched = torch.zeros_like(second.marking).scatter_add_(1, place, both.long()) > 0
    lone = second.present & ~matched & choices.take
    if not bool(gone.any() | lone.any()):
        return born
    born = born.without(gone)
    if bool(lone.any()):
        enabled = second.enabled | (lone & ~choices.stays_disabled_second)
        born = _beside(born, replace(second, enabled=enabled).without(~lone))
    return born.sorted()


def _beside(first: GeneTable, second: GeneTable) -> GeneTable:
    """The genes of both in one row; not sorted."""
    pairs = zip(first.tensors().values(), second.tensors().values(), strict=True)
    return GeneTable(*(torch.cat(pair, 1) for pair in pairs))


class Places:
    """Where the nodes of every genome stand in its network: outputs first, then its own hidden nodes.

    Nodes are numbered: inputs, the bias, outputs, hidden. Genomes have hidden nodes of their own, so the same number
    may have another place in each.

    Args:
        table: the genomes.
        inputs, outputs: of the networks.

    Attributes:
        hidden, held: as `hidden_nodes` gives them.
        source, target: the places of the nodes that each gene joins, (genomes, slots). Inputs and the bias are
            -inputs - 1 .. -1, so that added to inputs + 1 a place counts all that a node may hear. Of no meaning where
            a slot is left over.
        node: the node at each place, the other way round, (genomes, inputs + 1 + most nodes of a genome).
        size: nodes of each genome, without inputs and the bias.
    """

    def __init__(self, table: GeneTable, inputs: int, outputs: int) -> None:
        fixed, genomes = inputs + 1 + outputs, len(table)
        self.hidden, self.held = hidden_nodes(table, fixed)
        self.size = outputs + self.held.sum(1)
        own = outputs - 1 + self.held.long().cumsum(1)
        place = torch.cat([torch.arange(-inputs - 1, outputs).expand(genomes, fixed), own], 1)
        number = (fixed + torch.searchsorted(self.hidden, ends.contiguous()) for ends in (table.source, table.target))
        self.source, self.target = (
            place.gather(1, torch.where(ends < fixed, ends, column).clamp_(min=0, max=place.shape[1] - 1))
            for ends, column in zip((table.source, table.target), number, strict=True)
        )
        self.node = torch.zeros(genomes, inputs + 1 + (int(self.size.max()) if genomes else outputs), dtype=torch.long)
        self.node[:, :fixed] = torch.arange(fixed)
        genome, column = self.held.nonzero(as_tuple=True)
        self.node[genome, inputs + 1 + own[genome, column]] = self.hidden[column]


def dense_weights(table: GeneTable, inputs: int, outputs: int, nodes: int) -> Tensor:
    """The networks as rows of weights in the order of `NeatCell`'s parameters; 0 where there is no connection.

    Shapes:
        (genomes, nodes inputs + nodes nodes + nodes).
    """
    places = Places(table, inputs, outputs)
    genome, slot = table.enabled.nonzero(as_tuple=True)
    row, origin = places.target[genome, slot], places.source[genome, slot]
    seen = row * inputs + origin + inputs + 1
    back = nodes * inputs + row * nodes + origin
    bias = nodes * inputs + nodes * nodes + row
    position = torch.where(origin < -1, seen, torch.where(origin == -1, bias, back))
    weights = torch.zeros(len(table), nodes * (inputs + nodes + 1), dtype=table.weight.dtype)
    weights[genome, position] = table.weight[genome, slot]
    return weights
