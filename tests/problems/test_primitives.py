"""Sequences of reused loops, point by point."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.primitives import primitive_sequences


@pytest.mark.parametrize(("primitives", "repeats", "period"), [(3, 2, 16), (2, 1, 5), (1, 3, 3), (4, 1, 7)])
def test_paths_point_by_point(primitives: int, repeats: int, period: int) -> None:
    paths, loops = primitive_sequences(primitives, repeats, period)
    orders = list(itertools.permutations(range(primitives)))
    assert paths.shape == (primitives * repeats * period + 1, len(orders), 2) and paths.dtype == torch.float64
    for path, order in enumerate(orders):
        rounds = [k for k in order for _ in range(repeats)]
        assert loops[:, path].tolist() == rounds
        for t in range(len(paths)):
            k = rounds[min(t // period, len(rounds) - 1)]
            start = 2 * np.pi * k / primitives
            now = start + 2 * np.pi * t / period
            wanted = 0.5 * np.array([np.cos(start) - np.cos(now), np.sin(start) - np.sin(now)])
            np.testing.assert_allclose(paths[t, path], wanted, atol=1e-12)


def test_number_format() -> None:
    paths, loops = primitive_sequences(dtype=torch.float32)
    assert paths.dtype == torch.float32 and loops.dtype == torch.int64
    torch.testing.assert_close(paths, primitive_sequences()[0].float())


@pytest.mark.parametrize("given", [{"primitives": 0}, {"primitives": 7}, {"repeats": 0}, {"period": 2}])
def test_messages(given: dict[str, int]) -> None:
    name, value = next(iter(given.items()))
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        primitive_sequences(**given)
