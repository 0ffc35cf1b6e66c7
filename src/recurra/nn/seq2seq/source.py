"""The source side: tokens or numbers through an encoder, and from its last states to the decoder's first one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_input, check_size
from recurra.errors import UsageError
from recurra.nn.layer import Layer
from recurra.nn.pyramid import Pyramid
from recurra.nn.seq2seq.bridge import Bridge, same_structure, states_a_cell, summarise
from recurra.nn.seq2seq.tokens import read_tokens
from recurra.nn.skip import Skip
from recurra.types import State
from recurra.unroll import check_lengths


class Source(NamedTuple):
    """A source that was read.

    Attributes:
        memory: the encoder's outputs, (time, batch, features).
        lengths: how many of them each source has, (batch,), or None for all.
        state: the first state for the decoder's cell.
        summary: the numbers of the last layer's last states, (batch, features); None where the encoder gives no states.
    """

    memory: Tensor
    lengths: Tensor | None
    state: State
    summary: Tensor | None


class SourceEncoder(nn.Module):
    """Reads a source: embedding, encoder, and the bridge to the decoder's first state.

    Args:
        encoder: a recurrent layer in one or both directions, or `Pyramid` or `Skip`.
        cell: the cell whose first state is wanted.
        vocabulary: tokens of the source; when absent the source is (time, batch, encoder.input_size) numbers.
        padding: the token that fills sources.
        bridge: as in `Seq2Seq`.
        dropout: share of the values dropped from the embeddings while training.
        device, dtype: where and in which number format the weights are made.

    Raises:
        UsageError: an argument is out of range.
    """

    def __init__(
        self,
        encoder: nn.Module,
        cell: Cell,
        vocabulary: int | None,
        padding: int,
        bridge: str | nn.Module,
        dropout: float,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if not isinstance(encoder, Layer | Pyramid | Skip):
            need = "a recurrent layer (Recurrent, LSTM, GRU ...), Pyramid or Skip"
            raise UsageError(f"encoder is {type(encoder).__name__}", where="Seq2Seq", need=need)
        if not isinstance(bridge, nn.Module) and bridge not in ("auto", "learned", "none"):
            need = "'auto', 'learned', 'none', or a module from the encoder's states to the decoder's"
            raise UsageError(f"bridge is {bridge!r}", where="Seq2Seq", need=need)
        if isinstance(encoder, Pyramid | Skip) and bridge not in ("auto", "none"):
            need = f"'auto' or 'none' with {type(encoder).__name__}, which gives no states to bridge"
            raise UsageError(f"bridge is {bridge!r}", where="Seq2Seq", need=need)
        self.encoder, self.vocabulary, self.padding, self.dropout = encoder, vocabulary, padding, dropout
        if vocabulary is not None:
            check_size(vocabulary, "source_vocabulary", "Seq2Seq")
            if isinstance(padding, bool) or not isinstance(padding, int) or not 0 <= padding < vocabulary:
                need = f"a token of the source too, from 0 to {vocabulary - 1}"
                raise UsageError(f"padding is {padding!r}", where="Seq2Seq", need=need)
            self.embed = nn.Embedding(vocabulary, encoder.input_size, device=device, dtype=dtype)
        states = [each.initial_state(1) for each in encoder.stack_cells()] if isinstance(encoder, Layer) else []
        start = cell.initial_state(1)
        self._hand_on = None if bridge != "auto" else _fitting(encoder, states, start)
        self.bridge: nn.Module | None = bridge if isinstance(bridge, nn.Module) else None
        self.summary_size = self._summarise(states).shape[1] if states else 0
        if states and (bridge == "learned" or (bridge == "auto" and self._hand_on is None)):
            self.bridge = Bridge(self.summary_size, cell, device=device, dtype=dtype)

    def forward(self, source: Tensor, lengths: Tensor | Sequence[int] | None, batch_first: bool, cell: Cell) -> Source:
        """Read a source; `cell` is the one that the first state is for."""
        if self.vocabulary is None:
            names = ("batch", "time") if batch_first else ("time", "batch")
            check_input(source, names, self.encoder.input_size, where="Seq2Seq", name="source")
            x = source.transpose(0, 1) if batch_first else source
            lengths = None if lengths is None else check_lengths(lengths, x, where="Seq2Seq, source")
        else:
            tokens, lengths = read_tokens(
                source,
                lengths,
                vocabulary=self.vocabulary,
                padding=self.padding,
                batch_first=batch_first,
                name="source",
            )
            x = F.dropout(self.embed(tokens), self.dropout, self.training)
        turned = self.encoder.batch_first
        y, rest = self.encoder(x.transpose(0, 1) if turned else x, lengths=lengths)
        y = y.transpose(0, 1) if turned else y
        start = cell.initial_state(y.shape[1], dtype=y.dtype, device=y.device)
        if not isinstance(self.encoder, Layer):
            return Source(y, rest, start, None)
        states = states_a_cell(self.encoder, rest)
        summary = self._summarise(states)
        if isinstance(self.bridge, Bridge):
            start = self.bridge(summary, start)
        elif self.bridge is not None:
            start = self.bridge(tuple(states))
        elif self._hand_on is not None:
            start = tuple(states) if self._hand_on == "all" else states[-1]
        return Source(y, lengths, start, summary)

    def _summarise(self, states: list[State]) -> Tensor:
        """The states of the last layer side by side, those of both directions where there are two."""
        assert isinstance(self.encoder, Layer)
        directions = self.encoder.directions
        return summarise(self.encoder.stack_cells()[-directions:], states[-directions:])


def _fitting(encoder: nn.Module, states: list[State], start: State) -> str | None:
    """Which of an encoder's states are a decoder's first one as they are: "all", the "last" one, or None."""
    if not isinstance(encoder, Layer) or encoder.directions == 2:
        return None
    if same_structure(tuple(states), start):
        return "all"
    return "last" if same_structure(states[-1], start) else None
