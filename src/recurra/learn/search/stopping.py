"""When a search ends: small criteria that combine with | (any of them) and & (all of them)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from recurra.errors import UsageError


@dataclass(frozen=True)
class Progress:
    """How far a search has come, after a generation.

    Attributes:
        generation, evaluations, stale: the search's own counts.
        fitness: the best so far.
        mse: mean squared error of the best network; None where it is not measured.
        learned: share of the training examples that the best network has learned, 0 to 1; None where not measured.
    """

    generation: int
    evaluations: int
    stale: int
    fitness: float
    mse: float | None = None
    learned: float | None = None


class Stop(ABC):
    """A criterion: `why(progress)` is the reason to stop, or None.

    Example:
        >>> stop = LearnedFraction(0.95) | MinMSE(1e-4) | MaxGenerations(500)
        >>> stop.why(Progress(generation=500, evaluations=25000, stale=3, fitness=9.0, mse=0.1, learned=0.5))
        '500 generations'
        >>> stop.why(Progress(generation=2, evaluations=100, stale=0, fitness=9.0, mse=0.1, learned=0.5)) is None
        True
    """

    @abstractmethod
    def why(self, progress: Progress) -> str | None:
        """The reason to stop now, or None."""

    def __or__(self, other: Stop) -> Stop:
        return AnyOf((*_parts(self, AnyOf), *_parts(other, AnyOf)))

    def __and__(self, other: Stop) -> Stop:
        return AllOf((*_parts(self, AllOf), *_parts(other, AllOf)))


@dataclass(frozen=True)
class AnyOf(Stop):
    """Stops as soon as one of its criteria does; `a | b` makes it."""

    criteria: tuple[Stop, ...]

    def why(self, progress: Progress) -> str | None:
        # Every criterion is asked, so that one that lacks its measurement is found at the first generation.
        reasons = [criterion.why(progress) for criterion in self.criteria]
        return next((reason for reason in reasons if reason is not None), None)


@dataclass(frozen=True)
class AllOf(Stop):
    """Stops once all of its criteria do at the same time; `a & b` makes it."""

    criteria: tuple[Stop, ...]

    def why(self, progress: Progress) -> str | None:
        reasons = [criterion.why(progress) for criterion in self.criteria]
        return " and ".join(reason for reason in reasons if reason) if all(reasons) else None


@dataclass(frozen=True)
class LearnedFraction(Stop):
    """Stops once the best network has learned this share of the training examples."""

    share: float

    def __post_init__(self) -> None:
        _check(self, "share", self.share, 0 < self.share <= 1, "a number above 0, at most 1")

    def why(self, progress: Progress) -> str | None:
        if progress.learned is None:
            raise _unmeasured(self, "learned", "the share of examples that the best network has learned")
        return f"{progress.learned:.0%} of the examples are learned" if progress.learned >= self.share else None


@dataclass(frozen=True)
class MinMSE(Stop):
    """Stops once the best network's mean squared error is this small."""

    error: float

    def __post_init__(self) -> None:
        _check(self, "error", self.error, self.error >= 0, "a number, at least 0")

    def why(self, progress: Progress) -> str | None:
        if progress.mse is None:
            raise _unmeasured(self, "mse", "the best network's mean squared error")
        return f"the mean squared error is {progress.mse:.3g}" if progress.mse <= self.error else None


@dataclass(frozen=True)
class MinFitness(Stop):
    """Stops once the best fitness is this high."""

    fitness: float

    def why(self, progress: Progress) -> str | None:
        return f"the fitness is {progress.fitness:.6g}" if progress.fitness >= self.fitness else None


@dataclass(frozen=True)
class MaxGenerations(Stop):
    """Stops after this many generations."""

    generations: int

    def __post_init__(self) -> None:
        _check(self, "generations", self.generations, self.generations >= 1, "a whole number, at least 1")

    def why(self, progress: Progress) -> str | None:
        return f"{progress.generation} generations" if progress.generation >= self.generations else None


@dataclass(frozen=True)
class MaxEvaluations(Stop):
    """Stops once this many networks were evaluated; the generation in which it happens is finished."""

    evaluations: int

    def __post_init__(self) -> None:
        _check(self, "evaluations", self.evaluations, self.evaluations >= 1, "a whole number, at least 1")

    def why(self, progress: Progress) -> str | None:
        return f"{progress.evaluations} evaluations" if progress.evaluations >= self.evaluations else None


@dataclass(frozen=True)
class Stagnation(Stop):
    """Stops after this many generations without a better network. To begin again instead, use `Restarts`."""

    generations: int

    def __post_init__(self) -> None:
        _check(self, "generations", self.generations, self.generations >= 1, "a whole number, at least 1")

    def why(self, progress: Progress) -> str | None:
        return f"no better network for {progress.stale} generations" if progress.stale >= self.generations else None


def _parts(stop: Stop, kind: type) -> tuple[Stop, ...]:
    if not isinstance(stop, Stop):
        need = "another criterion, such as MaxGenerations(500)"
        raise UsageError(f"a criterion was combined with {stop!r}", where="stop", need=need)
    return stop.criteria if isinstance(stop, AnyOf | AllOf) and type(stop) is kind else (stop,)


def _check(stop: Stop, name: str, value: object, fits: bool, need: str) -> None:
    if isinstance(value, bool) or not fits:
        raise UsageError(f"{name} is {value!r}", where=type(stop).__name__, need=need)


def _unmeasured(stop: Stop, name: str, what: str) -> UsageError:
    return UsageError(
        f"progress has no {name}",
        where=type(stop).__name__,
        need=what,
        cure=f"give run_search a `measure` that returns {{{name!r}: ...}}, or stop by MaxGenerations",
    )
