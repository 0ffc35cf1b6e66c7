"""CMA-ES, through the package `cma`."""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.search.base import Search


class CMAES(Search):
    """Evolution strategy that adapts the covariance of its steps; the algorithm is the package `cma`'s.

    Equations:
        x_i = m + sigma N(0, C); the mean m moves to a weighted mean of the better half, C and sigma follow the paths
        that m takes. See the reference.

    Args:
        dimension: length of a vector, at least 2.
        population: samples a generation; 4 + floor(3 ln dimension) when absent.
        spread: the first sigma.
        options: further options of `cma.CMAEvolutionStrategy`, by their names there.
        start, seed, dtype: as in `Search`; m begins at `start`.

    Shapes:
        as in `Search`.

    Raises:
        UsageError: the package `cma` is not installed, or an argument is out of range.
        ShapeError: as in `Search`.

    Differs from the paper: nothing of the algorithm is ours. Random numbers come from this search's generator, so
    numpy's global one is left alone. `state_dict` holds what was told, and `load_state_dict` runs through it again:
    exact, and nothing that is loaded is ever executed. Once `cma` says that it has converged, `exhausted` gives its
    reason; `Restarts` begins again then.

    Reference:
        N. Hansen, A. Ostermeier. Completely derandomized self-adaptation in evolution strategies. Evolutionary
        Computation 9 (2001) 159-195; N. Hansen. The CMA evolution strategy: a tutorial. arXiv 1604.00772 (2016).

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("cma")
        >>> search = CMAES(dimension=3, start=torch.ones(3), seed=0)
        >>> for _ in range(40):
        ...     search.tell(-search.ask().square().sum(1))
        >>> search.best.fitness > -1e-3
        True
    """

    name: ClassVar[str] = "cma-es"

    def __init__(
        self,
        dimension: int,
        population: int | None = None,
        spread: float = 0.5,
        options: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        self.where = type(self).__name__
        self._whole("dimension", dimension, low=2)
        rows = 4 + int(3 * math.log(dimension)) if population is None else self._whole("population", population, low=2)
        super().__init__(dimension, rows, spread, **arguments)
        self.options = dict(options or {})
        self._told: list[Tensor] = []
        self._strategy = self._begin()

    def _begin(self) -> Any:
        cma = _load_cma()

        def normal(*shape: int) -> Any:
            drawn = torch.randn(shape, generator=self.generator, dtype=torch.float64)
            return drawn.numpy()

        options = {"popsize": self.population, "randn": normal, "seed": np.nan, "verbose": -9, "verb_log": 0}
        return cma.CMAEvolutionStrategy(self.start.double().numpy().copy(), self.spread, {**options, **self.options})

    @property
    def exhausted(self) -> str | None:
        """The criteria by which `cma` says that it has converged, or None."""
        met = self._strategy.stop()
        return ", ".join(f"{name} ({value})" for name, value in met.items()) if met else None

    def _propose(self) -> Tensor:
        return torch.as_tensor(np.stack(self._strategy.ask()), dtype=self.dtype)

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        self._told.append(fitness.clone())
        self._pass_on(population, fitness)

    def _pass_on(self, population: Tensor, fitness: Tensor) -> None:
        # `cma` minimises; infinities would make its own figures of merit NaN, and only the order of fitness counts.
        finite = fitness[fitness.isfinite()]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        reach = 1.0 + high - low
        costs = -fitness.clamp(low - reach, high + reach)
        self._strategy.tell([row.double().numpy() for row in population], costs.tolist(), check_points=False)

    def state_dict(self) -> dict[str, Any]:
        """What was told so far, with the counts of every search."""
        told = torch.stack(self._told) if self._told else torch.zeros(0, self.population, dtype=torch.float64)
        return super().state_dict() | {"told": told}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Run through all generations told, which brings the strategy to where it was."""
        super().load_state_dict(state)
        pending = self._pending
        self.generator.manual_seed(self.seed)
        self._told = [row.clone() for row in state["told"]]
        self._strategy = self._begin()
        for fitness in self._told:
            self._pass_on(self._propose(), fitness)
        if pending is not None:
            self._pending = self._propose()


def _load_cma() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what it optionally imports
            return importlib.import_module("cma")
    except ImportError as error:
        raise UsageError(
            "the package cma is not installed",
            where="CMAES",
            need="cma, which holds the algorithm",
            cure="pip install 'recurra[search]', or pip install cma",
        ) from error
