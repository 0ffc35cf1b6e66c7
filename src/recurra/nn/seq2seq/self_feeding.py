"""A decoder that may read its own last token instead of the true one: scheduled sampling as a cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.types import State


class SelfFeedingState(NamedTuple):
    """The state of a decoder that feeds itself.

    Attributes:
        cell: the decoder's state.
        token: its last token, (batch,).
    """

    cell: State
    token: Tensor


class SelfFeeding(Cell):
    """A decoder with its read-out, that reads its own last token wherever the input says so.

    Equations:
        e_t = embed(own token) where the coin is 1, else the embedding in x_t;  (y_t, s_t) = cell(e_t, s_{t-1});
        own token = choose(read_out(y_t)).

    Args:
        cell: the decoder.
        embed: tokens (batch,) to what the cell reads, (batch, cell.input_size).
        read_out: the cell's output to logits (batch, vocabulary) and what else is to stand in the output, (batch, any).
        choose: log-probabilities (batch, vocabulary) to tokens (batch,).
        begin: the token before the first one.
        output_size: features of what read_out gives, both parts together.

    Shapes:
        x (batch, 1 + cell.input_size): the coin, 0 or 1, and the embedding of the true token; y what read_out gives.

    Reference:
        S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer. Scheduled sampling for sequence prediction with recurrent neural
        networks. NIPS (2015) 1171-1179.
    """

    def __init__(
        self,
        cell: Cell,
        embed: Callable[[Tensor], Tensor],
        read_out: Callable[[Tensor], tuple[Tensor, Tensor]],
        choose: Callable[[Tensor], Tensor],
        begin: int,
        output_size: int,
    ):
        super().__init__(1 + cell.input_size, cell.hidden_size, output_size)
        self.cell, self.begin = cell, begin
        # Kept out of the module's children: they are parts of the model, and it registers them.
        self._functions = (embed, read_out, choose)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> SelfFeedingState:
        """That of the decoder, and the begin token."""
        inner = self.cell.initial_state(batch_size, dtype=dtype, device=device)
        return SelfFeedingState(inner, torch.full((batch_size,), self.begin, dtype=torch.long, device=device))

    def begin_at(self, state: State, batch_size: int, device: Any) -> SelfFeedingState:
        """The first state with this state of the decoder."""
        return self.initial_state(batch_size, device=device)._replace(cell=state)

    def advance(self, projected: Any, state: Any, dt: Tensor | None = None) -> tuple[Tensor, SelfFeedingState]:
        """The whole step."""
        embed, read_out, choose = self._functions
        coin, true = projected[..., :1], projected[..., 1:]
        x = torch.where(coin > 0.5, embed(state.token), true)
        y, inner = self.cell.advance(self.cell.project(x), state.cell)
        logits, others = read_out(y)
        # No gradient runs through the choice of a token.
        token = choose(torch.log_softmax(logits.detach(), -1))
        return torch.cat([logits, others], -1), SelfFeedingState(inner, token)
