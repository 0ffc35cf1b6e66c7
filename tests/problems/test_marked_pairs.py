"""The adding problem in its first form and the multiplication problem: marks, targets and lengths."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.marked_pairs import first_adding_problem
from recurra.problems.multiplication import multiplication_problem


@pytest.mark.parametrize("product", [False, True])
@pytest.mark.parametrize("steps", [22, 37, 100])
def test_two_marks_and_what_is_asked_of_them(steps: int, product: bool) -> None:
    make = multiplication_problem if product else first_adding_problem
    x, target, lengths = make(steps, 200, torch.Generator().manual_seed(steps))
    assert len(x) == steps + steps // 10 and (product or float(x[..., 0].min()) < -0.9)
    for number, length in enumerate(lengths.tolist()):
        values, marks = x[:, number, 0].tolist(), x[:, number, 1].tolist()
        assert steps <= length <= len(x) and not any(values[length:]) and not any(marks[length:])
        at = [t for t in range(length) if marks[t] == 1.0]
        assert len(at) == 2 and at[0] < 10 and at[1] <= steps // 2 - 1 and at[1] < length - 1
        assert marks[length - 1] == -1.0 and (marks[0] == -1.0) == (at[0] != 0)
        assert all(marks[t] == 0.0 for t in range(1, length - 1) if t not in at)
        if at[0] == 0:
            assert values[0] == (1.0 if product else 0.0)
        one, two = values[at[0]], values[at[1]]
        assert target[number].item() == pytest.approx(one * two if product else 0.5 + (one + two) / 4, abs=1e-6)
        low = 0.0 if product else -1.0
        assert all(low <= value <= 1.0 for value in values)


def test_every_length_and_place_occurs() -> None:
    x, _, lengths = first_adding_problem(40, 4000, torch.Generator().manual_seed(1))
    assert set(lengths.tolist()) == {40, 41, 42, 43, 44}
    marked = (x[..., 1] == 1.0).sum(1)
    assert (marked[:20] > 0).all() and not marked[20:].any()
    # A place among the first ten is the first mark with probability 1/10, and else the second one with 1/19 (the second
    # is drawn from the first 19 places that the first mark leaves).
    assert marked[:10].double().mean().item() == pytest.approx(4000 * (0.1 + 0.9 / 19), rel=0.05)
    assert marked[10:20].double().mean().item() == pytest.approx(4000 / 19, rel=0.1)


@pytest.mark.parametrize("make", [first_adding_problem, multiplication_problem])
def test_too_few_steps(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="steps is 21 and batch is 3.*at least 22 steps"):
        make(21, 3)
    with pytest.raises(UsageError, match=make.__name__):
        make(100, -1)
