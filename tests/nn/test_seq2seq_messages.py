"""Sequence to sequence: the schedules, and what is said of bad arguments."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from seq2seq_forms import DOUBLE, SOURCE, SPECIAL, TARGET, attentive, both_ways, make
from torch import nn

from recurra.cells import GRU
from recurra.errors import ShapeError, UsageError
from recurra.nn.pyramid import Pyramid
from recurra.nn.seq2seq import Seq2Seq, exponential_decay, inverse_sigmoid_decay, linear_decay


def test_the_schedules_are_the_papers() -> None:
    for i in (0, 3, 50, 1000):
        assert linear_decay(i, slope=0.01, start=0.9, lowest=0.2) == pytest.approx(max(0.2, 0.9 - 0.01 * i))
        assert exponential_decay(i, base=0.99) == pytest.approx(0.99**i)
        assert inverse_sigmoid_decay(i, scale=30) == pytest.approx(30 / (30 + math.exp(i / 30)))
    assert inverse_sigmoid_decay(10**9, scale=1) == pytest.approx(0.0)
    for call, message in [
        (lambda: linear_decay(1, slope=-0.1), "slope is -0.1. Needed: a number from 0 on"),
        (lambda: linear_decay(1, slope=0.1, lowest=2), "lowest is 2. Needed: a probability, from 0 to 1"),
        (lambda: exponential_decay(1, base=1.0), "base is 1.0. Needed: a number between 0 and 1"),
        (lambda: inverse_sigmoid_decay(1, scale=0.5), "scale is 0.5. Needed: a number from 1 on"),
    ]:
        with pytest.raises(UsageError, match=message):
            call()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": GRU(2, 3)}, "Seq2Seq: encoder is GRU. Needed: a recurrent layer"),
        ({"decoder": nn.Linear(2, 2)}, "decoder is Linear. Needed: a Cell or an AttentionDecoder"),
        ({"target_vocabulary": 0}, "target_vocabulary is 0. Needed: a positive whole number"),
        ({"source_vocabulary": -2}, "source_vocabulary is -2. Needed: a positive whole number"),
        ({"begin": 6}, "begin is 6. Needed: a token, from 0 to 5"),
        ({"end": -1}, "end is -1. Needed: a token, from 0 to 5"),
        ({"padding": 2}, "padding is 2. Needed: a token of its own, neither begin nor end"),
        ({"padding": 5, "source_vocabulary": 4}, "padding is 5. Needed: a token of the source too, from 0 to 3"),
        ({"bridge": "direct"}, "bridge is 'direct'. Needed: 'auto', 'learned', 'none', or a module"),
        ({"dropout": 1.5}, "Seq2Seq: dropout is 1.5. Needed: a number from 0 to 1"),
        ({"feed_summary": True}, "the decoder's input_size is 3. Needed: more than 6, the features of the summary"),
        ({"encoder": both_ways(size=4)}, "the attention's memory_size is 6. Needed: 8, the features that the encoder"),
        ({"encoder": Pyramid("gru", 2, 3), "feed_summary": True}, "feed_summary is True. Needed: False with Pyramid"),
        (
            {"encoder": Pyramid("gru", 2, 3), "bridge": "learned"},
            "bridge is 'learned'. Needed: 'auto' or 'none' with Pyr",
        ),
    ],
)
def test_messages_of_the_constructor(changes: dict[str, Any], message: str) -> None:
    given = {"encoder": both_ways(), "decoder": attentive(), "target_vocabulary": 6, "source_vocabulary": 7, **SPECIAL}
    given.update(changes)
    with pytest.raises(UsageError, match=message):
        Seq2Seq(**given)  # type: ignore[arg-type]


def test_messages_of_the_call() -> None:
    model, plain = make("bahdanau"), make("plain, handed on")
    cases: list[tuple[Any, str]] = [
        (lambda: model(SOURCE[0], TARGET), r"source has shape \(4,\). Needed: whole numbers \(time, batch\)"),
        (lambda: model([1], TARGET), "Seq2Seq: source is list. Needed: whole numbers"),
        (
            lambda: model(SOURCE, TARGET.double()),
            "target is torch.float64. Needed: whole numbers .* Cure: target.long()",
        ),
        (lambda: model(SOURCE + 1, TARGET), "source holds 7. Needed: tokens from 0 to 6, as the vocabulary is 7"),
        (lambda: model(SOURCE, TARGET - 1), "target holds -1. Needed: tokens from 0 to 5"),
        (lambda: model(SOURCE, TARGET, target_lengths=[5, 1, 1, 1]), "Seq2Seq, target: lengths holds 5. Needed: whole"),
        (lambda: model(SOURCE, TARGET[:, :3]), "x has batch 3. Needed: 4, as the memory"),
        (lambda: plain(SOURCE, TARGET[:, :3]), r"state.h has shape \(4, 4\). Needed: \(3, 4\)"),
        (
            lambda: model(SOURCE, TARGET, teacher_forcing=1.5),
            "teacher_forcing is 1.5. Needed: a probability, from 0 to",
        ),
        (lambda: model.loss(SOURCE, TARGET, reduction="sum"), "reduction is 'sum'. Needed: 'mean' or 'sequence'"),
        (
            lambda: plain(SOURCE, TARGET, alignments=True),
            "the decoder is LSTM. Needed: a decoder with attention for align",
        ),
        (
            lambda: plain.beam_search(SOURCE, width=2, max_steps=2, beta=0.1),
            "the decoder is LSTM. Needed: a decoder with",
        ),
        (
            lambda: model.beam_search(SOURCE, width=0, max_steps=2),
            "Seq2Seq.beam_search: width is 0. Needed: a positive",
        ),
        (lambda: model.generate(SOURCE, max_steps=0), "max_steps is 0. Needed: a positive whole number"),
    ]
    for call, message in cases:
        with pytest.raises(UsageError, match=message):
            call()
    numbers = Seq2Seq(both_ways(), attentive(), 6, **SPECIAL)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"Seq2Seq: source has shape \(3, 4, 5\). Needed: \(time, batch, 2\)"):
        numbers(torch.zeros(3, 4, 5, dtype=DOUBLE), TARGET)
