"""Training by a search: from a problem to the best weights that a population finds, resumable at any generation.

A step of the loop is a generation: all networks of the population are judged on the same batch of training data, and
beside them as many that were guessed at random. After each epoch the best of both are judged on the validation data.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra.errors import DataError, UsageError
from recurra.learn.fitting.plan import SearchPlan
from recurra.learn.search.base import Search
from recurra.learn.search.evaluation import evaluate
from recurra.learn.search.random_guess import RandomGuess
from recurra.learn.search.weight_vector import WeightVector, learner_loss
from recurra.settings import TrainSettings
from recurra.train import checkpoint, guard, state
from recurra.train.device import choose_device, describe_training
from recurra.train.interrupts import Interrupts
from recurra.train.processor import choose_threads, processor
from recurra.train.progress import History
from recurra.train.run_folder import RunFolder
from recurra.train.search_progress import SearchProgress
from recurra.types import Problem

LOG_EVERY = 10
SCALES = {"spread": 0.1, "mutation_scale": 0.03, "burst_scale": 0.03}
"""How far about the network's first weights a search looks, where it is not told: they are made to suit the network,
and the tasks' networks begin near simple forecasts."""


def train_by_search(
    problem: Problem,
    settings: TrainSettings,
    plan: SearchPlan,
    *,
    run: RunFolder | None = None,
    planned_epochs: int,
    patience: int,
    resume: bool = False,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
) -> History:
    """Search a learner's weights; those with the lowest validation loss are left in it.

    Args:
        problem, settings, run, planned_epochs, patience, resume, on_event: as in `recurra.train.loop.fit`.
        plan: the search; it begins about the network's first weights.

    Raises:
        UsageError: a setting goes with gradients alone; or as in `recurra.train.loop.fit`.
        DataError, TrainingError, FolderError: as in `recurra.train.loop.fit`.
    """
    refuse_settings(settings, plan)
    if resume and run is None:
        raise UsageError("there is no run folder to resume from", where="resume", need="run=RunFolder.open(...)")
    device = choose_device(settings.device, 0)
    own_numbers = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    own_way = processor(choose_threads(settings.threads, problem.learner))
    with own_way, own_numbers, Interrupts() as interrupts:
        training = _SearchTraining(problem, settings, plan, run, device, interrupts, patience, on_event)
        training.begin(planned_epochs, resume)
        return training.run()


def refuse_settings(settings: TrainSettings, plan: SearchPlan) -> None:
    """Refuse settings that a search would pass over in silence.

    Raises:
        UsageError: the message names the setting.
    """
    where = f"train.rule {settings.rule}"
    if settings.find_learning_rate:
        cure = "leave find_learning_rate out"
        raise UsageError("find_learning_rate was asked for", where=where, need="a gradient rule", cure=cure)
    if settings.precision == "bf16":
        raise UsageError("precision is bf16", where=where, need="float32, or auto: a search needs no less than that")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        cure = "start recurra without torchrun"
        raise UsageError("several processes train together", where=where, need="one process for a search", cure=cure)
    if plan.stop is not None or plan.measures_mse:
        need = "fitness='-loss' and no stop: epochs, patience and the time limit end it"
        raise UsageError(f"the search is {plan!r}", where=where, need=need)


