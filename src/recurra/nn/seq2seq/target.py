"""The target side: tokens through an embedding, a decoder and a read-out, whole sequences or one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import match_state
from recurra.errors import UsageError
from recurra.nn.attention.decoder import AttentionDecoder, BoundDecoder
from recurra.nn.attention.memory import AttentionMemory
from recurra.nn.seq2seq.generation import Sampler, Step
from recurra.nn.seq2seq.self_feeding import SelfFeeding
from recurra.nn.seq2seq.tokens import shift
from recurra.types import State
from recurra.unroll import unroll


class Beginning(NamedTuple):
    """All that a target depends on besides its own tokens.

    Attributes:
        memory: what is attended to, or None without attention.
        state: the decoder's first state.
        summary: what joins the decoder's input at each step, (batch, summary_size), or None.
    """

    memory: AttentionMemory | None
    state: State
    summary: Tensor | None


class Seq2SeqOutput(NamedTuple):
    """What a decoder gives for a target.

    Attributes:
        logits: (time, batch, vocabulary), or batch first.
        alignments: (time, batch, memory_time), or batch first, where they were asked for, else None.
    """

    logits: Tensor
    alignments: Tensor | None


class TargetDecoder(nn.Module):
    """Gives a target token by token: embedding, decoder and read-out, for a memory of any origin (an image, say).

    Equations:
        (y_t, s_t) = decoder([embed(target_{t-1}); summary], s_{t-1}) with target_0 = begin,
        p(target_t) = softmax(W y_t + b).

    Args:
        decoder: an `AttentionDecoder`, or any cell for the plain form without attention.
        vocabulary: tokens, the special ones among them.
        begin, end, padding: the special tokens; padding is neither of the others.
        summary_size: features that join the decoder's input at each step, 0 for none.
        dropout: share of the values dropped from the embeddings and from the decoder's outputs while training.

    Shapes:
        embed.weight (vocabulary, decoder.input_size - summary_size), read_out.weight (vocabulary, decoder.output_size),
        read_out.bias (vocabulary,).

    Raises:
        UsageError: an argument is out of range, or the sizes do not fit.

    Example:
        >>> import torch
        >>> from recurra.cells import GRU
        >>> from recurra.nn.attention import Attention
        >>> from recurra.nn.seq2seq import beam_search
        >>> decoder = AttentionDecoder(GRU(5 + 6, 4), Attention("additive", 4, 6))
        >>> captions = TargetDecoder(decoder, 9, begin=1, end=2, padding=0)
        >>> beginning = captions.begin_with(memory=torch.zeros(49, 2, 6))
        >>> step = captions.step(beginning, count=3)
        >>> beam_search(step, beginning.state, begin=1, end=2, width=3, max_steps=4).tokens.shape[:2]
        torch.Size([2, 1])
    """

    _forbidden: Tensor

    def __init__(
        self,
        decoder: Cell | AttentionDecoder,
        vocabulary: int,
        *,
        begin: int,
        end: int,
        padding: int = 0,
        summary_size: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        where = "Seq2Seq"
        inner_cell(decoder)
        check_size(vocabulary, "target_vocabulary", where)
        for name, token in (("begin", begin), ("end", end), ("padding", padding)):
            if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < vocabulary:
                raise UsageError(f"{name} is {token!r}", where=where, need=f"a token, from 0 to {vocabulary - 1}")
        if padding in (begin, end):
            need = "a token of its own, neither begin nor end"
            raise UsageError(f"padding is {padding}", where=where, need=need)
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise UsageError(f"dropout is {dropout!r}", where=where, need="a number from 0 to 1, the share dropped")
        if decoder.input_size <= summary_size:
            raise UsageError(
                f"the decoder's input_size is {decoder.input_size}",
                where=where,
                need=f"more than {summary_size}, the features of the summary that joins its input",
            )
        self.decoder, self.vocabulary, self.dropout = decoder, vocabulary, float(dropout)
        self.begin, self.end, self.padding, self.summary_size = begin, end, padding, summary_size
        weight = next(decoder.parameters(), torch.empty(0))
        made: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
        self.embed = nn.Embedding(vocabulary, decoder.input_size - summary_size, **made)
        self.read_out = nn.Linear(decoder.output_size, vocabulary, **made)
        forbidden = torch.zeros(vocabulary, dtype=torch.bool, device=weight.device)
        forbidden[[token for token in (begin, padding) if token != end]] = True
        self.register_buffer("_forbidden", forbidden, persistent=False)

    @property
    def cell(self) -> Cell:
        """The cell whose first state an encoder may give: the one inside the attention, or the decoder itself."""
        return inner_cell(self.decoder)

    def begin_with(
        self,
        memory: Tensor | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        state: State | None = None,
        summary: Tensor | None = None,
        *,
        batch: int | None = None,
    ) -> Beginning:
        """Make ready for a target.

        Args:
            memory: what is attended to, (memory_time, batch, features); needed with an `AttentionDecoder`.
            lengths: the memory's, (batch,).
            state: the first state of `cell`; its initial one when absent.
            summary: (batch, summary_size); needed where summary_size is not 0.
            batch: how many targets, where neither memory, state nor summary tells.

        Raises:
            UsageError: the memory or the summary is missing, or the batch cannot be told.
        """
        if (summary is None) != (self.summary_size == 0):
            given = "no summary was given" if summary is None else "a summary was given"
            need = f"one of (batch, {self.summary_size})" if self.summary_size else "none, as summary_size is 0"
            raise UsageError(given, where="TargetDecoder.begin_with", need=need)
        if isinstance(self.decoder, AttentionDecoder):
            if memory is None:
                need = "what the decoder attends to, (memory_time, batch, features)"
                raise UsageError("no memory was given", where="TargetDecoder.begin_with", need=need)
            prepared = self.decoder.attention.prepare(memory, lengths, batch_first=False)
            bound = BoundDecoder(self.decoder, prepared)
            start = bound.initial_state(memory.shape[1]) if state is None else bound.begin(state)
            return Beginning(prepared, start, summary)
        if memory is not None:
            batch = memory.shape[1]
        elif summary is not None:
            batch = summary.shape[0]
        if state is None and batch is None:
            raise UsageError("batch is None", where="TargetDecoder.begin_with", need="how many targets there are")
        if state is None:
            state = self.decoder.initial_state(batch or 0)
        elif batch is not None:
            state = match_state(state, self.decoder.initial_state(batch), where="Seq2Seq, decoder")
        return Beginning(None, state, summary)

    def forward(
        self,
        beginning: Beginning,
        tokens: Tensor,
        lengths: Tensor,
        *,
        teacher_forcing: float = 1.0,
        choose: Callable[[Tensor], Tensor] | None = None,
        alignments: bool = False,
    ) -> Seq2SeqOutput:
        """The logits of each token (time, batch), given the tokens before it; arguments as in `Seq2Seq.forward`."""
        if isinstance(teacher_forcing, bool) or not 0 <= teacher_forcing <= 1:
            need = "a probability, from 0 to 1"
            raise UsageError(f"teacher_forcing is {teacher_forcing!r}", where="Seq2Seq", need=need)
        if alignments:
            self.alignment()
        cell = self._bound(beginning.memory, alignments)
        x = self._read(shift(tokens, self.begin), beginning.summary)
        if teacher_forcing == 1:
            y, _ = unroll(cell, x, beginning.state, lengths=lengths)
            logits, others = self._write(y)
            return Seq2SeqOutput(logits, others if alignments else None)
        feeding = SelfFeeding(
            cell,
            lambda own: self._read(own, beginning.summary),
            self._write,
            choose or Sampler(),
            self.begin,
            self.vocabulary + cell.output_size - self.decoder.output_size,
        )
        coins = (torch.rand(x.shape[:2], device=x.device) >= teacher_forcing).to(x.dtype).unsqueeze(-1)
        start = feeding.begin_at(beginning.state, x.shape[1], x.device)
        y, _ = unroll(feeding, torch.cat([coins, x], -1), start, lengths=lengths)
        return Seq2SeqOutput(y[..., : self.vocabulary], y[..., self.vocabulary :] if alignments else None)

    def step(self, beginning: Beginning, count: int = 1) -> Step:
        """The step function for `generate` and `beam_search`, for `count` hypotheses of each sequence in a row.

        It takes the last tokens and a state, `beginning.state` at first, and returns log-probabilities and the next
        state. The begin token and padding are never given: their log-probability is -inf, and the others stay as they
        are.
        """
        cell, summary = self._bound(beginning.memory), beginning.summary
        if isinstance(cell, BoundDecoder) and count > 1:
            cell = cell.repeat(count)
        if summary is not None:
            summary = summary.repeat_interleave(count, 0)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            y, state = cell.advance(cell.project(self._read(tokens, summary)), state)
            log_probs = torch.log_softmax(self._write(y)[0], -1)
            return torch.where(self._forbidden, -torch.inf, log_probs), state

        return step

    def alignment(self) -> Callable[[State], Tensor]:
        """What gives the alignment of a state.

        Raises:
            UsageError: the decoder has no attention.
        """
        if not isinstance(self.decoder, AttentionDecoder):
            need = "a decoder with attention for alignments and a coverage penalty"
            raise UsageError(f"the decoder is {type(self.decoder).__name__}", where="Seq2Seq", need=need)
        return _alignment

    def _bound(self, memory: AttentionMemory | None, alignments: bool = False) -> Cell:
        if isinstance(self.decoder, AttentionDecoder):
            assert memory is not None
            return self.decoder.bind(memory, alignments=alignments)
        return self.decoder

    def _read(self, tokens: Tensor, summary: Tensor | None) -> Tensor:
        """What the decoder reads for tokens (..., batch)."""
        x = F.dropout(self.embed(tokens), self.dropout, self.training)
        return x if summary is None else torch.cat([x, summary.expand(*x.shape[:-1], -1)], -1)

    def _write(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The logits, and what stands in the cell's output after that of the decoder."""
        own = F.dropout(y[..., : self.decoder.output_size], self.dropout, self.training)
        return self.read_out(own), y[..., self.decoder.output_size :]


def inner_cell(decoder: Cell | AttentionDecoder) -> Cell:
    """The cell inside the attention, or the decoder itself where it is one.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(decoder, AttentionDecoder):
        return decoder.cell
    if not isinstance(decoder, Cell):
        need = "a Cell or an AttentionDecoder"
        raise UsageError(f"decoder is {type(decoder).__name__}", where="Seq2Seq", need=need)
    return decoder


def _alignment(state: State) -> Tensor:
    return state.alignment
