"""Chunker and automatizer: a hierarchy of two predictors that the lower one learns to do without."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import check_size
from recurra.cells.state import map_state
from recurra.cells.time_step import check_fraction, check_not_negative
from recurra.errors import ShapeError, UsageError
from recurra.memory.compressor_events import EventPredictor, Events, select
from recurra.types import State


class PairState(NamedTuple):
    """What the pair carries from one piece of a stream to the next.

    Attributes:
        automatizer, chunker: the states of their cells.
        last: the last symbol seen, (batch,).
        last_event: the last event that went up, as the chunker sees it.
        since: steps since then, (batch,).
        hidden: the chunker's hidden units since then, (batch, hidden_size).
    """

    automatizer: State
    chunker: State
    last: Tensor
    last_event: Events
    since: Tensor
    hidden: Tensor


class PairReport(NamedTuple):
    """What the pair made of a piece of a stream.

    Attributes:
        loss: to be differentiated: the automatizer's, the chunker's and the distillation's.
        automatizer_surprise: -ln p of each symbol as the automatizer alone sees it, (steps, batch).
        expected: whether the automatizer expected the symbol, (steps, batch).
        chunker_expected: whether either of the two did, (steps, batch).
        distillation: mean squared distance of the automatizer's further outputs from the chunker's hidden units.
        state: at the end.
    """

    loss: Tensor
    automatizer_surprise: Tensor
    expected: Tensor
    chunker_expected: Tensor
    distillation: Tensor
    state: PairState


class ChunkerAutomatizer(nn.Module):
    """Two recurrent predictors: the automatizer sees every symbol, the chunker only those that the automatizer missed.

    Equations:
        automatizer: h_t = cell(x_{t-1}, h_{t-1}), z_t = W h_t + b; x_t is expected where softmax(z_t) gives it the
            largest probability and at least `confidence`.
        chunker: for the events not expected, (x_t, gap), k = 1, 2, ...: c_k = cell(event_{k-1}, c_{k-1}) predicts the
            symbol of event k.
        distillation: with c the chunker's hidden units once it has read the events up to t, held until the next event,
            further outputs u_{t+1} = V h_{t+1} of the automatizer (which has then read x_t) are trained towards c.
        loss = mean -ln p(x_t) + mean -ln p(event) + distil * mean |u - c|^2, c taken as it is.

    What was long ago for the automatizer was just before for the chunker, which so learns it quickly. Its hidden units
    change rarely; by imitating them at every step the automatizer learns to keep what the chunker found worth keeping,
    and then expects by itself what it could not before: the events the chunker sees become fewer.

    Args:
        symbols: size of the alphabet.
        hidden_size: hidden units of the automatizer.
        chunker_size: hidden units of the chunker; as many when absent.
        cell: a registered name, for both.
        confidence: from 0 to 1.
        distil: weight of the distillation; 0 leaves the automatizer a conventional predictor.
        digits: binary digits of a gap.
        dtype: number format of the weights.

    Shapes:
        sequences (steps, batch), whole numbers.

    Raises:
        UsageError: a size or a number is out of its range, or the cell is not registered.
        ShapeError: the sequences are not a matrix of symbols.

    Differs from the paper: symbols are predicted by probabilities; what is to be told at the end of a sequence is a
    symbol of the stream and not a further output; gradients go back to the start of the piece given.

    Reference:
        J. Schmidhuber. Learning complex, extended sequences using the principle of history compression. Neural
        Computation 4 (1992) 234-242.

    Example:
        >>> import torch
        >>> pair = ChunkerAutomatizer(symbols=4, hidden_size=8)
        >>> report = pair(torch.tensor([[0], [1], [2]]))
        >>> report.expected.shape, pair(torch.tensor([[3]]), report.state).loss.shape
        (torch.Size([3, 1]), torch.Size([]))
    """

    def __init__(
        self,
        symbols: int,
        hidden_size: int,
        chunker_size: int | None = None,
        cell: str = "elman",
        confidence: float = 0.9,
        distil: float = 1.0,
        digits: int = 16,
        dtype: Any = None,
    ):
        super().__init__()
        where = "ChunkerAutomatizer"
        self.symbols = check_size(symbols, "symbols", where)
        check_size(hidden_size, "hidden_size", where)
        chunker_size = check_size(hidden_size if chunker_size is None else chunker_size, "chunker_size", where)
        self.confidence = check_fraction(confidence, "confidence", where)
        self.distil = check_not_negative(distil, "distil", where)
        self.chunker = EventPredictor(symbols, 1, chunker_size, cell, digits, dtype=dtype)
        imitated = self.chunker.cell.output_size
        self.automatizer = EventPredictor(symbols, 0, hidden_size, cell, digits, imitated, dtype=dtype)

    def initial_state(self, batch_size: int) -> PairState:
        """Before anything was seen."""
        nothing = torch.full((batch_size,), -1)
        weight = self.chunker.readout.weight
        return PairState(
            self.automatizer.cell.initial_state(batch_size),
            self.chunker.cell.initial_state(batch_size),
            nothing,
            Events(nothing, torch.zeros(batch_size, 1, dtype=torch.long)),
            torch.zeros(batch_size, dtype=torch.long),
            weight.new_zeros(batch_size, self.chunker.cell.output_size),
        )

    def forward(self, sequences: Tensor, state: PairState | None = None) -> PairReport:
        """Watch a piece of a stream; `report.loss.backward()` then gives the gradients of both networks.

        Args:
            sequences: (steps, batch), at least one step.
            state: `report.state` of the piece before; a fresh one when absent.
        """
        self._check(sequences)
        steps, batch = sequences.shape
        state = self.initial_state(batch) if state is None else state
        events = Events(sequences, sequences.new_zeros(steps, batch, 0))
        before = Events(state.last.unsqueeze(0), sequences.new_zeros(1, batch, 0))
        logits, imitation, _, automatizer = self.automatizer(events, state.automatizer, last=before)
        surprise = self.automatizer.surprise(logits, events)
        up = self.automatizer.unexpected(logits, events, self.confidence)

        chosen = select(events, up, state.since)
        # The chunker reads event k to predict event k + 1; it has read all events but the last, which waits in the
        # state.
        most = chosen.events.symbols.shape[0]
        guesses, _, held, chunker = self.chunker(
            chosen.events, state.chunker, chosen.lengths, Events(*(part.unsqueeze(0) for part in state.last_event))
        )
        of_symbol = guesses[..., : self.symbols]
        nats = F.cross_entropy(of_symbol.flatten(0, -2), chosen.events.symbols.flatten(), reduction="none")
        real = (torch.arange(most, device=sequences.device).unsqueeze(-1) < chosen.lengths).to(nats.dtype)
        chunker_loss = (nats.view(most, batch) * real).sum() / real.sum().clamp(min=1.0)

        # c after event k is what the chunker's cell gives on reading it: known for k < last, and one step more for the
        # last.
        last_event = _latest(state.last_event, chosen.events, chosen.lengths)
        after_last, _ = self.chunker.cell(self.chunker.encode(last_event), chunker)
        seen = up.long().cumsum(0)
        # Row k of `contents`, k >= 1, is c once k events of this piece were read; row 0 is c at the start.
        read_all = torch.where(
            (torch.arange(1, most + 1, device=sequences.device).unsqueeze(-1) < chosen.lengths).unsqueeze(-1),
            torch.cat([held[1:], after_last.unsqueeze(0)])[:most],
            after_last.unsqueeze(0),
        )
        contents = torch.cat([state.hidden.unsqueeze(0), read_all]).detach()
        target = contents.gather(0, seen.unsqueeze(-1).expand(-1, -1, contents.shape[-1]))
        # u_{t+1} has read x_t: the first output of the piece belongs to the piece before, and its target with it.
        wanted = torch.cat([state.hidden.unsqueeze(0), target[:-1]]).detach()
        distillation = (imitation - wanted).square().mean()

        guessed = of_symbol.detach().argmax(-1) == chosen.events.symbols
        told = guessed.gather(0, (seen - 1).clamp(min=0)) if most else torch.zeros_like(up)
        after = PairState(
            map_state(torch.Tensor.detach, automatizer),
            map_state(torch.Tensor.detach, chunker),
            sequences[-1],
            last_event,
            chosen.since,
            target[-1],
        )
        loss = surprise.mean() + chunker_loss + self.distil * distillation
        return PairReport(loss, surprise.detach(), ~up, ~up | told, distillation.detach(), after)

    def _check(self, sequences: Any) -> None:
        where = "ChunkerAutomatizer"
        if not isinstance(sequences, Tensor) or sequences.dim() != 2 or len(sequences) == 0:
            given = f"have shape {tuple(sequences.shape)}" if isinstance(sequences, Tensor) else "are no tensor"
            raise ShapeError(f"sequences {given}", where=where, need="symbols, (steps, batch), at least one step")
        if sequences.dtype != torch.long:
            raise UsageError(f"sequences are {sequences.dtype}", where=where, need="torch.int64", cure=".long()")
        if sequences.numel() and not 0 <= int(sequences.min()) <= int(sequences.max()) < self.symbols:
            wrong = int(sequences.min()) if int(sequences.min()) < 0 else int(sequences.max())
            raise UsageError(f"sequences hold {wrong}", where=where, need=f"symbols from 0 to {self.symbols - 1}")


def _latest(before: Events, events: Events, lengths: Tensor) -> Events:
    """The last event of each sequence, that of the piece before where none went up."""
    place = (lengths - 1).clamp(min=0).unsqueeze(0)
    if len(events.symbols) == 0:
        return before
    none = lengths == 0
    symbols = torch.where(none, before.symbols, events.symbols.gather(0, place)[0])
    gaps = torch.where(none, before.gaps[:, 0], events.gaps[..., 0].gather(0, place)[0])
    return Events(symbols, gaps.unsqueeze(-1))
