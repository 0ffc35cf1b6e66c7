"""The training loop: from a problem to its best weights, reproducible to the bit and resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from recurra.errors import DataError, UsageError
from recurra.learn.fitting.rule import names_a_search, read_rule
from recurra.settings import TrainSettings
from recurra.train import checkpoint, guard, state
from recurra.train.averaging import Average
from recurra.train.device import InPrecision, choose_device, choose_precision, describe_training
from recurra.train.distributed import Group, local_rank, together
from recurra.train.interrupts import Interrupts
from recurra.train.lr_finder import find_learning_rate
from recurra.train.optimiser import clip, gradient_norm, make_optimiser, take_step
from recurra.train.processor import choose_threads, processor
from recurra.train.progress import History, Progress
from recurra.train.run_folder import RunFolder
from recurra.train.schedule import Schedule
from recurra.train.time_limit import Pace
from recurra.types import GradientRule, Problem

LOG_EVERY = 50


def fit(
    problem: Problem,
    settings: TrainSettings,
    *,
    run: RunFolder | None = None,
    rule: GradientRule | None = None,
    planned_epochs: int,
    learning_rate: float,
    patience: int,
    resume: bool = False,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
) -> History:
    """Train a problem's learner; the best averaged weights are left in it, on the device that was chosen.

        w <- w - rate(s) (AdamW(clip(gradient)) + decay w)        rate: a warm-up, then a cosine down to zero

    The weights that are evaluated after each epoch, and kept, are the running average. The random numbers of a step
    follow from (seed, step), so that a training that is killed and resumed makes the same numbers as one that is not.

    Args:
        problem: the learner, its batches and its validation.
        settings: the options of training.
        run: where states, log.jsonl and metrics.csv go; None keeps nothing on disk.
        rule: the gradient rule, instead of the one that `settings.rule` names; where it names a search, a generation of
            that search stands in the place of a step (`recurra.train.search`).
        planned_epochs: epochs that the schedule is laid over.
        learning_rate: the peak rate, unless `settings.find_learning_rate` looks for one.
        patience: evaluations without a lower validation loss after which training stops.
        resume: go on from the run's saved state (from the beginning where none was saved yet).
        on_event: called with ("step", facts), ("evaluation", row) and so on as they happen.

    Errors:
        UsageError: the rule cannot serve the learner; a setting differs from the resumed run's; no such device.
        DataError: there are no batches.
        TrainingError: a loss or gradient is not finite; the state before that step is saved.
        FolderError: a state cannot be saved or read.
        KeyboardInterrupt: a second Ctrl-C; the first ends training after its step, with `stopped="interrupted"`.
    """
    if rule is None and names_a_search(settings.rule):
        from recurra.train.search import train_by_search

        return train_by_search(
            problem,
            settings,
            read_rule(settings.rule),
            run=run,
            planned_epochs=planned_epochs,
            patience=patience,
            resume=resume,
            on_event=on_event,
        )
    rule = rule or read_rule(settings.rule)
    reason = rule.supports(problem.learner)
    if reason:
        raise UsageError(f"the rule {rule.name} cannot train this network: {reason}", where="train.rule")
    if resume and run is None:
        raise UsageError("there is no run folder to resume from", where="resume", need="run=RunFolder.open(...)")
    device = choose_device(settings.device, local_rank())
    own_numbers = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    own_way = processor(choose_threads(settings.threads, problem.learner))
    with own_way, together(device) as group, own_numbers, Interrupts() as interrupts:
        training = _Training(problem, settings, run, rule, device, group, interrupts, patience, on_event)
        training.begin(planned_epochs, learning_rate, resume)
        return training.run()


class _Training:
    """One training under way: the loop's variables, and the steps that change them."""

    def __init__(
        self,
        problem: Problem,
        settings: TrainSettings,
        run: RunFolder | None,
        rule: GradientRule,
        device: torch.device,
        group: Group,
        interrupts: Interrupts,
        patience: int,
        on_event: Callable[[str, dict[str, Any]], None] | None,
    ):
        self.problem, self.settings, self.rule, self.patience = problem, settings, rule, patience
        self.device, self.group, self.interrupts = device, group, interrupts
        self.writes, self.folder_given = group.rank == 0, run
        self.folder = run if self.writes else None
        self.on_event = on_event if self.writes else None
        self.learner = problem.learner.to(device)
        dtype = choose_precision(settings.precision, device, self.learner)
        inner = InPrecision(self.learner, device, dtype) if dtype else self.learner
        self.module = group.wrap(inner, getattr(rule, "one_backward", False))
        self.optimiser = make_optimiser(self.learner, 0.0, settings.weight_decay)
        self.average = Average(self.learner, settings.averaging)
        self.memory = rule.init(self.learner)
        self.best: state.Tensors | None = None
        self.progress: Progress
        self.pace = Pace(settings.time_limit)
        self.saved_at, self.planned_aloud = time.monotonic(), 0
        self.say("device", **describe_training(device, dtype, group.world))

    # Beginning, saving, going on

    def begin(self, planned_epochs: int, learning_rate: float, resume: bool) -> None:
        self.steps_an_epoch = len(self.group.shares(self.problem.plans(0)))
        if not self.steps_an_epoch:
            raise DataError("no batches to train on", need="at least one training sequence", cure="give more data")
        if resume and self.restore():
            before = self.progress.stopped
            self.progress.reopen(planned_epochs, self.settings.time_limit, self.steps_an_epoch)
            if self.progress.stopped and before:
                self.say("note", text=f"the run had ended already ({before}); nothing is left to train")
            return
        if resume:
            self.say("note", text="nothing had been saved yet; training begins anew")
        if self.settings.find_learning_rate:
            trial = (self.problem, self.learner, self.rule, self.settings, self.device)
            facts = self.group.same(find_learning_rate(*trial, fallback=learning_rate) if self.writes else None)
            learning_rate = facts["learning_rate"]
            self.say("learning_rate_finder", **facts)
        schedule = Schedule.over(learning_rate, planned_epochs * self.steps_an_epoch)
        self.progress = Progress(schedule, planned_epochs, self.settings.time_limit)

    def save(self) -> None:
        if not self.folder:
            return
        began, self.progress.seconds = time.monotonic(), self.pace.elapsed()
        tensors = state.collect(self.learner, self.average, self.optimiser, self.best)
        facts = {"progress": self.progress.facts(), "settings": state.fixed_settings(self.settings, self.rule)}
        checkpoint.save_state(self.folder.state / checkpoint.LAST, tensors, facts)
        self.saved_at = time.monotonic()
        self.pace.saw_saving(self.saved_at - began)

    def restore(self) -> bool:
        """Go back to the saved state, if there is one."""
        path = self.folder_given.state / checkpoint.LAST if self.folder_given else None
        found = checkpoint.load_state(path) if self.writes and path and path.exists() else (None, None)
        facts = self.group.same(found[1])
        if facts is None or path is None:
            if self.folder:
                self.folder.rewind(0, [])
            return False
        tensors = self.group.same_tensors(found[0])
        state.refuse_changed(path, state.fixed_settings(self.settings, self.rule), facts.get("settings"))
        self.best = state.take_up(path, tensors, self.learner, self.average, self.optimiser)
        self.progress = Progress.from_facts(path, facts.get("progress"))
        self.pace = Pace(self.settings.time_limit, self.progress.seconds)
        if self.folder:
            self.folder.rewind(self.progress.step, self.progress.rows)
        return True

    def say(self, event: str, log: bool = True, **facts: Any) -> None:
        if log and self.folder:
            self.folder.log(event, **facts)
        if self.on_event:
            self.on_event(event, facts)
            if event in ("device", "learning_rate_finder"):  # for listeners that show notes alone
                self.on_event("note", {"text": facts["text"]})

    # Training

    def run(self) -> History:
        p = self.progress
        while p.stopped is None:
            shares = self.group.shares(self.problem.plans(p.epoch))
            while p.step_in_epoch < len(shares):
                self.step(*shares[p.step_in_epoch])
                if self.group.any(self.interrupts.requested):
                    return self.interrupted()
                if p.step_in_epoch < len(shares) and self.out_of_time():
                    p.stopped = "time limit"
                    break
                if time.monotonic() - self.saved_at >= self.settings.keep_every:
                    self.save()
            self.end_epoch()
        return self.finish(p.stopped, p.best_loss, p.best_epoch)

    def step(self, plan: Any, counts: bool) -> None:
        p, began = self.progress, time.monotonic()
        state.seed_random_numbers(self.device, self.settings.seed, "step", p.step, self.group.rank)
        self.module.train()
        batch = self.problem.batch(plan).to(self.device)
        self.group.weigh(float(batch.size) if counts else 0.0)
        self.optimiser.zero_grad(set_to_none=True)
        buffers = state.copies(self.learner.buffers())  # a forward pass may change them
        own_loss, self.memory = self.rule.step(self.module, batch, self.rule.reset(self.memory))
        self.memory = self.rule.flush(self.learner, self.memory)
        self.group.average_gradients(self.learner)
        loss = self.group.average(float(own_loss))
        norm = gradient_norm(self.learner)
        odd = guard.why_not_finite(self.learner, loss, float(norm))
        if odd:
            state.put_copies_back(self.learner.buffers(), buffers)
            self.save()
            raise guard.not_finite(odd, p.step + 1, p.epoch + 1, self.problem.locate(batch), self.folder)
        clipped = clip(self.learner, norm, self.settings.clip)
        rate = take_step(self.optimiser, p.schedule.rate(p.step))
        self.average.update(p.step)
        p.took_step(loss, float(norm), clipped)
        if self.pace.saw_step(time.monotonic() - began):
            self.replan()
        facts = {
            "step": p.step,
            "loss": loss,
            "gradient_norm": float(norm),
            "learning_rate": rate,
            "epoch": p.epoch + 1,
        }
        self.say("step", p.step % LOG_EVERY == 0, **facts, planned_steps=p.schedule.total, seconds=self.pace.elapsed())

    @torch.no_grad()
    def evaluate(self) -> dict[str, Any]:
        """The row of the averaged weights, which the learner holds now."""
        p, began = self.progress, time.monotonic()
        state.seed_random_numbers(self.device, self.settings.seed, "evaluation", p.step)
        self.learner.eval()
        found = self.problem.validate(self.learner) if self.writes else {}
        metrics = self.group.same({name: float(value) for name, value in found.items()})
        self.pace.saw_evaluation(time.monotonic() - began)
        return p.row(metrics, p.schedule.rate(max(0, p.step - 1)), self.pace.elapsed())

    def end_epoch(self) -> None:
        p = self.progress
        with self.average.applied():
            row = self.evaluate()
            better = p.evaluated(row)
            if better:
                self.best = state.weights_of(self.learner)
        if not math.isfinite(row["valid_loss"]):
            self.say("note", text=f"the validation loss of epoch {row['epoch']} is {row['valid_loss']}: not counted")
        if p.stopped is None:
            p.next_epoch()
            self.replan()
            if p.epoch >= p.planned_epochs:
                p.stopped = "epochs"
            elif p.worse >= self.patience:
                p.stopped = "patience"
            elif self.out_of_time():
                p.stopped = "time limit"
        # Written before the state: what a killed run wrote too early is taken back when it is resumed.
        self.say("evaluation", **row)
        if self.folder:
            self.folder.append_metrics(row)
            if better and self.best:
                facts = {"epoch": p.best_epoch, "loss": p.best_loss}
                checkpoint.save_state(self.folder.state / checkpoint.BEST, self.best, facts)
        self.save()

    def replan(self) -> None:
        """Lay the schedule over the steps that fit into the time limit, so that it still comes down to zero."""
        p = self.progress
        full = p.full_steps(self.steps_an_epoch)
        total = self.group.same(self.pace.plan(p.step, p.schedule.total, full, self.steps_an_epoch))
        if total is None:
            return
        p.schedule = p.schedule.change(p.step, total)
        if abs(total - self.planned_aloud) > 0.2 * self.planned_aloud:
            self.planned_aloud = total
            text = f"the time limit leaves room for about {total} of {full} steps"
            self.say("note", text=text + "; the learning rate comes down to zero over these")

    def out_of_time(self) -> bool:
        p = self.progress
        at_end = p.step >= p.schedule.total < p.full_steps(self.steps_an_epoch)
        return self.settings.time_limit is not None and self.group.any(at_end or self.pace.over(self.steps_an_epoch))

    # Ending

    def interrupted(self) -> History:
        self.save()
        p = self.progress
        self.say("note", text=f"interrupted after step {p.step}" + ("; the state is saved" if self.folder else ""))
        loss, epoch = p.best_loss, p.best_epoch
        if self.best is None:  # something to report on; the saved state knows nothing of it, and so resumes exactly
            with self.average.applied():
                loss, epoch = self.evaluate()["valid_loss"], p.epoch + 1
                self.best = state.weights_of(self.learner)
        return self.finish("interrupted", loss, epoch)

    def finish(self, stopped: str, best_loss: float | None, best_epoch: int) -> History:
        if self.best is None or best_loss is None:
            raise guard.never_finite()
        self.learner.load_state_dict(self.best)
        self.learner.eval()
        p, seconds = self.progress, round(self.pace.elapsed(), 3)
        return History(list(p.rows), stopped, best_loss, best_epoch, seconds, p.step)
