"""An environment of which only some of the numbers are seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from recurra.errors import UsageError
from recurra.learn.reward.actions import Actions
from recurra.learn.reward.environment import Environment, Flags, Floats, Step, check_environment


class PartialObservation:
    """An environment with some numbers of its observation taken away: velocities, say, which a memory can make good.

    Args:
        env: the whole environment.
        hide: positions of the numbers that are not seen.

    Shapes:
        as in `Environment`, with observation_size smaller by the numbers hidden; the others keep their order.

    Attributes:
        kept: positions of the numbers that are seen.

    Raises:
        UsageError: a position is not one of the observation's, stands twice, or nothing is left.

    Example:
        >>> from recurra.learn.reward import PoleEnvironment
        >>> from recurra.problems.double_pole import SINGLE_POLE
        >>> whole = PoleEnvironment(SINGLE_POLE, copies=2, velocities=True)
        >>> PartialObservation(whole, hide=(2, 3)).reset(seed=0).shape
        (2, 2)
    """

    def __init__(self, env: Environment, hide: Sequence[int]) -> None:
        self.env = check_environment(env, "PartialObservation")
        hidden, size = [int(place) for place in hide], env.observation_size
        wrong = [place for place in hidden if not 0 <= place < size]
        if wrong or len(set(hidden)) != len(hidden) or len(hidden) >= size:
            raise UsageError(
                f"hide is {tuple(hide)}",
                where="PartialObservation",
                need=f"different positions from 0 to {size - 1}, and at least one position left over",
            )
        self.kept = [place for place in range(size) if place not in hidden]

    @property
    def copies(self) -> int:
        """Those of the whole environment."""
        return self.env.copies

    @property
    def observation_size(self) -> int:
        """Numbers that are seen."""
        return len(self.kept)

    @property
    def actions(self) -> Actions:
        """Those of the whole environment."""
        return self.env.actions

    def reset(self, seed: int | Sequence[int] | None = None) -> Floats:
        """The first observation, as far as it is seen."""
        return self.env.reset(seed)[:, self.kept]

    def rest(self, which: Flags) -> None:
        """Passed on, where the whole environment knows it."""
        getattr(self.env, "rest", lambda copies: None)(which)

    def step(self, actions: NDArray[Any]) -> Step:
        """A step of the whole environment, as far as it is seen."""
        step = self.env.step(actions)
        return step._replace(observation=step.observation[:, self.kept], last=step.last[:, self.kept])
