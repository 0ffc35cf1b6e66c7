"""When each label of a known labelling was written: the most probable alignment under CTC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from recurra.errors import UsageError
from recurra.learn.objectives.ctc_labels import check_blank
from recurra.learn.objectives.log_scores import Array, read_scores


class Alignment(NamedTuple):
    """The most probable path of a labelling.

    Attributes:
        spans: for each label the steps (first, end) on which the path shows it, the end not included.
        log_prob: of the path, in nats.
    """

    spans: tuple[tuple[int, int], ...]
    log_prob: float


def align_labels(logits: Any, labels: Sequence[int], *, blank: int = 0) -> Alignment:
    """The steps at which one sequence's labels stand on their most probable path.

    Equations:
        v_t(s) = log y_t(l'_s) + max over the moves of CTC into place s of v_{t-1}, followed back from the better of
        the last two places; l' is the labelling with blanks, as in `ctc_loss`.

    Args:
        logits: one sequence's outputs before the softmax, or log-probabilities.
        labels: its labelling, without blanks.
        blank: the class that stands for no label.

    Shapes:
        logits (time, classes), an array or a tensor.

    Raises:
        UsageError: a label or the blank is out of range, or no path can write the labelling.
        ShapeError: the logits do not fit.

    Reference:
        A. Graves. Supervised sequence labelling with recurrent neural networks. Springer (2012), chapter 7.

    Example:
        >>> import numpy as np
        >>> align_labels(np.log([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6]]), [1, 1]).spans
        ((0, 1), (2, 3))
    """
    where = "align_labels"
    logits = logits if hasattr(logits, "shape") else np.asarray(logits)
    log_probs = read_scores(logits[:, None], None, where)[0]
    check_blank(blank, log_probs.shape[1], where)
    for label in labels:
        if label == blank or not 0 <= label < log_probs.shape[1]:
            need = f"classes from 0 to {log_probs.shape[1] - 1} without the blank, {blank}"
            raise UsageError(f"labels holds {label}", where=where, need=need)
    found = best_alignment(log_probs, labels, blank)
    if found is None:
        need = "enough steps (`ctc_steps_needed`), and no label of probability 0"
        given = f"no path of {len(log_probs)} steps writes these {len(labels)} labels"
        raise UsageError(given, where=where, need=need)
    return found


def best_alignment(log_probs: Array, labels: Sequence[int], blank: int) -> Alignment | None:
    """As `align_labels`, from checked log-probabilities; None where there is no path."""
    steps, places = len(log_probs), 2 * len(labels) + 1
    classes = np.full(places, blank)
    classes[1::2] = labels
    # Two places that never count stand before the first, so that all moves are alike.
    jump = np.full(places, -np.inf)
    jump[2:][(classes[2:] != blank) & (classes[2:] != classes[:-2])] = 0.0
    reached = np.full(places + 2, -np.inf)
    reached[2] = 0.0
    emitted, back = log_probs[:, classes], np.zeros((steps, places), dtype=np.int64)
    for t in range(steps):
        moves = np.stack([reached[2:], reached[1:-1], reached[:-2] + jump])
        back[t] = moves.argmax(0)
        reached[2:] = moves.max(0) + emitted[t]
    place = places - 1
    if places > 1 and reached[2 + place - 1] > reached[2 + place]:
        place -= 1
    log_prob = float(reached[2 + place])
    if log_prob == -np.inf:
        return None
    spans = [(0, 0)] * len(labels)
    for t in range(steps - 1, -1, -1):
        if place % 2:
            _, end = spans[place // 2]
            spans[place // 2] = (t, end or t + 1)
        place -= int(back[t, place])
    return Alignment(tuple(spans), log_prob)
