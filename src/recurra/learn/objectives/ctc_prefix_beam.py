"""Prefix beam search over CTC outputs, with or without a model of labellings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from recurra.cells.base import check_size
from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.ctc_alignment import best_alignment
from recurra.learn.objectives.ctc_labels import check_blank
from recurra.learn.objectives.label_model import LabelModel
from recurra.learn.objectives.log_scores import Array, read_scores

WHERE = "prefix_beam_decode"


class Hypothesis(NamedTuple):
    """A labelling that the search found.

    Attributes:
        labels: its classes, without blanks.
        score: what hypotheses are ordered by.
        log_prob: log p(labels | outputs) over the paths that the beam kept, in nats.
        model_log_prob: log p(labels) under the model, its end included; 0 without one.
        spans: for each label the steps (first, end) on its most probable path, or None where they were not asked for.
    """

    labels: tuple[int, ...]
    score: float
    log_prob: float
    model_log_prob: float
    spans: tuple[tuple[int, int], ...] | None


def prefix_beam_decode(
    logits: Any,
    lengths: Any = None,
    *,
    width: int = 16,
    n_best: int = 1,
    blank: int = 0,
    model: LabelModel | None = None,
    alpha: float = 1.0,
    beta: float = 0.0,
    spans: bool = True,
) -> list[list[Hypothesis]]:
    """The best labellings of each sequence, summed over their paths, by a search over prefixes.

    Equations:
        for each prefix l kept, p_b(l) and p_n(l) are the probabilities of all kept paths so far that give l and end in
        a blank or not. Step t, with y = y_t and k the last label of l:
            p_b'(l) = y(blank) (p_b(l) + p_n(l)),
            p_n'(l) = y(k) p_n(l), plus what comes from l without k if that is kept,
            p_n'(l c) = y(c) (p_b(l) + p_n(l)) for c other than k, and y(k) p_b(l) for c = k, is what l gives to l c.
        Kept are the `width` prefixes with the highest
            score(l) = log(p_b(l) + p_n(l)) + alpha log p_model(l) + beta |l|;
        at the end the model's log-probability of ending joins, times alpha. Everything is in logarithms.

    Args:
        logits: outputs before the softmax, or log-probabilities; a tensor or an array.
        lengths: the steps of each sequence; all when absent.
        width: prefixes kept after each step. As many as there are makes the search exhaustive.
        n_best: hypotheses returned, fewer where fewer are possible.
        blank: the class that stands for no label.
        model: says which label is likely next, an `NGram` say.
        alpha: weight of the model.
        beta: what each label adds to the score; a model makes long labellings improbable, and this pays for it.
        spans: whether the times of the labels are looked for.

    Shapes:
        logits (time, batch, classes), lengths (batch,); a list with one list of hypotheses a sequence, best first.

    Raises:
        UsageError: an argument is out of range, or a step has no finite number.
        ShapeError: logits, lengths or the model's classes do not fit.

    Differs from the paper: the model is asked at each label, not at each word; the length bonus is beta |l| in the
    logarithm, that is exp(beta |l|), where the paper has |l| to the power of beta.

    Reference:
        A. Y. Hannun, A. L. Maas, D. Jurafsky, A. Y. Ng. First-pass large vocabulary continuous speech recognition using
        bi-directional recurrent DNNs. arXiv:1408.2873 (2014).
        A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber. Connectionist temporal classification: labelling unsegmented
        sequence data with recurrent neural networks. ICML (2006) 369-376.

    Example:
        >>> import numpy as np
        >>> logits = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])  # the best path is blank, blank
        >>> best = prefix_beam_decode(logits, n_best=2)[0]
        >>> [(h.labels, round(float(np.exp(h.log_prob)), 2)) for h in best]
        [((1,), 0.64), ((), 0.36)]
    """
    check_size(width, "width", WHERE)
    check_size(n_best, "n_best", WHERE)
    if n_best > width:
        raise UsageError(f"n_best is {n_best}", where=WHERE, need=f"at most {width}, the width")
    for name, number in (("alpha", alpha), ("beta", beta)):
        if isinstance(number, bool) or not isinstance(number, int | float) or not np.isfinite(number):
            raise UsageError(f"{name} is {number!r}", where=WHERE, need="a finite number")
    if alpha < 0:
        raise UsageError(f"alpha is {alpha!r}", where=WHERE, need="a number from 0")
    if model is not None and not isinstance(model, LabelModel):
        need = "begin, advance, log_probs and end, as `LabelModel` has them"
        raise UsageError(f"model is {type(model).__name__}", where=WHERE, need=need)
    found = []
    for log_probs in read_scores(logits, lengths, WHERE):
        check_blank(blank, log_probs.shape[1], WHERE)
        prefixes = _Prefixes(log_probs.shape[1], blank, model if alpha else None, float(alpha), float(beta))
        beam = _search(log_probs, prefixes, width, blank)
        found.append(_hypotheses(beam, prefixes, log_probs, n_best, blank, spans))
    return found


class _Prefixes:
    """All prefixes met so far, as a tree: a number for each, its parent, its last label, and what the model adds."""

    def __init__(self, classes: int, blank: int, model: LabelModel | None, alpha: float, beta: float):
        self.classes, self.blank, self.model, self.alpha, self.beta = classes, blank, model, alpha, beta
        self.parent, self.label, self.model_log_prob, self.length = [-1], [-1], [0.0], [0]
        self.children: dict[tuple[int, int], int] = {}
        self.states: list[Any] = [None if model is None else model.begin()]
        self.asked: dict[int, Array] = {}
        self.nothing = np.zeros(classes)

    def child(self, parent: int, label: int) -> int:
        """The number of the prefix that is one label longer."""
        number = self.children.get((parent, label))
        if number is None:
            number = self.children[parent, label] = len(self.parent)
            gained = 0.0
            if self.model is not None:
                gained = float(self.next(parent)[label])
                self.states.append(self.model.advance(self.states[parent], label))
            self.parent.append(parent)
            self.label.append(label)
            self.length.append(self.length[parent] + 1)
            self.model_log_prob.append(self.model_log_prob[parent] + gained)
        return number

    def next(self, number: int) -> Array:
        """The model's log-probabilities after a prefix."""
        if self.model is None:
            return self.nothing
        if number not in self.asked:
            asked = np.asarray(self.model.log_probs(self.states[number]), dtype=np.float64)
            if asked.shape != (self.classes,):
                need = f"({self.classes},), one for each class of the logits"
                raise ShapeError(f"the model's log_probs has shape {asked.shape}", where=WHERE, need=need)
            if np.isnan(np.delete(asked, self.blank)).any():
                raise UsageError("the model's log_probs holds NaN", where=WHERE, need="log-probabilities")
            self.asked[number] = asked
        return self.asked[number]

    def bonus(self, number: int) -> float:
        """What a prefix's own labels add to its score."""
        gained = self.alpha * self.model_log_prob[number] if self.model is not None else 0.0
        return gained + self.beta * self.length[number]

    def ending(self, number: int) -> float:
        """The model's log-probability of ending."""
        return 0.0 if self.model is None else float(self.model.end(self.states[number]))

    def labels(self, number: int) -> tuple[int, ...]:
        """The labels of a prefix, first to last."""
        found = []
        while number:
            found.append(self.label[number])
            number = self.parent[number]
        return tuple(reversed(found))


