"""Mazes, and the way through them that a network of memristors finds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.cells.base import check_size
from recurra.cells.circuits.circuit import Circuit
from recurra.cells.circuits.graphs import grid_circuit
from recurra.circuits.memristive import MemristiveNetwork
from recurra.circuits.simulate import simulate
from recurra.errors import UsageError


@dataclass(frozen=True)
class Maze:
    """Passages between places.

    Attributes:
        circuit: a branch for each passage.
        entry, exit: node numbers.
    """

    circuit: Circuit
    entry: int
    exit: int

    def shortest(self) -> int | None:
        """The number of passages on a shortest way from the entry to the exit, by breadth first; None without a way."""
        neighbours: list[list[int]] = [[] for _ in range(self.circuit.nodes)]
        for tail, head in zip(self.circuit.tails.tolist(), self.circuit.heads.tolist(), strict=True):
            neighbours[tail].append(head)
            neighbours[head].append(tail)
        far = {self.entry: 0}
        waiting = deque([self.entry])
        while waiting:
            place = waiting.popleft()
            for other in neighbours[place]:
                if other not in far:
                    far[other] = far[place] + 1
                    waiting.append(other)
        return far.get(self.exit)


@dataclass(frozen=True)
class MazeAnswer:
    """What a network of memristors says of a maze.

    Attributes:
        switched_on: the branches whose memristors are on at the end.
        is_path: whether those are one way from the entry to the exit and nothing else.
        length: how many they are.
        state: the memories at the end, (branches,).
        steps: how many time steps it took.
    """

    switched_on: np.ndarray
    is_path: bool
    length: int
    state: np.ndarray
    steps: int


def perfect_maze(rows: int, columns: int, *, extra: int = 0, seed: int | None = None) -> Maze:
    """A maze on a grid, from corner to corner: a random tree of passages, and `extra` ones that make loops.

    Args:
        rows, columns: of places.
        extra: walls taken out besides; with 0 there is one way only.
        seed: of the random numbers; 0 is a seed like any other, None draws one.

    Raises:
        UsageError: a number is not positive, or there are fewer walls than `extra`.

    Example:
        >>> maze = perfect_maze(4, 5, seed=0)
        >>> maze.circuit.branches, maze.circuit.loops, maze.exit
        (19, 0, 19)
    """
    grid = grid_circuit(rows, columns)
    chance = np.random.default_rng(seed)
    part = list(range(grid.nodes))

    def root(place: int) -> int:
        while part[place] != place:
            part[place] = part[part[place]]
            place = part[place]
        return place

    taken, walls = [], []
    for branch in chance.permutation(grid.branches).tolist():
        a, b = root(int(grid.tails[branch])), root(int(grid.heads[branch]))
        if a == b:
            walls.append(branch)
        else:
            part[a] = b
            taken.append(branch)
    if isinstance(extra, bool) or not isinstance(extra, int) or not 0 <= extra <= len(walls):
        raise UsageError(f"extra is {extra!r}", where="perfect_maze", need=f"a whole number from 0 to {len(walls)}")
    chosen = np.sort(np.array(taken + walls[:extra]))
    pairs = np.stack([grid.tails[chosen], grid.heads[chosen]], 1)
    return Maze(Circuit(pairs, grid.nodes), 0, grid.nodes - 1)


def solve_maze(
    maze: Maze,
    *,
    ratio: float = 200.0,
    drive: float = 1.0,
    decay: float = 0.4,
    dt: float = 0.05,
    steps: int = 2000,
    start: float = 0.05,
    noise: float = 0.01,
    seed: int | None = 0,
) -> MazeAnswer:
    """Let current flow from a maze's entry to its exit, and read the way from the memristors that stay on.

    Equations:
        The maze's passages are memristors that current of either direction switches on, dx/dt = -alpha x + |i| / I_0;
        one branch more, a resistor far above all of them with a source, leads back from the exit to the entry and so
        drives a nearly constant current, `drive` times I_0. A branch decays unless its share of the current exceeds
        alpha. It ends where no memory moves by more than 1e-6 in a step, or after `steps`.

    On a maze without loops the current has one way, and the answer is exact. With loops this is a heuristic: it settles
    on one of the short ways, often the shortest. Compare `length` with `Maze.shortest`.

    Args:
        maze: passages, entry and exit.
        ratio: R_off / R_on.
        drive: the current, in units of I_0; it must exceed alpha seconds for anything to stay on.
        decay: alpha, per second.
        dt: the time of a step, in seconds.
        steps: at most so many.
        start: the memories at the start, between 0 and 1; a small random part, `noise`, tells equal ways apart.
        seed: of that part.

    Raises:
        UsageError: a number is out of its range, or there is no way through.

    Differs from the paper: there a voltage is applied and memristors have a threshold; here the current is given and
    memories decay.

    Reference:
        Y. V. Pershin, M. Di Ventra. Solving mazes with memristors: a massively parallel approach. Physical Review E 84
        (2011) 046703.

    Example:
        >>> maze = perfect_maze(5, 5, seed=1)
        >>> answer = solve_maze(maze)
        >>> answer.is_path, answer.length == maze.shortest()
        (True, True)
    """
    for name, value, low in (("ratio", ratio, 1.0), ("drive", drive, 0.0), ("decay", decay, 0.0), ("dt", dt, 0.0)):
        if not value > low:
            raise UsageError(f"{name} is {value!r}", where="solve_maze", need=f"a number above {low:g}")
    for name, value in (("start", start), ("noise", noise)):
        if not 0.0 <= value <= 1.0:
            raise UsageError(f"{name} is {value!r}", where="solve_maze", need="a number from 0 to 1")
    check_size(steps, "steps", "solve_maze")
    if maze.shortest() is None:
        raise UsageError("the maze has no way from its entry to its exit", where="solve_maze", need="a way through")
    passages = maze.circuit.branches
    pairs = np.stack([maze.circuit.tails, maze.circuit.heads], 1)
    circuit = Circuit(np.concatenate([pairs, [[maze.exit, maze.entry]]]), maze.circuit.nodes)
    back = 1e4 * ratio * passages
    resistors = np.append(np.full(passages, np.nan), back)
    network = MemristiveNetwork(
        circuit, 1.0, float(ratio), decay=decay, scale=float(ratio), memory="on", resistors=resistors, polarity="both"
    )
    sources = np.append(np.zeros(passages), drive * back)
    state = network.initial_state(start)
    state[:passages] += noise * np.random.default_rng(seed).random(passages)
    state, taken = network.confine(state), 0
    while taken < steps:
        taken += 1
        after = simulate(network, sources, dt, state, steps=1, method="euler").states[-1]
        moved = float(np.abs(after - state).max())
        state = after
        if moved < 1e-6:
            break
    on = np.flatnonzero(state[:passages] > 0.5)
    return MazeAnswer(on, _one_path(pairs[on], maze), len(on), state[:passages], taken)


def _one_path(pairs: Any, maze: Maze) -> bool:
    """Whether passages form one way from the entry to the exit, with no branch beside it."""
    if len(pairs) == 0:
        return maze.entry == maze.exit
    chosen = Circuit(pairs, maze.circuit.nodes)
    degree = np.bincount(pairs.ravel(), minlength=maze.circuit.nodes)
    ends = np.flatnonzero(degree == 1).tolist()
    touched = np.flatnonzero(degree)
    whole = len(np.unique(chosen.component_of[touched])) == 1
    return whole and degree.max() <= 2 and ends == sorted((maze.entry, maze.exit))
