"""The genetic algorithm on real-coded weights."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.search.base import Search

SELECTIONS = ("roulette", "tournament", "rank")
CROSSOVERS = ("one-point", "uniform", "blend")
MUTATIONS = ("gaussian", "cauchy")


class GA(Search):
    """Genetic algorithm: all weights of a network are one chromosome, one real gene a weight.

    Equations, for a generation of P chromosomes with fitness f:
        selection, with replacement: roulette p_i = f_i / sum f; rank p_i = (2 - s + 2 (s - 1) r_i / (P - 1)) / P with
        r_i = 0 for the worst and s = `pressure`; tournament: the best of `tournament` drawn uniformly;
        crossover of two parents a, b with probability `crossover_rate`: one-point (genes before a random cut from one,
        the rest from the other), uniform (each gene from either), or blend: uniform in
        [min(a, b) - alpha |a - b|, max(a, b) + alpha |a - b|] in each gene;
        mutation: each gene, with probability `mutation_rate`, moves by noise of scale `mutation_scale`;
        the `elite` best pass on unchanged.

    Args:
        dimension: genes of a chromosome. `recurra.learn.GA` is this search for `fit`, which fills it in.
        population: P, at least 2.
        spread: the first genes are uniform in start +- spread.
        selection: "tournament", "roulette" (fitness must not be negative) or "rank".
        crossover: "blend", "one-point" or "uniform".
        mutation: "gaussian" or "cauchy".
        tournament: chromosomes that take part in a tournament.
        pressure: s, from 1 (none) to 2.
        crossover_rate: probability that a pair is crossed; else the offspring are copies.
        alpha: how far blend crossover reaches beyond the parents.
        mutation_rate: probability that a gene moves.
        mutation_scale: scale of the noise; a tenth of `spread` when absent.
        elite: number of the best that pass on unchanged, fewer than P. They are evaluated again.
        start, seed, dtype: as in `Search`.

    Shapes:
        as in `Search`.

    Raises:
        UsageError: an argument is out of range, or roulette is told a negative fitness.
        ShapeError: as in `Search`.

    Differs from the paper: operators of several papers are joined here, each as its paper has it.

    Reference:
        D. E. Goldberg. Genetic algorithms in search, optimization and machine learning (1989); J. E. Baker. Adaptive
        selection methods for genetic algorithms. ICGA (1985) 101-111, for ranks; L. J. Eshelman, J. D. Schaffer.
        Real-coded genetic algorithms and interval-schemata. FOGA 2 (1993) 187-202, for blend crossover; A. Blanco,
        M. Delgado, M. C. Pegalajar. A real-coded genetic algorithm for training recurrent neural networks. Neural
        Networks 14 (2001) 93-105.

    Example:
        >>> search = GA(dimension=3, population=40, seed=0)
        >>> for _ in range(30):
        ...     search.tell(1 / (0.01 + search.ask().square().sum(1)))
        >>> search.best.fitness > 90
        True
    """

    name: ClassVar[str] = "ga"
    _kept: ClassVar[tuple[str, ...]] = ("_next",)

    def __init__(
        self,
        dimension: int,
        population: int = 50,
        spread: float = 1.0,
        selection: str = "tournament",
        crossover: str = "blend",
        mutation: str = "gaussian",
        tournament: int = 3,
        pressure: float = 1.8,
        crossover_rate: float = 0.9,
        alpha: float = 0.5,
        mutation_rate: float = 0.1,
        mutation_scale: float | None = None,
        elite: int = 1,
        **arguments: Any,
    ) -> None:
        super().__init__(dimension, population, spread, **arguments)
        self._whole("population", population, low=2)
        self.selection = self._one_of("selection", selection, SELECTIONS)
        self.crossover = self._one_of("crossover", crossover, CROSSOVERS)
        self.mutation = self._one_of("mutation", mutation, MUTATIONS)
        self.tournament = self._whole("tournament", tournament)
        self.pressure = self._number("pressure", pressure, 1.0, 2.0)
        self.crossover_rate = self._number("crossover_rate", crossover_rate, 0.0, 1.0)
        self.alpha = self._number("alpha", alpha, 0.0)
        self.mutation_rate = self._number("mutation_rate", mutation_rate, 0.0, 1.0)
        scale = 0.1 * self.spread if mutation_scale is None else mutation_scale
        self.mutation_scale = self._positive("mutation_scale", scale)
        self.elite = self._whole("elite", elite, low=0)
        if self.elite >= self.population:
            raise UsageError(f"elite is {elite}", where="GA", need=f"fewer than the population of {population}")
        self._next: Tensor | None = None

    def _propose(self) -> Tensor:
        return self._first_population() if self._next is None else self._next

    def _checked(self, fitness: Tensor) -> Tensor:
        worst = float(fitness[fitness.isfinite()].min()) if bool(fitness.isfinite().any()) else 0.0
        if self.selection == "roulette" and worst < 0:
            raise UsageError(
                f"a fitness is {worst:g}",
                where="GA with selection='roulette'",
                need="fitness that is not negative, as shares of the wheel are proportional to it",
                cure="use selection='rank' or 'tournament', or a fitness such as 1/mse",
            )
        return fitness

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        elite = population[fitness.argsort(descending=True, stable=True)[: self.elite]]
        wanted = self.population - self.elite
        pairs = (wanted + 1) // 2
        chosen = self.select(fitness, 2 * pairs)
        first, second = population[chosen[:pairs]], population[chosen[pairs:]]
        crossed = self._uniform(pairs, 1) < self.crossover_rate
        one, two = self._cross(first, second)
        offspring = torch.cat([torch.where(crossed, one, first), torch.where(crossed, two, second)])[:wanted]
        noise = self._normal(*offspring.shape) if self.mutation == "gaussian" else self._cauchy(*offspring.shape)
        moved = self._uniform(*offspring.shape) < self.mutation_rate
        self._next = torch.cat([elite, torch.where(moved, offspring + self.mutation_scale * noise, offspring)])

    def select(self, fitness: Tensor, count: int) -> Tensor:
        """Rows of `count` parents, drawn with replacement by the search's own generator."""
        rows = len(fitness)
        if self.selection == "tournament":
            entered = self._whole_numbers(rows, count, self.tournament)
            return entered.gather(1, fitness[entered].argmax(1, keepdim=True)).squeeze(1)
        if self.selection == "rank":
            rank = fitness.argsort(stable=True).argsort().double()
            shares = 2.0 - self.pressure + 2.0 * (self.pressure - 1.0) * rank / (rows - 1)
        else:
            # Something is left to draw where all have failed, and one infinite fitness (an error of 0) takes the wheel.
            shares = fitness.clamp(min=0.0)
            shares = shares.isinf().double() if bool(shares.isinf().any()) else shares / shares.max().clamp(min=1e-300)
            if float(shares.sum()) == 0.0:
                shares = torch.ones_like(fitness)
        return torch.multinomial(shares, count, replacement=True, generator=self.generator)

    def _cross(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        pairs, genes = first.shape
        if self.crossover == "blend":
            low, reach = torch.minimum(first, second), (first - second).abs()
            width = (1.0 + 2.0 * self.alpha) * reach
            low = low - self.alpha * reach
            return low + width * self._uniform(pairs, genes), low + width * self._uniform(pairs, genes)
        if self.crossover == "one-point":
            cut = 1 + self._whole_numbers(max(genes - 1, 1), pairs, 1)
            from_first = torch.arange(genes) < cut
        else:
            from_first = self._uniform(pairs, genes) < 0.5
        return torch.where(from_first, first, second), torch.where(from_first, second, first)
