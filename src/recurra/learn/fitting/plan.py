"""Searches and Evolino before the network is known: what `fit` takes as `rule` and builds when it sees the weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.learn.closed.evolino import Evolino as EvolinoOnCell
from recurra.learn.closed.ridge import Ridge
from recurra.learn.search.base import Search
from recurra.learn.search.evaluation import SMALLEST_ERROR
from recurra.learn.search.stopping import Stop
from recurra.learn.search.weight_vector import WeightVector
from recurra.options import closest

FitnessOf = Callable[[Tensor], Tensor]

FITNESS: dict[str, FitnessOf] = {
    "-loss": lambda loss: -loss,
    "1/loss": lambda loss: 1.0 / loss.clamp(min=SMALLEST_ERROR),
    "-mse": lambda loss: -loss,
    "1/mse": lambda loss: 1.0 / loss.clamp(min=SMALLEST_ERROR),
}
"""Ready fitness functions of the loss; those with mse ask for an objective that measures it."""

FROM_THE_NETWORK = ("cma-es", "openai-es", "annealing")
"""Searches that go on in small steps from one point: they begin at the weights that the network has."""

MOST_FOR_CMA = 5000
"""Weights; with twice as many the covariance alone takes 800 MB, and an update of it minutes."""


@dataclass(frozen=True)
class SearchPlan:
    """A search without its dimension, with a fitness and a criterion to stop.

    Args:
        kind: the class of the search.
        arguments: those of its constructor but for the dimension.
        fitness: "-loss", "1/loss", "1/mse" or "-mse" (these two with the objective MSE), or a function from losses
            (networks,) to what is to become large.
        stop: criteria, combined with | and &; None leaves it to `fit`.
        tolerance: what a number may be missed by to count as learned; a tenth of the targets' range when absent.

    Raises:
        UsageError: an argument is not the search's, or the fitness is not known.

    Example:
        >>> from recurra.learn import GA, LearnedFraction, MaxGenerations, MinMSE
        >>> GA(fitness="1/mse", stop=LearnedFraction(0.95) | MinMSE(1e-4) | MaxGenerations(500))
        GA(fitness='1/mse', stop=LearnedFraction(share=0.95) | MinMSE(error=0.0001) | MaxGenerations(generations=500))
    """

    kind: type[Search]
    arguments: dict[str, Any] = field(default_factory=dict)
    fitness: str | FitnessOf = "-loss"
    stop: Stop | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        known = known_arguments(self.kind)
        unknown = sorted(set(self.arguments) - set(known))
        if unknown:
            raise UsageError(
                f"{unknown[0]!r} is no argument",
                where=self.kind.__name__,
                need="one of " + ", ".join(["fitness", "stop", "tolerance", *known]),
                cure=closest(unknown[0], known) or None,
            )
        if not callable(self.fitness) and self.fitness not in FITNESS:
            need = "one of " + ", ".join(FITNESS) + ", or a function of the losses"
            raise UsageError(f"fitness is {self.fitness!r}", where=self.kind.__name__, need=need)
        if self.stop is not None and not isinstance(self.stop, Stop):
            need = "criteria such as MinMSE(1e-4) | MaxGenerations(500)"
            raise UsageError(f"stop is {self.stop!r}", where=self.kind.__name__, need=need)

    @property
    def measures_mse(self) -> bool:
        """Whether the fitness speaks of the mean squared error."""
        return isinstance(self.fitness, str) and "mse" in self.fitness

    def fitness_of(self, losses: Tensor) -> Tensor:
        """The fitness of networks with these losses."""
        made = self.fitness if callable(self.fitness) else FITNESS[self.fitness]
        return made(losses)

    def build(self, vector: WeightVector, seed: int, defaults: dict[str, Any] | None = None) -> Search:
        """The search over a network's weights; `defaults` stand where nothing was said and the search knows them."""
        known = known_arguments(self.kind)
        arguments = {name: value for name, value in (defaults or {}).items() if name in known}
        arguments |= {"seed": seed, **self.arguments}
        if "neurons" in known and "neurons" not in arguments:
            arguments["neurons"] = vector.neurons(_hidden_size(vector.module, self.kind.__name__))
        if self.kind.name in FROM_THE_NETWORK and "start" not in arguments:
            arguments["start"] = vector.flatten()
        if self.kind.name == "cma-es" and vector.dimension > MOST_FOR_CMA:
            raise UsageError(
                f"the network has {vector.dimension:,} weights, and CMA-ES keeps the covariance of all pairs",
                where="CMAES",
                need=f"at most {MOST_FOR_CMA:,} weights",
                cure="a smaller network, or openai-es, ga or cosyne, which keep no covariance",
            )
        # NEAT is told the sizes of the networks that it grows, from which its number of weights follows.
        first = (vector.dimension,) if asks_dimension(self.kind) else ()
        try:
            return self.kind(*first, **arguments)
        except TypeError as error:
            given = f"the arguments are {', '.join(arguments)}: {error}"
            raise UsageError(given, where=self.kind.__name__, need="those of the search, by their names") from error

    def __call__(self, dimension: int) -> Search:
        """The search over vectors of a length, without anything that is read off a network."""
        return self.kind(dimension, **self.arguments)

    def __repr__(self) -> str:
        return _written(self.kind.__name__, self.arguments, self.fitness, self.stop)


