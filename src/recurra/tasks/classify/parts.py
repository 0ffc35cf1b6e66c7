"""Training, validation and held-out sequences: every class in every part, as far as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.data.split import split_sequences

if TYPE_CHECKING:
    from recurra.data.sequence_set import SequenceSet

VALID_SHARE = 0.15  # of the sequences that are not held out
MOST_VALID = 5000


@dataclass(frozen=True)
class Parts:
    """Indices of the sequences of each part, ascending.

    Attributes:
        train: learned from. valid: decides when to stop, and the temperature. test: held out for the verdict alone.
        notes: what a reader should know of the split.
        borrowed: whether `valid` is the training part itself, for want of sequences.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    notes: list[str] = field(default_factory=list)
    borrowed: bool = False

    def named(self) -> list[tuple[str, np.ndarray]]:
        return [("train", self.train), ("valid", self.valid), ("test", self.test)]

    def event(self, data: SequenceSet) -> dict[str, Any]:
        """The split as facts for the log."""
        lengths = np.diff(data.offsets)
        total = max(1, len(lengths))
        return {
            name: {
                "sequences": len(index),
                "rows": int(lengths[index].sum()),
                "from": None,
                "to": None,
                "text": f"{100 * len(index) / total:.0f} % of the sequences, drawn by class",
            }
            for name, index in self.named()
        }


def split_parts(label: np.ndarray, classes: int, test: float, seed: int) -> Parts:
    """Draw the parts class by class: `test` of the sequences are held out, 15 % of the rest (at most 5000) validate.

    Of a class with two sequences one trains and one is held out (validates, where nothing is held out); a class with
    three or more is in every part.

    Args:
        label: (n,) classes.
        classes: number of classes.
        test: share of the held-out part; 0 for none.
        seed: of the draw.
    """
    share = min(VALID_SHARE * (1 - test), MOST_VALID / max(1, len(label)))
    held_out, valid, train = split_sequences(label, [test, share], seed)
    notes = []
    borrowed = len(valid) == 0
    if borrowed:
        valid = train
        notes.append(
            "There are too few sequences for a validation part: training is stopped by its own loss, and the "
            "probabilities are not calibrated."
        )
    absent = classes - len(np.unique(label[valid]))
    if absent:
        notes.append(f"{absent} of {classes} classes are too rare to be in the validation part.")
    if test == 0:
        notes.append("No sequences are held out (data.test=0): the verdict rests on the validation part, too kindly.")
    return Parts(train, valid, held_out, notes, borrowed)
