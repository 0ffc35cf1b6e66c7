"""The genomes of NEAT as one table: a row a genome, a column a historical marking."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class GeneTable:
    """The connection genes of a whole population.

    Columns stand in the order of their historical markings, so genes that match stand in one column, and crossover and
    distance are operations on rows. A genome lacks the genes that are not `present`; its other genes may be disabled.

    Attributes:
        marking: historical markings, ascending, (genes,).
        source, target: the nodes that each gene joins, (genes,).
        present, enabled: (genomes, genes), true or false.
        weight: (genomes, genes), 0 where a gene is not present.
    """

    marking: Tensor
    source: Tensor
    target: Tensor
    present: Tensor
    enabled: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return self.present.shape[0]

    def rows(self, which: Tensor | slice) -> GeneTable:
        """Some of the genomes, in the order given."""
        return replace(self, present=self.present[which], enabled=self.enabled[which], weight=self.weight[which])

    def below(self, other: GeneTable) -> GeneTable:
        """These genomes and, below them, those of a table with the same columns."""
        return replace(
            self,
            present=torch.cat([self.present, other.present]),
            enabled=torch.cat([self.enabled, other.enabled]),
            weight=torch.cat([self.weight, other.weight]),
        )

    def columns(self, which: Tensor) -> GeneTable:
        """Some of the genes."""
        return GeneTable(*(getattr(self, field.name)[..., which] for field in fields(self)))

    def living(self) -> GeneTable:
        """Without the genes that no genome holds."""
        return self.columns(self.present.any(0))

    def widened(self, marking: list[int], source: list[int], target: list[int]) -> GeneTable:
        """With more genes, newer than all here, that no genome holds yet."""
        more = len(marking)
        absent = torch.zeros(len(self), more, dtype=torch.bool)
        return GeneTable(
            torch.cat([self.marking, torch.tensor(marking, dtype=torch.long)]),
            torch.cat([self.source, torch.tensor(source, dtype=torch.long)]),
            torch.cat([self.target, torch.tensor(target, dtype=torch.long)]),
            torch.cat([self.present, absent], 1),
            torch.cat([self.enabled, absent], 1),
            torch.cat([self.weight, torch.zeros(len(self), more, dtype=self.weight.dtype)], 1),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all that is held, by name."""
        return {field.name: getattr(self, field.name).clone() for field in fields(self)}


def hidden_nodes(table: GeneTable, first: int) -> tuple[Tensor, Tensor]:
    """The hidden nodes (those from `first` on) of any genome, ascending, and which genome holds which.

    Shapes:
        nodes (hidden,), held (genomes, hidden).
    """
    ends = torch.cat([table.source, table.target])
    nodes = ends[ends >= first].unique()
    touches = (table.source.unsqueeze(1) == nodes) | (table.target.unsqueeze(1) == nodes)
    return nodes, (table.present.double() @ touches.double()) > 0


def cross(
    first: GeneTable,
    second: GeneTable,
    from_second: Tensor,
    keep: Tensor,
    take: Tensor,
    average: Tensor,
    stays_disabled: Tensor,
) -> GeneTable:
    """Offspring of pairs of genomes.

    Args:
        first, second: the parents, row by row.
        from_second: whether a matching gene is the second parent's, (pairs, genes).
        keep, take: whether a disjoint or excess gene of the first, of the second, is passed on, (pairs, genes).
        average: whether the weights of matching genes are averaged, (pairs, 1).
        stays_disabled: whether a gene that either parent had disabled is disabled, (pairs, genes).
    """
    both = first.present & second.present
    present = both | (first.present & keep) | (second.present & take)
    chosen = torch.where(from_second, second.weight, first.weight)
    matching = torch.where(average, 0.5 * (first.weight + second.weight), chosen)
    single = torch.where(first.present, first.weight, second.weight)
    weight = torch.where(present, torch.where(both, matching, single), 0.0)
    # A gene that a parent lacks is no disabled gene of that parent.
    disabled = (first.present & ~first.enabled) | (second.present & ~second.enabled)
    return replace(first, present=present, enabled=present & ~(disabled & stays_disabled), weight=weight)


def dense_weights(table: GeneTable, inputs: int, outputs: int, nodes: int) -> Tensor:
    """The networks as rows of weights in the order of `NeatCell`'s parameters; 0 where there is no connection.

    Nodes are numbered: inputs, the bias, outputs, hidden. In the row, the outputs come first and then the genome's own
    hidden nodes in the order of their numbers.

    Shapes:
        (genomes, nodes inputs + nodes nodes + nodes).
    """
    hidden, held = hidden_nodes(table, inputs + 1 + outputs)
    place = torch.zeros(len(table), inputs + 1 + outputs + len(hidden), dtype=torch.long)
    place[:, inputs + 1 : inputs + 1 + outputs] = torch.arange(outputs)
    place[:, inputs + 1 + outputs :] = outputs - 1 + held.long().cumsum(1)
    source, target = (compact(ends, hidden, inputs + 1 + outputs) for ends in (table.source, table.target))
    genome, gene = table.enabled.nonzero(as_tuple=True)
    row, origin = place[genome, target[gene]], source[gene]
    seen = row * inputs + origin
    back = nodes * inputs + row * nodes + place[genome, origin]
    bias = nodes * inputs + nodes * nodes + row
    position = torch.where(origin < inputs, seen, torch.where(origin == inputs, bias, back))
    weights = torch.zeros(len(table), nodes * (inputs + nodes + 1), dtype=table.weight.dtype)
    weights[genome, position] = table.weight[genome, gene]
    return weights


def compact(ends: Tensor, hidden: Tensor, first: int) -> Tensor:
    """Node numbers with those of the hidden nodes made consecutive."""
    return torch.where(ends < first, ends, first + torch.searchsorted(hidden, ends.contiguous()))