class _SearchTraining:
    """One search under way."""

    def __init__(
        self,
        problem: Problem,
        settings: TrainSettings,
        plan: SearchPlan,
        run: RunFolder | None,
        device: torch.device,
        interrupts: Interrupts,
        patience: int,
        on_event: Callable[[str, dict[str, Any]], None] | None,
    ):
        self.problem, self.settings, self.plan, self.patience = problem, settings, plan, patience
        self.device, self.interrupts, self.folder, self.on_event = device, interrupts, run, on_event
        self.learner = problem.learner.to(device).eval()
        self.vector = WeightVector(self.learner)
        self.search = plan.build(self.vector, settings.seed, {"start": self.vector.flatten(), **SCALES})
        self.guess = RandomGuess(
            self.search.dimension,
            self.search.population,
            self.search.spread,
            start=self.search.start,
            seed=settings.seed + 1_000_003,
        )
        self.searches: dict[str, Search] = {"search": self.search, "guess": self.guess}
        self.latest: dict[str, Tensor] = {}  # the best of the latest generation
        self.kept: Tensor | None = None
        self.progress = SearchProgress(0)
        self.saved_at = self.began = time.monotonic()
        self.say("device", **describe_training(device, None, 1))

    # Beginning, saving, going on

    def begin(self, planned_epochs: int, resume: bool) -> None:
        if not len(self.problem.plans(0)):
            raise DataError("no batches to train on", need="at least one training sequence", cure="give more data")
        if resume and self.restore():
            before = self.progress.stopped
            self.progress.reopen(planned_epochs, self.settings.time_limit)
            if self.progress.stopped and before:
                self.say("note", text=f"the run had ended already ({before}); nothing is left to search")
            return
        if resume:
            self.say("note", text="nothing had been saved yet; the search begins anew")
        self.progress = SearchProgress(planned_epochs, self.settings.time_limit)
        text = (
            f"{self.search.name} searches {self.search.dimension:,} weights with {self.search.population} networks a "
            "generation; as many are guessed at random beside them"
        )
        self.say("note", text=text)

    def save(self) -> None:
        if self.folder is None:
            return
        self.progress.seconds = self.elapsed()
        tensors = {f"latest/{name}": vector for name, vector in self.latest.items()}
        tensors |= {} if self.kept is None else {"kept": self.kept}
        facts: dict[str, Any] = {"progress": self.progress.facts(), "settings": self.fixed()}
        for name, search in self.searches.items():
            whole = search.state_dict()
            tensors |= {f"{name}/{key}": part for key, part in whole.items() if isinstance(part, Tensor)}
            facts[name] = {key: part for key, part in whole.items() if not isinstance(part, Tensor)}
        checkpoint.save_state(self.folder.state / checkpoint.LAST, tensors, facts)
        self.saved_at = time.monotonic()

    def restore(self) -> bool:
        """Go back to the saved state, if there is one."""
        assert self.folder is not None
        path = self.folder.state / checkpoint.LAST
        if not path.exists():
            self.folder.rewind(0, [])
            return False
        tensors, facts = checkpoint.load_state(path)
        state.refuse_changed(path, self.fixed(), facts.get("settings"))
        self.progress = SearchProgress.from_facts(path, facts.get("progress"))
        for name, search in self.searches.items():
            search.load_state_dict({**facts[name], **state.part(tensors, f"{name}/")})
        self.kept, self.latest = tensors.get("kept"), state.part(tensors, "latest/")
        self.began = time.monotonic() - self.progress.seconds
        self.folder.rewind(self.progress.step, self.progress.rows)
        return True

    def fixed(self) -> dict[str, Any]:
        return state.fixed_settings(self.settings, self.plan) | {"weights": self.vector.dimension}

    def say(self, event: str, log: bool = True, **facts: Any) -> None:
        if log and self.folder:
            self.folder.log(event, **facts)
        if self.on_event:
            self.on_event(event, facts)
            if event == "device":  # for listeners that show notes alone
                self.on_event("note", {"text": facts["text"]})

    def elapsed(self) -> float:
        return time.monotonic() - self.began

    # Searching

    def run(self) -> History:
        p = self.progress
        while p.stopped is None:
            plans = self.problem.plans(p.epoch)
            while p.step_in_epoch < len(plans):
                self.generation(plans[p.step_in_epoch], p.planned_epochs * len(plans))
                if self.interrupts.requested:
                    return self.interrupted()
                if p.step_in_epoch < len(plans) and self.out_of_time():
                    p.stopped = "time limit"
                    break
                if time.monotonic() - self.saved_at >= self.settings.keep_every:
                    self.save()
            self.end_epoch()
        return self.finish(p.stopped, p.best_loss, p.best_epoch)

    def generation(self, plan: Any, planned: int) -> None:
        """Ask, judge on one batch, tell; and the same for random guessing."""
        p = self.progress
        batch = self.problem.batch(plan).to(self.device)
        found = self.losses("search", batch)
        finite = found[found.isfinite()]
        best = float(finite.min()) if len(finite) else math.inf
        mean = float(finite.mean()) if len(finite) else math.inf
        guessed = self.losses("guess", batch)
        p.took_generation(best, mean, self.search.evaluations)
        known = guessed[guessed.isfinite()]
        facts = {
            "step": p.step,
            "generation": p.step,
            "loss": best,
            "mean_loss": mean,
            "guess_loss": float(known.min()) if len(known) else math.inf,
            "evaluations": self.search.evaluations,
            "epoch": p.epoch + 1,
        }
        self.say("step", p.step % LOG_EVERY == 0, **facts, planned_steps=planned, seconds=self.elapsed())

    def losses(self, name: str, batch: Any) -> Tensor:
        """One generation of a search, or of the guesses beside it: the losses of its population, which it is told."""
        search = self.searches[name]
        population = search.ask()
        try:
            found = evaluate(population, learner_loss(self.vector, batch), vector=self.vector)
        except RuntimeError as error:
            if "vmap" not in str(error):
                raise
            raise UsageError(
                f"this network cannot be run for a whole population at once ({str(error).splitlines()[0]})",
                where=f"train.rule {self.settings.rule}",
                need="another cell, or a gradient rule",
            ) from error
        search.tell(self.plan.fitness_of(found) if search is self.search else -found)
        self.latest[name] = population[int(torch.where(found.isnan(), math.inf, found).argmin())].clone()
        return found

    @torch.no_grad()
    def validated(self, vector: Tensor) -> dict[str, float]:
        self.vector.write(vector)
        state.seed_random_numbers(self.device, self.settings.seed, "evaluation", self.progress.step)
        return {name: float(value) for name, value in self.problem.validate(self.learner).items()}

    def candidates(self, name: str) -> list[Tensor]:
        """What is validated: the best of the latest generation, and the best on any batch so far."""
        both = (self.latest.get(name), self.searches[name].best.vector)
        return [vector for vector in both if vector is not None]

    def end_epoch(self) -> None:
        p = self.progress
        row, better = self.evaluate()
        if not math.isfinite(row["valid_loss"]):
            self.say("note", text=f"the validation loss of epoch {row['epoch']} is {row['valid_loss']}: not counted")
        if p.stopped is None:
            p.next_epoch()
            if p.epoch >= p.planned_epochs:
                p.stopped = "epochs"
            elif p.worse >= self.patience:
                p.stopped = "patience"
            elif self.out_of_time():
                p.stopped = "time limit"
            elif self.search.exhausted:
                p.stopped = f"the search itself ({self.search.exhausted})"
        # Written before the state: what a killed run wrote too early is taken back when it is resumed.
        self.say("evaluation", **row)
        if self.folder:
            self.folder.append_metrics(row)
            if better and self.kept is not None:
                facts = {"epoch": p.best_epoch, "loss": p.best_loss}
                weights = {name: part.detach() for name, part in self.learner.state_dict().items()}
                checkpoint.save_state(self.folder.state / checkpoint.BEST, weights, facts)
        self.save()

    def evaluate(self) -> tuple[dict[str, Any], bool]:
        """The epoch's row, and whether it is the best; the learner holds the better candidate afterwards."""
        p = self.progress
        guesses = [self.validated(vector)["loss"] for vector in self.candidates("guess")]
        p.guessed(min((loss for loss in guesses if math.isfinite(loss)), default=math.inf))
        judged = [(self.validated(vector), vector) for vector in self.candidates("search")]
        metrics, vector = min(judged, key=lambda pair: pair[0]["loss"] if math.isfinite(pair[0]["loss"]) else math.inf)
        self.vector.write(vector)
        row = p.row(metrics, self.elapsed())
        better = p.evaluated(row)
        if better:
            self.kept = vector.clone()
        return row, better

    def out_of_time(self) -> bool:
        limit = self.settings.time_limit
        return limit is not None and self.elapsed() >= limit

    # Ending

    def interrupted(self) -> History:
        self.save()
        p = self.progress
        self.say("note", text=f"interrupted after step {p.step}" + ("; the state is saved" if self.folder else ""))
        loss, epoch = p.best_loss, p.best_epoch
        if self.kept is None:  # something to report on; the saved state knows nothing of it, and so resumes exactly
            row, _ = self.evaluate()
            loss, epoch = row["valid_loss"], p.epoch + 1
        return self.finish("interrupted", loss, epoch)

    def finish(self, stopped: str, best_loss: float | None, best_epoch: int) -> History:
        if self.kept is None or best_loss is None:
            raise guard.never_finite()
        self.vector.write(self.kept)
        p = self.progress
        return History(list(p.rows), stopped, best_loss, best_epoch, round(self.elapsed(), 3), p.step)
