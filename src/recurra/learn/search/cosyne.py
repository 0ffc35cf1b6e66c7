"""CoSyNE: cooperative synapse neuroevolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.learn.search.base import Search, check_groups


class CoSyNE(Search):
    """Cooperative synapse neuroevolution: every weight has a subpopulation, whose members change networks each time.

    Equations, for the matrix of m networks (rows) by n weights (columns), sorted by fitness:
        the j-th of the best m/4 mates with a better one drawn at random (the first with any of them); one-point
        crossover within each segment gives two offspring; each of their weights is moved, with probability `mutation`,
        by Cauchy noise of scale `mutation_scale`; offspring take the place of the worst 2 (m/4) networks;
        then each column is permuted among the networks that are not new offspring.

    Args:
        dimension: n.
        population: m, at least 4.
        spread: the first weights are uniform in start +- spread.
        segments: gene positions of each neuron, the segments that crossover works in; one segment when absent.
        mutation: probability that a weight of an offspring is moved.
        mutation_scale: scale of the Cauchy noise.
        start, seed, dtype: as in `Search`.

    Shapes:
        as in `Search`.

    Raises:
        UsageError: an argument is out of range, or the segments do not hold every gene once.
        ShapeError: as in `Search`.

    Differs from the paper: it leaves open how parents pair and how many offspring there are. Both are as in the
    program that its first author released later (version 1.1), but for two things in which that program is not the
    paper: there offspring join the population, which thus grows to 1.5 m, and mutation also moves weights of networks
    that are not new. The release cuts Cauchy noise off at 10; here it is not cut.

    Reference:
        F. Gomez, J. Schmidhuber, R. Miikkulainen. Accelerated neural evolution through cooperatively coevolved
        synapses. Journal of Machine Learning Research 9 (2008) 937-965.

    Example:
        >>> search = CoSyNE(dimension=4, population=8, seed=0)
        >>> search.tell(-search.ask().square().sum(1))
        >>> search.ask().shape
        torch.Size([8, 4])
    """

    name: ClassVar[str] = "cosyne"
    _kept: ClassVar[tuple[str, ...]] = ("_next",)

    def __init__(
        self,
        dimension: int,
        population: int = 30,
        spread: float = 1.0,
        segments: Sequence[Sequence[int]] | None = None,
        mutation: float = 0.3,
        mutation_scale: float = 0.3,
        **arguments: Any,
    ) -> None:
        super().__init__(dimension, population, spread, **arguments)
        self._whole("population", population, low=4)
        self.mutation = self._number("mutation", mutation, 0.0, 1.0)
        self.mutation_scale = self._positive("mutation_scale", mutation_scale)
        self.segments = check_groups(
            [range(dimension)] if segments is None else segments, dimension, self.where, "segments"
        )
        self._next: Tensor | None = None

    def _propose(self) -> Tensor:
        return self._first_population() if self._next is None else self._next

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        ranked = population[fitness.argsort(descending=True, stable=True)]
        parents = self.population // 4
        rank = torch.arange(parents, dtype=torch.float64)
        mates = self._whole_numbers(torch.where(rank == 0, float(parents), rank), parents)
        offspring = self._cross(ranked[:parents], ranked[mates])
        moved = self._uniform(*offspring.shape) < self.mutation
        noise = self.mutation_scale * self._cauchy(*offspring.shape)
        offspring = torch.where(moved, offspring + noise, offspring)
        kept = ranked[: self.population - len(offspring)]
        order = self._uniform(*kept.shape).argsort(0)
        self._next = torch.cat([kept.gather(0, order), offspring])

    def _cross(self, first: Tensor, second: Tensor) -> Tensor:
        """One-point crossover within each segment, two offspring a pair."""
        from_first = torch.zeros(first.shape, dtype=torch.bool)
        for segment in self.segments:
            # A cut at 0 would only change the two offspring's names; a segment of one gene has no other cut.
            cut = 1 + self._whole_numbers(max(len(segment) - 1, 1), len(first), 1)
            from_first[:, segment] = torch.arange(len(segment)) < cut
        return torch.cat([torch.where(from_first, first, second), torch.where(from_first, second, first)])
