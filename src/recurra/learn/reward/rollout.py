"""Acting in an environment, and what is kept of it to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.learn.reward.environment import Environment
from recurra.learn.reward.policy import Policy
from recurra.types import State


class Episode(NamedTuple):
    """An episode that has ended.

    Attributes:
        at: steps taken by all copies together up to its end.
        total: the sum of its rewards.
        length: its steps.
    """

    at: int
    total: float
    length: int


@dataclass(frozen=True)
class Rollout:
    """What copies of an environment went through, step by step; all (time, copies) unless said otherwise.

    Attributes:
        observation: what was seen, (time, copies, features).
        action: what was done, (time, copies) or (time, copies, size).
        log_probability: of the action, when it was drawn.
        value: expected of the step, when it was taken.
        next_value: expected of where the step led: 0 where the episode terminated there; where it was cut off, the
            value of its last observation, never that of the next episode's first one.
        reward: of the step.
        end: whether the episode ended with the step, in either way.
        reset: whether an episode began with the step.
        first_state: the policy's state before the first step; None where all copies began there.
    """

    observation: Tensor
    action: Tensor
    log_probability: Tensor
    value: Tensor
    next_value: Tensor
    reward: Tensor
    end: Tensor
    reset: Tensor
    first_state: State | None


class Actor:
    """A policy in an environment; it stays where it is between calls of `act`.

    The policy's state goes on from step to step and begins anew with each episode, and is kept with the steps, so that
    learning can begin where acting began.

    Args:
        policy: who acts; its noise (dropout, zoneout) rests meanwhile.
        env: where.
        seed: of the first episodes and of the actions.

    Attributes:
        steps: taken so far by all copies together.
        episodes: those that have ended.
    """

    def __init__(self, policy: Policy, env: Environment, seed: int = 0) -> None:
        self.policy, self.env = policy, env
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = 0
        self.episodes: list[Episode] = []
        self.restart(seed)

    def restart(self, seed: int | None = None) -> None:
        """Begin new episodes in all copies."""
        self._seen = self._tensor(self.env.reset(seed))
        self._state: State | None = None
        self._fresh = torch.ones(self.env.copies, dtype=torch.bool)
        self._totals = torch.zeros(self.env.copies, dtype=torch.float64)
        self._lengths = torch.zeros(self.env.copies, dtype=torch.long)

    def act(self, steps: int, until_all_ended: bool = False) -> Rollout:
        """Take so many steps with each copy; with `until_all_ended` fewer, once each copy has ended an episode."""
        first_state, before = self._state, self._fresh
        kept: list[tuple[Tensor, ...]] = []
        ended = torch.zeros(self.env.copies, dtype=torch.bool)
        led_to: list[Tensor | None] = []
        with torch.no_grad():
            for _ in range(steps):
                output, self._state = self._look(self._seen, self._fresh)
                parameters, value = output.parameters[0], output.value[0]
                action = self.policy.actions.sample(parameters.cpu(), self.generator)
                chance = self.policy.actions.log_probability(parameters.cpu(), action)
                step = self.env.step(self.policy.actions.to_environment(action))
                reward = torch.as_tensor(step.reward, dtype=torch.float64)
                terminated, truncated = torch.as_tensor(step.terminated), torch.as_tensor(step.truncated)
                end = terminated | truncated
                # The state goes on to the last observation of an episode that was cut off, and is dropped only then.
                beyond = self._look(self._tensor(step.last), None)[0].value[0].cpu() if bool(truncated.any()) else None
                led_to.append(None if beyond is None else torch.where(truncated, beyond, 0.0))
                kept.append((self._seen, action, chance, value.cpu(), reward, end, self._fresh))
                self._count(reward, end)
                self._seen, self._fresh = self._tensor(step.observation), end
                ended = ended | end
                if until_all_ended and bool(ended.all()):
                    break
            # Where an episode has just ended this value is that of another one, and is not used.
            after = self._look(self._seen, None)[0].value[0].cpu()
        seen, action, chance, value, reward, end, fresh = (torch.stack(part) for part in zip(*kept, strict=True))
        follows = torch.cat([value[1:], after.unsqueeze(0)])
        cut = torch.stack([torch.zeros_like(after) if each is None else each for each in led_to])
        next_value = torch.where(end, cut, follows)
        state = None if bool(before.all()) else first_state
        return Rollout(seen, action, chance, value, next_value, reward.to(value.dtype), end, fresh, state)

    def _look(self, seen: Tensor, fresh: Tensor | None) -> tuple[Any, State]:
        flags = fresh.unsqueeze(0).to(seen.device) if fresh is not None and bool(fresh.any()) else None
        return self.policy(seen.unsqueeze(0), self._state, reset=None if self._state is None else flags)

    def _count(self, reward: Tensor, end: Tensor) -> None:
        self.steps += len(reward)
        self._totals, self._lengths = self._totals + reward, self._lengths + 1
        for copy in end.nonzero().flatten().tolist():
            self.episodes.append(Episode(self.steps, float(self._totals[copy]), int(self._lengths[copy])))
        self._totals, self._lengths = torch.where(end, 0.0, self._totals), torch.where(end, 0, self._lengths)

    def _tensor(self, seen: Any) -> Tensor:
        weight = self.policy.read_out.weight
        return torch.as_tensor(seen).to(weight.device, weight.dtype)
