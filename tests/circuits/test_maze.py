"""Mazes and the memristors that solve them."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.circuits import Circuit, Maze, perfect_maze, solve_maze
from recurra.errors import UsageError


def test_a_perfect_maze_is_a_tree_and_extra_passages_make_loops() -> None:
    for seed in range(5):
        maze = perfect_maze(5, 7, seed=seed)
        assert (maze.circuit.branches, maze.circuit.loops, maze.circuit.component_of.max()) == (34, 0, 0)
        assert perfect_maze(5, 7, extra=6, seed=seed).circuit.loops == 6
    first, second = perfect_maze(5, 7, seed=0), perfect_maze(5, 7, seed=1)
    assert not np.array_equal(first.circuit.tails, second.circuit.tails)
    np.testing.assert_array_equal(first.circuit.tails, perfect_maze(5, 7, seed=0).circuit.tails)


def test_the_shortest_way_is_counted() -> None:
    square = Maze(Circuit([(0, 1), (1, 2), (2, 3), (3, 0), (3, 4)]), 0, 4)
    assert square.shortest() == 2
    assert Maze(Circuit([(0, 1), (2, 3)]), 0, 3).shortest() is None


@pytest.mark.parametrize("seed", range(4))
def test_a_maze_without_loops_is_solved_exactly(seed: int) -> None:
    maze = perfect_maze(6, 6, seed=seed)
    answer = solve_maze(maze)
    assert answer.is_path and answer.length == maze.shortest() == len(answer.switched_on)
    # The walls of a perfect maze leave one way, which is walked here from the exit by hand.
    pairs = {tuple(sorted(p)) for p in zip(maze.circuit.tails.tolist(), maze.circuit.heads.tolist(), strict=True)}
    while True:
        places = [place for pair in pairs for place in pair]
        dead = {p for p in places if places.count(p) == 1} - {maze.entry, maze.exit}
        if not dead:
            break
        pairs = {pair for pair in pairs if not dead & set(pair)}
    found = maze.circuit.tails[answer.switched_on], maze.circuit.heads[answer.switched_on]
    assert {tuple(sorted(p)) for p in zip(found[0].tolist(), found[1].tolist(), strict=True)} == pairs


def test_of_two_ways_the_shorter_one_stays_on() -> None:
    ring = Circuit([(place, (place + 1) % 9) for place in range(9)])
    answer = solve_maze(Maze(ring, 0, 3))
    assert answer.is_path and answer.switched_on.tolist() == [0, 1, 2]


def test_too_little_current_switches_nothing_on_and_is_said() -> None:
    answer = solve_maze(perfect_maze(4, 4, seed=0), drive=0.1)
    assert not answer.is_path and answer.length == 0


def test_messages_name_the_argument() -> None:
    with pytest.raises(UsageError, match=r"perfect_maze: extra is 99. Needed: a whole number from 0 to 9"):
        perfect_maze(4, 4, extra=99)
    with pytest.raises(UsageError, match=r"solve_maze: the maze has no way from its entry to its exit"):
        solve_maze(Maze(Circuit([(0, 1), (2, 3)]), 0, 3))
    with pytest.raises(UsageError, match=r"solve_maze: ratio is 1. Needed: a number above 1"):
        solve_maze(perfect_maze(3, 3), ratio=1)
    with pytest.raises(UsageError, match=r"solve_maze: start is 2.0. Needed: a number from 0 to 1"):
        solve_maze(perfect_maze(3, 3), start=2.0)
