"""Species of NEAT: who belongs to which, and how many offspring each has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recurra.learn.search.neat_genes import GeneTable

AT_ONCE = 128
"""Representatives that genomes are compared with at once: most genomes have found their species by then."""


COMMON = 8
"""A gene that one genome in so many holds is a common one."""


@dataclass(frozen=True)
class Compatibility:
    """The compatibility distance of two genomes.

    Equations:
        delta = excess E / N + disjoint D / N + difference W, with E and D the numbers of excess and disjoint genes, W
        the mean difference of the weights of matching genes, N the genes of the larger genome, 1 where both have
        under 20.

    Args:
        excess, disjoint, difference: the coefficients.
    """

    excess: float = 1.0
    disjoint: float = 1.0
    difference: float = 0.4


class Distances:
    """The distances of the genomes of a table to others, all pairs at once.

    Genes that many genomes hold are compared as a table; of the others, which are most, the few pairs are looked up.

    Args:
        genomes: the table.
        compatibility: the distance.
    """

    def __init__(self, genomes: GeneTable, compatibility: Compatibility) -> None:
        self.genomes, self.compatibility = genomes, compatibility
        genome, slot = genomes.present.nonzero(as_tuple=True)
        markings, column, held = genomes.marking[genome, slot].unique(return_inverse=True, return_counts=True)
        common = held * COMMON >= len(genomes)
        self._common = markings[common]
        self._weight, self._has = self._columns(genomes)
        # The rare genes, gene by gene: who holds each, with which weight.
        self._rare = markings[~common]
        self._held = held[~common]
        rare = ~common[column]
        order = column[rare].argsort(stable=True)
        self._holder, self._held_weight = genome[rare][order], genomes.weight[genome, slot].double()[rare][order]
        self._size = genomes.size.double()

    def to(self, others: GeneTable, which: Tensor) -> Tensor:
        """The distances of some of the genomes to other ones, (which, others)."""
        size, sizes = self._size[which].unsqueeze(1), others.size.double()
        matching, apart = self._matched(others, which)
        alone = (size + sizes).sub_(matching, alpha=2.0)
        if self.compatibility.disjoint != 1.0:
            alone *= self.compatibility.disjoint
        if self.compatibility.excess != self.compatibility.disjoint:
            own = self.genomes.rows(which)
            beyond = _newer(own, others) + _newer(others, own).T
            alone += (self.compatibility.excess - self.compatibility.disjoint) * beyond
        if max(float(size.max()), float(sizes.max())) >= 20.0:
            larger = torch.maximum(size, sizes)
            alone /= torch.where(larger < 20.0, 1.0, larger)
        return alone.add_(apart.div_(matching.clamp_(min=1.0)), alpha=self.compatibility.difference)

    def _matched(self, others: GeneTable, which: Tensor) -> tuple[Tensor, Tensor]:
        """The number of matching genes of each pair, and the sum of the differences of their weights."""
        weight, has = self._weight[which], self._has[which]
        weights, have = self._columns(others)
        apart = torch.cdist(weight, weights, p=1.0)
        varied = (has.amin(0) + have.amin(0)) < 2.0
        matching = torch.full_like(apart, float((~varied).sum()))
        if bool(varied.any()):
            matching.addmm_(has[:, varied], have[:, varied].T)
            # Weights are 0 where there is no gene: of all differences, those of genes that do not match are taken away.
            here = torch.cat([weight[:, varied].abs(), 1.0 - has[:, varied]], 1)
            apart -= here @ torch.cat([1.0 - have[:, varied], weights[:, varied].abs()], 1).T
            apart.clamp_(min=0.0)
        if len(self._rare):
            self._add_rare(others, which, matching, apart)
        return matching, apart

    def _add_rare(self, others: GeneTable, which: Tensor, matching: Tensor, apart: Tensor) -> None:
        """Count the pairs that both hold a rare gene."""
        other, slot = others.present.nonzero(as_tuple=True)
        marking = others.marking[other, slot]
        gene = torch.searchsorted(self._rare, marking).clamp_(max=len(self._rare) - 1)
        known = self._rare[gene] == marking
        other, gene, weight = other[known], gene[known], others.weight[other, slot].double()[known]
        pairs = self._held[gene]
        first = (self._held.cumsum(0) - self._held)[gene]
        entry = torch.arange(int(pairs.sum())) + (first - pairs.cumsum(0) + pairs).repeat_interleave(pairs)
        row = torch.full((len(self.genomes),), -1).index_put((which,), torch.arange(len(which)))[self._holder[entry]]
        asked = row >= 0
        place = (row * len(others) + other.repeat_interleave(pairs))[asked]
        differences = (self._held_weight[entry] - weight.repeat_interleave(pairs)).abs()[asked]
        apart.view(-1).index_add_(0, place, differences)
        matching.view(-1).index_add_(0, place, torch.ones_like(differences))

    def _columns(self, table: GeneTable) -> tuple[Tensor, Tensor]:
        """The weights of the common genes, and 1 where a genome holds them, (genomes, common)."""
        genome, slot = table.present.nonzero(as_tuple=True)
        weights = torch.zeros(len(table), len(self._common), dtype=torch.float64)
        has = torch.zeros_like(weights)
        if len(self._common):
            marking = table.marking[genome, slot]
            column = torch.searchsorted(self._common, marking).clamp_(max=len(self._common) - 1)
            known = self._common[column] == marking
            place = (genome[known], column[known])
            weights[place], has[place] = table.weight[genome, slot].double()[known], 1.0
        return weights, has


def _newer(genomes: GeneTable, others: GeneTable) -> Tensor:
    """Genes of each genome that are newer than the newest of each other one, (genomes, others)."""
    newest = torch.where(others.present, others.marking, -1).amax(1)
    newer = genomes.present.unsqueeze(1) & (genomes.marking.unsqueeze(1) > newest.unsqueeze(1))
    return newer.sum(2).double()


def speciate(genomes: GeneTable, representatives: GeneTable, compatibility: Compatibility, threshold: float) -> Tensor:
    """The species of each genome: the first whose representative is nearer than the threshold, else a new one.

    Numbers from the count of representatives on are new species, whose first genome represents them.

    Args:
        genomes: a table.
        representatives: another, one genome a species.
        compatibility: the distance.
        threshold: of the distance.

    Shapes:
        (genomes,), whole numbers.
    """
    distances = Distances(genomes, compatibility)
    species = torch.full((len(genomes),), -1)
    left = torch.arange(len(genomes))
    for first in range(0, len(representatives), AT_ONCE):
        if not len(left):
            break
        block = representatives.rows(slice(first, first + AT_ONCE))
        left = _settle(species, left, distances.to(block, left) < threshold, first)
    number = len(representatives)
    while len(left):
        near = distances.to(genomes.rows(left[:AT_ONCE]), left) < threshold
        among = near[:AT_ONCE].numpy()
        settled, founders = among[0] & False, []
        for genome in range(len(among)):
            if not settled[genome]:
                founders.append(genome)
                settled |= among[genome]
        near = near[:, founders]
        near[founders, torch.arange(len(founders))] = True  # also where the threshold is tiny
        left = _settle(species, left, near, number)
        number += len(founders)
    return species


def _settle(species: Tensor, left: Tensor, near: Tensor, first: int) -> Tensor:
    """Give each genome that is left the first species that is near, of those numbered from `first` on."""
    found, place = near.max(1)
    species[left] = torch.where(found, first + place, -1)
    return left[~found]


def allot(fitness: Tensor, species: Tensor, allowed: Tensor, population: int) -> Tensor:
    """The number of offspring of each species, in proportion to the sum of its members' shared fitness.

    Equations:
        f'_i = f_i / (size of i's species); n_s = population sum_{i in s} f'_i / sum of that over the species allowed,
        rounded down; what is left over goes to the largest remainders.

    Args:
        fitness: of each genome, at least 0, finite.
        species: of each genome.
        allowed: which species may reproduce; at least one.
        population: the sum of the numbers.

    Shapes:
        fitness and species (genomes,), allowed (species,); the result (species,).
    """
    count = len(allowed)
    size = torch.bincount(species, minlength=count).double()
    shared = torch.zeros(count, dtype=torch.float64).index_add_(0, species, fitness.double() / size[species])
    shared = torch.where(allowed, shared, 0.0)
    if float(shared.sum()) <= 0.0:
        shared = torch.where(allowed, size, 0.0)
    exact = population * shared / shared.sum()
    offspring = exact.floor().long()
    rest = population - int(offspring.sum())
    order = torch.where(allowed, exact - offspring, -1.0).argsort(descending=True, stable=True)
    offspring[order[:rest]] += 1
    return offspring
