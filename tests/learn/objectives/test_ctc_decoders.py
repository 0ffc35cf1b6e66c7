"""Greedy and prefix-beam decoders and alignments: against all paths, with and without a model, and texts of errors."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ctc_paths import every_labelling, every_path, softmax
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives import (
    LabelModel,
    align_labels,
    ctc_loss,
    greedy_decode,
    prefix_beam_decode,
    train_ngram,
)


class Bigram:
    """A model of labellings in random numbers: the last label says what is next."""

    def __init__(self, classes: int, seed: int, forbids: bool = False):
        chance = np.random.default_rng(seed)
        self.table = np.log(chance.dirichlet(np.ones(classes + 1) * 0.5, classes + 1))
        if forbids:
            self.table[1, 1] = -np.inf

    def begin(self) -> int:
        return len(self.table) - 1

    def advance(self, state: int, label: int) -> int:
        return label

    def log_probs(self, state: int) -> np.ndarray:
        return self.table[state, :-1]

    def end(self, state: int) -> float:
        return float(self.table[state, -1])

    def of(self, labels: tuple[int, ...]) -> float:
        chain = [len(self.table) - 1, *labels, len(self.table) - 1]
        return float(sum(self.table[a, b] for a, b in zip(chain, chain[1:], strict=False)))


@st.composite
def cases(draw: Any) -> tuple[np.ndarray, int, int]:
    classes, steps = draw(st.integers(1, 3)), draw(st.integers(0, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    scores = np.random.default_rng(seed).standard_normal((steps, classes)) * draw(st.sampled_from([0.5, 2.0, 5.0]))
    return scores, draw(st.integers(0, classes - 1)), seed


@settings(max_examples=80, deadline=None)
@given(cases(), st.booleans(), st.sampled_from([(1.0, 0.0), (0.6, 1.3), (0.0, -0.5)]))
def test_a_beam_as_wide_as_all_prefixes_is_an_exhaustive_search(
    case: Any, with_model: bool, weights: tuple[float, float]
) -> None:
    (scores, blank, seed), (alpha, beta) = case, weights
    model = Bigram(scores.shape[1], seed, forbids=seed % 2 == 0) if with_model else None
    wanted = {}
    for labels, p in every_labelling(scores, blank).items():
        score = math.log(p) + beta * len(labels)
        if model is not None and alpha:
            score += alpha * model.of(labels)
        if score > -math.inf:
            wanted[labels] = score, math.log(p)
    found = prefix_beam_decode(
        scores[:, None], width=500, n_best=500, blank=blank, model=model, alpha=alpha, beta=beta
    )[0]
    assert {one.labels for one in found} == set(wanted) and len(found) == len(wanted)
    np.testing.assert_allclose([one.score for one in found], [wanted[one.labels][0] for one in found], atol=1e-10)
    np.testing.assert_allclose([one.log_prob for one in found], [wanted[one.labels][1] for one in found], atol=1e-10)
    assert all(one.score >= other.score for one, other in zip(found, found[1:], strict=False))
    if model is not None and alpha:
        chances = [model.of(one.labels) for one in found]
        np.testing.assert_allclose([one.model_log_prob for one in found], chances, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_the_best_path_and_the_best_alignment_are_those_of_all_paths(case: Any) -> None:
    scores, blank, _ = case
    paths = every_path(scores, blank)
    best = greedy_decode(scores[:, None], blank=blank)[0]
    log_prob = math.log(max(p for ones in paths.values() for _, p in ones))
    np.testing.assert_allclose(best.log_prob, log_prob, atol=1e-10)
    np.testing.assert_allclose(log_prob, math.log(max(p for _, p in paths[best.labels])), atol=1e-10)
    for labels, ones in paths.items():
        alignment = align_labels(scores, labels, blank=blank)
        path, p = max(ones, key=lambda one: one[1])
        np.testing.assert_allclose(alignment.log_prob, math.log(p), atol=1e-10)
        shown = [blank] * len(scores)
        for label, (first, end) in zip(labels, alignment.spans, strict=True):
            assert first < end
            shown[first:end] = [label] * (end - first)
        assert tuple(shown) == path
        if labels == best.labels:
            assert best.spans == alignment.spans


def test_a_narrow_beam_finds_less_and_never_more() -> None:
    chance = np.random.default_rng(0)
    for _ in range(12):
        scores = chance.standard_normal((5, 1, 4))
        all_of_them = every_labelling(scores[:, 0], 0)
        exhaustive = prefix_beam_decode(scores, width=5000)[0][0]
        assert exhaustive.labels == max(all_of_them, key=lambda labels: all_of_them[labels])
        for width in (1, 2, 5, 16):
            for one in prefix_beam_decode(scores, width=width, n_best=width)[0]:
                assert one.log_prob <= math.log(all_of_them[one.labels]) + 1e-12
                assert one.log_prob <= exhaustive.log_prob + 1e-12


def plain_search(
    scores: np.ndarray, width: int, model: Bigram, alpha: float, beta: float
) -> list[tuple[tuple[int, ...], float]]:
    """The search in dictionaries of probabilities: prefix to (ends in a blank, does not); class 0 is the blank."""

    def score(labels: tuple[int, ...], chances: tuple[float, float]) -> float:
        chain = [len(model.table) - 1, *labels]
        told = sum(model.table[a, b] for a, b in zip(chain, chain[1:], strict=False))
        return math.log(sum(chances)) + alpha * told + beta * len(labels)

    beam = {(): (1.0, 0.0)}
    for y in softmax(scores):
        grown: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(labels: tuple[int, ...], p_blank: float, p_other: float, to: Any = grown) -> None:
            b, n = to.get(labels, (0.0, 0.0))
            to[labels] = b + p_blank, n + p_other

        for labels, (b, n) in beam.items():
            add(labels, y[0] * (b + n), 0.0)
            for k in range(1, len(y)):
                if labels and labels[-1] == k:
                    add(labels, 0.0, y[k] * n)
                    add((*labels, k), 0.0, y[k] * b)
                else:
                    add((*labels, k), 0.0, y[k] * (b + n))
        there = {labels: chances for labels, chances in grown.items() if sum(chances) > 0}
        beam = dict(sorted(there.items(), key=lambda one: -score(*one))[:width])
    found = [
        (labels, score(labels, chances) + alpha * model.end(labels[-1])) for labels, chances in beam.items() if labels
    ]
    found += [((), score((), beam[()]) + alpha * model.end(model.begin()))] if () in beam else []
    return sorted(found, key=lambda one: -one[1])


@pytest.mark.parametrize("width", [1, 2, 3, 7])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (0.5, 1.5), (2.0, -1.0)])
def test_a_narrow_beam_keeps_what_a_plain_search_keeps(width: int, alpha: float, beta: float) -> None:
    chance = np.random.default_rng(width)
    for seed in range(6):
        scores, model = chance.standard_normal((9, 4)), Bigram(4, seed)
        wanted = plain_search(scores, width, model, alpha, beta)
        found = prefix_beam_decode(scores[:, None], width=width, n_best=width, model=model, alpha=alpha, beta=beta)[0]
        assert [one.labels for one in found] == [labels for labels, _ in wanted]
        np.testing.assert_allclose([one.score for one in found], [score for _, score in wanted], rtol=1e-10)


def test_a_beam_of_one_follows_a_sure_network() -> None:
    path = [0, 2, 2, 0, 2, 1, 1, 3]
    scores = np.log(np.eye(4)[path] * 0.96 + 0.01)[:, None]
    for decoded in (greedy_decode(scores)[0], prefix_beam_decode(scores, width=1)[0][0]):
        assert decoded.labels == (2, 2, 1, 3)
        assert decoded.spans == ((1, 3), (4, 5), (5, 7), (7, 8))


def test_the_beam_sums_over_paths_where_the_best_path_does_not() -> None:
    probs = np.array([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0]]) + 1e-9
    assert greedy_decode(np.log(probs)[:, None])[0].labels == ()
    best = prefix_beam_decode(np.log(probs)[:, None], width=4)[0][0]
    assert best.labels == (1,) and abs(math.exp(best.log_prob) - 0.64) < 1e-6


def test_a_model_and_a_length_bonus_change_the_answer() -> None:
    scores = np.log(np.array([[0.02, 0.5, 0.48], [0.96, 0.02, 0.02], [0.02, 0.48, 0.5]]))[:, None]
    assert prefix_beam_decode(scores)[0][0].labels == (1, 2)
    model = train_ngram([[2, 1]] * 20 + [[2], [1, 2]], 3, order=2)
    assert isinstance(model, LabelModel)
    assert prefix_beam_decode(scores, model=model)[0][0].labels == (2, 1)
    assert prefix_beam_decode(scores, model=model, alpha=0.0)[0][0].labels == (1, 2)
    short = prefix_beam_decode(scores, width=50, beta=-8.0)[0][0]
    assert len(short.labels) < 2


def test_batches_lengths_tensors_and_arrays() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 3, 4, requires_grad=True)
    lengths = [7, 3, 0]
    spoiled = logits.detach().clone()
    for b, n in enumerate(lengths):
        spoiled[n:, b] = float("nan")
    found = prefix_beam_decode(spoiled, lengths, n_best=3, width=8)
    for b, n in enumerate(lengths):
        assert found[b] == prefix_beam_decode(logits[:n, b : b + 1], n_best=3, width=8)[0]
        assert found[b] == prefix_beam_decode(logits[:n, b : b + 1].detach().numpy(), n_best=3, width=8)[0]
    assert found[2][0] == ((), 0.0, 0.0, 0.0, ())
    assert greedy_decode(spoiled, lengths)[2] == ((), (), 0.0)
    assert prefix_beam_decode(logits, spans=False)[0][0].spans is None
    # The loss of what was found is its probability; log-probabilities serve as well as scores before the softmax.
    wide = prefix_beam_decode(logits, width=20_000)
    losses = ctc_loss(logits.detach().double(), [one[0].labels for one in wide])
    np.testing.assert_allclose([one[0].log_prob for one in wide], -losses, atol=1e-5)
    again = prefix_beam_decode(logits.detach().log_softmax(-1), width=16)
    assert [one[0].labels for one in again] == [one[0].labels for one in prefix_beam_decode(logits, width=16)]


def test_a_class_of_probability_zero_is_never_decoded() -> None:
    scores = np.zeros((4, 1, 3))
    scores[:, :, 1] = -np.inf
    found = prefix_beam_decode(scores, width=100, n_best=100)[0]
    assert found and all(1 not in one.labels for one in found)
    np.testing.assert_allclose(sum(math.exp(one.log_prob) for one in found), 1.0)
    with pytest.raises(UsageError):
        align_labels(scores[:, 0], [1])


def test_200_steps_of_100_classes_with_a_beam_of_16_take_well_under_a_second() -> None:
    chance = np.random.default_rng(0)
    scores = chance.standard_normal((200, 1, 100)) * 3
    model = train_ngram(chance.integers(1, 100, (20, 50)).tolist(), 100, order=3)
    prefix_beam_decode(scores[:5], model=model)
    began = time.process_time()
    found = prefix_beam_decode(scores, width=16, n_best=5, model=model, alpha=0.5, beta=1.0)
    assert time.process_time() - began < 1.0
    assert len(found[0]) == 5
    assert softmax(scores).max() < 1  # no step is sure, so that all prefixes are kept in competition


SCORES = np.zeros((4, 2, 3))

MESSAGES: list[tuple[Callable[[], Any], type[UsageError], str]] = [
    (
        lambda: prefix_beam_decode(SCORES, width=0),
        UsageError,
        "prefix_beam_decode: width is 0. Needed: a positive whole number.",
    ),
    (
        lambda: prefix_beam_decode(SCORES, width=2, n_best=3),
        UsageError,
        "prefix_beam_decode: n_best is 3. Needed: at most 2, the width.",
    ),
    (
        lambda: prefix_beam_decode(SCORES, alpha=-1),
        UsageError,
        "prefix_beam_decode: alpha is -1. Needed: a number from 0.",
    ),
    (
        lambda: prefix_beam_decode(SCORES, beta=math.inf),
        UsageError,
        "prefix_beam_decode: beta is inf. Needed: a finite number.",
    ),
    (
        lambda: prefix_beam_decode(SCORES, model=3),  # type: ignore[arg-type]
        UsageError,
        "prefix_beam_decode: model is int. Needed: begin, advance, log_probs and end, as `LabelModel` has them.",
    ),
    (
        lambda: prefix_beam_decode(SCORES, model=Bigram(4, 0)),
        ShapeError,
        "prefix_beam_decode: the model's log_probs has shape (4,). Needed: (3,), one for each class of the logits.",
    ),
    (
        lambda: prefix_beam_decode(SCORES[0]),
        ShapeError,
        "prefix_beam_decode: logits is torch.float64 of shape (2, 3). Needed: numbers (time, batch, classes) with at "
        "least one class.",
    ),
    (
        lambda: greedy_decode(np.where(np.arange(4)[:, None, None] == 2, np.nan, SCORES)),
        UsageError,
        "greedy_decode: logits of sequence 0 holds nan as the largest number of step 2. Needed: a finite number at "
        "each step, and no NaN or +infinity.",
    ),
    (
        lambda: greedy_decode(SCORES, [5, 4]),
        UsageError,
        "greedy_decode: lengths holds 5. Needed: whole numbers from 0 to 4.",
    ),
    (
        lambda: greedy_decode(SCORES, blank=7),
        UsageError,
        "greedy_decode: blank is 7. Needed: a class, a whole number from 0 to 2.",
    ),
    (
        lambda: align_labels(SCORES[:, 0], [1, 1, 2]) and align_labels(SCORES[:, 0], [1, 1, 1]),
        UsageError,
        "align_labels: no path of 4 steps writes these 3 labels. Needed: enough steps (`ctc_steps_needed`), and no "
        "label of probability 0.",
    ),
    (
        lambda: align_labels(SCORES[:, 0], [0]),
        UsageError,
        "align_labels: labels holds 0. Needed: classes from 0 to 2 without the blank, 0.",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), MESSAGES, ids=[str(n) for n in range(len(MESSAGES))])
def test_messages(call: Callable[[], Any], kind: type[UsageError], text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text
