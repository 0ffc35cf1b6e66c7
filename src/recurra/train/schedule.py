"""The learning rate over the planned steps: a linear warm-up, then half a cosine down to zero."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each step.

        rate(s) = peak min(1, (s + 1) / warmup) (1 + cos(pi u)) / 2
        u = done + (1 - done) (s - since) / (total - since)

    Attributes:
        peak: the highest rate.
        total: planned steps.
        warmup: steps of the warm-up.
        since, done: when the plan was changed at step `since`, the share `done` of the way down was behind; the rate
            goes on from there without a jump.

    Example:
        >>> [round(Schedule.over(0.1, 100).rate(step), 3) for step in (0, 4, 50, 100)]
        [0.02, 0.1, 0.05, 0.0]
    """

    peak: float
    total: int
    warmup: int
    since: int = 0
    done: float = 0.0

    @classmethod
    def over(cls, peak: float, total: int) -> Schedule:
        """A schedule over `total` steps, a twentieth of them (at most 200) for the warm-up."""
        return cls(peak, total, min(200, max(1, total // 20)))

    def way(self, step: int) -> float:
        """The share of the way down that is behind at `step`, from 0 to 1."""
        if self.total <= self.since:
            return 1.0
        share = (step - self.since) / (self.total - self.since)
        return min(1.0, self.done + (1.0 - self.done) * max(0.0, share))

    def rate(self, step: int) -> float:
        """The learning rate of the step that comes after `step` steps."""
        rise = min(1.0, (step + 1) / self.warmup)
        return self.peak * rise * 0.5 * (1.0 + math.cos(math.pi * self.way(step)))

    def change(self, step: int, total: int) -> Schedule:
        """The plan with another number of steps from `step` on; the rate does not jump.

        A schedule that has come to its end would stay at zero: a longer plan then begins anew on the longer curve.
        """
        if step >= self.total:
            return dataclasses.replace(self, total=total, since=0, done=0.0)
        return dataclasses.replace(self, total=total, since=step, done=self.way(step))
