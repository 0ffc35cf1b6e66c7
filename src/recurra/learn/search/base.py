"""What a search is: it asks for the fitness of a population of weight vectors, and is told."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError


class Best(NamedTuple):
    """The best vector that was evaluated so far.

    Attributes:
        vector: (dimension,); None before the first `tell`, or while every fitness was NaN.
        fitness: its fitness; minus infinity before that.
    """

    vector: Tensor | None
    fitness: float


class Search(ABC):
    """Black-box search over real vectors: `population = ask()`, evaluate each row, `tell(fitness)`, and again.

    Higher fitness is better. NaN counts as the worst fitness there is, so that a network that blew up is no error.
    `ask` before `tell` gives the same population again. Everything random comes from the search's own generator.

    A search defines `_propose()`, the next population, and `_learn(population, fitness)`, and names in `_kept` the
    attributes, tensors and numbers, that a later population depends on.

    Args:
        dimension: length of a vector.
        population: rows of a population.
        spread: half width of the first population about `start`, or the scale of the first steps; the search says.
        start: vector to begin from, (dimension,); zeros when absent.
        seed: of the search's own generator.
        dtype: number format of the vectors.

    Shapes:
        population (population, dimension), fitness (population,).

    Attributes:
        best: the best vector evaluated so far, with its fitness.
        evaluations: rows whose fitness was told.
        generation: populations told.
        stale: populations told since `best` last improved.

    Raises:
        UsageError: an argument is out of range, or `tell` comes before `ask`.
        ShapeError: the start or the fitness does not fit.

    Example:
        >>> from recurra.learn.search import CoSyNE
        >>> search = CoSyNE(dimension=5, population=20, spread=2.0, seed=1)
        >>> for _ in range(60):
        ...     population = search.ask()
        ...     search.tell(-population.square().sum(1))
        >>> search.evaluations, search.best.fitness > -0.1
        (1200, True)
    """

    name: ClassVar[str] = "search"
    _kept: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        dimension: int,
        population: int,
        spread: float = 1.0,
        start: Tensor | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.where = type(self).__name__
        self.dimension = self._whole("dimension", dimension)
        self.population = self._whole("population", population)
        self.spread = self._positive("spread", spread)
        self.seed = self._whole("seed", seed, low=0)
        if start is not None and start.shape != (dimension,):
            need = f"({dimension},), one number a weight"
            raise ShapeError(f"start has shape {tuple(start.shape)}", where=self.where, need=need)
        self.dtype = dtype
        self.start = torch.zeros(dimension, dtype=dtype) if start is None else start.detach().to("cpu", dtype).clone()
        self.generator = torch.Generator().manual_seed(seed)
        self.best = Best(None, -math.inf)
        self.evaluations = 0
        self.generation = 0
        self.stale = 0
        self._pending: Tensor | None = None

    def ask(self) -> Tensor:
        """The population whose fitness is wanted, (population, dimension)."""
        if self._pending is None:
            self._pending = self._propose()
        return self._pending.clone()

    def tell(self, fitness: Any) -> None:
        """Take the fitness of each row that `ask` gave, (population,); higher is better."""
        if self._pending is None:
            raise UsageError(
                "tell came before ask",
                where=self.where,
                need="a population to tell the fitness of",
                cure="call ask(), evaluate its rows, then tell their fitness once",
            )
        given = torch.as_tensor(fitness).detach().to("cpu", torch.float64)
        rows = self._pending.shape[0]
        if given.shape != (rows,):
            raise ShapeError(
                f"fitness has shape {tuple(given.shape)}",
                where=self.where,
                need=f"({rows},), one number for each row that ask() gave",
            )
        given = self._checked(torch.where(given.isnan(), -math.inf, given))
        population, self._pending = self._pending, None
        self.evaluations += rows
        self.generation += 1
        self.stale += 1
        top = int(given.argmax())
        if float(given[top]) > self.best.fitness:
            self.best = Best(population[top].clone(), float(given[top]))
            self.stale = 0
        self._learn(population, given)

    @property
    def exhausted(self) -> str | None:
        """Why going on is of no use (the search has converged, say), or None."""
        return None

    @abstractmethod
    def _propose(self) -> Tensor:
        """The next population."""

    @abstractmethod
    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        """Take in the last population's fitness (float64, no NaN); `best` and the counts are brought up to date."""

    def _checked(self, fitness: Tensor) -> Tensor:
        """The fitness as it was given, or an error where this search cannot work with it."""
        return fitness

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly from here, in a search built with the same arguments."""
        state: dict[str, Any] = {
            "search": self.name,
            "dimension": self.dimension,
            "population": self.population,
            "evaluations": self.evaluations,
            "generation": self.generation,
            "stale": self.stale,
            "best_vector": self.best.vector,
            "best_fitness": self.best.fitness,
            "generator": self.generator.get_state(),
            "pending": self._pending,
        }
        state |= {name: getattr(self, name) for name in self._kept}
        return {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        for name, own in (("search", self.name), ("dimension", self.dimension), ("population", self.population)):
            if state.get(name) != own:
                raise UsageError(
                    f"the state is of {name} {state.get(name)!r}",
                    where=f"{self.where}.load_state_dict",
                    need=f"{name} {own!r}, as this search was built",
                )
        state = {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}
        self.evaluations, self.generation, self.stale = (state[name] for name in ("evaluations", "generation", "stale"))
        self.best = Best(state["best_vector"], state["best_fitness"])
        self.generator.set_state(state["generator"])
        self._pending = state["pending"]
        for name in self._kept:
            setattr(self, name, state[name])

    def __repr__(self) -> str:
        counts = f"generation={self.generation}, evaluations={self.evaluations}"
        return f"{self.where}(dimension={self.dimension}, population={self.population}, {counts})"

    # What the searches draw, all from the one generator.

    def _uniform(self, *shape: int) -> Tensor:
        """Uniform in [0, 1)."""
        return torch.rand(shape, generator=self.generator, dtype=self.dtype)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=self.dtype)

    def _cauchy(self, *shape: int) -> Tensor:
        """Standard Cauchy numbers: the tangent of a uniform angle."""
        # Half a step away from the ends, where the tangent is not finite.
        angle = (self._uniform(*shape) - 0.5).clamp(-0.5 + 1e-12, 0.5 - 1e-12)
        return torch.tan(math.pi * angle)

    def _whole_numbers(self, high: Any, *shape: int) -> Tensor:
        """Whole numbers from 0 to high - 1; `high` a number, or a tensor of such of the wanted shape."""
        drawn = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return (drawn * high).long()

    def _first_population(self) -> Tensor:
        """Uniform in start +- spread."""
        return self.start + self.spread * (2.0 * self._uniform(self.population, self.dimension) - 1.0)

    # Arguments.

    def _whole(self, name: str, value: Any, low: int = 1) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise UsageError(f"{name} is {value!r}", where=self.where, need=f"a whole number, at least {low}")
        return value

    def _number(self, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            need = f"a number from {low:g} to {high:g}" if high < math.inf else f"a number, at least {low:g}"
            raise UsageError(f"{name} is {value!r}", where=self.where, need=need)
        return float(value)

    def _positive(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < math.inf:
            raise UsageError(f"{name} is {value!r}", where=self.where, need="a number above 0")
        return float(value)

    def _one_of(self, name: str, value: Any, known: tuple[str, ...]) -> str:
        if value not in known:
            raise UsageError(f"{name} is {value!r}", where=self.where, need="one of " + ", ".join(known))
        return value


def check_groups(groups: Any, dimension: int, where: str, name: str) -> list[Tensor]:
    """A partition of the genes 0 .. dimension - 1 into groups, as tensors of positions.

    Raises:
        UsageError: a gene is in no group or in several.
    """
    found = [torch.as_tensor(list(group), dtype=torch.long) for group in groups]
    everything = sorted(int(gene) for group in found for gene in group)
    if everything != list(range(dimension)) or any(len(group) == 0 for group in found):
        raise UsageError(
            f"{name} holds {len(everything)} genes in {len(found)} groups",
            where=where,
            need=f"every gene from 0 to {dimension - 1} in just one group, and no group empty",
            cure="WeightVector(module).neurons(hidden_size) makes such groups of a network's weights",
        )
    return found
