"""Attention: a mean of a memory's steps, weighted by how well each fits a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import check_input, check_number_format, check_size
from recurra.errors import ShapeError, UsageError
from recurra.nn.attention.memory import AlignmentState, AttentionMemory, masked_softmax
from recurra.nn.attention.scores import AdditiveScore, DotScore, GeneralScore
from recurra.options import closest
from recurra.unroll import check_flags, check_lengths, within_lengths

KINDS = ("additive", "dot", "scaled dot", "general", "location")


class Attention(nn.Module):
    """A weighted mean of a memory's steps, each weighted by how well it fits a query.

    Equations:
        e_j = score(s, h_j),  a = softmax(e) over the steps within the memory,  c = sum_j a_j h_j, where the score is
        additive     v . tanh(W_q s + W_m h_j + b)
        dot          s . h_j
        scaled dot   s . h_j / sqrt(query_size)
        general      s^T W h_j
        location     v . tanh(W_q s + W_m h_j + U f_j + b),  f_j = sum_r F_r a'_{j+r}, r = -width/2 ... width/2,
                     with a' the weights of the query before, 0 beyond the ends.

    Args:
        kind: one of these five names.
        query_size: features of a query; for "dot" and "scaled dot" the same as memory_size.
        memory_size: features of a step of the memory.
        attention_size: units in the tanh of "additive" and "location"; query_size when absent.
        location_channels: filters over the alignment, for "location".
        location_width: steps that a filter covers, an odd number, for "location".
        bias: whether b exists.
        batch_first: whether memory, mask and queries are (batch, time, ...) instead of (time, batch, ...).
        device, dtype: where and in which number format the weights are made.

    Shapes:
        query (batch, query_size), or (time, batch, query_size) for many queries at once; memory (memory_time, batch,
        memory_size); lengths (batch,); mask (memory_time, batch), booleans; context (batch, memory_size) and weights
        (batch, memory_time), or (time, batch, ...) for many queries. memory_time 0 and length 0 are allowed: context
        and weights are zeros then. score.weight_query (attention_size, query_size), score.weight_memory
        (attention_size, memory_size), score.bias and score.weight_score (attention_size,), score.weight_location
        (attention_size, location_channels), score.filters (location_channels, location_width); "general" has
        score.weight (query_size, memory_size). Each is drawn uniform in +-1/sqrt(its inputs).

    Raises:
        UsageError: an argument is out of range, or many queries at once are given to "location".
        ShapeError: query, memory, state, lengths or mask does not fit.

    Differs from the paper: Luong's "location" is a softmax of the query alone and another thing than the one here; his
    "concat" is "additive" without a bias. The alignment before the first query is 1 at the memory's first step, as in
    the code of Chorowski et al.; their smoothing, sharpening and windowing are left out.

    Reference:
        D. Bahdanau, K. Cho, Y. Bengio. Neural machine translation by jointly learning to align and translate. ICLR
        (2015).
        M.-T. Luong, H. Pham, C. D. Manning. Effective approaches to attention-based neural machine translation. EMNLP
        (2015) 1412-1421.
        J. Chorowski, D. Bahdanau, D. Serdyuk, K. Cho, Y. Bengio. Attention-based models for speech recognition. NIPS
        (2015) 577-585.
        A. Vaswani et al. Attention is all you need. NIPS (2017) 5998-6008.

    Example:
        >>> import torch
        >>> attention = Attention("additive", query_size=4, memory_size=6)
        >>> context, weights = attention(torch.zeros(2, 4), torch.ones(5, 2, 6), lengths=[5, 3])
        >>> context.shape, weights[1, 3:]
        (torch.Size([2, 6]), tensor([0., 0.], grad_fn=<SliceBackward0>))
    """

    def __init__(
        self,
        kind: str,
        query_size: int,
        memory_size: int,
        *,
        attention_size: int | None = None,
        location_channels: int = 10,
        location_width: int = 31,
        bias: bool = True,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if kind not in KINDS:
            need = "one of " + ", ".join(repr(known) for known in KINDS)
            cure = closest(str(kind), KINDS) or None
            raise UsageError(f"kind is {kind!r}", where="Attention", need=need, cure=cure)
        self.kind, self.batch_first = kind, bool(batch_first)
        self.query_size = check_size(query_size, "query_size", "Attention")
        self.memory_size = check_size(memory_size, "memory_size", "Attention")
        units = check_size(query_size if attention_size is None else attention_size, "attention_size", "Attention")
        self.score: DotScore | GeneralScore | AdditiveScore
        if kind in ("dot", "scaled dot"):
            if query_size != memory_size:
                raise UsageError(
                    f"query_size is {query_size} and memory_size is {memory_size}",
                    where="Attention",
                    need=f"the same for kind {kind!r}, which multiplies query and memory feature by feature",
                    cure="kind 'general' has a matrix between them",
                )
            self.score = DotScore(query_size, kind == "scaled dot")
        elif kind == "general":
            self.score = GeneralScore(query_size, memory_size, device, dtype)
        else:
            channels, width = 0, 0
            if kind == "location":
                channels = check_size(location_channels, "location_channels", "Attention")
                width = check_size(location_width, "location_width", "Attention")
                if width % 2 == 0:
                    need = "an odd number, so that a filter has a middle"
                    raise UsageError(f"location_width is {width}", where="Attention", need=need)
            self.score = AdditiveScore(query_size, memory_size, units, bias, device, dtype, channels, width)

    def prepare(
        self,
        memory: Tensor,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
        *,
        batch_first: bool | None = None,
    ) -> AttentionMemory:
        """Make a memory ready for many queries: its keys are computed once, and its padding is taken out.

        Args:
            memory: the steps to attend to.
            lengths: the number of steps of each sequence's memory.
            mask: False at steps to which no query may attend.
            batch_first: the layout of memory and mask; that of the module when absent.
        """
        batch_first = self.batch_first if batch_first is None else batch_first
        names = ("batch", "memory_time") if batch_first else ("memory_time", "batch")
        _check_features(memory, names, self.memory_size, "memory")
        check_number_format(memory, self, where="Attention", name="memory")
        time_first = memory.transpose(0, 1) if batch_first else memory
        within = torch.ones(time_first.shape[:2], dtype=torch.bool, device=memory.device)
        if mask is not None:
            if batch_first and isinstance(mask, Tensor) and mask.dim() == 2:
                mask = mask.transpose(0, 1)
            within = check_flags(mask, time_first, "mask", where="Attention")
        if lengths is not None:
            lengths = check_lengths(lengths, time_first, where="Attention")
            within = within & within_lengths(lengths, time_first.shape[0])
        within, values = within.transpose(0, 1), time_first.transpose(0, 1)
        values = torch.where(within.unsqueeze(-1), values, torch.zeros_like(values))
        return AttentionMemory(values, self.score.keys(values), within)

    def initial_state(self, memory: AttentionMemory) -> AlignmentState:
        """The alignment before the first query: 1 at the first step within for "location", else 0 throughout."""
        if self.kind == "location":
            first = memory.within & (torch.cumsum(memory.within.long(), -1) == 1)
        else:
            first = torch.zeros_like(memory.within)
        return AlignmentState(first.to(memory.values.dtype))

    def forward(
        self,
        query: Tensor,
        memory: Tensor | AttentionMemory,
        state: AlignmentState | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`(context, weights)`; for "location", `AlignmentState(weights)` is the state to give with the next query."""
        if not isinstance(memory, AttentionMemory):
            memory = self.prepare(memory, lengths, mask)
        elif lengths is not None or mask is not None:
            need = "both given to `prepare`, since a prepared memory has its padding taken out"
            raise UsageError("lengths or mask came with a prepared memory", where="Attention", need=need)
        many = isinstance(query, Tensor) and query.dim() == 3
        names = (("batch", "time") if self.batch_first else ("time", "batch")) if many else ("batch",)
        _check_features(query, names, self.query_size, "query")
        if many and self.batch_first:
            query = query.transpose(0, 1)
        if many and self.kind == "location":
            raise UsageError(
                "many queries were given at once",
                where="Attention",
                need="one query (batch, query_size) a call for kind 'location', which reads the alignment before",
                cure="AttentionDecoder and `unroll` go step by step",
            )
        if query.shape[-2] != memory.values.shape[0]:
            raise ShapeError(
                f"query has batch {query.shape[-2]}", where="Attention", need=f"{memory.values.shape[0]}, as the memory"
            )
        state = self.initial_state(memory) if state is None else AlignmentState(*state)
        if state.alignment.shape != memory.within.shape:
            raise ShapeError(
                f"state.alignment has shape {tuple(state.alignment.shape)}",
                where="Attention",
                need=f"{tuple(memory.within.shape)}, that is (batch, memory_time)",
            )
        context, weights = self.attend(query, memory, state.alignment)
        return (context.transpose(0, 1), weights.transpose(0, 1)) if many and self.batch_first else (context, weights)

    def attend(self, query: Tensor, memory: AttentionMemory, alignment: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives, without its checks; the batch stands before the features."""
        weights = masked_softmax(self.score(query, memory.keys, alignment), memory.within)
        return torch.einsum("...bt,btm->...bm", weights, memory.values), weights

    def extra_repr(self) -> str:
        return f"{self.kind!r}, query_size={self.query_size}, memory_size={self.memory_size}"


def _check_features(x: Any, names: tuple[str, ...], features: int, name: str) -> None:
    """Check that x is (*names, features)."""
    try:
        check_input(x, names, features, where="Attention", name=name)
    except ShapeError as error:
        # The cells' check speaks of input_size, which there is none of here.
        need = f"({', '.join((*names, str(features)))}), since {name}_size is {features}"
        raise ShapeError(error.given, where=error.where, need=need) from None
