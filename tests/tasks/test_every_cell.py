"""Every cell that runs along time can be named in a task, and ends in a judged model."""

from __future__ import annotations

import numpy as np
import pytest

import recurra
from recurra.cells.registry import along_time

FAST = ("mlstm", "narx", "gru_d", "unitary", "hm_rnn")


@pytest.mark.parametrize("cell", [pytest.param(c, marks=() if c in FAST else pytest.mark.slow) for c in along_time()])
def test_a_classifier_of_it_is_trained_and_judged(cell: str) -> None:
    chance = np.random.default_rng(0)
    sequences = [chance.normal(size=(chance.integers(3, 9), 2)) + index % 2 for index in range(40)]
    labels = ["odd" if index % 2 else "even" for index in range(40)]
    model = recurra.SequenceClassifier(cell=cell, epochs=1, hidden_size=6, seed=0).fit(sequences, labels)
    assert np.isfinite(model.judgement_.metrics["log_loss"])
    assert len(model.predict(sequences[:4])) == 4
