"""Training with a gradient rule and an optimiser."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import TrainingError, UsageError
from recurra.learn.fitting.batches import cut_window
from recurra.learn.fitting.loss import learned_share, mean_loss, measures_error
from recurra.learn.fitting.options import FitOptions
from recurra.learn.fitting.result import FitProgress, Fitted, Listener
from recurra.learn.fitting.setting import Setting
from recurra.learn.search.stopping import Progress
from recurra.types import GradientRule

EPOCHS, STEPS, LEARNING_RATE = 100, 1000, 0.005
"""What is done where nothing is said: epochs over data at hand, steps with fresh batches, Adam's rate."""

Weights = dict[str, Tensor]


def fit_by_gradient(setting: Setting, rule: GradientRule, options: FitOptions, listener: Listener | None) -> Fitted:
    """Train with a gradient rule; the network is left with the best weights (validation) or the last ones.

    Raises:
        UsageError: the rule cannot serve the network, or an option does not go with it.
        TrainingError: a loss or gradient is not finite.
    """
    options.refuse(("executor", "chunk_size"), "a gradient rule", "these are for searches")
    reason = rule.supports(setting.learner)
    if reason:
        raise UsageError(f"the rule {rule.name} cannot train this network: {reason}", where="fit")
    torch_layers = [type(part).__name__ for part in setting.learner.modules() if isinstance(part, nn.RNNBase)]
    if rule.online and torch_layers:
        raise UsageError(
            f"the rule {rule.name} cannot train this network: torch.nn.{torch_layers[0]} has no cells to take steps of",
            where="fit",
            need="cells or layers of recurra",
            cure=f"recurra.nn.{torch_layers[0]}, which has the same arguments and takes the same weights; or bptt",
        )
    if options.window is not None and not rule.online:
        raise UsageError(
            f"window is {options.window} and the rule {rule.name} begins anew with each batch",
            where="fit",
            need="a rule that carries on from window to window: rtrl, snap(1), uoro or another online rule",
            cure="TBPTT(k1, k2) cuts sequences in time with one step of the optimiser a batch",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return _Training(setting, rule, options, listener).run()


class _Training:
    """One training under way."""

    def __init__(self, setting: Setting, rule: GradientRule, options: FitOptions, listener: Listener | None):
        self.setting, self.rule, self.options, self.listener = setting, rule, options, listener
        self.learner = setting.learner
        self.optimiser = make_optimiser(self.learner, options.optimiser, options.learning_rate)
        self.memory = rule.init(self.learner)
        fresh = setting.batches.fresh
        if fresh and options.epochs is not None:
            given = f"epochs is {options.epochs}, and fresh batches have no epochs"
            raise UsageError(given, where="fit", need="steps=...")
        self.steps = options.steps or (STEPS if fresh else None)
        self.epochs = None if self.steps else options.epochs or EPOCHS
        self.every = options.evaluate_every or (max(1, (self.steps or STEPS) // 20) if fresh else None)
        self.step, self.epoch, self.evaluated_at = 0, 0, 0
        self.losses: list[float] = []
        self.validation: list[tuple[int, float]] = []
        self.best, self.best_step, self.worse = math.inf, 0, 0
        self.best_weights: Weights | None = None
        self.reason: str | None = None
        self.began = time.monotonic()

    def run(self) -> Fitted:
        training = self.setting.net.training
        self.learner.train()
        try:
            self.steps_of_all_batches()
        finally:
            # Also where it is broken off: what was best by then is what the caller has.
            if self.best_weights is not None:
                self.learner.load_state_dict(self.best_weights)
            self.learner.train(training)
            # Nothing of the training is left in the weights: a later one would add to it.
            self.learner.zero_grad(set_to_none=True)
        whole_epochs = None if self.setting.batches.fresh else self.epoch
        return Fitted(
            self.setting.net,
            repr(self.rule),
            self.losses,
            self.validation,
            self.best,
            self.best_step,
            self.step,
            whole_epochs,
            self.step,
            time.monotonic() - self.began,
            self.reason or "",
        )

    def steps_of_all_batches(self) -> None:
        """Go through the data until there is a reason to stop."""
        while self.reason is None:
            for batch in self.setting.batches.epoch(self.epoch):
                for part, first in self.parts(self.setting.ready(batch, self.step)):
                    self.take_step(part, first)
                    if self.reason is not None:
                        break
                if self.reason is not None:
                    break
            else:
                self.end_epoch()
        if self.evaluated_at != self.step:
            self.evaluate()

    def parts(self, batch: Any) -> Iterator[tuple[Any, bool]]:
        """The batch, or its consecutive windows, each with whether new sequences begin with it."""
        size = self.options.window
        if size is None or batch.steps <= size:
            yield batch, True
            return
        for start in range(0, batch.steps, size):
            yield cut_window(batch, start, min(start + size, batch.steps)), start == 0

    def take_step(self, batch: Any, first: bool) -> None:
        """One step of the optimiser."""

        def gradient() -> Tensor:
            self.optimiser.zero_grad(set_to_none=True)
            loss, self.memory = self.rule.step(self.learner, batch, self.rule.reset(self.memory) if first else before)
            self.memory = self.rule.flush(self.learner, self.memory)
            return loss

        before = self.memory
        if isinstance(self.optimiser, torch.optim.LBFGS):
            # It asks for several losses a step, and its line search must see the gradient as it is.
            loss = torch.as_tensor(self.optimiser.step(gradient))
            self.check(float(loss), torch.zeros(()))
        else:
            loss = gradient()
            self.clip(float(loss))
            self.optimiser.step()
        self.step += 1
        self.losses.append(float(loss))
        if self.setting.valid is None and self.losses[-1] < self.best:
            self.best, self.best_step = self.losses[-1], self.step
        self.tell()
        if self.every is not None and self.step % self.every == 0:
            self.evaluate()
        if self.reason is None and self.steps is not None and self.step >= self.steps:
            self.reason = f"{self.steps} steps"

    def clip(self, loss: float) -> None:
        gradients = [weight.grad for weight in self.learner.parameters() if weight.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
        self.check(loss, norm)
        if self.options.clip and float(norm) > self.options.clip:
            weights = [weight for weight in self.learner.parameters() if weight.grad is not None]
            torch.nn.utils.clip_grads_with_norm_(weights, float(self.options.clip), norm)

    def check(self, loss: float, norm: Tensor) -> None:
        if not (math.isfinite(loss) and math.isfinite(float(norm))):
            what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {float(norm)}"
            raise TrainingError(
                f"{what} at step {self.step + 1}",
                where="fit",
                need="finite numbers in the data and in the network",
                cure="a lower learning_rate, a lower clip, or data scaled to about 1",
            )

    def end_epoch(self) -> None:
        self.epoch += 1
        if self.every is None:
            self.evaluate()
        if self.reason is None and self.epochs is not None and self.epoch >= self.epochs:
            self.reason = f"{self.epochs} epochs"

    def evaluate(self) -> None:
        """Judge the weights, keep them if they are the best, and see whether to stop."""
        self.evaluated_at = self.step
        valid, stop = self.setting.valid, self.options.stop
        if valid is None and stop is None:
            return
        batches = self.setting.judged() if valid is None else valid
        loss = mean_loss(self.learner, batches)
        if valid is not None:
            self.validation.append((self.step, loss))
            if loss < self.best:
                self.best, self.best_step, self.worse = loss, self.step, 0
                self.best_weights = {name: part.detach().clone() for name, part in self.learner.state_dict().items()}
            else:
                self.worse += 1
            self.tell()
        if self.reason is None and stop is not None:
            self.reason = stop.why(criteria_progress(self, loss, batches))
        if self.reason is None and self.options.patience is not None and self.worse >= self.options.patience:
            self.reason = f"no lower validation loss for {self.worse} evaluations"

    def tell(self) -> None:
        if self.listener is None:
            return
        validation = self.validation[-1][1] if self.validation else None
        epoch = None if self.setting.batches.fresh else self.epoch + 1
        seconds = time.monotonic() - self.began
        latest = self.losses[-1]
        self.listener(
            FitProgress(self.step, self.steps, latest, None, self.best, validation, self.step, epoch, seconds)
        )


def criteria_progress(training: _Training, loss: float, batches: list[Any]) -> Progress:
    """The progress that criteria to stop read; a generation is an epoch, or a step where there are none."""
    learner, objective = training.learner, training.setting.objective
    generation = training.step if training.setting.batches.fresh else training.epoch
    mse = loss if measures_error(objective) else None
    try:
        learned: float | None = learned_share(learner, batches)
    except UsageError:
        learned = None
    return Progress(generation, training.step, training.worse, -training.best, mse, learned)


def make_optimiser(learner: nn.Module, given: Any, learning_rate: float | None) -> torch.optim.Optimizer:
    """The optimiser: Adam when absent, a class that is given the weights, or one that is made already.

    Raises:
        UsageError: nothing is trainable, or the optimiser holds other weights than the network.
    """
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    if not weights:
        raise UsageError("the network has no weights to train", where="fit", need="weights with requires_grad")
    rate: dict[str, Any] = {} if learning_rate is None else {"lr": learning_rate}
    if given is None:
        return torch.optim.Adam(weights, lr=LEARNING_RATE if learning_rate is None else learning_rate)
    if isinstance(given, torch.optim.Optimizer):
        if rate:
            cure = "give it to the optimiser, or give the optimiser's class"
            raise UsageError("learning_rate came with an optimiser that has its own", where="fit", cure=cure)
        held = {id(weight) for group in given.param_groups for weight in group["params"]}
        missing = [
            name for name, weight in learner.named_parameters() if weight.requires_grad and id(weight) not in held
        ]
        if missing:
            raise UsageError(
                f"the optimiser does not hold {', '.join(missing[:3])}",
                where="fit",
                need="an optimiser of all trained weights of the network",
                cure="give the class, torch.optim.SGD say, or freeze the others with requires_grad_(False)",
            )
        return given
    make: Callable[..., Any] | None = given if callable(given) else None
    made = make(weights, **rate) if make is not None else None
    if not isinstance(made, torch.optim.Optimizer):
        raise UsageError(f"optimiser is {given!r}", where="fit", need="a torch optimiser, its class, or None for Adam")
    return made
