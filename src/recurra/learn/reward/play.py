"""Whole episodes of a policy that no longer learns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recurra.learn.reward.environment import Environment, check_environment
from recurra.learn.reward.policy import Policy, policy_of
from recurra.learn.reward.update import check_count


class Played(NamedTuple):
    """Episodes that were played.

    Attributes:
        returns: sums of rewards, (episodes,) float64.
        lengths: steps, (episodes,).
    """

    returns: Tensor
    lengths: Tensor


def play_episodes(
    policy: Policy, env: Environment, episodes: int = 10, *, seed: int = 0, sample: bool = False, limit: int = 10_000
) -> Played:
    """Play episodes and give their returns; the environment is begun anew for it.

    Args:
        policy: who acts.
        env: where. With c copies, each plays episodes / c of them, rounded up, one after another.
        episodes: how many.
        seed: of the environment and the actions.
        sample: whether actions are drawn as in learning; else the most probable one (or the mean) is taken.
        limit: steps of a copy after which the episodes that still run count as they are.

    Raises:
        UsageError: an argument is out of range, or the policy does not fit the environment.

    Example:
        >>> from recurra.learn.reward import Policy, PoleEnvironment
        >>> from recurra.problems.double_pole import SINGLE_POLE
        >>> env = PoleEnvironment(SINGLE_POLE, copies=2, limit=5)
        >>> play_episodes(Policy.for_environment("gru", env, 4), env, 4).lengths
        tensor([5, 5, 5, 5])
    """
    check_environment(env, "play_episodes")
    check_count("episodes", episodes, "play_episodes")
    policy_of(policy, env, "play_episodes")
    # As many of each copy: taking whichever end first would prefer short episodes.
    each = -(-episodes // env.copies)
    generator = torch.Generator().manual_seed(seed)
    returns, lengths = torch.zeros(each, env.copies, dtype=torch.float64), torch.zeros(each, env.copies).long()
    at, copies = torch.zeros(env.copies, dtype=torch.long), torch.arange(env.copies)
    like, training = policy.read_out.weight, policy.training
    policy.eval()
    with torch.no_grad():
        seen, state = torch.as_tensor(env.reset(seed)), None
        fresh = torch.zeros(env.copies, dtype=torch.bool)
        for _ in range(limit):
            flags = fresh.unsqueeze(0).to(like.device) if bool(fresh.any()) else None
            output, state = policy(seen.to(like).unsqueeze(0), state, reset=flags)
            parameters = output.parameters[0].cpu()
            action = policy.actions.sample(parameters, generator) if sample else policy.actions.best(parameters)
            step = env.step(policy.actions.to_environment(action))
            going = at < each
            place = at.clamp(max=each - 1)
            returns[place, copies] += torch.where(going, torch.as_tensor(step.reward, dtype=torch.float64), 0.0)
            lengths[place, copies] += going.long()
            fresh = torch.as_tensor(step.terminated) | torch.as_tensor(step.truncated)
            at = at + fresh.long()
            seen = torch.as_tensor(step.observation)
            if bool((at >= each).all()):
                break
    policy.train(training)
    return Played(returns.flatten()[:episodes], lengths.flatten()[:episodes])
