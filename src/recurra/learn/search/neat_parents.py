"""Who of a species of NEAT may have offspring."""

from __future__ import annotations

import torch
from torch import Tensor


class Parents:
    """The best share of every species, from which parents are drawn.

    Args:
        fitness: of each genome, (genomes,).
        species: of each genome, (genomes,); every number from 0 up to the highest is some genome's.
        survival: the share; rounded up, so that it is one genome at least.

    Attributes:
        size: members of each species, (species,).
        champions: the best genome of each, (species,).
    """

    def __init__(self, fitness: Tensor, species: Tensor, survival: float) -> None:
        ranked = fitness.argsort(descending=True, stable=True)
        self._grouped = ranked[species[ranked].argsort(stable=True)]
        self.size = torch.bincount(species)
        self._first = self.size.cumsum(0) - self.size
        self._count = (survival * self.size.double()).ceil().clamp(min=1.0)
        self.champions = self._grouped[self._first]

    def drawn(self, species: Tensor, share: Tensor) -> Tensor:
        """A parent of each of these species, by a number uniform in [0, 1) for each."""
        return self._grouped[self._first[species] + (share.double() * self._count[species]).long()]
