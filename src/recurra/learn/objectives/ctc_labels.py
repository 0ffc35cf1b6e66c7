"""Labellings for CTC: read, checked, extended by blanks, and whether steps suffice for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.objectives.places import can_look, check_counts

PADDING = -1


class Labels(NamedTuple):
    """Labellings of a batch: labels (batch, most) with the blank past their lengths, lengths (batch,)."""

    labels: Tensor
    lengths: Tensor


def pad_labels(labels: Any) -> Tensor:
    """A list of labellings as one tensor, padded with -1 at their ends.

    Args:
        labels: sequences of class numbers, one a sequence of the batch; empty ones are allowed.

    Shapes:
        out (batch, most labels), whole numbers.

    Example:
        >>> pad_labels([[1, 2], [], [3]])
        tensor([[ 1,  2],
                [-1, -1],
                [ 3, -1]])
    """
    rows = [[int(label) for label in row] for row in labels]
    most = max(map(len, rows), default=0)
    padded = [[*row, *[PADDING] * (most - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.long).reshape(len(rows), most)


def read_labels(
    labels: Any, label_lengths: Any, *, batch: int, classes: int | None, blank: int, device: torch.device, where: str
) -> Labels:
    """Labellings of any accepted form: a padded tensor with or without lengths, or a list of sequences."""
    if not isinstance(labels, Tensor):
        try:
            labels = pad_labels(labels)
        except (TypeError, ValueError) as error:
            need = f"a tensor ({batch}, labels), or a list of {batch} lists of class numbers"
            raise ShapeError(f"labels is {labels!r:.60}", where=where, need=need) from error
    need = f"whole numbers ({batch}, labels), padded with {PADDING}"
    if labels.dim() != 2 or labels.shape[0] != batch:
        raise ShapeError(f"labels has shape {tuple(labels.shape)}", where=where, need=need)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ShapeError(f"labels is {labels.dtype}", where=where, need=need, cure="labels.long()")
    labels = labels.to(device, torch.long)
    if label_lengths is None:
        lengths = (labels >= 0).sum(1)
    else:
        most = labels.shape[1]
        lengths = check_counts(label_lengths, batch, most, device, name="label_lengths", where=where)
    inside = torch.arange(labels.shape[1], device=device) < lengths.unsqueeze(1)
    if can_look():
        _check_numbers(labels, inside, classes, blank, where)
    return Labels(torch.where(inside, labels, blank), lengths)


def _check_numbers(labels: Tensor, inside: Tensor, classes: int | None, blank: int, where: str) -> None:
    wrong = inside & (labels < 0)
    if bool(wrong.any()):
        row = int(wrong.any(1).nonzero()[0])
        given = f"labels of sequence {row} holds {int(labels[wrong][0])} before its end"
        raise UsageError(given, where=where, need=f"padding ({PADDING}) after the last label only")
    wrong = inside & (labels == blank)
    if classes is not None:
        wrong = wrong | (inside & (labels >= classes))
    if bool(wrong.any()):
        label, row = int(labels[wrong][0]), int(wrong.any(1).nonzero()[0])
        what = f"{label}, the blank" if label == blank else str(label)
        upper = "" if classes is None else f" to {classes - 1}"
        need = f"classes from 0{upper} without the blank, {blank}"
        raise UsageError(f"labels of sequence {row} holds {what}", where=where, need=need)


def check_blank(blank: Any, classes: int | None, where: str) -> int:
    """The class that stands for no label."""
    if isinstance(blank, bool) or not isinstance(blank, int) or blank < 0 or (classes is not None and blank >= classes):
        upper = "" if classes is None else f" to {classes - 1}"
        raise UsageError(f"blank is {blank!r}", where=where, need=f"a class, a whole number from 0{upper}")
    return blank


def ctc_steps_needed(labels: Any, label_lengths: Any = None) -> Tensor:
    """The fewest time steps on which CTC can write each labelling.

    Equations:
        n = |l| + number of neighbours in l that are the same, since a blank must stand between those.

    Args:
        labels: padded with -1, or a list of sequences.
        label_lengths: the number of labels of each sequence; up to the padding when absent.

    Shapes:
        labels (batch, labels), label_lengths and out (batch,).

    Raises:
        UsageError, ShapeError: the labels or their lengths do not fit.

    Reference:
        A. Graves, S. Fernandez, F. Gomez, J. Schmidhuber. Connectionist temporal classification: labelling unsegmented
        sequence data with recurrent neural networks. ICML (2006) 369-376.

    Example:
        >>> ctc_steps_needed([[1, 2], [1, 1], []])
        tensor([2, 3, 0])
    """
    labels = labels if isinstance(labels, Tensor) else pad_labels(labels)
    where = "ctc_steps_needed"
    if labels.dim() != 2:
        raise ShapeError(f"labels has shape {tuple(labels.shape)}", where=where, need="(batch, labels)")
    # No class is the blank here: -2 is never a label.
    read = read_labels(
        labels, label_lengths, batch=len(labels), classes=None, blank=-2, device=labels.device, where=where
    )
    same = (read.labels[:, 1:] == read.labels[:, :-1]) & (read.labels[:, 1:] >= 0)
    return read.lengths + same.sum(1)
