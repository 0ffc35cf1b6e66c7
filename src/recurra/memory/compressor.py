"""The neural history compressor: a stack of predictors, each of which sees only what the one below did not expect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import check_size
from recurra.cells.time_step import check_fraction, check_positive
from recurra.errors import ShapeError, UsageError
from recurra.memory.compressor_events import NOTHING, EventPredictor, Events, select


class Compressed(NamedTuple):
    """A sequence as its highest level tells it.

    Attributes:
        events: those that the last predictor did not expect, (events,) and (events, levels).
        counts: how many events there were at each level, from the sequence's own steps to the highest level.
    """

    events: Events
    counts: tuple[int, ...]


class LevelDescription(NamedTuple):
    """How long the description of a sequence is at a level.

    Attributes:
        level: 0 is the sequence itself.
        events: how many the level sees.
        listed_bits: to write these events down one by one: log2(symbols) for a symbol, an Elias gamma code for each gap
            and for how many events there are at this level and those below. From this and the predictors below, the
            sequence follows exactly.
        predicted_bits: the sum of -log2 p of these events as the level's own predictor sees them, which an arithmetic
            code comes near to; None at the highest level, which has no predictor. The predictors themselves are not
            counted.
    """

    level: int
    events: int
    listed_bits: float
    predicted_bits: float | None


class HistoryCompressor(nn.Module):
    """A stack of recurrent predictors in which only what a level did not expect, and when it happened, goes up.

    Equations:
        level 0 sees the symbols. A level expects its likeliest next event, where its probability is at least
        `confidence`, and else nothing. An event that was not expected goes up as (event, gap), the gap being how many
        of the level's events have passed since the last one that went up, this one counted.

    The events of the highest level and the predictors hold the whole sequence: `reconstruct` gives it back bit by bit,
    as each level can repeat what it expected, and knows when it was wrong. A lag of a thousand steps that a lower level
    fills with what it expects is a lag of one event above.

    Args:
        symbols: size of the alphabet; symbols are 0 to symbols - 1.
        levels: predictors, at least 1.
        hidden_size: hidden units of each.
        cell: a registered name.
        confidence: from 0 to 1; with 0 the likeliest event is always expected.
        digits: binary digits of a gap: no sequence may be as long as 2^digits.
        dtype: number format of the weights.

    Shapes:
        a sequence (steps,), whole numbers.

    Raises:
        UsageError: a size or a number is out of its range, or the cell is not registered.
        ShapeError: a sequence is not a vector of symbols.

    Differs from the paper: what is expected is decided by a probability and not by a distance; gaps are given in binary
    digits; levels are trained one after the other, each with backpropagation through time.

    Reference:
        J. Schmidhuber. Learning complex, extended sequences using the principle of history compression. Neural
        Computation 4 (1992) 234-242.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> compressor = HistoryCompressor(symbols=3, levels=2, hidden_size=8)
        >>> sequence = torch.tensor([0, 1, 2] * 20)
        >>> losses = compressor.fit([sequence], updates=60)
        >>> short = compressor.compress(sequence)
        >>> short.counts[2] < 10, bool((compressor.reconstruct(short) == sequence).all())
        (True, True)
    """

    def __init__(
        self,
        symbols: int,
        levels: int = 2,
        hidden_size: int = 16,
        cell: str = "gru",
        confidence: float = 0.7,
        digits: int = 16,
        dtype: Any = None,
    ):
        super().__init__()
        self.symbols = check_size(symbols, "symbols", "HistoryCompressor")
        check_size(levels, "levels", "HistoryCompressor")
        self.confidence = check_fraction(confidence, "confidence", "HistoryCompressor")
        self.digits = check_size(digits, "digits", "HistoryCompressor")
        self.predictors = nn.ModuleList(
            EventPredictor(symbols, level, hidden_size, cell, digits, dtype=dtype) for level in range(levels)
        )

    def fit(
        self,
        sequences: Sequence[Tensor],
        updates: int = 500,
        batch_size: int = 16,
        learning_rate: float = 0.01,
        seed: int = 0,
    ) -> list[list[float]]:
        """Train level after level, each on what the one below did not expect of the sequences.

        Args:
            sequences: to learn from, (steps,) each.
            updates: Adam's steps for each level.
            batch_size: sequences for each step, drawn at random without repetition; all where there are no more.
            learning_rate: of Adam.
            seed: of the drawing; 0 is a seed like any other.

        Returns:
            for each level, and each update, the mean surprise of an event in bits; a level that nothing reaches has
            no entries and keeps its first weights.
        """
        check_size(updates, "updates", "HistoryCompressor.fit")
        check_size(batch_size, "batch_size", "HistoryCompressor.fit")
        check_positive(learning_rate, "learning_rate", "HistoryCompressor.fit")
        if not sequences:
            raise UsageError("sequences is empty", where="HistoryCompressor.fit", need="at least one sequence")
        checked = [self._check(sequence) for sequence in sequences]
        lengths = torch.tensor([len(sequence) for sequence in checked])
        padded = nn.utils.rnn.pad_sequence(checked)
        events = Events(padded, padded.new_zeros(*padded.shape, 0))
        chance = torch.Generator().manual_seed(seed)
        reports: list[list[float]] = []
        for predictor in self.predictors:
            assert isinstance(predictor, EventPredictor)
            reports.append([])
            if int(lengths.max()) == 0:
                continue
            optimiser = torch.optim.Adam(predictor.parameters(), learning_rate)
            for _ in range(updates):
                rows = torch.randperm(len(checked), generator=chance)[:batch_size]
                here, most = lengths[rows], max(int(lengths[rows].max()), 1)
                some = Events(events.symbols[:most, rows], events.gaps[:most, rows])
                nats = predictor.surprise(predictor(some, lengths=here)[0], some)
                counted = (torch.arange(most).unsqueeze(-1) < here).to(nats.dtype)
                loss = (nats * counted).sum() / counted.sum().clamp(min=1.0)
                optimiser.zero_grad()
                loss.backward()
                # A rare long gradient would undo what many short ones learned.
                nn.utils.clip_grad_norm_(predictor.parameters(), 1.0)
                optimiser.step()
                reports[-1].append(loss.item() / math.log(2.0))
            with torch.no_grad():
                logits = predictor(events, lengths=lengths)[0]
            real = torch.arange(len(padded)).unsqueeze(-1) < lengths
            up = predictor.unexpected(logits, events, self.confidence) & real
            events, lengths, _ = select(events, up, torch.zeros_like(lengths))
            padded = events.symbols
        return reports

    def compress(self, sequence: Tensor) -> Compressed:
        """The sequence as its highest level tells it."""
        return self._describe(sequence)[0]

    def describe(self, sequence: Tensor) -> list[LevelDescription]:
        """The length in bits of the sequence's description at every level."""
        return self._describe(sequence)[1]

    @torch.no_grad()
    def _describe(self, sequence: Tensor) -> tuple[Compressed, list[LevelDescription]]:
        symbols = self._check(sequence)
        events = Events(symbols, symbols.new_zeros(len(symbols), 0))
        counts, found = [len(symbols)], []
        for level, predictor in enumerate(self.predictors):
            assert isinstance(predictor, EventPredictor)
            up, nats = self._watch(predictor, events)
            found.append(self._lengths(level, events, counts, nats / math.log(2.0)))
            chosen = select(
                Events(events.symbols.unsqueeze(1), events.gaps.unsqueeze(1)),
                up.unsqueeze(1),
                torch.zeros(1, dtype=torch.long),
            )
            events = Events(chosen.events.symbols[:, 0], chosen.events.gaps[:, 0])
            counts.append(len(events.symbols))
        found.append(self._lengths(len(self.predictors), events, counts, None))
        return Compressed(events, tuple(counts)), found

    def _watch(self, predictor: EventPredictor, events: Events) -> tuple[Tensor, float]:
        """Which events the level did not expect, and the sum of all surprises in nats.

        It goes step by step, one sequence at a time, as `reconstruct` does: a matrix product over all steps may round
        otherwise, and a single other choice would lose the rest of the sequence.
        """
        up, nats = [], 0.0
        last, state = self._start(predictor)
        for symbol, gaps in zip(events.symbols, events.gaps, strict=True):
            logits, state = predictor.step(last, state)
            last = Events(symbol.unsqueeze(0), gaps.unsqueeze(0))
            up.append(predictor.unexpected(logits, last, self.confidence))
            nats += float(predictor.surprise(logits, last))
        return torch.cat(up) if up else torch.zeros(0, dtype=torch.bool), nats

    @torch.no_grad()
    def reconstruct(self, compressed: Compressed) -> Tensor:
        """The sequence, bit by bit, from the events of its highest level.

        The predictors must be those that compressed it, on the same kind of machine with as many threads.

        Raises:
            UsageError: the events and the counts do not belong together, or not to these predictors.
        """
        events, counts = compressed
        levels = len(self.predictors)
        if len(counts) != levels + 1 or counts[-1] != len(events.symbols) or events.gaps.shape[-1] != levels:
            raise UsageError(
                f"compressed has {len(events.symbols)} events of {events.gaps.shape[-1]} gaps, and the counts {counts}",
                where="HistoryCompressor.reconstruct",
                need=f"{levels} gaps, {levels + 1} counts, and as many events as the last count says",
            )
        for level in reversed(range(levels)):
            predictor = self.predictors[level]
            assert isinstance(predictor, EventPredictor)
            places = (events.gaps[:, level].cumsum(0) - 1).tolist()
            told = {place: index for index, place in enumerate(places)}
            if len(told) != len(places) or (places and not 0 <= places[0] <= places[-1] < counts[level]):
                raise _not_ours(level)
            below: list[Events] = []
            last, state = self._start(predictor)
            for place in range(counts[level]):
                logits, state = predictor.step(last, state)
                index = told.get(place)
                if index is None:
                    last, certain = predictor.expect(logits, self.confidence)
                    if not bool(certain):
                        raise _not_ours(level)
                else:
                    last = Events(events.symbols[index : index + 1], events.gaps[index : index + 1, :level])
                below.append(last)
            events = _joined(below, level)
        return events.symbols

    def _start(self, predictor: EventPredictor) -> tuple[Events, Any]:
        nothing = Events(torch.full((1,), NOTHING), torch.zeros(1, predictor.level, dtype=torch.long))
        return nothing, predictor.cell.initial_state(1)

    def _lengths(self, level: int, events: Events, counts: list[int], bits: float | None) -> LevelDescription:
        listed = len(events.symbols) * math.log2(self.symbols) + gamma_bits(events.gaps)
        listed += gamma_bits(torch.tensor(counts) + 1)
        if level == len(self.predictors):
            bits = None
        return LevelDescription(level, len(events.symbols), listed, bits)

    def _check(self, sequence: Tensor) -> Tensor:
        where = "HistoryCompressor"
        if not isinstance(sequence, Tensor) or sequence.dim() != 1:
            got = f"has shape {tuple(sequence.shape)}" if isinstance(sequence, Tensor) else type(sequence).__name__
            raise ShapeError(f"sequence {got}", where=where, need="a tensor of symbols, (steps,)")
        if sequence.is_floating_point() or sequence.is_complex() or sequence.dtype == torch.bool:
            raise UsageError(f"sequence is {sequence.dtype}", where=where, need="whole numbers", cure="sequence.long()")
        if len(sequence) and (int(sequence.min()) < 0 or int(sequence.max()) >= self.symbols):
            wrong = int(sequence.min()) if int(sequence.min()) < 0 else int(sequence.max())
            raise UsageError(f"sequence holds {wrong}", where=where, need=f"symbols from 0 to {self.symbols - 1}")
        if len(sequence) >= 2**self.digits:
            raise UsageError(
                f"sequence has {len(sequence)} steps",
                where=where,
                need=f"fewer than {2**self.digits}",
                cure=f"build with digits={len(sequence).bit_length()}",
            )
        return sequence.long()


def gamma_bits(numbers: Tensor) -> float:
    """The bits of the Elias gamma code of positive whole numbers: 2 floor(log2 n) + 1 each.

    Example:
        >>> gamma_bits(torch.tensor([1, 2, 5]))
        9.0
    """
    return float(sum(2 * (int(number).bit_length() - 1) + 1 for number in numbers.flatten().tolist()))


def _joined(events: list[Events], level: int) -> Events:
    if not events:
        return Events(torch.zeros(0, dtype=torch.long), torch.zeros(0, level, dtype=torch.long))
    return Events(torch.cat([event.symbols for event in events]), torch.cat([event.gaps for event in events]))


def _not_ours(level: int) -> UsageError:
    return UsageError(
        f"the events do not fit what the predictor of level {level} expects",
        where="HistoryCompressor.reconstruct",
        need="what `compress` of the same compressor with the same weights gave",
    )