@dataclass(frozen=True)
class EvolinoPlan:
    """Evolino without its cell: the search of the hidden weights, and the regression of the read-out.

    Args:
        search: proposes the hidden weights.
        ridge: says the penalty of the read-out and whether it has a bias.
        arguments: further ones of `recurra.learn.closed.Evolino`.
        stop: criteria; None leaves it to `fit`.
    """

    search: SearchPlan
    ridge: Ridge
    arguments: dict[str, Any] = field(default_factory=dict)
    stop: Stop | None = None

    def build(self, cell: Cell, seed: int, **arguments: Any) -> EvolinoOnCell:
        """Evolino on a cell."""
        search = self.search.build(WeightVector(cell), seed)
        given = {"penalty": self.ridge.penalty, "bias": self.ridge.has_bias, **arguments, **self.arguments}
        return EvolinoOnCell(cell, search, **given)

    def __repr__(self) -> str:
        ridge = f"Ridge(penalty={self.ridge.penalty:g}, bias={self.ridge.has_bias})"
        return f"Evolino({self.search!r}, {ridge}{''.join(f', {k}={v!r}' for k, v in self.arguments.items())})"


class SearchRule:
    """A class of search as people name it: called with a dimension it is that search, without one a plan for `fit`.

    Args:
        kind: the class.

    Example:
        >>> from recurra.learn import CoSyNE
        >>> CoSyNE(4, population=20)
        CoSyNE(dimension=4, population=20, generation=0, evaluations=0)
        >>> CoSyNE(population=20, fitness="1/mse")
        CoSyNE(population=20, fitness='1/mse')
    """

    def __init__(self, kind: type[Search]):
        self.kind = kind
        self.__doc__ = kind.__doc__
        self.__name__ = kind.__name__

    def __call__(self, *first: Any, **arguments: Any) -> Any:
        """The search, or the plan of one."""
        if asks_dimension(self.kind):
            told = bool(first) or "dimension" in arguments
        else:
            arguments = dict(zip(known_arguments(self.kind), first, strict=False)) | arguments
            told, first = not {"fitness", "stop", "tolerance"} & set(arguments), ()
        return self.kind(*first, **arguments) if told else plan_of(self.kind, arguments)

    def __repr__(self) -> str:
        return f"<search {self.__name__}>"


def evolino(first: Any, *others: Any, stop: Stop | None = None, **arguments: Any) -> Any:
    """Evolino as people name it: `Evolino(CoSyNE(), Ridge())` is a plan for `fit`, with a cell first it is Evolino."""
    if isinstance(first, Cell):
        return EvolinoOnCell(first, *others, **arguments)
    search = as_plan(first)
    ridge = others[0] if others else Ridge(0.0, bias=False)
    if search is None or len(others) > 1 or not isinstance(ridge, Ridge):
        named = ", ".join(type(part).__name__ for part in (first, *others))
        raise UsageError(f"Evolino was given {named}", where="Evolino", need="a search and a Ridge, or a cell first")
    for name in ("penalty", "bias"):
        if name in arguments:
            raise UsageError(f"{name} is given beside Ridge", where="Evolino", cure=f"Ridge({name}=...)")
    known = list(inspect.signature(EvolinoOnCell.__init__).parameters)[3:]
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        need = "one of " + ", ".join(known)
        raise UsageError(f"{unknown[0]!r} is no argument", where="Evolino", need=need)
    return EvolinoPlan(search, ridge, arguments, stop)


def plan_of(kind: type[Search], arguments: dict[str, Any]) -> SearchPlan:
    """The plan of a search from its arguments, those of the plan among them."""
    own = {name: arguments[name] for name in ("fitness", "stop", "tolerance") if name in arguments}
    return SearchPlan(kind, {name: value for name, value in arguments.items() if name not in own}, **own)


def as_plan(rule: Any) -> SearchPlan | None:
    """A plan from a plan, a search's class or its name as above; None where it is no search."""
    if isinstance(rule, SearchPlan):
        return rule
    if isinstance(rule, SearchRule):
        return SearchPlan(rule.kind)
    if isinstance(rule, type) and issubclass(rule, Search):
        return SearchPlan(rule)
    return None


def asks_dimension(kind: type[Search]) -> bool:
    """Whether a search's constructor is told the number of weights."""
    return "dimension" in inspect.signature(kind.__init__).parameters


def known_arguments(kind: type[Search]) -> list[str]:
    """The names that a search's constructor takes beside the dimension, those of `Search` among them."""
    own = [
        name
        for made in (kind, Search)
        for name, parameter in inspect.signature(made.__init__).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    return [name for name in dict.fromkeys(own) if name not in ("self", "dimension")]


def _hidden_size(module: nn.Module, where: str) -> int:
    cells = [part for part in module.modules() if isinstance(part, Cell)]
    if len(cells) == 1:
        return cells[0].hidden_size
    cure = "name the groups of weights: ESP(neurons=[...]); WeightVector(net).neurons(hidden_size) makes such groups"
    given = f"the network has {len(cells)} cells"
    raise UsageError(given, where=where, need="one cell, whose neurons have a subpopulation each", cure=cure)


def _written(name: str, arguments: dict[str, Any], fitness: Any, stop: Stop | None) -> str:
    parts = [f"{key}={value if not isinstance(value, Tensor) else '...'!r}" for key, value in arguments.items()]
    parts += [] if fitness == "-loss" else [f"fitness={fitness!r}"]
    parts += [] if stop is None else [f"stop={written_stop(stop)}"]
    return f"{name}({', '.join(parts)})"


def written_stop(stop: Stop) -> str:
    """Criteria as they are written, joined by | and &."""
    criteria = getattr(stop, "criteria", None)
    if criteria is None:
        return repr(stop)
    sign = " | " if type(stop).__name__ == "AnyOf" else " & "
    return sign.join(f"({written_stop(c)})" if getattr(c, "criteria", None) else written_stop(c) for c in criteria)
