"""What learning from reward gives back, and what it says meanwhile."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from recurra.errors import UsageError
from recurra.learn.reward.policy import Policy
from recurra.learn.reward.rollout import Episode

RECENT = 100
"""Episodes over which returns are averaged while learning goes on."""


@dataclass(frozen=True)
class RewardProgress:
    """How far learning has come, after an update or a generation.

    Attributes:
        steps: taken in the environment so far.
        episodes: that have ended so far.
        mean_return: of the latest 100 episodes; NaN before the first has ended. Of a search, the best fitness so far.
        loss: of the update; NaN for a search.
        entropy: of the distribution of actions, mean over steps, in nats; NaN for a search.
        divergence: of the policy after the update from that before it, in nats, mean over steps; NaN for a search.
        seconds: since the start.
    """

    steps: int
    episodes: int
    mean_return: float
    loss: float
    entropy: float
    divergence: float
    seconds: float


Report = Callable[[RewardProgress], None]


@dataclass(frozen=True)
class RewardResult:
    """What was learned, and how.

    Attributes:
        policy: with the weights that were found.
        history: one entry an update, or a generation.
        episodes: every episode that ended, in order; none for a search.
        stopped_because: in words.
    """

    policy: Policy
    history: Sequence[RewardProgress]
    episodes: Sequence[Episode]
    stopped_because: str

    @property
    def steps(self) -> int:
        """Steps taken in the environment."""
        return self.history[-1].steps if self.history else 0

    def plot(self, axes: Any = None) -> Any:
        """The return against the steps taken, episode by episode and the mean of the latest ones.

        Args:
            axes: of matplotlib; new ones when absent.

        Returns:
            the axes; `axes.figure.savefig("returns.svg")` keeps them.
        """
        if axes is None:
            axes = importlib.import_module("matplotlib.figure").Figure(layout="constrained").add_subplot()
        if self.episodes:
            at, total = [each.at for each in self.episodes], [each.total for each in self.episodes]
            axes.plot(at, total, ".", markersize=2, alpha=0.4, label="an episode")
        mean = f"mean of the latest {RECENT}" if self.episodes else "best so far"
        axes.plot([row.steps for row in self.history], [row.mean_return for row in self.history], label=mean)
        axes.set_xlabel("steps in the environment")
        axes.set_ylabel("return")
        axes.legend()
        return axes

    def __repr__(self) -> str:
        last = f"{self.history[-1].mean_return:.4g}" if self.history else "none"
        return f"RewardResult(steps={self.steps}, mean_return={last}, stopped_because={self.stopped_because!r})"


def recent_return(episodes: Sequence[Episode]) -> float:
    """The mean return of the latest episodes; NaN where there are none."""
    latest = [each.total for each in episodes[-RECENT:]]
    return sum(latest) / len(latest) if latest else float("nan")


def reporter(progress: bool | Report | None, where: str) -> Report:
    """What to call after each update: the caller's function, lines on the terminal for True, or nothing."""
    if progress is None or progress is False:
        return lambda _: None
    if progress is True:
        return Lines()
    if not callable(progress):
        given = f"progress is {progress!r}"
        raise UsageError(given, where=where, need="True, False, or a function that takes a RewardProgress")
    return progress


class Lines:
    """Lines on standard error, one every few seconds, so that quick rounds do not flood it."""

    def __init__(self, every: float = 5.0) -> None:
        self.every, self._next = every, 0.0

    def __call__(self, row: RewardProgress) -> None:
        """A line, if it is time for one."""
        if row.seconds >= self._next:
            text = f"{row.steps} steps, {row.episodes} episodes, mean return {row.mean_return:.4g}"
            print(f"{text} ({row.seconds:.0f} s)", file=sys.stderr, flush=True)
            self._next = row.seconds + self.every
