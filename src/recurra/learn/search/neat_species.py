"""Species of NEAT: who belongs to which, and how many offspring each has."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.learn.search.neat_genes import GeneTable

Floats = NDArray[np.float64]


class Distances:
    """The compatibility distances of the genomes of a table to a single genome, with the same columns.

    Equations:
        delta = excess E / N + disjoint D / N + difference W, with E and D the numbers of excess and disjoint genes, W
        the mean difference of the weights of matching genes, N the genes of the larger genome, 1 where both have
        under 20.

    Args:
        genomes: the table.
        excess, disjoint, difference: the coefficients.
    """

    def __init__(self, genomes: GeneTable, excess: float, disjoint: float, difference: float) -> None:
        self.excess, self.disjoint, self.difference = excess, disjoint, difference
        # Genes in rows: a distance looks at the other genome's own genes alone, and what does not depend on it is
        # worked out once. In numpy, whose small operations cost less: there may be hundreds of species.
        self._present = np.ascontiguousarray(genomes.present.numpy().T)
        self._weight = np.ascontiguousarray(genomes.weight.double().numpy().T)
        self._up_to = self._present.cumsum(0)
        self._size = self._up_to[-1]
        self._newest = np.where(self._present, np.arange(len(self._present))[:, None], -1).max(0)

    def __len__(self) -> int:
        return len(self._size)

    def to_own(self, row: int) -> Floats:
        """The distance of each genome to one of themselves, (genomes,)."""
        return self.to(self._present[:, row], self._weight[:, row])

    def to(self, present: NDArray[np.bool_], weight: Floats) -> Floats:
        """The distance of each genome to the one with these genes, (genes,); the result (genomes,)."""
        own = np.flatnonzero(present)
        both = self._present[own]
        matching = both.sum(0)
        apart = (np.abs(self._weight[own] - weight[own, None]) * both).sum(0) / np.maximum(matching, 1)
        beyond = self._size - self._up_to[own[-1]]  # genes newer than the other's newest
        beyond += len(own) - np.searchsorted(own, self._newest, side="right")
        within = self._size + len(own) - 2 * matching - beyond
        size = np.maximum(self._size, len(own))
        size = np.where(size < 20, 1, size)
        return (self.excess * beyond + self.disjoint * within) / size + self.difference * apart


def speciate(distances: Distances, representatives: GeneTable, threshold: float) -> Tensor:
    """The species of each genome: the first whose representative is nearer than the threshold, else a new one.

    Numbers from the count of representatives on are new species, whose first genome represents them.

    Args:
        distances: of the genomes.
        representatives: a table with the same columns, one genome a species.
        threshold: of the distance.

    Shapes:
        (genomes,), whole numbers.
    """
    present, weight = representatives.present.numpy(), representatives.weight.double().numpy()
    species = np.full(len(distances), -1)
    left = np.ones(len(distances), dtype=np.bool_)
    number = 0
    while left.any():
        if number < len(representatives):
            near = distances.to(present[number], weight[number]) < threshold
        else:
            first = int(left.argmax())
            near = distances.to_own(first) < threshold
            near[first] = True  # also where the threshold is tiny
        species[left & near] = number
        left &= ~near
        number += 1
    return torch.from_numpy(species)


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
