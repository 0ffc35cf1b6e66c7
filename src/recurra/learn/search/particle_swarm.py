"""Particle swarm optimisation."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.learn.search.base import Search


class ParticleSwarm(Search):
    """Particle swarm: each particle is drawn to the best place it has seen and to the best that all have seen.

    Equations:
        v_i <- w v_i + c_1 r_1 (p_i - x_i) + c_2 r_2 (g - x_i),  x_i <- x_i + v_i,
        r_1, r_2 uniform in [0, 1), anew in every gene; p_i the particle's best place, g the swarm's.

    Args:
        dimension, population, start, seed, dtype: as in `Search`.
        spread: the first places are uniform in start +- spread, the first velocities in +- spread.
        inertia: w.
        own, shared: c_1 and c_2.
        fastest: bound of each velocity's components; none when absent.

    Shapes:
        as in `Search`.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: as in `Search`.

    Differs from the paper: the paper of 1995 has no inertia; w came in 1998, and the defaults are those under which
    Clerc and Kennedy's constriction, chi = .7298 with phi = 4.1, takes this form.

    Reference:
        J. Kennedy, R. Eberhart. Particle swarm optimization. ICNN (1995) 1942-1948; Y. Shi, R. Eberhart. A modified
        particle swarm optimizer. CEC (1998) 69-73; M. Clerc, J. Kennedy. The particle swarm: explosion, stability, and
        convergence in a multidimensional complex space. IEEE Transactions on Evolutionary Computation 6 (2002) 58-73.

    Example:
        >>> search = ParticleSwarm(dimension=3, population=20, seed=0)
        >>> for _ in range(60):
        ...     search.tell(-search.ask().square().sum(1))
        >>> search.best.fitness > -1e-3
        True
    """

    name: ClassVar[str] = "pso"
    _kept: ClassVar[tuple[str, ...]] = ("_place", "_velocity", "_own_best", "_own_fitness")

    def __init__(
        self,
        dimension: int,
        population: int = 30,
        spread: float = 1.0,
        inertia: float = 0.7298,
        own: float = 1.49618,
        shared: float = 1.49618,
        fastest: float | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(dimension, population, spread, **arguments)
        self.inertia = self._number("inertia", inertia, 0.0)
        self.own = self._number("own", own, 0.0)
        self.shared = self._number("shared", shared, 0.0)
        self.fastest = math.inf if fastest is None else self._positive("fastest", fastest)
        self._place = self._first_population()
        velocity = self.spread * (2.0 * self._uniform(population, dimension) - 1.0)
        self._velocity = velocity.clamp(-self.fastest, self.fastest)
        self._own_best = self._place
        self._own_fitness = torch.full((population,), -math.inf, dtype=torch.float64)

    def _propose(self) -> Tensor:
        return self._place

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        better = fitness > self._own_fitness
        self._own_best = torch.where(better.unsqueeze(1), population, self._own_best)
        self._own_fitness = torch.where(better, fitness, self._own_fitness)
        leader = self._own_best[self._own_fitness.argmax()]
        shape = population.shape
        velocity = (
            self.inertia * self._velocity
            + self.own * self._uniform(*shape) * (self._own_best - population)
            + self.shared * self._uniform(*shape) * (leader - population)
        )
        self._velocity = velocity.clamp(-self.fastest, self.fastest)
        self._place = population + self._velocity
