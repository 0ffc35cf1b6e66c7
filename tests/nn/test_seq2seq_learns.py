"""Sequence to sequence: a small problem is learned, and the page's examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from seq2seq_forms import SPECIAL
from torch import Tensor

from recurra.cells import GRU
from recurra.nn.attention import Attention, AttentionDecoder
from recurra.nn.recurrent import Recurrent
from recurra.nn.seq2seq import Seq2Seq, linear_decay


def reversal(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences of 6 symbols, tokens 3 to 10, and the same from the end."""
    source = torch.randint(3, 11, (6, count), generator=generator)
    return source, torch.cat([source.flip(0), torch.full((1, count), 2)])


@pytest.mark.slow
def test_attention_learns_to_turn_a_sequence_round() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    encoder = Recurrent("gru", 16, 32, bidirectional=True)
    decoder = AttentionDecoder(GRU(16 + 64, 64), Attention("additive", 64, 64))
    model = Seq2Seq(encoder, decoder, 11, source_vocabulary=11, **SPECIAL)  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for number in range(130):
        source, target = reversal(64, generator)
        loss = model.loss(source, target, teacher_forcing=linear_decay(number, slope=1e-3) if number % 4 == 0 else 1.0)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    source, target = reversal(500, generator)
    for tokens in (
        model.generate(source, max_steps=8).tokens,
        model.beam_search(source, width=3, max_steps=8).tokens[:, 0].T,
    ):
        right = (tokens[:7] == target).all(0) if len(tokens) >= 7 else torch.zeros(500)
        assert float(right.double().mean()) > 0.95


def test_the_page_runs_as_printed() -> None:
    page = Path(__file__).parents[2] / "docs" / "sequence_to_sequence.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)  # one block reads what those before it made
    assert names["beams"].tokens.shape[:2] == (2, 2)
    # What the page says of the shapes.
    assert names["y"].shape == (34, 2, 32) and names["left"].tolist() == [34, 21]
    # 60 steps suffice for the two sequences of the page.
    assert names["model"].generate(names["source"], max_steps=6).tokens.tolist() == names["target"].tolist()
