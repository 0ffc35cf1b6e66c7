"""The loop of a search: ask, evaluate, tell, until a criterion is met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.search.base import Best, Search
from recurra.learn.search.stopping import Progress, Stop


@dataclass(frozen=True)
class Outcome:
    """How a search ended.

    Attributes:
        reason: which criterion was met, in words.
        progress: the last one.
        best: the best vector and its fitness.
    """

    reason: str
    progress: Progress
    best: Best


def run_search(
    search: Search,
    fitness: Callable[[Tensor], Any],
    stop: Stop,
    *,
    measure: Callable[[Tensor], dict[str, float]] | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Ask, evaluate and tell until a criterion is met, or the search is exhausted.

    Args:
        search: goes on from where it is.
        fitness: of every row of a population (P, D): (P,), higher is better.
        stop: criteria, combined with | and &.
        measure: what criteria such as MinMSE and LearnedFraction need: from the best vector a dict with `mse`,
            `learned` or both. It is called only when there is a new best.
        report: is given the progress after every generation.

    Shapes:
        those of `Search`.

    Raises:
        UsageError: `stop` is no criterion, or lacks what it measures by.

    Example:
        >>> from recurra.learn.search import GA, MaxGenerations, MinFitness
        >>> outcome = run_search(
        ...     GA(dimension=2, seed=0), lambda rows: -rows.square().sum(1), MinFitness(-1e-3) | MaxGenerations(200)
        ... )
        >>> outcome.best.fitness > -1e-3, outcome.progress.generation < 200
        (True, True)
    """
    if not isinstance(stop, Stop):
        need = "a criterion, such as MaxGenerations(500)"
        raise UsageError(f"stop is {stop!r}", where="run_search", need=need)
    measured: dict[str, float] = {}
    while True:
        search.tell(fitness(search.ask()))
        best = search.best
        if measure is not None and best.vector is not None and (search.stale == 0 or not measured):
            measured = measure(best.vector)
        progress = Progress(search.generation, search.evaluations, search.stale, best.fitness, **measured)
        if report is not None:
            report(progress)
        reason = stop.why(progress) or search.exhausted
        if reason:
            return Outcome(reason, progress, best)
