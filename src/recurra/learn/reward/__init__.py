"""Learning from reward: environments, policies with any cell, policy gradients, and searches on the same environments.

    env = PartialObservation(GymnasiumEnvironment("CartPole-v1", copies=8), hide=(1, 3))
    result = PPO().fit(Policy.for_environment("gru", env), env, rule=TBPTT(64), steps=100_000)

Names load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurra.learn.reward.actions import Actions, ContinuousActions, DiscreteActions
    from recurra.learn.reward.advantages import discounted_returns, generalised_advantages
    from recurra.learn.reward.environment import Environment, Step
    from recurra.learn.reward.episode_return import EpisodeFitness, EpisodeReturn
    from recurra.learn.reward.feed_forward import FeedForward
    from recurra.learn.reward.gymnasium_environment import GymnasiumEnvironment
    from recurra.learn.reward.partial_observation import PartialObservation
    from recurra.learn.reward.play import Played, play_episodes
    from recurra.learn.reward.pole_environment import PoleEnvironment
    from recurra.learn.reward.policy import Policy, PolicyOutput
    from recurra.learn.reward.ppo import PPO
    from recurra.learn.reward.reinforce import REINFORCE
    from recurra.learn.reward.result import RewardProgress, RewardResult
    from recurra.learn.reward.rollout import Actor, Episode, Rollout
    from recurra.learn.reward.scaling import ObservationScale, RewardScale

_WHERE = {
    "Actions": "actions",
    "Actor": "rollout",
    "ContinuousActions": "actions",
    "DiscreteActions": "actions",
    "Environment": "environment",
    "Episode": "rollout",
    "EpisodeFitness": "episode_return",
    "EpisodeReturn": "episode_return",
    "FeedForward": "feed_forward",
    "GymnasiumEnvironment": "gymnasium_environment",
    "ObservationScale": "scaling",
    "PPO": "ppo",
    "PartialObservation": "partial_observation",
    "Played": "play",
    "PoleEnvironment": "pole_environment",
    "Policy": "policy",
    "PolicyOutput": "policy",
    "REINFORCE": "reinforce",
    "RewardProgress": "result",
    "RewardResult": "result",
    "RewardScale": "scaling",
    "Rollout": "rollout",
    "Step": "environment",
    "discounted_returns": "advantages",
    "generalised_advantages": "advantages",
    "play_episodes": "play",
}

__all__ = [
    "Actions",
    "Actor",
    "ContinuousActions",
    "DiscreteActions",
    "Environment",
    "Episode",
    "EpisodeFitness",
    "EpisodeReturn",
    "FeedForward",
    "GymnasiumEnvironment",
    "ObservationScale",
    "PPO",
    "PartialObservation",
    "Played",
    "PoleEnvironment",
    "Policy",
    "PolicyOutput",
    "REINFORCE",
    "RewardProgress",
    "RewardResult",
    "RewardScale",
    "Rollout",
    "Step",
    "discounted_returns",
    "generalised_advantages",
    "play_episodes",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
