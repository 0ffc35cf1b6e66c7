"""What an environment is: copies of one world that take an action each, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ShapeError, UsageError
from recurra.learn.reward.actions import Actions

Floats = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]


class Step(NamedTuple):
    """What a step of all copies gives.

    Attributes:
        observation: what each copy sees next, (copies, observation_size); where an episode has just ended, the first
            observation of the next one.
        reward: (copies,).
        terminated: whether the episode has come to an end of its own, after which no reward can follow, (copies,).
        truncated: whether it was cut off (a limit of steps, say), though it could have gone on, (copies,).
        last: the observation in which the step itself ended, (copies, observation_size); the same as `observation`
            but where an episode has just ended.
    """

    observation: Floats
    reward: Floats
    terminated: Flags
    truncated: Flags
    last: Floats


class Environment(Protocol):
    """Copies of one world, side by side: `observation = reset(seed)`, then `step(actions)` again and again.

    A copy whose episode has ended begins the next one within the same step, so that no copy ever waits.

    Attributes:
        copies: how many there are.
        observation_size: numbers that each copy shows.
        actions: what may be done: `DiscreteActions` or `ContinuousActions`.

    An environment may have a method `rest(which)` too: copies that need not be stepped until the next reset.

    Shapes:
        `reset` gives (copies, observation_size) and takes one seed, of which each copy's own is made, one seed a copy,
        or None to go on with the random numbers there are; `step` takes (copies,) whole numbers where actions are
        discrete, else (copies, size) numbers, and gives a `Step`.
    """

    @property
    def copies(self) -> int: ...

    @property
    def observation_size(self) -> int: ...

    @property
    def actions(self) -> Actions: ...

    def reset(self, seed: int | Sequence[int] | None = None) -> Floats: ...

    def step(self, actions: NDArray[Any]) -> Step: ...


def seeds_of_copies(seed: int | Sequence[int] | None, copies: int, where: str) -> list[int] | None:
    """One seed a copy: those given, or seed, seed + 1, ... from a single one."""
    if seed is None:
        return None
    if isinstance(seed, int | np.integer):
        return [int(seed) + copy for copy in range(copies)]
    found = [int(each) for each in seed]
    if len(found) != copies:
        raise ShapeError(f"{len(found)} seeds were given", where=where, need=f"{copies}, one for each copy, or one")
    return found


def check_environment(env: Any, where: str) -> Environment:
    """The environment, or a UsageError that says what it lacks."""
    names = ("copies", "observation_size", "actions", "reset", "step")
    missing = [name for name in names if not hasattr(env, name)]
    if missing:
        raise UsageError(
            f"env is {type(env).__name__}, which has no {missing[0]}",
            where=where,
            need="an environment with " + ", ".join(names),
            cure="GymnasiumEnvironment('CartPole-v1', copies=8) makes one of a gymnasium environment",
        )
    return env
