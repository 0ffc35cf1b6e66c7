"""Small worlds for the tests, written from nothing of the library but what an environment must be."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.learn.reward import DiscreteActions
from recurra.learn.reward.environment import Step


class Corridor:
    """A T-maze: the first observation shows which way to turn; after `length` steps in the dark the turn is taken.

    Observations: (sign at the first step else 0, 1 at the junction else 0). A right turn gives 1, a wrong one -1.
    """

    observation_size = 2

    def __init__(self, copies: int, length: int = 1) -> None:
        self.copies, self.length, self.actions = copies, length, DiscreteActions(2)
        self.random = np.random.default_rng(0)

    def reset(self, seed: Any = None) -> Any:
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.goal = self.random.integers(0, 2, self.copies)
        self.at = np.zeros(self.copies, int)
        return self.look()

    def look(self) -> Any:
        sign = np.where(self.at == 0, 2.0 * self.goal - 1.0, 0.0)
        return np.stack([sign, (self.at == self.length).astype(float)], 1)

    def step(self, actions: Any) -> Step:
        turning = self.at == self.length
        reward = np.where(turning, np.where(actions == self.goal, 1.0, -1.0), 0.0)
        self.at = self.at + 1
        last = self.look()
        self.at = np.where(turning, 0, self.at)
        self.goal = np.where(turning, self.random.integers(0, 2, self.copies), self.goal)
        return Step(self.look(), reward, turning, np.zeros_like(turning), last)


class Counter:
    """Counts its own steps in its one observation, and ends episodes as its table says; actions do nothing.

    Args:
        ends: for each copy, for each of its episodes in turn, (length, whether it is cut off instead of terminated);
            episodes past the table never end.
    """

    observation_size = 1

    def __init__(self, ends: list[list[tuple[int, bool]]]) -> None:
        self.copies, self.ends, self.actions = len(ends), ends, DiscreteActions(2)

    def reset(self, seed: Any = None) -> Any:
        self.episode, self.at = [0] * self.copies, [0] * self.copies
        return self.look()

    def look(self) -> Any:
        # Episodes differ in what they show, so that one taken for another is seen.
        return np.array([[10.0 * e + a] for e, a in zip(self.episode, self.at, strict=True)])

    def step(self, actions: Any) -> Step:
        terminated, truncated = np.zeros(self.copies, bool), np.zeros(self.copies, bool)
        self.at = [a + 1 for a in self.at]
        last = self.look()
        reward = last[:, 0] / 7.0
        for copy in range(self.copies):
            table = self.ends[copy]
            if self.episode[copy] < len(table) and self.at[copy] == table[self.episode[copy]][0]:
                (truncated if table[self.episode[copy]][1] else terminated)[copy] = True
                self.episode[copy], self.at[copy] = self.episode[copy] + 1, 0
        return Step(self.look(), reward, terminated, truncated, last)


class TinyMDP:
    """Two states, two actions, three steps; the state is seen only through a noiseless bit, rewards depend on both.

    Everything that can happen is enumerated by `paths`, as (observations, actions, rewards, probability of the world).
    """

    steps = 3
    chance = {(0, 0): 0.3, (0, 1): 0.8, (1, 0): 0.6, (1, 1): 0.1}  # of going to state 1, by (state, action)
    reward = {(0, 0): 0.2, (0, 1): -0.5, (1, 0): 1.0, (1, 1): 0.4}

    def paths(self) -> list[tuple[list[int], list[int], list[float], float]]:
        found: list[tuple[list[int], list[int], list[float], float]] = []

        def walk(states: list[int], actions: list[int], rewards: list[float], probability: float) -> None:
            if len(actions) == self.steps:
                found.append((states[: self.steps], actions, rewards, probability))
                return
            for action in (0, 1):
                here = (states[-1], action)
                after = [*rewards, self.reward[here]]
                if len(actions) + 1 == self.steps:  # where the last step leads no longer matters
                    walk([*states, 0], [*actions, action], after, probability)
                else:
                    for state, chance in ((1, self.chance[here]), (0, 1.0 - self.chance[here])):
                        walk([*states, state], [*actions, action], after, probability * chance)

        walk([0], [], [], 1.0)
        return found
