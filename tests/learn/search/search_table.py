"""The table that the generic tests of searches run over: one row a search, or a way to use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from recurra.learn.search import CoSyNE, Restarts, Search, make_search


@dataclass(frozen=True)
class SearchCase:
    """How a search is built for vectors of a given length, and how many generations it is given.

    Attributes:
        gain: factor by which the sphere's value falls, at the least, from the best of the first population.
        memory: arguments instead of `arguments` for the toy network.
    """

    label: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    generations: int = 80
    gain: float = 20.0
    memory: dict[str, Any] = field(default_factory=dict)
    make: Callable[..., Search] | None = None

    def build(self, dimension: int, seed: int = 0, **more: Any) -> Search:
        if self.name == "cma-es":
            pytest.importorskip("cma")
        arguments = {**self.arguments, **more}
        if self.make is not None:
            return self.make(dimension, seed=seed, **arguments)
        return make_search(self.name, dimension, seed=seed, **arguments)


def restarted_cosyne(dimension: int, seed: int, **arguments: Any) -> Search:
    return Restarts(lambda s: CoSyNE(dimension, population=16, seed=s, **arguments), patience=6, seed=seed)


GA_WAYS = [
    SearchCase("ga", "ga"),
    SearchCase("ga-roulette", "ga", dict(selection="roulette", crossover="uniform")),
    SearchCase("ga-rank", "ga", dict(selection="rank", crossover="one-point", mutation="cauchy")),
]

CASES = [
    *GA_WAYS,
    SearchCase("cosyne", "cosyne", gain=10.0),
    SearchCase("restarts", "restarts", make=restarted_cosyne, gain=2.0),
    SearchCase("esp", "esp", dict(subpopulation=12, trials=3), gain=5.0),
    SearchCase("cma-es", "cma-es", memory=dict(population=16)),
    SearchCase("openai-es", "openai-es", dict(population=30, spread=0.1, rate=0.1), memory=dict(spread=0.3, rate=0.3)),
    SearchCase("pso", "pso"),
    SearchCase("annealing", "annealing", dict(population=20, temperature=0.1, cooling=0.93)),
    SearchCase("random", "random", dict(population=100), gain=1.5),
]

BY_LABEL = {case.label: case for case in CASES}
