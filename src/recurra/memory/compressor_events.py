"""Events: what a level of a history compressor sees, what it predicts, and what it sends up."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.registry import cell_class
from recurra.types import State
from recurra.unroll import unroll

NOTHING = -1
"""The symbol before the first event."""


class Events(NamedTuple):
    """Events of one level.

    Attributes:
        symbols: whole numbers from 0, (...).
        gaps: how many events of each level below have passed since the last event that went up from there, this one
            counted, (..., level): an event of the level 0 has none, one of level 1 a time in steps of the sequence.
    """

    symbols: Tensor
    gaps: Tensor


class Selected(NamedTuple):
    """The events that go up from sequences side by side.

    Attributes:
        events: padded, (most, batch) and (most, batch, level + 1).
        lengths: how many there are of each sequence, (batch,).
        since: events that have passed since the last that went up, (batch,).
    """

    events: Events
    lengths: Tensor
    since: Tensor


def select(events: Events, unexpected: Tensor, since: Tensor) -> Selected:
    """The events that were not expected, each with the gap since the one before.

    Args:
        events: (time, batch) and (time, batch, level).
        unexpected: which ones, (time, batch).
        since: events that had passed before the first of these since the last that went up, (batch,).
    """
    time = unexpected.shape[0]
    lengths = unexpected.sum(0)
    most = int(lengths.max()) if lengths.numel() else 0
    # A stable sort brings those that go up to the front and keeps their order.
    place = torch.sort((~unexpected).to(torch.uint8), dim=0, stable=True).indices[:most]
    before = torch.cat([(-1 - since).unsqueeze(0), place])[:most]
    gaps = events.gaps.gather(0, place.unsqueeze(-1).expand(-1, -1, events.gaps.shape[-1]))
    above = Events(events.symbols.gather(0, place), torch.cat([gaps, (place - before).unsqueeze(-1)], -1))
    steps = torch.arange(time, device=unexpected.device).unsqueeze(-1)
    last = torch.where(unexpected, steps, -1 - since).amax(0) if time else -1 - since
    return Selected(above, lengths, time - 1 - last)


class Expectation(NamedTuple):
    """What a level expects next.

    Attributes:
        event: the likeliest.
        certain: whether its probability reaches the confidence asked for; where it does not, nothing is expected.
    """

    event: Events
    certain: Tensor


class EventPredictor(nn.Module):
    """A recurrent network that reads events and says what the next one will be.

    Equations:
        x = [one of `symbols`; the binary digits of each gap];  h_t = cell(x_{t-1}, h_{t-1}),  z = W h_t + b,
        p(symbol) = softmax(z_symbol), p(digit = 1) = sigmoid(z_digit), independently given h_t.
        The first event is predicted from x = 0.

    Args:
        symbols: size of the alphabet.
        level: how many gaps an event has.
        hidden_size: hidden units.
        cell: a registered name.
        digits: binary digits of a gap; larger gaps cannot be told.
        extra: further outputs, which other networks' hidden units may be taught to.

    Shapes:
        events (time, batch) and (time, batch, level); logits (time, batch, features), features = symbols + level *
        digits.

    Raises:
        UsageError: a size is not a positive whole number, or the cell is not registered.

    Reference:
        J. Schmidhuber. Learning complex, extended sequences using the principle of history compression. Neural
        Computation 4 (1992) 234-242.

    Example:
        >>> import torch
        >>> predictor = EventPredictor(symbols=3, level=0, hidden_size=4)
        >>> events = Events(torch.tensor([[0], [2]]), torch.zeros(2, 1, 0, dtype=torch.long))
        >>> logits, _, _, _ = predictor(events)
        >>> predictor.surprise(logits, events).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        symbols: int,
        level: int,
        hidden_size: int,
        cell: str = "elman",
        digits: int = 16,
        extra: int = 0,
        dtype: Any = None,
    ):
        super().__init__()
        where = "EventPredictor"
        self.symbols, self.digits = check_size(symbols, "symbols", where), check_size(digits, "digits", where)
        self.level, self.extra = level, extra
        self.features = symbols + level * digits
        kind, arguments = cell_class(cell, "unroll")
        self.cell: Cell = kind(self.features, hidden_size, **arguments, dtype=dtype)
        self.readout = nn.Linear(self.cell.output_size, self.features + extra, dtype=dtype)
        with torch.no_grad():
            # Most digits of a gap are 0. Begun at a half each, they would make up most of the loss, and on the way to 0
            # drive the hidden units so far that these no longer tell one event from another.
            self.readout.bias[symbols : self.features].fill_(-4.0)

    def encode(self, events: Events) -> Tensor:
        """The inputs x of events, (..., features)."""
        weight = self.readout.weight
        known = (events.symbols >= 0).unsqueeze(-1)
        one_hot = F.one_hot(events.symbols.clamp(min=0), self.symbols) * known
        places = torch.arange(self.digits, device=weight.device)
        digits = (events.gaps.unsqueeze(-1) >> places) & 1
        return torch.cat([one_hot, digits.flatten(-2)], -1).to(weight.dtype)

    def before(self, events: Events, last: Events | None = None) -> Events:
        """The events shifted by one in time: each with the one before it, the first with `last` or nothing."""
        if last is None:
            last = Events(torch.full_like(events.symbols[:1], NOTHING), torch.zeros_like(events.gaps[:1]))
        return Events(*(torch.cat([first, all_])[:-1] for first, all_ in zip(last, events, strict=True)))

    def forward(
        self,
        events: Events,
        state: State | None = None,
        lengths: Tensor | None = None,
        last: Events | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """Predictions of all events from those before them.

        Returns:
            the logits, the extra outputs (time, batch, extra), the hidden outputs they come from, and the last state.
        """
        hidden, state = unroll(self.cell, self.encode(self.before(events, last)), state, lengths=lengths)
        logits, extra = self.readout(hidden).split([self.features, self.extra], -1)
        return logits, extra, hidden, state

    def step(self, event: Events, state: State) -> tuple[Tensor, State]:
        """The logits of the next event, from one event (batch,) and (batch, level)."""
        hidden, state = self.cell(self.encode(event), state)
        return self.readout(hidden)[..., : self.features], state

    def surprise(self, logits: Tensor, events: Events) -> Tensor:
        """-ln p of each event, (...)."""
        of_symbol, of_digits = logits.split([self.symbols, self.level * self.digits], -1)
        shape = of_symbol.shape[:-1]
        nats = F.cross_entropy(of_symbol.flatten(0, -2), events.symbols.clamp(min=0).flatten(), reduction="none")
        nats = nats.view(shape)
        if self.level == 0:
            return nats
        places = torch.arange(self.digits, device=logits.device)
        digits = ((events.gaps.unsqueeze(-1) >> places) & 1).flatten(-2).to(logits.dtype)
        return nats + F.binary_cross_entropy_with_logits(of_digits, digits, reduction="none").sum(-1)

    def expect(self, logits: Tensor, confidence: float) -> Expectation:
        """The likeliest event, and whether it is likely enough to be expected."""
        of_symbol, of_digits = logits.detach().split([self.symbols, self.level * self.digits], -1)
        likely, symbol = F.log_softmax(of_symbol, -1).max(-1)
        likely = likely + F.logsigmoid(of_digits.abs()).sum(-1)
        places = torch.arange(self.digits, device=logits.device)
        gaps = ((of_digits > 0).unflatten(-1, (self.level, self.digits)).long() << places).sum(-1)
        return Expectation(Events(symbol, gaps), likely.exp() >= confidence)

    def unexpected(self, logits: Tensor, events: Events, confidence: float) -> Tensor:
        """Whether each event goes up: it is another than the one expected, or none was expected."""
        (symbol, gaps), certain = self.expect(logits, confidence)
        return ~(certain & (symbol == events.symbols) & (gaps == events.gaps).all(-1))
