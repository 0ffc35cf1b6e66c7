"""The adding problem: one mark a half, the right sum, and the error of the mean predictor."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.adding import MEAN_PREDICTOR, adding_problem


@pytest.mark.parametrize("steps", [2, 3, 7, 50])
def test_one_mark_in_each_half_and_their_sum(steps: int) -> None:
    x, target = adding_problem(steps, 40, torch.Generator().manual_seed(steps))
    half = steps // 2
    for values, marks, wanted in zip(x[..., 0].T.tolist(), x[..., 1].T.tolist(), target.tolist(), strict=True):
        at = [t for t, mark in enumerate(marks) if mark == 1.0]
        assert set(marks) <= {0.0, 1.0} and len(at) == 2 and at[0] < half <= at[1]
        assert wanted == pytest.approx(values[at[0]] + values[at[1]], rel=1e-6)
        assert all(0.0 <= value < 1.0 for value in values)


def test_every_place_is_marked_sometime_and_the_mean_predictor_errs_as_said() -> None:
    x, target = adding_problem(6, 4000, torch.Generator().manual_seed(0))
    assert bool(((x[..., 1].sum(1) - 4000 / 3).abs() < 150).all())
    assert float((target - 1).square().mean()) == pytest.approx(MEAN_PREDICTOR, rel=0.05)


def test_the_generator_decides() -> None:
    first, again, other = (adding_problem(9, 2, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_too_few_steps() -> None:
    with pytest.raises(UsageError, match="steps is 1 and batch is 3.*at least 2 steps"):
        adding_problem(1, 3)
