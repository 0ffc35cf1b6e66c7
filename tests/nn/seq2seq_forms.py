"""Forms of encoder and decoder that the tests of sequence to sequence run over."""

from __future__ import annotations

from typing import Any

import torch

import recurra.nn
from recurra.cells import GRU, LSTM
from recurra.nn.attention import Attention, AttentionDecoder
from recurra.nn.pyramid import Pyramid
from recurra.nn.recurrent import Recurrent
from recurra.nn.seq2seq import CellStack, Seq2Seq
from recurra.nn.skip import Skip

DOUBLE = torch.float64
SPECIAL: dict[str, int] = {"begin": 1, "end": 2, "padding": 0}
SOURCE = torch.tensor([[3, 4, 6, 5], [5, 3, 0, 4], [4, 0, 0, 6]])
TARGET = torch.tensor([[4, 3, 2, 5], [3, 2, 0, 5], [5, 0, 0, 4], [2, 0, 0, 2]])


def attentive(
    kind: str = "additive", order: str = "before", feed: str = "nothing", memory: int = 6
) -> AttentionDecoder:
    output = 4 + memory if order == "before" else 4
    joins = {"nothing": memory if order == "before" else 0, "output": output, "context": memory}[feed]
    attention = Attention(kind, 4, memory, location_width=3, dtype=DOUBLE)
    return AttentionDecoder(GRU(3 + joins, 4, dtype=DOUBLE), attention, order=order, feed=feed)


def both_ways(cell: str = "gru", size: int = 3) -> Recurrent:
    return Recurrent(cell, 2, size, bidirectional=True, dtype=DOUBLE)


def stacked() -> CellStack:
    return CellStack([LSTM(3, 4, dtype=DOUBLE), LSTM(4, 4, dtype=DOUBLE)])


FORMS: dict[str, Any] = {
    "bahdanau": lambda **more: (both_ways(), attentive(), more),
    "luong": lambda **more: (both_ways(), attentive("general", "after", "output"), more),
    "after, nothing fed": lambda **more: (both_ways("lstm"), attentive("additive", "after"), more),
    "location": lambda **more: (both_ways(), attentive("location", "after", "context"), more),
    "plain, handed on": lambda **more: (Recurrent("lstm", 2, 4, dtype=DOUBLE), LSTM(3, 4, dtype=DOUBLE), more),
    "plain, two layers": lambda **more: (Recurrent("lstm", 2, 4, 2, dtype=DOUBLE), stacked(), more),
    "plain, bridged": lambda **more: (both_ways("lstm"), GRU(3, 4, dtype=DOUBLE), more),
    "summary fed": lambda **more: (both_ways(), GRU(3 + 6, 4, dtype=DOUBLE), {"feed_summary": True, **more}),
    "named layer": lambda **more: (
        recurra.nn.LSTM(2, 3, 2, bidirectional=True, dtype=DOUBLE),
        AttentionDecoder(stack_above(6), Attention("general", 4, 6, dtype=DOUBLE)),
        more,
    ),
    "pyramid": lambda **more: (Pyramid("gru", 2, 3, 2, factor=(1, 2), dtype=DOUBLE), attentive(), more),
    "skip": lambda **more: (
        Skip("gru", 2, 3, every=2, stack=2, bidirectional=True, dtype=DOUBLE),
        attentive("location"),
        more,
    ),
}


def stack_above(memory: int) -> CellStack:
    return CellStack([GRU(3 + memory, 5, dtype=DOUBLE), LSTM(5, 4, dtype=DOUBLE)])


def make(form: str, seed: int = 0, **more: Any) -> Seq2Seq:
    torch.manual_seed(seed)
    encoder, decoder, arguments = FORMS[form](**more)
    return Seq2Seq(encoder, decoder, 6, source_vocabulary=7, **SPECIAL, **arguments)
