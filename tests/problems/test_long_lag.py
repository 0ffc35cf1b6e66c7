"""Long time lags: the second symbol is the class, and as many distractors as asked for stand between it and the end."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.long_lag import long_lag


@pytest.mark.parametrize(("distractors", "lag"), [(1, 1), (5, 9), (50, 40)])
def test_sequences_are_as_described(distractors: int, lag: int) -> None:
    x, target, lengths = long_lag(distractors, lag, 100, torch.Generator().manual_seed(lag))
    e, b, first = distractors, distractors + 1, distractors + 2
    assert x.shape == (int(lengths.max()), 100, distractors + 4)
    for number, length in enumerate(lengths.tolist()):
        assert not x[length:, number].any() and (x[:length, number].sum(-1) == 1).all()
        symbols = x[:length, number].argmax(-1).tolist()
        assert symbols[0] == b and symbols[1] == first + int(target[number]) and symbols[-1] == e
        assert length - 3 >= lag and all(symbol < distractors for symbol in symbols[2:-1])
    assert 20 < int(target.sum()) < 80


def test_expected_length_and_even_distractors() -> None:
    x, _, lengths = long_lag(4, 20, 4000, torch.Generator().manual_seed(0))
    # k has mean 9: the paper's expected length, q + 14 with its last symbol, counts one distractor more.
    assert (lengths - 23).double().mean().item() == pytest.approx(9.0, abs=0.6)
    assert (lengths == 23).double().mean().item() == pytest.approx(0.1, abs=0.02)
    each = x[..., :4].sum((0, 1))
    assert ((each / each.sum() - 0.25).abs() < 0.01).all()


@pytest.mark.parametrize("sizes", [(0, 5, 2), (5, 0, 2), (5, 5, 0)])
def test_bad_arguments(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match=f"distractors is {sizes[0]}, lag is {sizes[1]} and batch is {sizes[2]}"):
        long_lag(*sizes)
