"""ESP: enforced subpopulations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.learn.search.base import Search, check_groups


class ESP(Search):
    """Enforced subpopulations: each neuron of the network is evolved in a subpopulation of its own.

    Equations:
        a network is one neuron of each subpopulation, drawn at random; a neuron's fitness is the mean over the
        `trials` networks that it took part in. In each subpopulation of m neurons, sorted by that fitness, the j-th of
        the best m/4 mates with a better one drawn at random (one-point crossover, two offspring); offspring take the
        place of the worst 2 (m/4); an offspring has, with probability `mutation`, one gene moved by Cauchy noise of
        scale `mutation_scale`.
        Burst mutation: where the best network has not improved for `burst` generations, every subpopulation is drawn
        anew about its neuron in the best network, with Cauchy noise of scale `burst_scale` in each gene.

    Args:
        dimension: weights of the network.
        subpopulation: m, neurons of each subpopulation, at least 4.
        trials: networks that each neuron takes part in, a generation.
        spread: the first weights are uniform in start +- spread.
        neurons: gene positions of each neuron; one neuron for the whole network when absent.
        mutation, mutation_scale, burst, burst_scale: as above; `burst` None for never.
        start, seed, dtype: as in `Search`.

    Shapes:
        population (subpopulation * trials, dimension).

    Attributes:
        bursts: burst mutations so far.

    Raises:
        UsageError: an argument is out of range, or the neurons do not hold every gene once.
        ShapeError: as in `Search`.

    Differs from the paper: neurons are drawn without replacement, so that each takes part in just `trials` networks,
    where it is that many on average in the paper. The best network's own neuron is among those drawn anew by a burst.
    Subpopulations (hidden neurons) are neither added nor removed when bursts do not help. The comparison of 2008 gives
    a mutation rate without saying of what: here of an offspring.

    Reference:
        F. Gomez, R. Miikkulainen. Incremental evolution of complex general behavior. Adaptive Behavior 5 (1997)
        317-342; F. Gomez. Robust non-linear control through neuroevolution. PhD thesis, University of Texas at Austin
        (2003).

    Example:
        >>> search = ESP(dimension=4, subpopulation=8, trials=3, neurons=[[0, 1], [2, 3]], seed=0)
        >>> search.ask().shape
        torch.Size([24, 4])
    """

    name: ClassVar[str] = "esp"
    _kept: ClassVar[tuple[str, ...]] = ("_members", "_taking_part", "_phase_best", "_waited", "bursts")

    def __init__(
        self,
        dimension: int,
        subpopulation: int = 20,
        trials: int = 10,
        spread: float = 1.0,
        neurons: Sequence[Sequence[int]] | None = None,
        mutation: float = 0.4,
        mutation_scale: float = 0.3,
        burst: int | None = 10,
        burst_scale: float = 0.3,
        **arguments: Any,
    ) -> None:
        self.where = type(self).__name__
        self.subpopulation = self._whole("subpopulation", subpopulation, low=4)
        self.trials = self._whole("trials", trials)
        super().__init__(dimension, subpopulation * trials, spread, **arguments)
        self.mutation = self._number("mutation", mutation, 0.0, 1.0)
        self.mutation_scale = self._positive("mutation_scale", mutation_scale)
        self.burst = None if burst is None else self._whole("burst", burst)
        self.burst_scale = self._positive("burst_scale", burst_scale)
        self.neurons = check_groups(
            [range(dimension)] if neurons is None else neurons, dimension, self.where, "neurons"
        )
        self.bursts = 0
        # Row i holds the i-th neuron of every subpopulation; which of them meet is drawn for each generation.
        self._members = self.start + self.spread * (2.0 * self._uniform(self.subpopulation, dimension) - 1.0)
        self._taking_part = torch.zeros(self.population, len(self.neurons), dtype=torch.long)
        self._phase_best = -math.inf
        self._waited = 0

    def _propose(self) -> Tensor:
        order = self._uniform(self.trials, self.subpopulation, len(self.neurons)).argsort(1)
        self._taking_part = order.flatten(0, 1)
        networks = torch.empty(self.population, self.dimension, dtype=self.dtype)
        for number, genes in enumerate(self.neurons):
            networks[:, genes] = self._members[self._taking_part[:, number]][:, genes]
        return networks

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        finite = fitness[fitness.isfinite()]
        # A network that blew up counts as the worst that did not, or one such would sink all neurons in it for good.
        lowest = float(finite.min()) if len(finite) else 0.0
        fitness = fitness.clamp(min=lowest, max=float(finite.max()) if len(finite) else lowest)
        self._waited += 1
        if float(fitness.max()) > self._phase_best:
            self._phase_best, self._waited = float(fitness.max()), 0
        if self.burst is not None and self._waited >= self.burst and self.best.vector is not None:
            self._members = self._about(self.best.vector)
            self._phase_best, self._waited = -math.inf, 0
            self.bursts += 1
            return
        members = self._members.clone()
        for number, genes in enumerate(self.neurons):
            total = torch.zeros(self.subpopulation, dtype=torch.float64)
            total.index_add_(0, self._taking_part[:, number], fitness)
            ranked = self._members[:, genes][total.argsort(descending=True, stable=True)]
            offspring = self._offspring(ranked[: self.subpopulation // 4])
            members[:, genes] = torch.cat([ranked[: self.subpopulation - len(offspring)], offspring])
        self._members = members

    def _about(self, best: Tensor) -> Tensor:
        noise = self.burst_scale * self._cauchy(self.subpopulation, self.dimension)
        noise[0] = 0.0
        return best + noise

    def _offspring(self, parents: Tensor) -> Tensor:
        count, genes = parents.shape
        rank = torch.arange(count, dtype=torch.float64)
        mates = parents[self._whole_numbers(torch.where(rank == 0, float(count), rank), count)]
        from_first = torch.arange(genes) < 1 + self._whole_numbers(max(genes - 1, 1), count, 1)
        offspring = torch.cat(
            [torch.where(from_first, parents, mates), torch.where(from_first, mates, parents)],
        )
        mutant = self._uniform(2 * count, 1) < self.mutation
        gene = torch.arange(genes) == self._whole_numbers(genes, 2 * count, 1)
        return torch.where(mutant & gene, offspring + self.mutation_scale * self._cauchy(2 * count, 1), offspring)
