"""Pole balancing, or any plant of the same form, as an environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ShapeError, UsageError
from recurra.learn.reward.actions import Actions, ContinuousActions, DiscreteActions
from recurra.learn.reward.environment import Flags, Floats, Step, seeds_of_copies


class Plant(Protocol):
    """What is steered: a state (numbers, carts) that a force moves on, as in `recurra.problems.double_pole`."""

    def initial(self, carts: int) -> Floats: ...

    def force(self, output: Any) -> Floats: ...

    def advance(self, state: Any, force: Any) -> Floats: ...

    def upright(self, state: Any) -> Flags: ...

    def observe(self, state: Any, velocities: bool) -> Floats: ...


class PoleEnvironment:
    """Poles on a cart as an environment: a reward of 1 for each control step after which they still stand.

    Equations:
        the action is the output in [-1, 1] that the plant makes its force of; with discrete actions, 0 and 1 stand for
        -1 and 1. Each number of the first state is the plant's own plus noise, uniform in +-jitter.

    Args:
        plant: the physics, such as `SINGLE_POLE` or `DOUBLE_POLE` of `recurra.problems.double_pole`.
        copies: carts side by side.
        velocities: whether velocities are seen.
        limit: control steps after which an episode is cut off.
        discrete: whether the cart is pushed with the largest force to the left or to the right only.
        jitter: of the first state, in metres, radians and seconds.

    Shapes:
        as in `Environment`.

    Raises:
        UsageError: copies or limit is not positive, or jitter is negative.
        ShapeError: actions do not fit.

    Example:
        >>> from recurra.problems.double_pole import DOUBLE_POLE
        >>> env = PoleEnvironment(DOUBLE_POLE, copies=3)
        >>> env.reset(seed=0).shape
        (3, 3)
        >>> env.step(np.zeros((3, 1))).reward
        array([1., 1., 1.])
    """

    def __init__(
        self,
        plant: Plant,
        copies: int = 8,
        velocities: bool = False,
        limit: int = 1000,
        discrete: bool = False,
        jitter: float = 0.0,
    ) -> None:
        for name, value in (("copies", copies), ("limit", limit)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name} is {value!r}", where="PoleEnvironment", need="a positive whole number")
        if not jitter >= 0:
            raise UsageError(f"jitter is {jitter!r}", where="PoleEnvironment", need="a number, at least 0")
        self.plant, self._copies, self.velocities, self.limit, self.jitter = plant, copies, velocities, limit, jitter
        self._actions: Actions = DiscreteActions(2) if discrete else ContinuousActions((-1.0,), (1.0,))
        self._size = plant.observe(plant.initial(1), velocities).shape[0]
        self._randoms = [np.random.default_rng(copy) for copy in range(copies)]
        self._state, self._steps = plant.initial(copies), np.zeros(copies, np.int64)

    @property
    def copies(self) -> int:
        """Carts."""
        return self._copies

    @property
    def observation_size(self) -> int:
        """Numbers that the plant shows."""
        return self._size

    @property
    def actions(self) -> Actions:
        """One number from -1 to 1, or left and right."""
        return self._actions

    def reset(self, seed: int | Sequence[int] | None = None) -> Floats:
        """All carts at their start."""
        seeds = seeds_of_copies(seed, self._copies, "PoleEnvironment.reset")
        if seeds is not None:
            self._randoms = [np.random.default_rng(each) for each in seeds]
        self._state = self._first(np.arange(self._copies))
        self._steps = np.zeros(self._copies, np.int64)
        return self.plant.observe(self._state, self.velocities).T

    def step(self, actions: NDArray[Any]) -> Step:
        """One control step of every cart."""
        given = np.asarray(actions)
        discrete = isinstance(self._actions, DiscreteActions)
        need = (self._copies,) if discrete else (self._copies, 1)
        if given.shape != need:
            raise ShapeError(f"actions has shape {given.shape}", where="PoleEnvironment.step", need=f"{need}")
        output = 2.0 * given - 1.0 if discrete else np.clip(given[:, 0].astype(np.float64), -1.0, 1.0)
        state = self.plant.advance(self._state, self.plant.force(output))
        upright = self.plant.upright(state)
        self._steps = self._steps + 1
        truncated = upright & (self._steps >= self.limit)
        last = self.plant.observe(state, self.velocities).T
        over = np.flatnonzero(~upright | truncated)
        observation = last
        if len(over):
            state = state.copy()
            state[:, over] = self._first(over)
            self._steps[over] = 0
            observation = self.plant.observe(state, self.velocities).T
        self._state = state
        return Step(observation, upright.astype(np.float64), ~upright, truncated, last)

    def _first(self, which: NDArray[np.int64]) -> Floats:
        state = self.plant.initial(len(which))
        if self.jitter:
            noise = [self._randoms[copy].uniform(-self.jitter, self.jitter, state.shape[0]) for copy in which]
            state = state + np.stack(noise, 1)
        return state
