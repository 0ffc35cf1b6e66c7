"""Sequence to sequence: an encoder, a decoder, and what is done with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_size
from recurra.errors import UsageError
from recurra.nn.attention.decoder import AttentionDecoder
from recurra.nn.seq2seq.beam import Beams, beam_search
from recurra.nn.seq2seq.generation import Generated, generate, greedy
from recurra.nn.seq2seq.source import SourceEncoder
from recurra.nn.seq2seq.target import Beginning, Seq2SeqOutput, TargetDecoder, inner_cell
from recurra.nn.seq2seq.tokens import read_tokens, token_loss

Lengths = Tensor | Sequence[int] | None
Choose = Callable[[Tensor], Tensor]


class Seq2Seq(nn.Module):
    """Sequence to sequence: an encoder reads a source, a decoder gives a target token by token.

    Equations:
        (memory, z) = encoder(embed(source)),  s_0 = bridge(z),
        (y_t, s_t) = decoder(embed(target_{t-1}), s_{t-1}) with target_0 = begin,  p(target_t) = softmax(W y_t + b).

    Args:
        encoder: a recurrent layer in one or both directions, or `Pyramid` or `Skip`.
        decoder: an `AttentionDecoder`, or any cell for the plain form without attention.
        target_vocabulary: tokens of the target, the special ones among them.
        source_vocabulary: tokens of the source; when absent the source is (time, batch, encoder.input_size) numbers.
        begin, end, padding: the special tokens. `padding` fills sources and targets, and is neither of the others.
        bridge: "auto" hands on the encoder's last state where it fits the decoder's, and else learns a `Bridge`;
            "learned" always learns one; "none" begins with the decoder's initial state, as it is with an encoder that
            gives no states (`Pyramid`, `Skip`); or a module from the encoder's states (a tuple, one a layer and
            direction) to the decoder's first one.
        feed_summary: whether the encoder's last states join the decoder's input at each step (Cho et al.).
        dropout: share of the values dropped from the embeddings and from the decoder's outputs while training.
        batch_first: whether source, target, logits and alignments are (batch, time, ...).

    Shapes:
        source and target (time, batch), whole numbers. The target holds the end token and not the begin token. The
        embeddings have as many features as encoder and decoder read: source.embed.weight (source_vocabulary,
        encoder.input_size), target.embed.weight (target_vocabulary, decoder.input_size less the summary's),
        target.read_out.weight (target_vocabulary, decoder.output_size).

    Raises:
        UsageError: an argument is out of range, a token is not in the vocabulary, encoder and decoder do not fit.
        ShapeError: source, target or lengths does not fit.

    Differs from the paper: Sutskever et al. turn the source round, which is left to the caller; Cho et al. put a layer
    between the encoder's last state and what is fed, and give summary and last token to the read-out too.

    Reference:
        I. Sutskever, O. Vinyals, Q. V. Le. Sequence to sequence learning with neural networks. NIPS (2014) 3104-3112.
        K. Cho et al. Learning phrase representations using RNN encoder-decoder for statistical machine translation.
        EMNLP (2014) 1724-1734.
        D. Bahdanau, K. Cho, Y. Bengio. Neural machine translation by jointly learning to align and translate. ICLR
        (2015).

    Example:
        >>> import torch
        >>> from recurra.cells import GRU
        >>> from recurra.nn.attention import Attention
        >>> from recurra.nn.recurrent import Recurrent
        >>> encoder = Recurrent("gru", 8, 16, bidirectional=True)
        >>> decoder = AttentionDecoder(GRU(8 + 32, 16), Attention("additive", 16, 32))
        >>> model = Seq2Seq(encoder, decoder, 10, source_vocabulary=12, begin=1, end=2, padding=0)
        >>> source, target = torch.tensor([[5, 6], [7, 0]]), torch.tensor([[3, 4], [4, 2], [2, 0]])
        >>> model(source, target).logits.shape, model.loss(source, target).shape
        (torch.Size([3, 2, 10]), torch.Size([]))
        >>> model.beam_search(source, width=3, max_steps=4, n_best=2).tokens.shape[:2]
        torch.Size([2, 2])
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: Cell | AttentionDecoder,
        target_vocabulary: int,
        *,
        source_vocabulary: int | None = None,
        begin: int,
        end: int,
        padding: int = 0,
        bridge: str | nn.Module = "auto",
        feed_summary: bool = False,
        dropout: float = 0.0,
        batch_first: bool = False,
    ):
        super().__init__()
        weight = next((each for part in (decoder, encoder) for each in part.parameters()), torch.empty(0))
        made: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
        cell = inner_cell(decoder)
        self.source = SourceEncoder(encoder, cell, source_vocabulary, padding, bridge, dropout, **made)
        self.feed_summary, self.batch_first = bool(feed_summary), bool(batch_first)
        summary_size = self.source.summary_size if feed_summary else 0
        if feed_summary and not summary_size:
            need = f"False with {type(encoder).__name__}, which gives no states"
            raise UsageError("feed_summary is True", where="Seq2Seq", need=need)
        self.target = TargetDecoder(
            decoder,
            target_vocabulary,
            begin=begin,
            end=end,
            padding=padding,
            summary_size=summary_size,
            dropout=dropout,
        )
        if isinstance(decoder, AttentionDecoder) and decoder.attention.memory_size != encoder.output_size:
            raise UsageError(
                f"the attention's memory_size is {decoder.attention.memory_size}",
                where="Seq2Seq",
                need=f"{encoder.output_size}, the features that the encoder gives",
            )

    def encode(self, source: Tensor, lengths: Lengths = None) -> Beginning:
        """Read a source: all that its target depends on.

        Args:
            source: (time, batch) tokens, or numbers where there is no source_vocabulary.
            lengths: steps of each source, (batch,); when absent tokens count up to the last one that is no padding, and
                numbers all.
        """
        memory, lengths, state, summary = self.source(source, lengths, self.batch_first, self.target.cell)
        return self.target.begin_with(memory, lengths, state, summary if self.feed_summary else None)

    def forward(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_lengths: Lengths = None,
        target_lengths: Lengths = None,
        teacher_forcing: float = 1.0,
        choose: Choose | None = None,
        alignments: bool = False,
    ) -> Seq2SeqOutput:
        """The logits of each target token, given the tokens before it.

        Args:
            source, target: the sequences; the target holds the end token and not the begin token.
            source_lengths, target_lengths: (batch,); up to the last token that is no padding when absent.
            teacher_forcing: probability, token by token, that the decoder reads the true last token; else it reads its
                own (scheduled sampling). With 1 the decoder is unrolled over the whole target at once.
            choose: how its own token follows from log-probabilities; drawn by them when absent, or `greedy`.
            alignments: whether to return where the decoder attended.
        """
        tokens, lengths = self._read_target(target, target_lengths)
        output = self.target(
            self.encode(source, source_lengths),
            tokens,
            lengths,
            teacher_forcing=teacher_forcing,
            choose=choose,
            alignments=alignments,
        )
        if not self.batch_first:
            return output
        turned = None if output.alignments is None else output.alignments.transpose(0, 1)
        return Seq2SeqOutput(output.logits.transpose(0, 1), turned)

    def loss(
        self,
        source: Tensor,
        target: Tensor,
        *,
        source_lengths: Lengths = None,
        target_lengths: Lengths = None,
        teacher_forcing: float = 1.0,
        choose: Choose | None = None,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> Tensor:
        """The cross-entropy of the target's tokens, padding left out; the arguments are those of `forward`.

        Args:
            label_smoothing: share of the probability that is spread over all tokens.
            reduction: "mean" over all tokens, or "sequence" for the sum of each sequence, (batch,).
        """
        if reduction not in ("mean", "sequence"):
            raise UsageError(f"reduction is {reduction!r}", where="Seq2Seq.loss", need="'mean' or 'sequence'")
        tokens, lengths = self._read_target(target, target_lengths)
        beginning = self.encode(source, source_lengths)
        output = self.target(beginning, tokens, lengths, teacher_forcing=teacher_forcing, choose=choose)
        return token_loss(output.logits, tokens, lengths, label_smoothing, reduction)

    @torch.no_grad()
    def generate(
        self,
        source: Tensor,
        *,
        max_steps: int,
        source_lengths: Lengths = None,
        choose: Choose = greedy,
        alignments: bool = False,
    ) -> Generated:
        """Give a target for each source, the most probable token at each step or what `choose` takes (a `Sampler`).

        Tokens and alignments are time first, or batch first where the model is; the begin token and padding are never
        given. Arguments as in `recurra.nn.seq2seq.generate`. Dropout acts here too until `model.eval()`.
        """
        beginning = self.encode(source, source_lengths)
        found = generate(
            self.target.step(beginning),
            beginning.state,
            begin=self._begin(source),
            end=self.target.end,
            max_steps=max_steps,
            padding=self.target.padding,
            choose=choose,
            alignment=self.target.alignment() if alignments else None,
        )
        if self.batch_first:
            return found
        turned = None if found.alignments is None else found.alignments.transpose(0, 1)
        return found._replace(tokens=found.tokens.transpose(0, 1), alignments=turned)

    @torch.no_grad()
    def beam_search(
        self,
        source: Tensor,
        *,
        width: int,
        max_steps: int,
        n_best: int = 1,
        source_lengths: Lengths = None,
        alpha: float = 0.0,
        beta: float = 0.0,
        alignments: bool = False,
    ) -> Beams:
        """The most probable targets found for each source, (batch, n_best, time) whatever the layout.

        The begin token and padding are never given. Arguments as in `recurra.nn.seq2seq.beam_search`. Dropout acts here
        too until `model.eval()`.
        """
        check_size(width, "width", "Seq2Seq.beam_search")
        beginning = self.encode(source, source_lengths)
        return beam_search(
            self.target.step(beginning, width),
            beginning.state,
            begin=self._begin(source),
            end=self.target.end,
            width=width,
            max_steps=max_steps,
            n_best=n_best,
            padding=self.target.padding,
            alpha=alpha,
            beta=beta,
            alignment=self.target.alignment() if alignments or beta else None,
            within=None if beginning.memory is None else beginning.memory.within,
        )

    def _begin(self, source: Tensor) -> Tensor:
        batch = source.shape[0 if self.batch_first else 1]
        return torch.full((batch,), self.target.begin, dtype=torch.long, device=source.device)

    def _read_target(self, target: Any, lengths: Any) -> tuple[Tensor, Tensor]:
        return read_tokens(
            target,
            lengths,
            vocabulary=self.target.vocabulary,
            padding=self.target.padding,
            batch_first=self.batch_first,
            name="target",
        )

    def extra_repr(self) -> str:
        return f"feed_summary={self.feed_summary}, batch_first={self.batch_first}"
