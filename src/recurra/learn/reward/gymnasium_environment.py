"""Environments of the package gymnasium."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import UsageError
from recurra.learn.reward.actions import Actions, ContinuousActions, DiscreteActions
from recurra.learn.reward.environment import Flags, Floats, Step, seeds_of_copies


class GymnasiumEnvironment:
    """Copies of a gymnasium environment, stepped one after another, or a vector environment of gymnasium's own.

    Args:
        source: the name of a registered environment, a function that makes one, or a vector environment whose mode of
            reset is SAME_STEP (the only one in which no step is lost between episodes).
        copies: how many; of a vector environment its own number.
        options: further arguments of `gymnasium.make`, where source is a name.

    Shapes:
        as in `Environment`; observations of several dimensions are laid out flat.

    Raises:
        UsageError: gymnasium is not installed, the observations are not a box of numbers, the actions are neither
            discrete nor a box, or a vector environment resets in another way.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("gymnasium")
        >>> env = GymnasiumEnvironment("CartPole-v1", copies=2)
        >>> env.reset(seed=0).shape, env.actions
        ((2, 4), DiscreteActions(count=2))
        >>> env.step(np.array([0, 1])).reward
        array([1., 1.])
    """

    def __init__(self, source: str | Callable[[], Any] | Any, copies: int | None = None, **options: Any) -> None:
        gymnasium = _load_gymnasium()
        self._vector = source if isinstance(source, gymnasium.vector.VectorEnv) else None
        if self._vector is not None:
            observed, acted = self._vector.single_observation_space, self._vector.single_action_space
            self._check_vector(gymnasium, copies, options)
            self._copies, self._envs = int(self._vector.num_envs), []
        else:
            self._copies = 8 if copies is None else copies
            if isinstance(self._copies, bool) or not isinstance(self._copies, int) or self._copies < 1:
                raise UsageError(f"copies is {copies!r}", where="GymnasiumEnvironment", need="a positive whole number")
            self._envs = [self._make(gymnasium, source, options) for _ in range(self._copies)]
            observed, acted = self._envs[0].observation_space, self._envs[0].action_space
        spaces = gymnasium.spaces
        if not isinstance(observed, spaces.Box):
            raise UsageError(
                f"the observations are {observed}",
                where="GymnasiumEnvironment",
                need="a Box of numbers",
                cure="gymnasium.wrappers.FlattenObservation makes one of most spaces",
            )
        self._size = int(np.prod(observed.shape))
        self._shape, self._start = acted.shape, 0
        self._resting, self._seen = np.zeros(self._copies, bool), list[Any]()
        if isinstance(acted, spaces.Discrete):
            self._actions: Actions = DiscreteActions(int(acted.n))
            self._start = int(acted.start)
        elif isinstance(acted, spaces.Box) and np.issubdtype(acted.dtype, np.floating):
            self._actions = ContinuousActions(acted.low.reshape(-1).tolist(), acted.high.reshape(-1).tolist())
        else:
            raise UsageError(
                f"the actions are {acted}", where="GymnasiumEnvironment", need="a Discrete space or a Box of numbers"
            )

    @staticmethod
    def _make(gymnasium: Any, source: Any, options: dict[str, Any]) -> Any:
        if callable(source):
            return source()
        if not isinstance(source, str):
            need = "the name of an environment, a function that makes one, or a vector environment"
            given = f"source is {type(source).__name__}"
            raise UsageError(given, where="GymnasiumEnvironment", need=need, cure="lambda: env, say, with copies=1")
        try:
            return gymnasium.make(source, **{"disable_env_checker": True, **options})
        except gymnasium.error.Error as error:
            need = "a name that gymnasium.make knows"
            raise UsageError(f"source is {source!r}: {error}", where="GymnasiumEnvironment", need=need) from error

    def _check_vector(self, gymnasium: Any, copies: int | None, options: dict[str, Any]) -> None:
        assert self._vector is not None
        mode = self._vector.metadata.get("autoreset_mode")
        if mode != gymnasium.vector.AutoresetMode.SAME_STEP:
            raise UsageError(
                f"the vector environment's mode of reset is {mode}",
                where="GymnasiumEnvironment",
                need="AutoresetMode.SAME_STEP",
                cure="gymnasium.make_vec(name, num_envs, vectorization_mode='sync', "
                "vector_kwargs={'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP})",
            )
        if options or copies not in (None, self._vector.num_envs):
            given = f"copies is {copies} and there are {len(options)} options"
            need = f"neither with a vector environment, which has {self._vector.num_envs} copies of its own"
            raise UsageError(given, where="GymnasiumEnvironment", need=need)

    @property
    def copies(self) -> int:
        """Environments side by side."""
        return self._copies

    @property
    def observation_size(self) -> int:
        """Numbers of an observation."""
        return self._size

    @property
    def actions(self) -> Actions:
        """Those of the action space."""
        return self._actions

    def reset(self, seed: int | Sequence[int] | None = None) -> Floats:
        """The first observations."""
        seeds = seeds_of_copies(seed, self._copies, "GymnasiumEnvironment.reset")
        self._resting = np.zeros(self._copies, bool)
        if self._vector is not None:
            return self._flat(self._vector.reset(seed=seeds)[0])
        each = [None] * self._copies if seeds is None else seeds
        self._seen = [env.reset(seed=own)[0] for env, own in zip(self._envs, each, strict=True)]
        return self._flat(self._seen)

    def rest(self, which: Flags) -> None:
        """Copies that are not stepped until the next reset, (copies,): they stand still, and cost no time."""
        self._resting = np.asarray(which, bool) if self._vector is None else self._resting

    def step(self, actions: NDArray[Any]) -> Step:
        """A step of every copy; one whose episode ends begins the next at once."""
        given = np.asarray(actions)
        given = given + self._start if given.dtype.kind == "i" else given.reshape(self._copies, *self._shape)
        if self._vector is not None:
            return self._step_vector(given)
        seen, last, reward, ended = [], [], np.zeros(self._copies), np.zeros((2, self._copies), bool)
        for copy, env in enumerate(self._envs):
            if self._resting[copy]:
                seen.append(self._seen[copy])
                last.append(self._seen[copy])
                continue
            observation, reward[copy], ended[0, copy], ended[1, copy], _ = env.step(given[copy])
            last.append(observation)
            seen.append(env.reset()[0] if ended[:, copy].any() else observation)
        self._seen = seen
        # An episode that ended of its own in the very step of its limit has ended of its own.
        return Step(self._flat(seen), reward, ended[0], ended[1] & ~ended[0], self._flat(last))

    def _step_vector(self, given: NDArray[Any]) -> Step:
        assert self._vector is not None
        seen, reward, terminated, truncated, facts = self._vector.step(given)
        observation = self._flat(seen).copy()
        last = observation.copy()
        for copy in np.flatnonzero(terminated | truncated):
            last[copy] = np.asarray(facts["final_obs"][copy]).reshape(-1)
        return Step(observation, np.asarray(reward, np.float64), terminated, truncated & ~terminated, last)

    def close(self) -> None:
        """Give back what the environments hold."""
        for env in [self._vector] if self._vector is not None else self._envs:
            env.close()

    def _flat(self, observations: Any) -> Floats:
        return np.asarray(observations).reshape(self._copies, -1)


def _load_gymnasium() -> Any:
    try:
        return importlib.import_module("gymnasium")
    except ImportError as error:
        raise UsageError(
            "the package gymnasium is not installed",
            where="GymnasiumEnvironment",
            need="gymnasium, which holds the environments",
            cure="pip install 'recurra[control]', or pip install gymnasium",
        ) from error
