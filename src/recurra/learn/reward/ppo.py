"""PPO: proximal policy optimisation, on whole sequences of a recurrent policy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.reward.actions import Actions
from recurra.learn.reward.advantages import generalised_advantages
from recurra.learn.reward.environment import Environment, check_environment
from recurra.learn.reward.learner import RewardBatch
from recurra.learn.reward.policy import Policy, PolicyOutput, policy_of
from recurra.learn.reward.result import RewardResult
from recurra.learn.reward.rollout import Actor, Rollout
from recurra.learn.reward.scaling import RewardScale
from recurra.learn.reward.update import (
    MakeOptimizer,
    Update,
    check_count,
    check_number,
    entropy_and_divergence,
    learn,
)
from recurra.types import GradientRule


class PPO:
    """Proximal policy optimisation: several steps of the weights on the same experience, bounded by clipped ratios.

    Equations, with r_t = p(a_t) / p_old(a_t) and A_t the generalised advantage:
        L = mean over steps of -min(r_t A_t, clip(r_t, 1 - clip, 1 + clip) A_t) + value_weight v_t / 2
            - entropy_weight H_t,
        v_t = (V_t - G_t)^2 with G_t = A_t + V_old, or with value_clip c
        max((V_t - G_t)^2, (V_old + clip(V_t - V_old, -c, c) - G_t)^2).

    Each round takes `window` steps with every copy of the environment; then, `epochs` times, the copies are dealt out
    to `minibatches` groups, and each group is one batch of whole sequences. A sequence begins with the state that
    acting began the window with, and the state begins anew with each episode inside (so it is cut at the window's
    start, and at the ends of a rule's segments where the rule cuts, as TBPTT(64) does).

    Args:
        window: steps of each copy a round.
        epochs: how often the experience of a round is gone through.
        minibatches: groups of copies an epoch, at most as many as copies.
        discount, gae_lambda: of the advantages.
        clip: of the ratio.
        value_clip: bound of the value's change; none when absent.
        value_weight: of the value's error.
        entropy_weight: of the entropy.
        learning_rate: of Adam.
        anneal: whether the learning rate falls to 0 in a straight line over the steps asked for.
        max_norm: the gradient's largest norm; None for any.
        normalise_advantages: whether a batch's advantages are brought to mean 0 and standard deviation 1.
        normalise_observations: whether the policy's `scale` follows what is seen.
        normalise_rewards: whether rewards are divided by the standard deviation of the discounted return.
        target_divergence: a round's epochs end once the policy is this far from that which acted, in nats.

    Raises:
        UsageError: an argument is out of range, or the policy does not fit the environment.

    Differs from the paper: it clips no values and scales nothing; these options are as in its authors' program.
    Observations are scaled by what was seen before the round, so that the ratio is 1 before the round's first step.
    The state at a window's start is that of the weights that acted, also in later epochs. An episode that is cut off
    is no end: its last observation's value is counted.

    Reference:
        J. Schulman, F. Wolski, P. Dhariwal, A. Radford, O. Klimov. Proximal policy optimization algorithms. arXiv
        1707.06347 (2017).

    Example:
        >>> from recurra.learn.reward import Policy, PoleEnvironment
        >>> from recurra.problems.double_pole import SINGLE_POLE
        >>> env = PoleEnvironment(SINGLE_POLE, copies=4, discrete=True)
        >>> _ = torch.manual_seed(0)
        >>> policy = Policy.for_environment("gru", env, 4)
        >>> result = PPO(window=16, epochs=2, minibatches=2).fit(policy, env, steps=128, seed=0)
        >>> result.steps, len(result.history), result.stopped_because
        (128, 2, '128 steps')
    """

    def __init__(
        self,
        *,
        window: int = 128,
        epochs: int = 4,
        minibatches: int = 4,
        discount: float = 0.99,
        gae_lambda: float = 0.95,
        clip: float = 0.2,
        value_clip: float | None = None,
        value_weight: float = 0.5,
        entropy_weight: float = 0.0,
        learning_rate: float = 1e-3,
        anneal: bool = False,
        max_norm: float | None = 0.5,
        normalise_advantages: bool = True,
        normalise_observations: bool = False,
        normalise_rewards: bool = False,
        target_divergence: float | None = None,
    ) -> None:
        where, infinite = "PPO", math.inf
        self.window = check_count("window", window, where)
        self.epochs = check_count("epochs", epochs, where)
        self.minibatches = check_count("minibatches", minibatches, where)
        self.discount = check_number("discount", discount, 0.0, 1.0, where)
        self.gae_lambda = check_number("gae_lambda", gae_lambda, 0.0, 1.0, where)
        self.clip = check_number("clip", clip, 0.0, infinite, where, above=True)
        self.value_clip = (
            None if value_clip is None else check_number("value_clip", value_clip, 0, infinite, where, True)
        )
        self.value_weight = check_number("value_weight", value_weight, 0.0, infinite, where)
        self.entropy_weight = check_number("entropy_weight", entropy_weight, 0.0, infinite, where)
        self.learning_rate = check_number("learning_rate", learning_rate, 0.0, infinite, where, above=True)
        self.max_norm = None if max_norm is None else check_number("max_norm", max_norm, 0.0, infinite, where, True)
        self.anneal, self.normalise_advantages = bool(anneal), bool(normalise_advantages)
        self.normalise_observations, self.normalise_rewards = bool(normalise_observations), bool(normalise_rewards)
        self.target_divergence = target_divergence
        if target_divergence is not None:
            check_number("target_divergence", target_divergence, 0.0, infinite, where, above=True)

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
            net: a `Policy` with values, or a layer or cell, of which one is made.
            env: where to learn.
            rule: how gradients are obtained: BPTT() over the window when absent, TBPTT(64) to cut sequences.
            steps: in the environment, of all copies together; the last round is finished.
            seed: of the environment, the actions and the minibatches.
            goal: mean return of the latest 100 episodes at which to stop.
            optimizer: makes the optimiser from a list of weights; Adam when absent.
            progress: True for lines on standard error, or a function that is given a `RewardProgress` every round.
        """
        check_environment(env, "PPO")
        policy = policy_of(net, env, "PPO")
        if policy.read_value is None:
            need = "a policy with values: value='shared' or 'own'"
            raise UsageError("the policy has value='none'", where="PPO", need=need)
        if self.minibatches > env.copies:
            need = f"at most {env.copies}, as the environment has copies: a minibatch is made of whole sequences"
            raise UsageError(f"minibatches is {self.minibatches}", where="PPO", need=need)
        update = Update(policy, self.loss, rule, optimizer, self.learning_rate, self.max_norm, "PPO")
        actor, chance = Actor(policy, env, seed), torch.Generator().manual_seed(seed)
        scale = RewardScale(env.copies, self.discount) if self.normalise_rewards else None
        rates = [group["lr"] for group in update.optimizer.param_groups]

        def act_and_learn() -> tuple[float, RewardBatch]:
            if self.anneal:
                for group, rate in zip(update.optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * max(0.0, 1.0 - actor.steps / steps)
            rollout = actor.act(self.window)
            if scale is not None:
                scale.update(rollout.reward, rollout.end)
            batch = self.batch(rollout, 1.0 if scale is None else scale.factor)
            loss = self._epochs(policy, update, batch, chance)
            if self.normalise_observations:
                policy.scale.update(rollout.observation)
            return loss, batch

        return learn(policy, actor, act_and_learn, steps, goal, progress, "PPO")

    fit_reward = fit

    def batch(self, rollout: Rollout, reward_factor: float = 1.0) -> RewardBatch:
        """The steps of a window with their advantages."""
        reward, value = rollout.reward * reward_factor, rollout.value
        advantage = generalised_advantages(
            reward, value, rollout.next_value, rollout.end, self.discount, self.gae_lambda
        )
        return RewardBatch(
            rollout.observation,
            rollout.action,
            rollout.log_probability,
            value,
            advantage,
            advantage + value,
            torch.ones_like(reward),
            rollout.reset,
            torch.tensor(float(reward.numel())),
            rollout.first_state,
        )

    def _epochs(self, policy: Policy, update: Update, batch: RewardBatch, chance: torch.Generator) -> float:
        """Go through a round's experience; the mean loss of the first epoch."""
        losses: list[float] = []
        for epoch in range(self.epochs):
            order = torch.randperm(batch.size, generator=chance)
            for group in order.tensor_split(self.minibatches):
                part = batch.sequences(group)
                if self.normalise_advantages:
                    part = self._normalised(part)
                loss = update(part)
                if epoch == 0:
                    losses.append(loss)
            if self.target_divergence is not None and epoch + 1 < self.epochs:
                if entropy_and_divergence(policy, batch)[1] > self.target_divergence:
                    break
        return sum(losses) / len(losses)

    @staticmethod
    def _normalised(batch: RewardBatch) -> RewardBatch:
        advantage = batch.advantage
        deviation = advantage.std(unbiased=False) + 1e-8
        return replace(batch, advantage=(advantage - advantage.mean()) / deviation)

    def loss(self, actions: Actions, batch: RewardBatch, output: PolicyOutput) -> Tensor:
        """Of each step, (time, batch)."""
        ratio = torch.exp(actions.log_probability(output.parameters, batch.action) - batch.log_probability)
        bounded = ratio.clamp(1.0 - self.clip, 1.0 + self.clip)
        loss = -torch.minimum(ratio * batch.advantage, bounded * batch.advantage)
        error = (output.value - batch.target).square()
        if self.value_clip is not None:
            near = batch.value + (output.value - batch.value).clamp(-self.value_clip, self.value_clip)
            error = torch.maximum(error, (near - batch.target).square())
        loss = loss + 0.5 * self.value_weight * error
        if self.entropy_weight:
            loss = loss - self.entropy_weight * actions.entropy(output.parameters)
        return loss
