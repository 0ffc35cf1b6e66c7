"""The evolution strategy that follows an estimated gradient, with mirrored samples and ranks."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.search.base import Search


class OpenAIES(Search):
    """Evolution strategy on a Gaussian about one vector, which climbs the estimated gradient of the mean fitness.

    Equations:
        x_i = theta +- sigma eps_i, in mirrored pairs, eps_i standard normal;
        u_i = rank(f_i) / (P - 1) - 1/2, rank 0 for the worst, ties sharing their mean rank;
        g = 1 / (P sigma) sum_i u_i (x_i - theta) / sigma - decay theta;  theta climbs g by Adam.

    Args:
        dimension: length of theta.
        population: P, even.
        spread: sigma.
        rate: Adam's step size; half of `spread` when absent.
        decay: coefficient of weight decay.
        betas: Adam's two averaging factors.
        start, seed, dtype: as in `Search`; theta begins at `start`.

    Shapes:
        as in `Search`.

    Attributes:
        centre: theta, which is itself never evaluated.

    Raises:
        UsageError: an argument is out of range, or the population is odd.
        ShapeError: as in `Search`.

    Differs from the paper: sigma and rate have no values there for all tasks; the defaults are ours. There, workers
    share seeds in place of vectors; here the population is one tensor.

    Reference:
        T. Salimans, J. Ho, X. Chen, S. Sidor, I. Sutskever. Evolution strategies as a scalable alternative to
        reinforcement learning. arXiv 1703.03864 (2017).

    Example:
        >>> search = OpenAIES(dimension=3, population=20, spread=0.2, start=torch.ones(3), seed=0)
        >>> for _ in range(60):
        ...     search.tell(-search.ask().square().sum(1))
        >>> bool(search.centre.norm() < 0.5)
        True
    """

    name: ClassVar[str] = "openai-es"
    _kept: ClassVar[tuple[str, ...]] = ("centre", "_mean", "_square")

    def __init__(
        self,
        dimension: int,
        population: int = 50,
        spread: float = 0.1,
        rate: float | None = None,
        decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        **arguments: Any,
    ) -> None:
        super().__init__(dimension, population, spread, **arguments)
        if population % 2:
            raise UsageError(
                f"population is {population}", where=self.where, need="an even number: samples come in pairs"
            )
        self.rate = self._positive("rate", 0.5 * self.spread if rate is None else rate)
        self.decay = self._number("decay", decay, 0.0)
        self.betas = tuple(self._number("betas", beta, 0.0, 1.0) for beta in betas)
        self.centre = self.start.clone()
        self._mean, self._square = torch.zeros_like(self.start), torch.zeros_like(self.start)

    def _propose(self) -> Tensor:
        steps = self.spread * self._normal(self.population // 2, self.dimension)
        return torch.cat([self.centre + steps, self.centre - steps])

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        shaped = centred_ranks(fitness).to(self.dtype)
        gradient = shaped @ (population - self.centre) / (self.population * self.spread**2) - self.decay * self.centre
        first, second = self.betas
        self._mean = first * self._mean + (1 - first) * gradient
        self._square = second * self._square + (1 - second) * gradient.square()
        mean = self._mean / (1 - first**self.generation)
        square = self._square / (1 - second**self.generation)
        self.centre = self.centre + self.rate * mean / (square.sqrt() + 1e-8)


def centred_ranks(fitness: Tensor) -> Tensor:
    """Ranks from -1/2 (worst) to 1/2 (best); equal values share the mean of their ranks.

    Example:
        >>> centred_ranks(torch.tensor([3.0, 1.0, 3.0]))
        tensor([ 0.2500, -0.5000,  0.2500], dtype=torch.float64)
    """
    below = (fitness.unsqueeze(1) > fitness).sum(1).double()
    equal = (fitness.unsqueeze(1) == fitness).sum(1).double()
    return (below + 0.5 * (equal - 1.0)) / max(len(fitness) - 1, 1) - 0.5
