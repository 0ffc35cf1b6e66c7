"""Copying, repeat copying, associative recall and Dyck words, against sequences written out one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recurra.errors import UsageError
from recurra.problems.associative_recall import associative_recall
from recurra.problems.copying import copy_problem, recall_loss, repeat_copy_problem, wrong_bits
from recurra.problems.counting import accepted
from recurra.problems.dyck import dyck_strings, dyck_words


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_copying_step_by_step() -> None:
    counts = [3, 1, 5]
    told = copy_problem(counts, 4, chance())
    assert told.x.shape == (11, 3, 5) and told.lengths.tolist() == [7, 3, 11]
    for k, n in enumerate(counts):
        vectors = told.x[:n, k, :4]
        wanted = [*(row.tolist() + [0.0] for row in vectors), [0.0] * 4 + [1.0], *[[0.0] * 5] * (10 - n)]
        assert told.x[:, k].tolist() == wanted
        assert told.asked[:, k].tolist() == [n < t <= 2 * n for t in range(11)]
        assert torch.equal(told.targets[n + 1 : 2 * n + 1, k], vectors)
        assert not told.targets[: n + 1, k].any() and not told.targets[2 * n + 1 :, k].any()
    bits = copy_problem([200], 8, chance(1)).x[:200, 0, :8]
    assert bool(((bits == 0) | (bits == 1)).all()) and 0.45 < float(bits.mean()) < 0.55


def test_repeat_copying_step_by_step() -> None:
    counts, repeats = [3, 2], [2, 4]
    told = repeat_copy_problem(counts, repeats, 3, mean=2.0, deviation=4.0, generator=chance())
    assert told.lengths.tolist() == [11, 12] and told.x.shape == (12, 2, 5) and told.targets.shape == (12, 2, 4)
    for k, (n, m) in enumerate(zip(counts, repeats, strict=True)):
        vectors = told.x[:n, k, :3].tolist()
        assert told.x[n, k].tolist() == [0.0, 0.0, 0.0, 1.0, (m - 2.0) / 4.0]
        assert not told.x[n + 1 :, k].any() and not told.x[:n, k, 3:].any()
        wanted = [row + [0.0] for row in vectors * m] + [[0.0, 0.0, 0.0, 1.0]]
        end = n + n * m + 2
        assert told.targets[n + 1 : end, k].tolist() == wanted
        assert not told.targets[: n + 1, k].any() and not told.targets[end:, k].any()
        assert told.asked[:, k].tolist() == [n < t < end for t in range(12)]
    ten = torch.arange(1.0, 11.0)
    marks = repeat_copy_problem([1] * 10, list(range(1, 11))).x[1, :, -1]
    torch.testing.assert_close(marks, (ten - ten.mean()) / ten.std(correction=0))


def test_recall_step_by_step() -> None:
    counts, bits, width = [2, 4, 3], 5, 2
    seen = set()
    for seed in range(20):
        told = associative_recall(counts, bits, width, chance(seed))
        assert told.lengths.tolist() == [n * 3 + 6 for n in counts]
        for k, n in enumerate(counts):
            x, end = told.x[:, k], int(told.lengths[k])
            items = [x[3 * i + 1 : 3 * i + 3, :bits] for i in range(n)]
            asked = x[3 * n + 1 : 3 * n + 3, :bits]
            answer = told.targets[3 * n + 4 : end, k]
            which = [q for q in range(n - 1) if torch.equal(items[q], asked) and torch.equal(items[q + 1], answer)]
            assert which
            seen.add((n, which[0]))
            assert x[:, bits].nonzero().flatten().tolist() == [3 * i for i in range(n)]
            assert x[:, bits + 1].nonzero().flatten().tolist() == [3 * n, 3 * n + 3]
            assert not x[:, :bits][x[:, bits:].any(-1)].any() and not x[3 * n + 4 :].any()
            assert told.asked[:, k].nonzero().flatten().tolist() == [end - 2, end - 1]
            assert not told.targets[~told.asked[:, k], k].any()
    assert seen == {(n, q) for n in counts for q in range(n - 1)}


def test_loss_and_wrong_bits_count_what_is_asked_alone() -> None:
    told = copy_problem([2, 4], 3, chance())
    right = 40 * told.targets - 20
    noise = torch.where(told.asked.unsqueeze(-1), right, torch.full_like(right, 7.0))
    assert wrong_bits(noise, told).tolist() == [0, 0] and float(recall_loss(noise, told)) < 1e-6
    noise[4, 0, 1] *= -1
    assert wrong_bits(noise, told).tolist() == [1, 0]
    assert float(recall_loss(noise, told)) == pytest.approx(20 / 18, rel=1e-5)


def balanced(word: list[int], kinds: int) -> bool:
    """Strike out pairs until nothing is left."""
    text = "".join(chr(65 + symbol) for symbol in word)
    while True:
        shorter = text
        for k in range(kinds):
            shorter = shorter.replace(chr(65 + k) + chr(65 + kinds + k), "")
        if shorter == text:
            return not text
        text = shorter


@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_words_are_balanced_of_the_lengths_asked_for_and_of_all_kinds(kinds: int) -> None:
    words = dyck_words(60, 6, 20, kinds, generator=chance(kinds))
    assert len(words) == 60 and all(6 <= len(word) <= 20 and balanced(word, kinds) for word in words)
    assert {symbol for word in words for symbol in word} == set(range(2 * kinds))
    assert words == dyck_words(60, 6, 20, kinds, generator=chance(kinds))
    assert not balanced([0, kinds, kinds], kinds)


def test_short_words_are_as_likely_as_the_grammar_says() -> None:
    """With one kind, words of 2 and 4 symbols: P(2) and P(4) follow from P = nest z P + join P^2 + stop."""
    nest, join = 0.5, 0.25
    terms = [0.0] * 3
    for _ in range(200):  # the fixed point of the generating function, by iteration
        squares = [sum(terms[i] * terms[k - i] for i in range(k + 1)) for k in range(3)]
        terms = [(1 - nest - join if k == 0 else nest * terms[k - 1]) + join * squares[k] for k in range(3)]
    words = dyck_words(3000, 2, 4, 1, nest, join, chance(3))
    share = sum(len(word) == 2 for word in words) / len(words)
    assert share == pytest.approx(terms[1] / (terms[1] + terms[2]), abs=0.03)


def test_what_may_follow() -> None:
    words = [*dyck_words(8, 2, 14, 3, generator=chance(5)), [0, 1]]
    x, allowed, lengths = dyck_strings(words, 3)
    for k, word in enumerate(words):
        assert int(lengths[k]) == len(word)
        assert x[: len(word), k].argmax(-1).tolist() == word and bool((x[: len(word), k].sum(-1) == 1).all())
        for t in range(len(word)):
            ends = []
            for symbol in range(6):
                try:
                    dyck_strings([[*word[: t + 1], symbol]], 3)
                    ends.append(1.0)
                except UsageError:
                    ends.append(0.0)
            assert allowed[t, k].tolist() == ends
        assert not x[len(word) :, k].any() and not allowed[len(word) :, k].any()
    assert bool(accepted(allowed > 0.5, allowed, lengths).all())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: copy_problem([]), "counts is .* and bits is 8. Needed: counts of 1 or more, at least one, and 1 bit"),
        (lambda: copy_problem([2], 0), "counts is .* and bits is 0"),
        (lambda: repeat_copy_problem([2, 3], [1]), r"repeats is \[1\]. Needed: 2 numbers of 1 or more, one a count"),
        (lambda: repeat_copy_problem([2], [0]), r"repeats is \[0\]"),
        (lambda: associative_recall([1]), r"counts is \[1\] and width is 3. Needed: 2 items or more, of 1 vector"),
        (lambda: dyck_words(1, 3, 3), "count is 1, lengths 3 to 3, .*an even length of 2 or more in the range"),
        (lambda: dyck_words(1, 2, 8, nest=0.6, join=0.25), "nest 0.6, join 0.25"),
        (lambda: dyck_strings([]), "dyck_strings: there are no words. Needed: at least one"),
        (
            lambda: dyck_strings([[0, 3]]),
            "symbol 3 at step 1 of word 0 closes no open bracket. Needed: opening brackets",
        ),
    ],
)
def test_bad_arguments(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
