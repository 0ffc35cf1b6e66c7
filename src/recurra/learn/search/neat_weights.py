"""Mutation of weights of NEAT."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recurra.learn.search.neat_genes import GeneTable

SEVERE = (0.1, 0.2)
"""Shares of the weights of a genome that stay, and that are drawn anew, where the mutation is severe."""


@dataclass(frozen=True)
class WeightMutation:
    """Weights that move by a number uniform in +-step, or are drawn anew.

    Args:
        step: how far a weight moves at most.
        spread: weights that are drawn anew are uniform in +-spread, or in +-step where the mutation is severe.
        replaced: the share that is drawn anew.
        severe: the share of genomes whose mutation is severe: there `SEVERE` of the weights stay, and are drawn anew.
        largest: what no mutated weight is beyond.
    """

    step: float
    spread: float
    replaced: float
    severe: float
    largest: float

    def __call__(self, table: GeneTable, chosen: Tensor, uniform: Callable[..., Tensor]) -> GeneTable:
        """Mutate the chosen genes, (genomes, slots), by numbers of `uniform(*shape)` in [0, 1)."""
        moved, anew, drawn = uniform(3, *chosen.shape)
        severe = (uniform(len(table), 1) < self.severe).to(drawn)
        stays, replaced = SEVERE[0] * severe, self.replaced + (SEVERE[1] - self.replaced) * severe
        reach = self.spread + (self.step - self.spread) * severe
        weight = torch.where(
            drawn < stays + replaced, reach * (2.0 * anew - 1.0), table.weight + self.step * (2.0 * moved - 1.0)
        )
        weight = weight.clamp(-self.largest, self.largest)
        return replace(table, weight=torch.where(chosen & (drawn >= stays), weight, table.weight))
