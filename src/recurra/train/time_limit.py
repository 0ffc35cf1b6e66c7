"""How many more steps fit into a time limit, from how long steps and evaluations took so far."""

from __future__ import annotations

import math
import time

WARM = 2  # the first steps of a process are slower (allocation, kernels chosen) and are not measured
ENOUGH = 20  # measured steps after which the plan is made for the first time


class Pace:
    """Measures a training against its time limit.

    Args:
        limit: seconds for the whole training, or None.
        spent: seconds that went into it before this process.
    """

    def __init__(self, limit: float | None, spent: float = 0.0):
        self.limit = math.inf if limit is None else limit
        self._began = time.monotonic() - spent
        self._steps = self._step_seconds = self._evaluations = self._evaluation_seconds = 0.0
        self._seen = 0

    def elapsed(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return time.monotonic() - self._began

    def saw_step(self, seconds: float) -> bool:
        """Take in a step's duration; true once, when enough steps have been seen to plan."""
        self._seen += 1
        if self._seen > WARM:
            self._steps += 1
            self._step_seconds += seconds
        return self._steps == ENOUGH

    def saw_evaluation(self, seconds: float) -> None:
        """Take in an evaluation's duration."""
        self._evaluations += 1
        self._evaluation_seconds += seconds

    def saw_saving(self, seconds: float) -> None:
        """Take in a saved state's duration: it counts with the evaluations, as a state is saved after each."""
        self._evaluation_seconds += seconds

    def affordable(self, steps_an_epoch: int) -> int | None:
        """Further steps that fit beside an evaluation an epoch and one at the end; None: no limit, or unknown yet."""
        if self.limit == math.inf or not self._steps:
            return None
        step = self._step_seconds / self._steps
        evaluation = self._evaluation(step * steps_an_epoch)
        left = 0.98 * self.limit - self.elapsed() - evaluation
        return max(0, int(left / (step + evaluation / steps_an_epoch)))

    def plan(self, step: int, planned: int, full: int, steps_an_epoch: int) -> int | None:
        """The number of steps to plan for after `step` steps, at most `full`; None: what is planned may stay.

        A plan is cut when it does not fit, and grows again only where there is clearly more room than was thought.
        """
        fit = self.affordable(steps_an_epoch)
        if fit is None:
            return None
        total = max(1, min(full, step + fit))
        return None if planned <= total <= 1.05 * planned else total

    def over(self, steps_an_epoch: int) -> bool:
        """Whether training has to stop now so that a last evaluation ends about at the limit."""
        if self.limit == math.inf:
            return False
        step = self._step_seconds / self._steps if self._steps else 0.0
        return self.elapsed() + self._evaluation(step * steps_an_epoch) >= self.limit

    def _evaluation(self, epoch_seconds: float) -> float:
        if self._evaluations:
            return self._evaluation_seconds / self._evaluations
        return min(0.1 * epoch_seconds, 0.1 * self.limit)  # a guess until the first one has been measured
