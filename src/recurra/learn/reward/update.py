"""What the policy-gradient methods share: the loop of acting and learning, and the step of the weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.reward.actions import Actions
from recurra.learn.reward.learner import RewardBatch, RewardLearner, StepLoss
from recurra.learn.reward.policy import Policy, PolicyOutput
from recurra.learn.reward.result import RewardProgress, RewardResult, recent_return, reporter
from recurra.learn.reward.rollout import Actor
from recurra.learn.rules import BPTT
from recurra.types import GradientRule

MakeOptimizer = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]


class Update:
    """A step of the weights: a gradient by the rule, bounded in its norm, and the optimiser.

    Args:
        policy: whose weights they are.
        loss: of each step.
        rule: how the gradient is obtained; BPTT when absent.
        optimizer: makes the optimiser from the weights; Adam when absent.
        learning_rate: of Adam.
        max_norm: the gradient's largest norm; None for any.
        where: for messages.
    """

    def __init__(
        self,
        policy: Policy,
        loss: StepLoss,
        rule: GradientRule | None,
        optimizer: MakeOptimizer | None,
        learning_rate: float,
        max_norm: float | None,
        where: str,
    ) -> None:
        self.learner, self.max_norm = RewardLearner(policy, loss), max_norm
        self.rule: Any = BPTT() if rule is None else rule
        if not hasattr(self.rule, "step") or not hasattr(self.rule, "supports"):
            given = f"rule is {rule!r}"
            raise UsageError(given, where=where, need="a gradient rule, such as BPTT() or TBPTT(64)")
        reason = self.rule.supports(self.learner)
        if reason:
            raise UsageError(f"{self.rule!r} cannot serve this policy: {reason}", where=where)
        self.weights = [weight for weight in policy.parameters() if weight.requires_grad]
        made = None if optimizer is None else optimizer(self.weights)
        # Adam's epsilon of 1e-5 is what the policy-gradient methods are usually run with.
        self.optimizer = torch.optim.Adam(self.weights, learning_rate, eps=1e-5) if made is None else made
        self._memory = self.rule.init(self.learner)

    def __call__(self, batch: RewardBatch) -> float:
        """One step; returns the loss before it."""
        self.optimizer.zero_grad()
        # Each batch is a stream of its own, as it begins with a state of its own.
        loss, self._memory = self.rule.step(self.learner, batch, self.rule.reset(self._memory))
        self._memory = self.rule.flush(self.learner, self._memory)
        if self.max_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.weights, self.max_norm)
        self.optimizer.step()
        return float(loss)


def look_again(policy: Policy, batch: RewardBatch) -> PolicyOutput:
    """What the policy says now of the steps of a batch, without a gradient."""
    found: list[PolicyOutput] = []

    def keep(actions: Actions, part: RewardBatch, output: PolicyOutput) -> Tensor:
        found.append(output)
        return torch.zeros_like(part.weight)

    with torch.no_grad():
        RewardLearner(policy, keep)(batch, 0, batch.steps, None)
    return found[0]


def entropy_and_divergence(policy: Policy, batch: RewardBatch) -> tuple[float, float]:
    """The mean entropy now, and an estimate of the divergence from the policy that drew the actions.

    The estimate is the mean of r - 1 - log r with r the ratio of probabilities, which is never negative.
    """
    output = look_again(policy, batch)
    log_ratio = policy.actions.log_probability(output.parameters, batch.action) - batch.log_probability
    count = batch.weight.sum()
    divergence = (batch.weight * (log_ratio.exp() - 1.0 - log_ratio)).sum() / count
    return float((batch.weight * policy.actions.entropy(output.parameters)).sum() / count), float(divergence)


def learn(
    policy: Policy,
    actor: Actor,
    round_of_learning: Callable[[], tuple[float, RewardBatch]],
    steps: int,
    goal: float | None,
    progress: Any,
    where: str,
) -> RewardResult:
    """Rounds of acting and learning until the steps are spent or the goal is reached.

    Args:
        policy, actor: who acts and where.
        round_of_learning: acts and updates the weights once; gives the loss and the steps it learned from.
        steps: in the environment, of all copies together; the round in which they are reached is finished.
        goal: mean return of the latest 100 episodes at which learning stops.
        progress: as in `reporter`.
        where: for messages.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise UsageError(f"steps is {steps!r}", where=where, need="a positive whole number of steps to take")
    report, history, started = reporter(progress, where), list[RewardProgress](), time.monotonic()
    reason, training = "", policy.training
    # Noise (dropout, zoneout) would make the policy that learns another one than the policy that acted.
    policy.eval()
    try:
        while not reason:
            loss, batch = round_of_learning()
            entropy, divergence = entropy_and_divergence(policy, batch)
            mean, count = recent_return(actor.episodes), len(actor.episodes)
            seconds = time.monotonic() - started
            history.append(RewardProgress(actor.steps, count, mean, loss, entropy, divergence, seconds))
            report(history[-1])
            if not math.isfinite(loss):
                reason = f"the loss is {loss}"
            elif goal is not None and count >= 100 and mean >= goal:
                reason = f"the mean return is {mean:.6g}"
            elif actor.steps >= steps:
                reason = f"{actor.steps} steps"
    finally:
        policy.train(training)
    return RewardResult(policy, history, list(actor.episodes), reason)


def check_number(name: str, value: Any, low: float, high: float, where: str, above: bool = False) -> float:
    """A number in a range, or a UsageError that names the argument."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or (above and value == low):
        least = f"above {low:g}" if above else f"from {low:g}"
        need = f"a number {least}" + (f" to {high:g}" if high < math.inf else "")
        raise UsageError(f"{name} is {value!r}", where=where, need=need)
    return float(value)


def check_count(name: str, value: Any, where: str) -> int:
    """A positive whole number, or a UsageError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} is {value!r}", where=where, need="a positive whole number")
    return value
