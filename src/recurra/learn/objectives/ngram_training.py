"""Counting n-grams: from labellings or from text to a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from recurra.cells.base import check_size
from recurra.errors import UsageError
from recurra.learn.objectives.log_scores import Array
from recurra.learn.objectives.ngram import BEGIN, SMOOTHINGS, NGram, check_unused


def train_ngram(
    sequences: Iterable[Sequence[int]],
    classes: int,
    *,
    order: int = 3,
    smoothing: str = "kneser-ney",
    unused: Sequence[int] = (0,),
    ends: bool = True,
    alphabet: Sequence[str | None] | None = None,
) -> NGram:
    """An n-gram model of labellings.

    Args:
        sequences: labellings in the numbers of the network's classes.
        classes: the network's classes, the blank among them.
        order: n; contexts hold n - 1 labels.
        smoothing: "kneser-ney" or "witten-bell"; `NGram` has the equations.
        unused: classes that are never a label; by default the blank, class 0.
        ends: whether the end of a labelling is predicted too.
        alphabet: the text of each class; the model only keeps it.

    Raises:
        UsageError: an argument or a label is out of range, or there is nothing to count.

    Example:
        >>> import numpy as np
        >>> model = train_ngram([[1, 2, 1, 2], [1, 2]], 3, order=2)
        >>> model
        NGram(order=2, classes=3, smoothing='kneser-ney')
        >>> round(float(np.exp(model.log_probs(model.begin())).sum() + np.exp(model.end(model.begin()))), 12)
        1.0
    """
    where = "train_ngram"
    check_size(order, "order", where)
    check_size(classes, "classes", where)
    if smoothing not in SMOOTHINGS:
        raise UsageError(f"smoothing is {smoothing!r}", where=where, need="'kneser-ney' or 'witten-bell'")
    left_out = check_unused(unused, classes, where)
    allowed = set(range(classes)) - set(left_out)
    counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
    for number, sequence in enumerate(sequences):
        labels = [int(label) for label in sequence]
        strange = next((label for label in labels if label not in allowed), None)
        if strange is not None:
            need = f"classes from 0 to {classes - 1}, but none of {left_out}"
            raise UsageError(f"sequence {number} holds {strange}", where=where, need=need)
        padded = [BEGIN] * (order - 1) + labels + ([classes] if ends else [])
        for size, level in enumerate(counts):
            level.update(tuple(padded[at - size : at + 1]) for at in range(order - 1, len(padded)))
    if not counts[0]:
        raise UsageError("there are no labels to count", where=where, need="at least one labelling")
    if smoothing == "kneser-ney":
        # Below the highest order, how many different labels came before counts, not how often.
        counts = [*(Counter(gram[1:] for gram in longer) for longer in counts[1:]), counts[-1]]
    levels = [_entries(level, size) for size, level in enumerate(counts)]
    return NGram(levels, classes, unused=left_out, smoothing=smoothing, ends=ends, alphabet=alphabet)


def train_ngram_on_text(
    texts: Iterable[str],
    alphabet: Sequence[str | None],
    *,
    order: int = 3,
    smoothing: str = "kneser-ney",
    ends: bool = True,
) -> NGram:
    """A character model: an n-gram model of texts, one label a character.

    Args:
        texts: lines of text.
        alphabet: the character of each of the network's classes, None for the blank and others that are never written.
        order, smoothing, ends: as in `train_ngram`.

    Raises:
        UsageError: an argument is out of range, or a text holds a character that is not in the alphabet.

    Example:
        >>> model = train_ngram_on_text(["a cab", "a bac"], [None, "a", "b", "c", " "], order=3)
        >>> model.alphabet[int(model.log_probs(model.begin()).argmax())]
        'a'
    """
    where = "train_ngram_on_text"
    number_of = {text: number for number, text in enumerate(alphabet) if text is not None}
    unused = [number for number, text in enumerate(alphabet) if text is None]
    if len(number_of) + len(unused) != len(alphabet) or any(len(text) != 1 for text in number_of):
        raise UsageError(f"alphabet is {list(alphabet)!r:.60}", where=where, need="one character each, none twice")
    labellings = []
    for line, text in enumerate(texts):
        strange = next((sign for sign in text if sign not in number_of), None)
        if strange is not None:
            need = "characters of the alphabet alone"
            cure = "leave it out of the text, or give it a class"
            raise UsageError(f"text {line} holds {strange!r}", where=where, need=need, cure=cure)
        labellings.append([number_of[sign] for sign in text])
    options = {"order": order, "smoothing": smoothing, "ends": ends}
    return train_ngram(labellings, len(alphabet), unused=unused, alphabet=alphabet, **options)  # type: ignore[arg-type]


def _entries(counts: Counter[tuple[int, ...]], size: int) -> Array:
    rows = sorted((*gram, count) for gram, count in counts.items())
    return np.array(rows, dtype=np.int64).reshape(len(rows), size + 2)
