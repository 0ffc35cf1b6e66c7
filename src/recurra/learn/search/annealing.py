"""Simulated annealing."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.learn.search.base import Search


class SimulatedAnnealing(Search):
    """Simulated annealing: chains of random steps that are taken when better, and sometimes when worse.

    Equations:
        x' = x + step s eps, eps standard normal; x' is taken with probability min(1, exp((f(x') - f(x)) / T));
        T = temperature cooling^k at the k-th step, and s = max(cooling^k, shortest) shortens the steps with it.

    Args:
        dimension, seed, dtype: as in `Search`.
        population: chains, each independent of the others.
        spread: chains begin uniform in start +- spread.
        step: scale of a step; a quarter of `spread` when absent.
        temperature: the first T, in units of the fitness.
        cooling: factor of T from a step to the next, above 0 and at most 1.
        shortest: the least share of `step` that steps shorten to; 1 keeps them as they are.
        start: as in `Search`.

    Shapes:
        population (chains, dimension).

    Raises:
        UsageError: an argument is out of range.
        ShapeError: as in `Search`.

    Differs from the paper: the paper anneals arrangements; steps on real vectors, and steps that shorten as T falls,
    are later usage. Several chains run side by side, as a population.

    Reference:
        S. Kirkpatrick, C. D. Gelatt, M. P. Vecchi. Optimization by simulated annealing. Science 220 (1983) 671-680.

    Example:
        >>> search = SimulatedAnnealing(dimension=3, population=10, temperature=0.1, seed=0)
        >>> for _ in range(150):
        ...     search.tell(-search.ask().square().sum(1))
        >>> search.best.fitness > -0.01
        True
    """

    name: ClassVar[str] = "annealing"
    _kept: ClassVar[tuple[str, ...]] = ("_place", "_fitness")

    def __init__(
        self,
        dimension: int,
        population: int = 10,
        spread: float = 1.0,
        step: float | None = None,
        temperature: float = 1.0,
        cooling: float = 0.97,
        shortest: float = 0.02,
        **arguments: Any,
    ) -> None:
        super().__init__(dimension, population, spread, **arguments)
        self.step = self._positive("step", 0.25 * self.spread if step is None else step)
        self.first_temperature = self._positive("temperature", temperature)
        self.cooling = self._number("cooling", self._positive("cooling", cooling), 0.0, 1.0)
        self.shortest = self._number("shortest", shortest, 0.0, 1.0)
        self._place: Tensor | None = None
        self._fitness = torch.full((population,), -math.inf, dtype=torch.float64)

    @property
    def temperature(self) -> float:
        """T at the present step."""
        return self.first_temperature * self.cooling**self.generation

    def _propose(self) -> Tensor:
        if self._place is None:
            return self._first_population()
        length = self.step * max(self.cooling**self.generation, self.shortest)
        return self._place + length * self._normal(self.population, self.dimension)

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        if self._place is None:
            self._place, self._fitness = population, fitness
            return
        # The T of the step just made; at T = 0 (underflow) only what is no worse is taken.
        temperature = max(self.first_temperature * self.cooling ** (self.generation - 1), 1e-300)
        gain = torch.where(fitness >= self._fitness, 0.0, (fitness - self._fitness) / temperature)
        taken = self._uniform(self.population).double() < gain.exp()
        taken = taken | (fitness >= self._fitness)
        self._place = torch.where(taken.unsqueeze(1), population, self._place)
        self._fitness = torch.where(taken, fitness, self._fitness)
