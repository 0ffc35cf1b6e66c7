"""The history compressor: what goes up, exact reconstruction, and description lengths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.memory.compressor import HistoryCompressor, gamma_bits
from recurra.memory.compressor_events import EventPredictor, Events, select


def long_lag(first: int, cycles: int, fill: int = 5) -> Tensor:
    """A symbol, a cycle many times over, and the first symbol's twin."""
    return torch.tensor([first, *(list(range(2, 2 + fill)) * cycles), first])


def random_sequence(symbols: int, steps: int, seed: int) -> Tensor:
    return torch.randint(symbols, (steps,), generator=torch.Generator().manual_seed(seed))


def small(levels: int = 2, confidence: float = 0.7, cell: str = "elman", symbols: int = 7) -> HistoryCompressor:
    torch.manual_seed(0)
    return HistoryCompressor(symbols, levels=levels, hidden_size=12, cell=cell, confidence=confidence)


@pytest.fixture(scope="module")
def trained() -> HistoryCompressor:
    compressor = small(levels=3)
    compressor.fit([long_lag(k, 8) for k in (0, 1)], updates=120)
    return compressor


def elman(predictor: EventPredictor, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    w = {name: weight.detach().numpy() for name, weight in predictor.cell.named_parameters()}
    return np.tanh(w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"])


def said_by_hand(predictor: EventPredictor, events: list[tuple[int, ...]], confidence: float) -> Any:
    """Event by event in numpy: which go up, and the sum of -ln p."""
    weight, bias = (p.detach().numpy() for p in predictor.readout.parameters())
    symbols, level, digits = predictor.symbols, predictor.level, predictor.digits
    h, x = np.zeros(weight.shape[1]), np.zeros(symbols + level * digits)
    up, nats = [], 0.0
    for symbol, *gaps in events:
        h = elman(predictor, x, h)
        z = weight @ h + bias
        p = np.exp(z[:symbols]) / np.exp(z[:symbols]).sum()
        ones = 1 / (1 + np.exp(-z[symbols:]))
        bits = np.array([(gap >> place) & 1 for gap in gaps for place in range(digits)])
        nats -= math.log(p[symbol]) + np.log(np.where(bits == 1, ones, 1 - ones)).sum()
        likely = p.max() * np.prod(np.maximum(ones, 1 - ones))
        right = p.argmax() == symbol and ((ones > 0.5) == (bits == 1)).all()
        up.append(not (right and likely >= confidence))
        x = np.concatenate([np.eye(symbols)[symbol], bits])
    return up, nats


@pytest.mark.parametrize("confidence", [0.0, 0.3, 0.9])
def test_what_goes_up_is_what_was_not_expected(confidence: float) -> None:
    torch.manual_seed(3)
    compressor = HistoryCompressor(4, 2, 6, "elman", confidence, digits=5, dtype=torch.float64)
    with torch.no_grad():
        for parameter in compressor.parameters():
            parameter.mul_(3.0)
    sequence = random_sequence(4, 30, 1)
    first, second = compressor.predictors
    assert isinstance(first, EventPredictor) and isinstance(second, EventPredictor)
    listed = [(int(symbol),) for symbol in sequence]
    up, nats = said_by_hand(first, listed, confidence)
    places = [place for place, gone in enumerate(up) if gone]
    above = [(listed[b][0], b - a) for a, b in zip([-1, *places], places, strict=False)]
    up_again, nats_again = said_by_hand(second, above, confidence)
    places = [place for place, gone in enumerate(up_again) if gone]
    top = [(*above[b], b - a) for a, b in zip([-1, *places], places, strict=False)]

    compressed = compressor.compress(sequence)
    assert compressed.counts == (30, len(above), len(top))
    assert compressed.events.symbols.tolist() == [event[0] for event in top]
    assert compressed.events.gaps.tolist() == [list(event[1:]) for event in top]
    levels = compressor.describe(sequence)
    assert [level.events for level in levels] == [30, len(above), len(top)]
    for level, wanted in zip(levels, (nats, nats_again), strict=False):
        assert level.predicted_bits == pytest.approx(wanted / math.log(2), rel=1e-9)
    assert levels[2].predicted_bits is None


def elias_gamma(number: int) -> str:
    """The code itself: as many zeros as digits follow the first one, then the number in binary."""
    binary = f"{number:b}"
    return "0" * (len(binary) - 1) + binary


def test_bits_are_those_of_the_codes_written_out() -> None:
    numbers = [1, 2, 3, 4, 9, 1023, 1024]
    assert gamma_bits(torch.tensor(numbers)) == sum(len(elias_gamma(number)) for number in numbers)
    compressor, sequence = small(), random_sequence(7, 40, 2)
    compressed, levels = compressor.compress(sequence), compressor.describe(sequence)
    counted = sum(len(elias_gamma(count + 1)) for count in compressed.counts)
    gaps = sum(len(elias_gamma(gap)) for gap in compressed.events.gaps.flatten().tolist())
    assert levels[2].listed_bits == pytest.approx(compressed.counts[2] * math.log2(7) + gaps + counted)
    assert levels[0].listed_bits == pytest.approx(40 * math.log2(7) + len(elias_gamma(41)))


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
@pytest.mark.parametrize("confidence", [0.0, 0.2, 0.9])
def test_reconstruction_is_exact_bit_for_bit_untrained(cell: str, confidence: float) -> None:
    """Exactness does not hang on how good the predictors are."""
    compressor = small(3, confidence, cell)
    with torch.no_grad():
        for parameter in compressor.parameters():
            parameter.mul_(4.0)
    for seed, steps in enumerate((0, 1, 2, 17, 60)):
        sequence = random_sequence(7, steps, seed)
        found = compressor.reconstruct(compressor.compress(sequence))
        assert found.dtype == torch.long and torch.equal(found, sequence)


def test_reconstruction_is_exact_bit_for_bit_trained(trained: HistoryCompressor) -> None:
    """On sequences it knows, on longer ones, and on noise."""
    known = [long_lag(k, cycles) for k in (0, 1) for cycles in (1, 8, 30)]
    for sequence in [*known, random_sequence(7, 80, 5), torch.cat([known[0], known[4], random_sequence(7, 20, 6)])]:
        assert torch.equal(trained.reconstruct(trained.compress(sequence)), sequence)


def test_what_is_learned_does_not_go_up(trained: HistoryCompressor) -> None:
    """Of 42 steps two go up; the second level knows the last symbol from the first, 41 steps before."""
    sequence = long_lag(1, 8)
    compressed, levels = trained.compress(sequence), trained.describe(sequence)
    assert compressed.counts[:3] == (42, 2, 1)
    assert [level.events for level in levels] == list(compressed.counts)
    assert levels[2].listed_bits < levels[1].listed_bits < levels[0].listed_bits / 4
    assert levels[0].predicted_bits is not None and levels[0].predicted_bits < levels[0].listed_bits / 4


def test_training_reports_bits_that_fall_and_follows_its_seed() -> None:
    sequences = [long_lag(k, 3) for k in (0, 1)]
    reports = [small().fit(sequences, updates=40, seed=seed, batch_size=1) for seed in (0, 0, 1)]
    assert reports[0] == reports[1] != reports[2]
    assert reports[0][0][0] > 2.0 > 1.5 > np.mean(reports[0][0][-5:])
    assert reports[0][0][0] == pytest.approx(math.log2(7), abs=0.5)


def test_a_level_that_nothing_reaches_is_left_alone() -> None:
    compressor = small(levels=3, confidence=0.0)
    before = [p.clone() for p in compressor.predictors[2].parameters()]
    reports = compressor.fit([torch.tensor([3, 4] * 6)], updates=150)
    assert [len(report) for report in reports][0] == 150
    assert compressor.compress(torch.tensor([3, 4] * 6)).counts[-1] == 0
    if not reports[2]:
        assert all(torch.equal(a, b) for a, b in zip(before, compressor.predictors[2].parameters(), strict=True))


def test_the_state_dict_holds_all_that_reconstruction_needs(trained: HistoryCompressor) -> None:
    other, sequence = small(levels=3), long_lag(0, 8)
    other.load_state_dict(trained.state_dict())
    assert torch.equal(other.reconstruct(trained.compress(sequence)), sequence)


def test_other_predictors_are_found_out(trained: HistoryCompressor) -> None:
    other, sequence = small(levels=3, confidence=0.9), long_lag(0, 8)
    with pytest.raises(UsageError, match="the events do not fit what the predictor of level [012] expects. Needed: "):
        other.reconstruct(trained.compress(sequence))


def test_selected_events_carry_their_gaps_across_pieces() -> None:
    chance = np.random.default_rng(0)
    time, batch = 23, 4
    symbols = torch.from_numpy(chance.integers(5, size=(time, batch)))
    gaps = torch.from_numpy(chance.integers(1, 9, size=(time, batch, 2)))
    up = torch.from_numpy(chance.random((time, batch)) < 0.3)
    up[:, 2] = False
    whole = select(Events(symbols, gaps), up, torch.zeros(batch, dtype=torch.long))
    for b in range(batch):
        places = [t for t in range(time) if up[t, b]]
        wanted = [[*gaps[t, b].tolist(), t - last] for last, t in zip([-1, *places], places, strict=False)]
        assert int(whole.lengths[b]) == len(places)
        assert whole.events.gaps[: len(places), b].tolist() == wanted
        assert whole.events.symbols[: len(places), b].tolist() == [int(symbols[t, b]) for t in places]
        assert int(whole.since[b]) == time - 1 - (places[-1] if places else -1)
    one = select(Events(symbols[:9], gaps[:9]), up[:9], torch.zeros(batch, dtype=torch.long))
    two = select(Events(symbols[9:], gaps[9:]), up[9:], one.since)
    assert torch.equal(two.since, whole.since)
    for b in range(batch):
        a, c = int(one.lengths[b]), int(two.lengths[b])
        joined = torch.cat([one.events.gaps[:a, b], two.events.gaps[:c, b]])
        assert torch.equal(joined, whole.events.gaps[: a + c, b])


def test_padding_changes_no_prediction() -> None:
    predictor = EventPredictor(5, 1, 6, dtype=torch.float64)
    symbols, gaps = random_sequence(5, 14, 0).view(7, 2), random_sequence(9, 14, 1).view(7, 2, 1)
    logits = predictor(Events(symbols, gaps), lengths=torch.tensor([7, 4]))[0]
    alone = predictor(Events(symbols[:4, 1:], gaps[:4, 1:]))[0]
    torch.testing.assert_close(logits[:4, 1:], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda c: c.compress(torch.zeros(3, 2)),
            "HistoryCompressor: sequence has shape (3, 2). Needed: a tensor of symbols",
        ),
        (
            lambda c: c.compress(torch.zeros(3)),
            "HistoryCompressor: sequence is torch.float32. Needed: whole numbers. Cure: sequence.long().",
        ),
        (
            lambda c: c.compress(torch.tensor([7])),
            "HistoryCompressor: sequence holds 7. Needed: symbols from 0 to 6.",
        ),
        (
            lambda c: c.compress(torch.tensor([1, -1])),
            "HistoryCompressor: sequence holds -1. Needed: symbols from 0 to 6.",
        ),
        (
            lambda c: HistoryCompressor(7, digits=3).compress(torch.zeros(9, dtype=torch.long)),
            "HistoryCompressor: sequence has 9 steps. Needed: fewer than 8. Cure: build with digits=4.",
        ),
        (lambda c: c.fit([]), "HistoryCompressor.fit: sequences is empty. Needed: at least one sequence."),
        (lambda c: HistoryCompressor(0), "HistoryCompressor: symbols is 0. Needed: a positive whole number."),
        (
            lambda c: HistoryCompressor(2, confidence=2.0),
            "HistoryCompressor: confidence is 2.0. Needed: a number from 0 to 1.",
        ),
        (lambda c: HistoryCompressor(2, cell="elmann"), "cell: 'elmann' is not a cell. Needed: one of"),
        (
            lambda c: c.reconstruct(HistoryCompressor(7, 1, 4).compress(torch.tensor([1, 2]))),
            "HistoryCompressor.reconstruct: compressed has ",
        ),
    ],
)
def test_messages_name_the_argument(call: Any, message: str) -> None:
    with pytest.raises((UsageError, ShapeError)) as caught:
        call(small())
    assert str(caught.value).startswith(message)
