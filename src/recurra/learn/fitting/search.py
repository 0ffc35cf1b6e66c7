"""Training by a search: whole populations evaluated at once, random guessing beside it."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from recurra.errors import TrainingError, UsageError
from recurra.learn.fitting.loss import learned_share, mean_loss, measures_error, weight_of
from recurra.learn.fitting.options import FitOptions
from recurra.learn.fitting.plan import SearchPlan, asks_dimension
from recurra.learn.fitting.result import FitProgress, Fitted, Listener
from recurra.learn.fitting.setting import Setting
from recurra.learn.search.base import Search
from recurra.learn.search.evaluation import evaluate
from recurra.learn.search.random_guess import RandomGuess
from recurra.learn.search.stopping import AllOf, AnyOf, LearnedFraction, MaxGenerations, MinMSE, Progress, Stop
from recurra.learn.search.weight_vector import WeightVector

GENERATIONS = 100
"""Generations where nothing says when to stop."""

NOT_FOR_A_SEARCH = ("optimiser", "learning_rate", "clip", "window", "evaluate_every", "patience")


def fit_by_search(
    setting: Setting, plan: SearchPlan | Search, options: FitOptions, listener: Listener | None
) -> Fitted:
    """Search the network's weights; it is left with the best ones found.

    Raises:
        UsageError: an option or the fitness does not go with it.
        TrainingError: no network gave a finite loss.
    """
    cure = "stop=..., as in GA(stop=MaxGenerations(500) | Stagnation(50)), says when a search ends"
    options.refuse(NOT_FOR_A_SEARCH, "a search", cure)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return _Searching(setting, plan, options, listener).run()


class NetworkLoss:
    """The mean loss over batches as a function of the weights; it can be pickled, for executors with processes.

    Args:
        vector: of the learner's weights.
        batches: all that the loss is taken over.
        weights: how much each counts.
    """

    def __init__(self, vector: WeightVector, batches: list[Any], weights: list[float]):
        self.vector, self.batches, self.weights = vector, batches, weights

    def __call__(self, weights: dict[str, Tensor]) -> Tensor:
        total: Any = 0.0
        for batch, weight in zip(self.batches, self.weights, strict=True):
            total = total + weight * self.vector.call(weights, batch, 0, batch.steps, None)[0]
        return total / max(sum(self.weights), 1e-300)


class _Searching:
    """One search under way."""

    def __init__(self, setting: Setting, plan: SearchPlan | Search, options: FitOptions, listener: Listener | None):
        self.setting, self.options, self.listener = setting, options, listener
        self.learner = setting.learner
        self.vector = WeightVector(self.learner)
        self.plan = plan if isinstance(plan, SearchPlan) else SearchPlan(type(plan))
        self.search = plan if isinstance(plan, Search) else plan.build(self.vector, options.seed)
        if self.search.dimension != self.vector.dimension:
            name = type(self.search).__name__
            cure = f"recurra.learn.{name}(...) without a dimension: fit fills it in"
            raise UsageError(
                f"the search is over vectors of {self.search.dimension} numbers, and the network has "
                f"{self.vector.dimension} weights",
                where="fit",
                need="a search of that dimension",
                cure=cure if asks_dimension(type(self.search)) else f"a network such as {name} grows",
            )
        if self.plan.measures_mse and not measures_error(setting.objective):
            raise UsageError(
                f"fitness is {self.plan.fitness!r} and the objective {setting.objective!r}",
                where="fit",
                need="the objective MSE, of steps or of ends",
                cure="fitness='-loss', which goes with every objective",
            )
        self.stop = self._criterion()
        # As many guesses as the search has networks, from the cube in which a search begins that knows no better.
        self.guess = RandomGuess(
            self.search.dimension, self.search.population, self.search.spread, seed=options.seed + 1_000_003
        )
        self.losses: list[float] = []
        self.guesses: list[float] = []
        self.validation: list[tuple[int, float]] = []
        self.best, self.best_step = math.inf, 0
        self.kept: Tensor | None = None
        self.measured: tuple[int, dict[str, float]] = (-1, {})

    def _criterion(self) -> Stop:
        given = [part for part in (self.plan.stop, self.options.stop) if part is not None]
        bound = self.options.steps or self.options.epochs
        if bound is not None:
            given.append(MaxGenerations(bound))
        if not given:
            given.append(MaxGenerations(GENERATIONS))
        stop = given[0]
        for other in given[1:]:
            stop = stop | other
        if asks(stop, MinMSE) and not measures_error(self.setting.objective):
            need, cure = "the objective MSE", "MinFitness(-loss) stops by any loss, with fitness='-loss'"
            raise UsageError(f"MinMSE with {self.setting.objective!r}", where="fit", need=need, cure=cure)
        return stop

    def run(self) -> Fitted:
        began, batches = time.monotonic(), self.setting.batches
        training = self.setting.net.training
        self.learner.eval()
        fixed = None if batches.fresh else self.setting.judged()
        try:
            reason = self._generations(fixed, began)
        finally:
            # Also where it is broken off: what was found by then is what the caller has.
            if self.kept is not None:
                self.vector.write(self.kept)
            self.learner.train(training)
        if self.kept is None:
            raise TrainingError(
                "no network gave a finite loss", where="fit", cure="a smaller spread of the search's first weights"
            )
        return Fitted(
            self.setting.net,
            repr(self.plan),
            self.losses,
            self.validation,
            self.best,
            self.best_step,
            self.search.generation,
            None,
            self.search.evaluations,
            time.monotonic() - began,
            reason,
            self.guesses[-1],
            self.guesses,
            {"weights": self.search.dimension},
        )

    def _generations(self, fixed: list[Any] | None, began: float) -> str:
        """Search until a criterion says why to stop."""
        batches, reason = self.setting.batches, None
        while reason is None:
            here = fixed or [self.setting.ready(batch, None) for batch in batches.all()]
            loss = NetworkLoss(self.vector, here, [weight_of(self.learner, batch) for batch in here])
            population = self.search.ask()
            found = self.evaluate(population, loss)
            fitness = self.plan.fitness_of(found)
            self.search.tell(fitness)
            guesses = self.guess.ask()
            guessed = self.evaluate(guesses, loss)
            self.guess.tell(-guessed)
            self._take_in(population, found)
            self.guesses.append(min([-self.guess.best.fitness, *self.guesses[-1:]]))
            progress = self._progress(here)
            finite = found[found.isfinite()]
            self.tell(float(finite.mean()) if len(finite) else math.inf, time.monotonic() - began)
            reason = self.stop.why(progress) or self.search.exhausted
        return reason

    def evaluate(self, population: Tensor, loss: NetworkLoss) -> Tensor:
        """The loss of every network of a population."""
        executor = self.options.executor
        try:
            return evaluate(population, loss, vector=self.vector, executor=executor, chunk_size=self.options.chunk_size)
        except RuntimeError as error:
            if executor is not None or "vmap" not in str(error):
                raise
            raise UsageError(
                f"the network cannot be run for a whole population at once ({str(error).splitlines()[0]})",
                where="fit",
                need="a network of plain tensor operations",
                cure="executor=concurrent.futures.ThreadPoolExecutor(1), which runs the networks one by one",
            ) from error

    def _take_in(self, population: Tensor, found: Tensor) -> None:
        """Keep the best network: by the validation loss where there is one, else by the loss that was searched by."""
        known = torch.where(found.isnan(), math.inf, found)
        top, generation = int(known.argmin()), self.search.generation
        lowest = float(known[top])
        self.losses.append(min([lowest, *self.losses[-1:]]))
        if self.setting.valid is None:
            if lowest < self.best:
                self.best, self.best_step, self.kept = lowest, generation, population[top].clone()
        elif lowest == self.losses[-1] and math.isfinite(lowest):
            self.vector.write(population[top])
            loss = mean_loss(self.learner, self.setting.valid)
            self.validation.append((generation, loss))
            if loss < self.best:
                self.best, self.best_step, self.kept = loss, generation, population[top].clone()

    def _progress(self, batches: list[Any]) -> Progress:
        """What criteria read; learned examples are counted only where one asks, and for a new best network."""
        search = self.search
        counts = (search.generation, search.evaluations, search.stale, search.best.fitness)
        mse = self.losses[-1] if measures_error(self.setting.objective) else None
        learned = None
        if asks(self.stop, LearnedFraction):
            if self.measured[0] != self.best_step and self.kept is not None:
                self.vector.write(self.kept)
                share = learned_share(self.learner, batches, self.plan.tolerance)
                self.measured = (self.best_step, {"learned": share})
            learned = self.measured[1].get("learned", 0.0)
        return Progress(*counts, mse=mse, learned=learned)

    def tell(self, mean: float, seconds: float) -> None:
        if self.listener is None:
            return
        validation = self.validation[-1][1] if self.validation else None
        generation, evaluations = self.search.generation, self.search.evaluations
        planned = self.options.steps or self.options.epochs
        self.listener(
            FitProgress(
                generation,
                planned,
                self.losses[-1],
                mean,
                self.best,
                validation,
                evaluations,
                None,
                seconds,
                self.guesses[-1],
            )
        )


def asks(stop: Stop, kind: type[Stop]) -> bool:
    """Whether a criterion is, or holds, one of a kind."""
    if isinstance(stop, AnyOf | AllOf):
        return any(asks(part, kind) for part in stop.criteria)
    return isinstance(stop, kind)
