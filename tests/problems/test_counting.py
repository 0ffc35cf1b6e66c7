"""Counting languages, against strings written out by hand and by a plain loop."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.counting import accepted, counting_strings


def by_hand(n: int, letters: str) -> tuple[list[str], list[set[str]]]:
    """What is read and what may follow, from the definition: a string of the language is the only continuation."""
    word = "".join(letter * n for letter in letters)
    reads, follows = ["S", *word], [{"a"}]
    for t in range(1, len(word) + 1):
        follows.append({"a", "b"} if word[t - 1] == "a" else {(word + "T")[t]})
    return reads, follows


@pytest.mark.parametrize("letters", ["ab", "abc", "abcd"])
def test_strings_and_what_may_follow(letters: str) -> None:
    counts = [1, 4, 2, 7]
    x, allowed, lengths = counting_strings(counts, len(letters))
    for k, n in enumerate(counts):
        reads, follows = by_hand(n, letters)
        assert int(lengths[k]) == len(reads) == len(letters) * n + 1
        read = [("S" + letters)[int(row.argmax())] for row in x[: len(reads), k]]
        assert read == reads and bool((x[: len(reads), k].sum(-1) == 1).all())
        said = [{(letters + "T")[int(j)] for j in row.nonzero()} for row in allowed[: len(reads), k]]
        assert said == follows
        assert not x[len(reads) :, k].any() and not allowed[len(reads) :, k].any()


def test_one_wrong_symbol_at_any_step_refuses_the_string() -> None:
    _, allowed, lengths = counting_strings([2, 3], 3)
    right = allowed > 0.5
    assert accepted(right, allowed, lengths).tolist() == [True, True]
    for t in range(7):
        for symbol in range(4):
            wrong = right.clone()
            wrong[t, 0, symbol] ^= True
            assert accepted(wrong, allowed, lengths).tolist() == [False, True]
    padded = right.clone()
    padded[7:, 0] = True
    assert accepted(padded, allowed, lengths).tolist() == [True, True]


@pytest.mark.parametrize(("counts", "letters"), [([], 2), ([3, 0], 2), ([3], 1)])
def test_bad_arguments(counts: list[int], letters: int) -> None:
    with pytest.raises(UsageError, match=f"counts is .* and letters is {letters}.*counts of 1 or more"):
        counting_strings(counts, letters)


def test_number_formats() -> None:
    x, allowed, lengths = counting_strings(range(1, 4), 2)
    assert x.dtype == allowed.dtype == torch.float32 and lengths.tolist() == [3, 5, 7]
