"""N-gram models: against the equations in loops, files, use by the decoder's protocol, and texts of errors."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from recurra.errors import FolderError, RecurraError, UsageError
from recurra.learn.objectives import LabelModel, NGram, load_ngram, save_ngram, train_ngram, train_ngram_on_text

B, E = "<", ">"
TEXTS = ["abracadabra", "abba", "", "cab", "dabca", "abrac"]
LETTERS = "abcdr"


def grams(order: int, ends: bool) -> list[str]:
    """Every n-gram of the texts, one for each place at which something is predicted."""
    found = []
    for text in TEXTS:
        padded = B * (order - 1) + text + (E if ends else "")
        found += [padded[i : i + order] for i in range(len(padded) - order + 1)]
    return found


def count(order: int, size: int, kneser_ney: bool, ends: bool) -> dict[str, int]:
    """How often each (size)-gram counts; below the highest order Kneser and Ney count the kinds of what is before."""
    full = grams(order, ends)
    if size == order or not kneser_ney:
        tails = [gram[order - size :] for gram in full]
    else:
        tails = [longer[1:] for longer in {gram[order - size - 1 :] for gram in full}]
    return {gram: tails.count(gram) for gram in tails}


def reference(h: str, w: str, order: int, kneser_ney: bool, ends: bool) -> float:
    """p(w | h), h of order - 1 characters or fewer, from the equations."""
    symbols = LETTERS + (E if ends else "")
    counts = count(order, len(h) + 1, kneser_ney, ends)
    lower = reference(h[1:], w, order, kneser_ney, ends) if h else 1 / len(symbols)
    after = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == h}
    total = sum(after.values())
    if not total:
        return lower
    if not kneser_ney:
        return (after.get(w, 0) + len(after) * lower) / (total + len(after))
    once, twice = (sum(c == i for c in counts.values()) for i in (1, 2))
    d = once / (once + 2 * twice) if once and twice else 0.5
    return (max(after.get(w, 0) - d, 0) + d * len(after) * lower) / total


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
@pytest.mark.parametrize("ends", [True, False])
def test_probabilities_are_those_of_the_equations(order: int, smoothing: str, ends: bool) -> None:
    alphabet = [None, *LETTERS, None]
    model = train_ngram_on_text(TEXTS, alphabet, order=order, smoothing=smoothing, ends=ends)
    assert isinstance(model, LabelModel) and model.order == order and model.unused == (0, 6)
    for text in ("", "a", "ab", "abr", "dd", "rcd", "bbbb"):
        state = model.begin()
        for sign in text:
            state = model.advance(state, alphabet.index(sign))
        h = (B * order + text)[len(text) + 1 :] if order > 1 else ""
        assert len(h) == order - 1
        found = model.log_probs(state)
        wanted = [reference(h, w, order, smoothing == "kneser-ney", ends) for w in LETTERS]
        np.testing.assert_allclose(np.exp(found[1:6]), wanted, rtol=1e-12)
        assert found[0] == found[6] == -np.inf
        last = reference(h, E, order, smoothing == "kneser-ney", ends) if ends else 1.0
        np.testing.assert_allclose(math.exp(model.end(state)), last, rtol=1e-12)
        np.testing.assert_allclose(sum(wanted) + (last if ends else 0), 1.0, rtol=1e-12)


def test_a_label_that_was_never_seen_has_a_chance() -> None:
    model = train_ngram([[1, 2]], 5, order=2, unused=(0,))
    assert np.isfinite(model.log_probs(model.begin())[1:]).all()


def test_log_prob_of_whole_labellings() -> None:
    model = train_ngram([[1, 2, 1], [2, 1]], 3, order=2)
    every = [labels for n in range(9) for labels in itertools.product((1, 2), repeat=n)]
    total = math.fsum(math.exp(model.log_prob(labels)) for labels in every)
    assert 0.95 < total < 1
    begin, one = model.begin(), model.advance(model.begin(), 1)
    assert model.each_log_prob([1]) == [model.log_probs(begin)[1], model.end(one)]


def test_a_longer_context_tells_more() -> None:
    texts = ["the cat sat on the mat", "the rat sat on the cat", "a cat and a rat"] * 3
    alphabet = [None, *sorted(set("".join(texts)))]

    def bits(order: int, smoothing: str) -> float:
        model = train_ngram_on_text(texts, alphabet, order=order, smoothing=smoothing)
        return -model.log_prob([alphabet.index(sign) for sign in "the cat and the rat"])

    for smoothing in ("kneser-ney", "witten-bell"):
        assert bits(1, smoothing) > bits(2, smoothing) > bits(3, smoothing)


@pytest.mark.parametrize("smoothing", ["kneser-ney", "witten-bell"])
def test_a_file_gives_the_same_model(tmp_path: Path, smoothing: str) -> None:
    model = train_ngram_on_text(TEXTS, [None, *LETTERS, "ä"], order=3, smoothing=smoothing)
    path = tmp_path / "model.safetensors"
    save_ngram(model, path)
    save_ngram(model, str(path))
    again = load_ngram(path)
    assert repr(again) == repr(model) and again.alphabet == model.alphabet and again.ends == model.ends
    for labels in ([], [1, 2], [5, 5, 1, 6]):
        assert again.each_log_prob(labels) == model.each_log_prob(labels)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    # Nothing in it but numbers and words: the same bytes each time.
    other = tmp_path / "other.safetensors"
    save_ngram(again, other)
    assert other.read_bytes() == path.read_bytes()


def test_memory_of_probabilities_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("recurra.learn.objectives.ngram")
    monkeypatch.setattr(module, "REMEMBERED", 3)
    model = train_ngram([[1, 2, 3, 4, 5] * 3], 6, order=2)
    first = [model.log_probs((k,)).tolist() for k in range(1, 6)]
    assert len(model._known) <= 3
    assert [model.log_probs((k,)).tolist() for k in range(1, 6)] == first


def write(path: Path, content: bytes | dict[str, str]) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file({"level_0": np.zeros((1, 3), dtype=np.int64)}, path, content)
    return path


FACTS = (
    '{"kind": "recurra n-gram model", "format": %s, "order": 1, "classes": 3, "unused": [0], "smoothing": "witten-bell"'
)

FILES: list[tuple[Any, str]] = [
    ({}, "is no n-gram model. Needed: a file written by save_ngram."),
    ({"facts": "[]"}, "cannot be read ('list' object has no attribute 'get'). Needed: a file written by save_ngram."),
    ({"facts": FACTS % 2 + "}"}, "has format 2. Needed: 1 at most. Cure: update recurra."),
    ({"facts": FACTS % 1 + "}"}, "cannot be read ('ends'). Needed: a file written by save_ngram."),
    (
        {"facts": FACTS % 1 + ', "ends": true, "alphabet": null}'},
        "is damaged (NGram: level 0 has shape (1, 3). Needed: (entries, 2).). Needed: a file written by save_ngram.",
    ),
]


@pytest.mark.parametrize(("content", "text"), FILES, ids=[str(n) for n in range(len(FILES))])
def test_messages_of_files(tmp_path: Path, content: Any, text: str) -> None:
    path = write(tmp_path / "m", content)
    with pytest.raises(FolderError) as caught:
        load_ngram(path)
    assert str(caught.value) == f"{path}: {text}"


def test_messages_of_files_that_are_not_there_or_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FolderError) as caught:
        load_ngram(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'}: is missing. Needed: a file written by save_ngram."
    with pytest.raises(FolderError, match="cannot be read"):
        load_ngram(write(tmp_path / "m", b"\x80\x04pickled"))
    place = tmp_path / "no" / "m"
    with pytest.raises(FolderError) as caught:
        save_ngram(train_ngram([[1]], 2), place)
    assert str(caught.value) == (
        f"{place}: cannot be written (No such file or directory). Cure: name a file in a folder that is there and may "
        "be written to."
    )


MESSAGES: list[tuple[Callable[[], Any], str]] = [
    (lambda: train_ngram([[1]], 2, order=0), "train_ngram: order is 0. Needed: a positive whole number."),
    (
        lambda: train_ngram([[1]], 2, smoothing="good-turing"),
        "train_ngram: smoothing is 'good-turing'. Needed: 'kneser-ney' or 'witten-bell'.",
    ),
    (
        lambda: train_ngram([[1], [1, 0]], 2),
        "train_ngram: sequence 1 holds 0. Needed: classes from 0 to 1, but none of (0,).",
    ),
    (lambda: train_ngram([], 2), "train_ngram: there are no labels to count. Needed: at least one labelling."),
    (
        lambda: train_ngram([[]], 2, ends=False),
        "train_ngram: there are no labels to count. Needed: at least one labelling.",
    ),
    (
        lambda: train_ngram([[1]], 2, unused=(0, 1)),
        "train_ngram: unused is (0, 1). Needed: some of the classes from 0 to 1, not all of them.",
    ),
    (
        lambda: train_ngram_on_text(["a", "ab"], [None, "a"]),
        "train_ngram_on_text: text 1 holds 'b'. Needed: characters of the alphabet alone. Cure: leave it out of the "
        "text, or give it a class.",
    ),
    (
        lambda: train_ngram_on_text(["a"], ["a", "a"]),
        "train_ngram_on_text: alphabet is ['a', 'a']. Needed: one character each, none twice.",
    ),
    (
        lambda: train_ngram([[1]], 3).log_prob([1, 3]),
        "NGram: labels holds 3. Needed: classes from 0 to 2, but none of (0,).",
    ),
    (lambda: NGram([], 3), "NGram: order is 0. Needed: a positive whole number."),
    (
        lambda: NGram([np.zeros((1, 2))], 3, smoothing="none"),
        "NGram: smoothing is 'none'. Needed: 'kneser-ney' or 'witten-bell'.",
    ),
]


@pytest.mark.parametrize(("call", "text"), MESSAGES, ids=[str(n) for n in range(len(MESSAGES))])
def test_messages(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(RecurraError) as caught:
        call()
    assert isinstance(caught.value, UsageError) and str(caught.value) == text
