"""Trials of pole balancing: carts join and leave one simulation, so that no cart waits for another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra.errors import UsageError
from recurra.problems.closed_loop import ClosedLoop, LoopState, Plant
from recurra.problems.pole_controllers import Controller

Floats = NDArray[np.float64]

BACKENDS = ("auto", "fused", "reference")

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


SHORTEST, LONGEST = 16, 1024
"""Control steps that are compiled trials run for before those that have ended are taken out."""

ENOUGH = 1 << 16
"""With "auto", trials are compiled where as many control steps may have to be run: to compile them takes seconds."""

Parts = tuple[LoopState, NDArray[np.int64], Floats]
"""Trials that go on: their state, their tickets, and their last movements."""


class PoleTrials:
    """A simulation that carts join with their weights and leave when a pole falls or the limit is reached.

    Carts in it stand at different times of their own trials. So a search that waits for one long trial does not hold
    up another's, and the work of a step is shared by all carts that are in it.

    Equations: with t the steps balanced, of at most 1000, the damping fitness is
        .1 t / 1000 + .9 f2,  f2 = 0 for t < 100, else .75 / sum_{i = t-100}^{t} (|x_i| + |x'_i| + |th1_i| + |th1'_i|).

    Args:
        plant: the physics.
        controller: what drives the carts.
        limit: control steps at which a trial ends well.
        velocities: whether the networks see velocities.
        damping: whether the damping fitness is worked out.
        backend: "fused" runs physics and networks as one compiled loop wherever it can, "reference" step by step in
            numpy; "auto" compiles where the carts may run for 65,536 control steps in all. The two agree but for
            rounding, which a chaotic trial may make visible.

    Attributes:
        why_reference: None where trials are compiled, else why they are not.

    Raises:
        UsageError: the limit is not positive, or above 1000 with the damping fitness; or an unknown backend.

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
        plant: Plant,
        controller: Controller,
        limit: int = SOLVED,
        velocities: bool = False,
        damping: bool = False,
        backend: str = "auto",
    ) -> None:
        if limit < 1:
            raise UsageError(f"limit is {limit!r}", where="PoleTrials", need="a positive number of control steps")
        if damping and limit > DAMPING_STEPS:
            need = f"at most {DAMPING_STEPS} control steps with damping=True, which that fitness is defined over"
            raise UsageError(f"limit is {limit!r}", where="PoleTrials", need=need)
        if backend not in BACKENDS:
            need = ", ".join(map(repr, BACKENDS[:-1])) + f" or {BACKENDS[-1]!r}"
            raise UsageError(f"backend is {backend!r}", where="PoleTrials", need=need)
        self.plant, self.controller, self.limit = plant, controller, limit
        self.velocities, self.damping, self.backend = velocities, damping, backend
        self.why_reference: str | None = f"backend={backend!r} was asked for"
        self._loop: ClosedLoop | None = None
        if backend == "fused":
            self._compile()
        elif backend == "auto":
            self.why_reference = f"fewer than {ENOUGH:,} control steps are to be run"
        self._next = 0
        self._parts: Parts | None = None

    def __len__(self) -> int:
        return 0 if self._parts is None else len(self._parts[1])

    def join(self, weights: Any) -> NDArray[np.int64]:
        """Put carts in, weights (carts, dimension); returns a ticket for each."""
        weights = np.asarray(weights, dtype=np.float64)
        rows, memory = self.controller.begin(weights)
        count = weights.shape[0]
        tickets = np.arange(self._next, self._next + count)
        self._next += count
        plant = self.plant.initial(count)
        history = np.zeros((DAMPING_WINDOW + 1 if self.damping else 0, count))
        if self.damping:
            history[0] = self.plant.movement(plant)
        state = LoopState(plant, memory, rows, np.full((1, count), float(self.limit)), np.ones((1, count)))
        if self._parts is not None:
            before, known, moved = self._parts
            state = LoopState(*(np.concatenate(pair, axis=-1) for pair in zip(before, state, strict=True)))
            tickets_of_all, history = np.concatenate([known, tickets]), np.concatenate([moved, history], axis=-1)
        else:
            tickets_of_all = tickets
        self._parts = (state, tickets_of_all, history)
        if self.backend == "auto" and self._loop is None and len(self) * self.limit >= ENOUGH:
            self._compile()
        return tickets

    def advance(self, steps: int | None = None) -> Ended | None:
        """Run all carts for some control steps; the trials that ended on the way, or None.

        Where no number of steps is given, it follows from how long the carts have balanced.
        """
        if self._parts is None:
            return None
        if steps is None:
            lived = self.limit - float(self._parts[0].left.mean())
            steps = 1 if self._loop is None else int(min(max(SHORTEST, lived), LONGEST, self._parts[0].left.max()))
        if self._loop is not None:
            return self._compiled_steps(self._loop, steps)
        found = [ended for _ in range(steps) if (ended := self._step()) is not None]
        return Ended(*(np.concatenate(parts) for parts in zip(*found, strict=True))) if found else None

    def step(self) -> Ended | None:
        """One control step of every cart; the trials that ended with it, or None."""
        return self.advance(1)

    def run(self, progress: Callable[[int, int], None] | None = None) -> Ended:
        """Go on until no cart is left; `progress(control steps, carts left)` is called every 1000 steps or so."""
        found: list[Ended] = []
        count, said = 0, 0
        while self._parts is not None:
            before = float(self._parts[0].left.max())
            ended = self.advance()
            left = 0.0 if self._parts is None else float(self._parts[0].left.max())
            count += max(1, round(before - left)) if self._loop is not None else 1
            if ended is not None:
                found.append(ended)
            if progress is not None and count - said >= 1000:
                said = count
                progress(count, len(self))
        if not found:
            return Ended(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        return Ended(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _compile(self) -> None:
        loop = ClosedLoop(self.plant, self.controller, self.velocities)
        self.why_reference = loop.why_not_compiled()
        if self.why_reference is None:
            self._loop = loop

    def _step(self) -> Ended | None:
        """One control step in numpy."""
        if self._parts is None:
            return None
        (plant, memory, weights, left, going), tickets, history = self._parts
        output, memory = self.controller.act(self.plant.observe(plant, self.velocities), memory, weights)
        plant = self.plant.advance(plant, self.plant.force(output))
        upright = self.plant.upright(plant)
        left = left - upright
        if self.damping:
            moved = self.plant.movement(plant)
            # A cart that has just failed writes nothing: the sum ends with the last balanced step.
            at = np.flatnonzero(upright)
            steps = (self.limit - left[0]).astype(np.int64)
            history[steps[at] % (DAMPING_WINDOW + 1), at] = moved[at]
        going = (upright & (left[0] > 0.5)).astype(np.float64)[None]
        return self._without_the_ended(LoopState(plant, memory, weights, left, going), tickets, history)

    def _compiled_steps(self, loop: ClosedLoop, steps: int) -> Ended | None:
        """Some control steps in compiled code."""
        assert self._parts is not None
        before, tickets, history = self._parts
        record, after = loop.run(before, steps)
        if self.damping:
            # What was recorded after the last balanced step counts, and up to 100 before it, each at its own place.
            first, gained = self.limit - before.left[0], before.left[0] - after.left[0]
            back = np.arange(min(steps, DAMPING_WINDOW + 1))[:, None]
            counts = back < gained
            number = (first + gained - back).astype(np.int64) % (DAMPING_WINDOW + 1)
            place = np.maximum(gained - back - 1, 0).astype(np.int64)
            carts = np.broadcast_to(np.arange(len(tickets)), counts.shape)
            history[number[counts], carts[counts]] = record[place[counts], carts[counts]]
        return self._without_the_ended(after._replace(weights=before.weights), tickets, history)

    def _without_the_ended(self, state: LoopState, tickets: NDArray[np.int64], history: Floats) -> Ended | None:
        """Take out the trials that have ended, and tell of them."""
        going = state.going[0] > 0.5
        self._parts = (state, tickets, history)
        if going.all():
            return None
        over = ~going
        steps = (self.limit - state.left[0, over]).round().astype(np.int64)
        ended = Ended(tickets[over], steps, self._damping(steps, history[:, over]))
        self._parts = None
        if going.any():
            self._parts = (LoopState(*(part[:, going] for part in state)), tickets[going], history[:, going])
        return ended

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
