"""A cell that attends to a memory at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import match_state
from recurra.errors import ShapeError, UsageError
from recurra.nn.attention.attention import Attention
from recurra.nn.attention.memory import AttentionMemory, repeat_memory
from recurra.types import State

CHOICES = {
    "order": ("before", "after"),
    "feed": ("nothing", "output", "context"),
    "output": (None, "joined", "attentional"),
}


class AttentionDecoderState(NamedTuple):
    """The state of an attentive decoder.

    Attributes:
        cell: the inner cell's state.
        context: what was read from the memory, (batch, memory_size).
        alignment: the weights with which it was read, (batch, memory_time).
        output: the last output where it is fed to the next step, (batch, output_size), else (batch, 0).
    """

    cell: State
    context: Tensor
    alignment: Tensor
    output: Tensor


class AttentionDecoder(nn.Module):
    """Any cell, with attention to a memory before or after each of its steps.

    `decoder.bind(memory, lengths)` gives a `Cell` for that memory, which `unroll` and every other driver take.

    Equations:
        order "before" (Bahdanau et al.):
            c_t = attention(query(s_{t-1}), a_{t-1}),  (h_t, s_t) = cell([x_t; c_t], s_{t-1});
        order "after" (Luong et al.):
            (h_t, s_t) = cell([x_t; fed_{t-1}], s_{t-1}),  c_t = attention(h_t, a_{t-1}),
            with fed = y ("output": Luong's input feeding), c ("context": Listen, attend and spell) or nothing;
        output "joined": y_t = [h_t; c_t];  output "attentional": y_t = tanh(W_c [c_t; h_t]).

    Args:
        cell: any cell. Its input_size is what is left for x and what joins x at each step: memory_size for order
            "before" and feed "context", output_size for feed "output".
        attention: any `Attention`; its query_size is that of the query.
        order: "before" or "after".
        feed: "nothing", "output" or "context"; only with order "after".
        output: "joined" or "attentional"; when absent "joined" for order "before", "attentional" for "after".
        query: gives the query from the inner state, for order "before"; when absent the part named h (of the last cell,
            for a stack), or the state's first part where none is named so.

    Shapes:
        x (batch, input_size), where input_size is what the cell's leaves; y (batch, output_size), where output_size is
        the cell's for "attentional", the cell's and memory_size together for "joined"; weight_combine (output_size,
        memory_size + the cell's output_size), drawn uniform in +-1/sqrt(its inputs), for "attentional" only.

    Raises:
        UsageError: an argument is none of its choices, or the sizes of cell and attention do not fit.
        ShapeError: x, the state or the memory does not fit.

    Differs from the paper: the inner cell is any; Bahdanau's read-out with maxout units is left to another module,
    which gets h_t and c_t (there it reads s_{t-1}).

    Reference:
        D. Bahdanau, K. Cho, Y. Bengio. Neural machine translation by jointly learning to align and translate. ICLR
        (2015).
        M.-T. Luong, H. Pham, C. D. Manning. Effective approaches to attention-based neural machine translation. EMNLP
        (2015) 1412-1421.
        W. Chan, N. Jaitly, Q. V. Le, O. Vinyals. Listen, attend and spell. ICASSP (2016) 4960-4964.

    Example:
        >>> import torch
        >>> from recurra.cells import GRU
        >>> from recurra.unroll import unroll
        >>> decoder = AttentionDecoder(GRU(3 + 6, 4), Attention("additive", 4, 6))
        >>> cell = decoder.bind(torch.zeros(7, 2, 6), lengths=[7, 5])
        >>> y, state = unroll(cell, torch.zeros(5, 2, 3))
        >>> y.shape, state.alignment.shape
        (torch.Size([5, 2, 10]), torch.Size([2, 7]))
    """

    def __init__(
        self,
        cell: Cell,
        attention: Attention,
        *,
        order: str = "before",
        feed: str = "nothing",
        output: str | None = None,
        query: Callable[[State], Tensor] | None = None,
    ):
        super().__init__()
        where = "AttentionDecoder"
        for name, kind, need, given in (
            ("cell", Cell, "a Cell", cell),
            ("attention", Attention, "an Attention", attention),
        ):
            if not isinstance(given, kind):
                raise UsageError(f"{name} is {given!r:.60}", where=where, need=need)
        for name, value in (("order", order), ("feed", feed), ("output", output)):
            if value not in CHOICES[name]:
                need = " or ".join(repr(choice) for choice in CHOICES[name])
                raise UsageError(f"{name} is {value!r}", where=where, need=need)
        if order == "before" and feed != "nothing":
            need = "'nothing' with order 'before', where the context itself joins the input"
            raise UsageError(f"feed is {feed!r}", where=where, need=need, cure="order='after'")
        self.cell, self.attention, self.order, self.feed = cell, attention, order, feed
        self.output = output or ("joined" if order == "before" else "attentional")
        self.query = query or last_hidden
        self.output_size = cell.output_size + (attention.memory_size if self.output == "joined" else 0)
        joins = attention.memory_size if order == "before" or feed == "context" else 0
        joins = self.output_size if feed == "output" else joins
        self.input_size = cell.input_size - joins
        if self.input_size < 1:
            raise UsageError(
                f"the cell's input_size is {cell.input_size}",
                where=where,
                need=f"more than {joins}, the features that join x with order {order!r} and feed {feed!r}",
                cure=f"a cell with input_size {joins} + the features of x",
            )
        features = cell.output_size
        if order == "before":
            found = self.query(cell.initial_state(1))
            features = found.shape[-1]
            if found.dim() != 2:
                raise UsageError(
                    f"the query from the state of {type(cell).__name__} has shape {tuple(found.shape)} for batch 1",
                    where=where,
                    need="(batch, query_size)",
                    cure="`query`, a function of the state, or order='after', which asks with the cell's output",
                )
        if features != attention.query_size:
            source = "cell's output" if order == "after" else "query from its state"
            raise UsageError(
                f"the attention's query_size is {attention.query_size}",
                where=where,
                need=f"{features}, the features of the {source}",
                cure="another query_size" + ("" if order == "after" else ", or `query`, a function of the state"),
            )
        if self.output == "attentional":
            like = next(cell.parameters(), None)
            empty = torch.empty(cell.output_size, attention.memory_size + cell.output_size)
            self.weight_combine = nn.Parameter(empty if like is None else empty.to(like))
            bound = 1.0 / math.sqrt(empty.shape[1])
            nn.init.uniform_(self.weight_combine, -bound, bound)

    def bind(
        self,
        memory: Tensor | AttentionMemory,
        lengths: Tensor | Sequence[int] | None = None,
        mask: Tensor | None = None,
        *,
        alignments: bool = False,
    ) -> BoundDecoder:
        """The cell that attends to this memory.

        Args:
            memory, lengths, mask: as in `Attention`; a memory that `attention.prepare` gave may be bound often.
            alignments: whether the alignment stands in the output after y, so that a driver returns that of every step.
        """
        if not isinstance(memory, AttentionMemory):
            memory = self.attention.prepare(memory, lengths, mask)
        elif lengths is not None or mask is not None:
            need = "both given to `prepare`, since a prepared memory has its padding taken out"
            raise UsageError("lengths or mask came with a prepared memory", where="AttentionDecoder.bind", need=need)
        return BoundDecoder(self, memory, alignments)

    def project(self, x: Tensor) -> Any:
        """The part of a step that needs no state: that of the cell where nothing joins x."""
        return self.cell.project(x) if self.order == "after" and self.feed == "nothing" else x

    def forward(
        self, projected: Any, state: AttentionDecoderState, memory: AttentionMemory
    ) -> tuple[Tensor, AttentionDecoderState]:
        """One step from what `project` gave: `(y, state)`; no shape is checked here."""
        inner, context, alignment, fed = state
        if self.order == "before":
            context, alignment = self.attention.attend(self.query(inner), memory, alignment)
        joins = {"nothing": context if self.order == "before" else None, "output": fed, "context": context}[self.feed]
        if joins is not None:
            projected = self.cell.project(torch.cat([projected, joins], -1))
        h, inner = self.cell.advance(projected, inner)
        if self.order == "after":
            context, alignment = self.attention.attend(h, memory, alignment)
        if self.output == "joined":
            y = torch.cat([h, context], -1)
        else:
            y = torch.tanh(F.linear(torch.cat([context, h], -1), self.weight_combine))
        return y, AttentionDecoderState(inner, context, alignment, y if self.feed == "output" else fed)

    def extra_repr(self) -> str:
        return f"order={self.order!r}, feed={self.feed!r}, output={self.output!r}"


class BoundDecoder(Cell):
    """An attentive decoder with the memory that it attends to: a cell like any other; `AttentionDecoder.bind` makes it.

    Args:
        decoder: the decoder; its weights are shared, not copied.
        memory: the prepared memory.
        alignments: whether the output is [y; alignment] instead of y.

    Shapes:
        x (batch, input_size) with the memory's batch; the output (batch, output_size).
    """

    def __init__(self, decoder: AttentionDecoder, memory: AttentionMemory, alignments: bool = False):
        steps = memory.within.shape[1] if alignments else 0
        super().__init__(decoder.input_size, decoder.cell.hidden_size, decoder.output_size + steps)
        self.decoder, self.memory, self.alignments = decoder, memory, alignments

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> AttentionDecoderState:
        """The inner cell's initial state, a context of zeros, and the attention's initial alignment."""
        values = self.memory.values
        if batch_size != values.shape[0]:
            raise ShapeError(
                f"x has batch {batch_size}",
                where="AttentionDecoder",
                need=f"{values.shape[0]}, as the memory that the decoder is bound to",
            )
        fed = self.decoder.output_size if self.decoder.feed == "output" else 0
        return AttentionDecoderState(
            self.decoder.cell.initial_state(batch_size, dtype=dtype or values.dtype, device=device or values.device),
            values.new_zeros(batch_size, values.shape[2]),
            self.decoder.attention.initial_state(self.memory).alignment,
            values.new_zeros(batch_size, fed),
        )

    def begin(self, state: State) -> AttentionDecoderState:
        """The first state with this state of the inner cell, an encoder's last one for instance."""
        start = self.initial_state(self.memory.values.shape[0])
        return start._replace(cell=match_state(state, start.cell, where="AttentionDecoder"))

    def repeat(self, count: int) -> BoundDecoder:
        """The same decoder for `count` hypotheses of each sequence, those of one sequence in a row."""
        return BoundDecoder(self.decoder, repeat_memory(self.memory, count), self.alignments)

    def project(self, x: Tensor) -> Any:
        """As in the decoder."""
        return self.decoder.project(x)

    def advance(self, projected: Any, state: Any, dt: Tensor | None = None) -> tuple[Tensor, AttentionDecoderState]:
        """The rest of the step."""
        y, after = self.decoder(projected, state, self.memory)
        return (torch.cat([y, after.alignment], -1) if self.alignments else y), after


def last_hidden(state: State) -> Tensor:
    """The hidden units of a state: the part named h, else the first; of a stack of cells those of the last cell."""
    if isinstance(state, Tensor):
        return state
    named = getattr(state, "_fields", None)
    if named is None:
        return last_hidden(state[-1])
    return last_hidden(state.h if "h" in named else state[0])
