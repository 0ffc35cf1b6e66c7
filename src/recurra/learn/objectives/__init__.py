"""Objectives: what a network's outputs cost, decoders of what it says, measures of both. Names load on first use.

Cut in time, their sums adding up over windows: `MSE`, `MAE`, `CrossEntropy` and `BinaryCrossEntropy`, in all forms
("step", "sequence" and "end"). Whole sequences only: `CTC`. Schedules of teacher forcing and scheduled sampling stand
in `recurra.nn.seq2seq.schedules`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurra.learn.objectives.absolute_error import MAE
    from recurra.learn.objectives.balance import equal_sequences
    from recurra.learn.objectives.binary_cross_entropy import BinaryCrossEntropy
    from recurra.learn.objectives.cross_entropy import CrossEntropy
    from recurra.learn.objectives.ctc import CTC
    from recurra.learn.objectives.ctc_alignment import align_labels
    from recurra.learn.objectives.ctc_forward_backward import ctc_loss
    from recurra.learn.objectives.ctc_greedy import greedy_decode
    from recurra.learn.objectives.ctc_labels import ctc_steps_needed, pad_labels
    from recurra.learn.objectives.ctc_prefix_beam import prefix_beam_decode
    from recurra.learn.objectives.description_length import (
        gaussian_bits,
        labelling_bits,
        parameter_bits,
        round_weights,
        sequence_bits,
        two_part_length,
    )
    from recurra.learn.objectives.label_errors import edit_distance, label_error_rate
    from recurra.learn.objectives.label_model import LabelModel
    from recurra.learn.objectives.learner import ObjectiveLearner, SequenceBatch
    from recurra.learn.objectives.ngram import NGram
    from recurra.learn.objectives.ngram_file import load_ngram, save_ngram
    from recurra.learn.objectives.ngram_training import train_ngram, train_ngram_on_text
    from recurra.learn.objectives.objective import Loss, Objective
    from recurra.learn.objectives.signals import SignalObjective
    from recurra.learn.objectives.squared_error import MSE

_WHERE = {
    "BinaryCrossEntropy": "binary_cross_entropy",
    "CTC": "ctc",
    "CrossEntropy": "cross_entropy",
    "LabelModel": "label_model",
    "Loss": "objective",
    "MAE": "absolute_error",
    "MSE": "squared_error",
    "NGram": "ngram",
    "Objective": "objective",
    "ObjectiveLearner": "learner",
    "SequenceBatch": "learner",
    "SignalObjective": "signals",
    "align_labels": "ctc_alignment",
    "ctc_loss": "ctc_forward_backward",
    "ctc_steps_needed": "ctc_labels",
    "edit_distance": "label_errors",
    "equal_sequences": "balance",
    "gaussian_bits": "description_length",
    "greedy_decode": "ctc_greedy",
    "label_error_rate": "label_errors",
    "labelling_bits": "description_length",
    "load_ngram": "ngram_file",
    "pad_labels": "ctc_labels",
    "parameter_bits": "description_length",
    "prefix_beam_decode": "ctc_prefix_beam",
    "round_weights": "description_length",
    "save_ngram": "ngram_file",
    "sequence_bits": "description_length",
    "train_ngram": "ngram_training",
    "train_ngram_on_text": "ngram_training",
    "two_part_length": "description_length",
}

__all__ = [
    "BinaryCrossEntropy",
    "CTC",
    "CrossEntropy",
    "LabelModel",
    "Loss",
    "MAE",
    "MSE",
    "NGram",
    "Objective",
    "ObjectiveLearner",
    "SequenceBatch",
    "SignalObjective",
    "align_labels",
    "ctc_loss",
    "ctc_steps_needed",
    "edit_distance",
    "equal_sequences",
    "gaussian_bits",
    "greedy_decode",
    "label_error_rate",
    "labelling_bits",
    "load_ngram",
    "pad_labels",
    "parameter_bits",
    "prefix_beam_decode",
    "round_weights",
    "save_ngram",
    "sequence_bits",
    "train_ngram",
    "train_ngram_on_text",
    "two_part_length",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
