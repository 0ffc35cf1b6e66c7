"""Trials of pole balancing: carts join and leave one simulation, so that no cart waits for another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra.errors import UsageError
from recurra.problems.double_pole import PolePlant
from recurra.problems.pole_controllers import Controller

Floats = NDArray[np.float64]

SOLVED = 100_000
"""Control steps that count as solved: more than half an hour of simulated time."""

DAMPING_STEPS, DAMPING_WINDOW = 1000, 100
"""Length of a trial under the damping fitness, and the steps over which movement is summed at its end."""


class Ended(NamedTuple):
    """Trials that came to their end.

    Attributes:
        ticket: the number that `join` gave for the cart, (count,).
        steps: control steps balanced, (count,).
        damping: the damping fitness, (count,); NaN where it was not asked for.
    """

    ticket: NDArray[np.int64]
    steps: NDArray[np.int64]
    damping: Floats


class PoleTrials:
    """A simulation that carts join with their weights and leave when a pole falls or the limit is reached.

    Carts in it stand at different times of their own trials. So a search that waits for one long trial does not hold
    up another's, and the work of a step of the Python loop is shared by all carts that are in it.

    Equations: with t the steps balanced, of at most 1000, the damping fitness is
        .1 t / 1000 + .9 f2,  f2 = 0 for t < 100, else .75 / sum_{i = t-100}^{t} (|x_i| + |x'_i| + |th1_i| + |th1'_i|).

    Args:
        plant: the physics.
        controller: what drives the carts.
        limit: control steps at which a trial ends well.
        velocities: whether the networks see velocities.
        damping: whether the damping fitness is worked out.

    Raises:
        UsageError: the limit is not positive, or above 1000 with the damping fitness.

    Reference:
        F. Gruau, D. Whitley, L. Pyeatt. A comparison between cellular encoding and direct encoding for genetic neural
        networks. Genetic Programming (1996) 81-89, for the damping fitness.

    Example:
        >>> from recurra.problems.double_pole import DOUBLE_POLE
        >>> from recurra.problems.pole_controllers import RecurrentController
        >>> trials = PoleTrials(DOUBLE_POLE, RecurrentController(3), limit=1000)
        >>> tickets = trials.join(np.array([[0.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0]]))
        >>> ended = trials.run()
        >>> ended.ticket[np.argsort(ended.ticket)], bool((ended.steps < 1000).all())
        (array([0, 1]), True)
    """

    def __init__(
        self,
        plant: PolePlant,
        controller: Controller,
        limit: int = SOLVED,
        velocities: bool = False,
        damping: bool = False,
    ) -> None:
        if limit < 1:
            raise UsageError(f"limit is {limit!r}", where="PoleTrials", need="a positive number of control steps")
        if damping and limit > DAMPING_STEPS:
            need = f"at most {DAMPING_STEPS} control steps with damping=True, which that fitness is defined over"
            raise UsageError(f"limit is {limit!r}", where="PoleTrials", need=need)
        self.plant, self.controller, self.limit = plant, controller, limit
        self.velocities, self.damping = velocities, damping
        self._next = 0
        self._parts: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        return 0 if self._parts is None else self._parts[0].shape[-1]

    def join(self, weights: Any) -> NDArray[np.int64]:
        """Put carts in, weights (carts, dimension); returns a ticket for each."""
        weights = np.asarray(weights, dtype=np.float64)
        count = weights.shape[0]
        tickets = np.arange(self._next, self._next + count)
        self._next += count
        state = self.plant.initial(count)
        history = np.zeros((DAMPING_WINDOW + 1 if self.damping else 0, count))
        if self.damping:
            history[0] = self._moved(state)
        fresh = (
            state,
            tickets,
            np.zeros(count, dtype=np.int64),
            history,
            *self.controller.begin(weights),
        )
        if len(self) == 0:
            self._parts = fresh
        else:
            assert self._parts is not None
            self._parts = tuple(np.concatenate(pair, axis=-1) for pair in zip(self._parts, fresh, strict=True))
        return tickets

    def step(self) -> Ended | None:
        """One control step of every cart; the trials that ended with it, or None."""
        if self._parts is None:
            return None
        state, tickets, steps, history, *memory = self._parts
        output, memory = self.controller.act(self.plant.observe(state, self.velocities), tuple(memory))  # type: ignore[assignment]
        state = self.plant.advance(state, self.plant.force(output))
        upright = self.plant.upright(state)
        steps = steps + upright
        if self.damping:
            moved = self._moved(state)
            # A cart that has just failed writes nothing: the sum ends with the last balanced step.
            at = np.flatnonzero(upright)
            history[steps[at] % (DAMPING_WINDOW + 1), at] = moved[at]
        going = upright & (steps < self.limit)
        self._parts = (state, tickets, steps, history, *memory)
        if going.all():
            return None
        over = ~going
        ended = Ended(tickets[over], steps[over], self._damping(steps[over], history[:, over]))
        self._parts = tuple(part[..., going] for part in self._parts) if going.any() else None
        return ended

    def run(self, progress: Callable[[int, int], None] | None = None) -> Ended:
        """Go on until no cart is left; `progress(loop steps, carts left)` is called every 1000 steps."""
        found: list[Ended] = []
        count = 0
        while len(self):
            ended = self.step()
            count += 1
            if ended is not None:
                found.append(ended)
            if progress is not None and count % 1000 == 0:
                progress(count, len(self))
        if not found:
            return Ended(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        return Ended(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _moved(self, state: Floats) -> Floats:
        """|x| + |x'| + |th1| + |th1'|."""
        rows = 1 + self.plant.poles
        return np.abs(state[[0, 1, rows, rows + 1]]).sum(0)

    def _damping(self, steps: NDArray[np.int64], history: Floats) -> Floats:
        if not self.damping:
            return np.full(steps.shape, np.nan)
        moved = history.sum(0)
        still = np.where(steps >= DAMPING_WINDOW, 0.75 / np.maximum(moved, 1e-12), 0.0)
        return 0.1 * np.minimum(steps, DAMPING_STEPS) / DAMPING_STEPS + 0.9 * still


def balance(trials: PoleTrials, weights: Any) -> Ended:
    """The trials of a whole population, in the order of its rows.

    Example:
        >>> from recurra.problems.double_pole import SINGLE_POLE
        >>> from recurra.problems.pole_controllers import RecurrentController
        >>> trials = PoleTrials(SINGLE_POLE, RecurrentController(2), limit=50)
        >>> balance(trials, np.zeros((2, 3))).steps
        array([22, 22])
    """
    if len(trials):
        raise UsageError(f"{len(trials)} carts are in the simulation", where="balance", need="an empty one")
    trials.join(weights)
    ended = trials.run()
    order = np.argsort(ended.ticket)
    return Ended(ended.ticket[order], ended.steps[order], ended.damping[order])
