"""Best-path decoding of CTC outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from recurra.learn.objectives.ctc_labels import check_blank
from recurra.learn.objectives.log_scores import read_scores


class BestPath(NamedTuple):
    """What greedy decoding gives for a sequence.

    Attributes:
        labels: the labelling.
        spans: for each label the steps (first, end) on which the path shows it, the end not included.
        log_prob: of that one path, in nats; at most that of the labelling.
    """

    labels: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    log_prob: float


def greedy_decode(logits: Any, lengths: Any = None, *, blank: int = 0) -> list[BestPath]:
    """The labelling of the most probable path of each sequence.

    Equations:
        pi_t = argmax_k y_t(k), labelling = B(pi): repeated classes merged, then blanks taken out.

    Args:
        logits: outputs before the softmax, or log-probabilities; a tensor or an array.
        lengths: the steps of each sequence; all when absent.
        blank: the class that stands for no label.

    Shapes:
        logits (time, batch, classes), lengths (batch,); a list with one `BestPath` a sequence.

    Raises:
        UsageError: a length or the blank is out of range, or a step has no finite number.
        ShapeError: logits or lengths does not fit.

    Reference:
        A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber. Connectionist temporal classification: labelling unsegmented
        sequence data with recurrent neural networks. ICML (2006) 369-376.

    Example:
        >>> import numpy as np
        >>> path = np.log(np.eye(3)[[1, 1, 0, 1, 2]] * 0.98 + 0.005)[:, None]
        >>> greedy_decode(path)[0][:2]
        ((1, 1, 2), ((0, 2), (3, 4), (4, 5)))
    """
    found = []
    for log_probs in read_scores(logits, lengths, "greedy_decode"):
        check_blank(blank, log_probs.shape[1], "greedy_decode")
        path = log_probs.argmax(1).tolist()
        labels: list[int] = []
        spans: list[tuple[int, int]] = []
        for step, label in enumerate(path):
            if label == blank:
                continue
            if step and path[step - 1] == label:
                spans[-1] = (spans[-1][0], step + 1)
            else:
                labels.append(label)
                spans.append((step, step + 1))
        found.append(BestPath(tuple(labels), tuple(spans), float(log_probs.max(1).sum()) if path else 0.0))
    return found