@dataclass
class _Beam:
    """The prefixes kept, by their numbers, with log p_b and log p_n."""

    numbers: list[int]
    blank: Array
    other: Array


def _search(log_probs: Array, prefixes: _Prefixes, width: int, blank: int) -> _Beam:
    beam = _Beam([0], np.zeros(1), np.full(1, -np.inf))
    for y in log_probs:
        beam = _step(y, beam, prefixes, width, blank)
    return beam


def _step(y: Array, beam: _Beam, prefixes: _Prefixes, width: int, blank: int) -> _Beam:
    numbers = beam.numbers
    kept, classes = len(numbers), len(y)
    rows = np.arange(kept)
    last = np.array([prefixes.label[number] for number in numbers])
    labelled = last >= 0  # all but the empty prefix
    both = np.logaddexp(beam.blank, beam.other)
    stay_blank = both + y[blank]
    stay_other = np.where(labelled, beam.other + y[last], -np.inf)
    longer = both[:, None] + y
    longer[rows[labelled], last[labelled]] = beam.blank[labelled] + y[last[labelled]]
    longer[:, blank] = -np.inf
    # A prefix in the beam may be its neighbour's longer one: their paths are paths of one labelling.
    row_of = {number: row for row, number in enumerate(numbers)}
    for here, number in enumerate(numbers):
        above = row_of.get(prefixes.parent[number])
        if above is not None and number:
            stay_other[here] = np.logaddexp(stay_other[here], longer[above, last[here]])
            longer[above, last[here]] = -np.inf
    own = np.array([prefixes.bonus(number) for number in numbers])
    scores = longer + (own + prefixes.beta)[:, None]
    if prefixes.model is not None:
        ahead = np.stack([prefixes.next(number) for number in numbers])
        ahead[:, blank] = 0.0
        scores += prefixes.alpha * ahead
    scores = np.concatenate([np.logaddexp(stay_blank, stay_other) + own, scores.ravel()])
    chosen = np.argpartition(-scores, width - 1)[:width] if len(scores) > width else np.arange(len(scores))
    chosen = chosen[scores[chosen] > -np.inf]
    chosen = chosen[np.lexsort((chosen, -scores[chosen]))]
    stays, place = chosen < kept, chosen - kept
    row = np.where(stays, chosen, place // classes)
    label = np.where(stays, 0, place % classes)
    next_numbers = [
        numbers[r] if stay else prefixes.child(numbers[r], c)
        for r, c, stay in zip(row.tolist(), label.tolist(), stays.tolist(), strict=True)
    ]
    return _Beam(
        next_numbers,
        np.where(stays, stay_blank[row], -np.inf),
        np.where(stays, stay_other[row], longer[row, label]),
    )


def _hypotheses(
    beam: _Beam, prefixes: _Prefixes, log_probs: Array, n_best: int, blank: int, spans: bool
) -> list[Hypothesis]:
    found = []
    for number, log_prob in zip(beam.numbers, np.logaddexp(beam.blank, beam.other).tolist(), strict=True):
        ending = prefixes.ending(number)
        score = log_prob + prefixes.bonus(number) + prefixes.alpha * ending
        if score > -np.inf:
            found.append((score, log_prob, prefixes.model_log_prob[number] + ending, number))
    found.sort(key=lambda one: -one[0])
    best = []
    for score, log_prob, model_log_prob, number in found[:n_best]:
        labels = prefixes.labels(number)
        alignment = best_alignment(log_probs, labels, blank) if spans else None
        best.append(Hypothesis(labels, score, log_prob, model_log_prob, alignment.spans if alignment else None))
    return best
