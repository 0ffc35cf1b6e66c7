"""REINFORCE: the policy gradient from whole episodes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.reward.actions import Actions
from recurra.learn.reward.advantages import discounted_returns
from recurra.learn.reward.environment import Environment, check_environment
from recurra.learn.reward.learner import RewardBatch
from recurra.learn.reward.policy import PolicyOutput, policy_of
from recurra.learn.reward.result import RewardResult
from recurra.learn.reward.rollout import Actor, Rollout
from recurra.learn.reward.update import MakeOptimizer, Update, check_count, check_number, learn
from recurra.types import GradientRule

BASELINES = ("value", "mean", "none")


class REINFORCE:
    """The gradient of the expected return, from the returns of whole episodes.

    Equations:
        L = -1/N sum over episodes and their steps of log p(a_t | o_1 .. o_t) (G_t - b_t) + H and value terms,
        G_t = sum_{k >= t} discount^(k - t) r_k,
        b_t = V_t ("value"; fitted by value_weight / 2 (V_t - G_t)^2), the mean G_t of the other copies' episodes at
        the same step ("mean"), or 0 ("none"). The entropy of the actions, times entropy_weight, is taken off.

    Each round plays one episode with every copy of the environment, N in all, and takes one step of the weights. With
    "mean" and "none" the gradient is unbiased for the sum of the discounted returns from each step; so is it with
    "value" but for episodes that were cut off, whose last value is counted in G.

    Args:
        discount: 0 to 1.
        baseline: "value", "mean" or "none".
        value_weight: of the value's error.
        entropy_weight: of the entropy.
        learning_rate: of Adam.
        max_norm: the gradient's largest norm; None for any.
        limit: steps after which a round is over even if episodes have not ended; what they had so far is learned from.

    Raises:
        UsageError: an argument is out of range, or the policy does not fit the environment or the baseline.

    Differs from the paper: weights change once a round instead of once an episode, by Adam; gradients are discounted
    by discount^(k - t) but not by discount^t, as is usual.

    Reference:
        R. J. Williams. Simple statistical gradient-following algorithms for connectionist reinforcement learning.
        Machine Learning 8 (1992) 229-256; for recurrent policies D. Wierstra, A. Foerster, J. Peters, J. Schmidhuber.
        Recurrent policy gradients. Logic Journal of the IGPL 18 (2010) 620-634.

    Example:
        >>> from recurra.learn.reward import Policy, PoleEnvironment
        >>> from recurra.problems.double_pole import SINGLE_POLE
        >>> env = PoleEnvironment(SINGLE_POLE, copies=4, discrete=True)
        >>> _ = torch.manual_seed(0)
        >>> result = REINFORCE(limit=50).fit(Policy.for_environment("gru", env, 4), env, steps=200, seed=0)
        >>> result.steps >= 200, len(result.history) >= 1
        (True, True)
    """

    def __init__(
        self,
        *,
        discount: float = 0.99,
        baseline: str = "value",
        value_weight: float = 0.5,
        entropy_weight: float = 0.0,
        learning_rate: float = 1e-3,
        max_norm: float | None = 1.0,
        limit: int = 1000,
    ) -> None:
        where = "REINFORCE"
        self.discount = check_number("discount", discount, 0.0, 1.0, where)
        if baseline not in BASELINES:
            raise UsageError(f"baseline is {baseline!r}", where=where, need="'value', 'mean' or 'none'")
        self.baseline = baseline
        self.value_weight = check_number("value_weight", value_weight, 0.0, math.inf, where)
        self.entropy_weight = check_number("entropy_weight", entropy_weight, 0.0, math.inf, where)
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, math.inf, where, above=True)
        self.max_norm = None if max_norm is None else check_number("max_norm", max_norm, 0.0, math.inf, where, True)
        self.limit = check_count("limit", limit, where)

    def fit(
        self,
        net: nn.Module,
        env: Environment,
        *,
        rule: GradientRule | None = None,
        steps: int = 100_000,
        seed: int = 0,
        goal: float | None = None,
        optimizer: MakeOptimizer | None = None,
        progress: Any = None,
    ) -> RewardResult:
        """Learn in the environment.

        Args:
            net: a `Policy`, or a layer or cell, of which one is made.
            env: where to learn.
            rule: how gradients are obtained: BPTT() when absent, TBPTT(64) to cut sequences.
            steps: in the environment, of all copies together; the last round is finished.
            seed: of the environment and the actions.
            goal: mean return of the latest 100 episodes at which to stop.
            optimizer: makes the optimiser from a list of weights; Adam when absent.
            progress: True for lines on standard error, or a function that is given a `RewardProgress` every round.
        """
        check_environment(env, "REINFORCE")
        policy = policy_of(net, env, "REINFORCE", "shared" if self.baseline == "value" else "none")
        if self.baseline == "value" and policy.read_value is None:
            need = "a policy with values, or another baseline"
            raise UsageError("the policy has value='none'", where="REINFORCE, baseline 'value'", need=need)
        update = Update(policy, self.loss, rule, optimizer, self.learning_rate, self.max_norm, "REINFORCE")
        actor = Actor(policy, env, seed)

        def play_and_learn() -> tuple[float, RewardBatch]:
            if actor.steps:
                actor.restart()
            batch = self.batch(actor.act(self.limit, until_all_ended=True))
            return update(batch), batch

        return learn(policy, actor, play_and_learn, steps, goal, progress, "REINFORCE")

    fit_reward = fit

    def batch(self, rollout: Rollout) -> RewardBatch:
        """The first episode of each copy, with its returns and what they are compared with."""
        over = rollout.end.to(rollout.reward.dtype).cumsum(0) - rollout.end.to(rollout.reward.dtype)
        weight = (over == 0).to(rollout.reward.dtype)
        counted = rollout.next_value if self.baseline == "value" else torch.zeros_like(rollout.next_value)
        returns = discounted_returns(rollout.reward, counted, rollout.end, self.discount)
        return RewardBatch(
            rollout.observation,
            rollout.action,
            rollout.log_probability,
            rollout.value,
            returns - self._expected(rollout.value, returns, weight),
            returns,
            weight,
            rollout.reset,
            torch.tensor(float(weight.shape[1])),
            rollout.first_state,
        )

    def _expected(self, value: Tensor, returns: Tensor, weight: Tensor) -> Tensor:
        if self.baseline == "value":
            return value
        if self.baseline == "none":
            return torch.zeros_like(returns)
        # An episode's own return would tie the baseline to its own actions and bias the gradient.
        others = weight.sum(1, keepdim=True) - weight
        total = (weight * returns).sum(1, keepdim=True) - weight * returns
        return torch.where(others > 0, total / others.clamp(min=1.0), 0.0)

    def loss(self, actions: Actions, batch: RewardBatch, output: PolicyOutput) -> Tensor:
        """Of each step, (time, batch)."""
        loss = -batch.advantage * actions.log_probability(output.parameters, batch.action)
        if self.entropy_weight:
            loss = loss - self.entropy_weight * actions.entropy(output.parameters)
        if self.baseline == "value":
            loss = loss + 0.5 * self.value_weight * (output.value - batch.target).square()
        return loss
