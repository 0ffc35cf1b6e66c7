"""Chunker and automatizer against their equations in numpy, and on a lag that the automatizer comes to bridge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from recurra.errors import ShapeError, UsageError
from recurra.memory.compressor_pair import ChunkerAutomatizer

SYMBOLS, HIDDEN, CHUNKER, DIGITS = 5, 4, 3, 6


def make(confidence: float = 0.3, distil: float = 0.7) -> ChunkerAutomatizer:
    torch.manual_seed(1)
    pair = ChunkerAutomatizer(
        SYMBOLS, HIDDEN, CHUNKER, confidence=confidence, distil=distil, digits=DIGITS, dtype=torch.float64
    )
    with torch.no_grad():
        for parameter in pair.parameters():
            parameter.mul_(2.0)
    return pair


def weights_of(pair: ChunkerAutomatizer) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy().copy() for name, weight in pair.named_parameters()}


def elman(w: dict[str, np.ndarray], of: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    cell = f"{of}.cell."
    return np.tanh(w[cell + "weight_ih"] @ x + w[cell + "bias_ih"] + w[cell + "weight_hh"] @ h + w[cell + "bias_hh"])


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum()


def by_hand(
    w: dict[str, np.ndarray], stream: np.ndarray, pieces: list[int], confidence: float, distil: float, kept: Any = None
) -> tuple[list[float], list[list[bool]], list[np.ndarray]]:
    """One stream, symbol by symbol. For each piece its sums, and all of the chunker's hidden units in `kept`."""
    h, x = np.zeros(HIDDEN), np.zeros(SYMBOLS)
    # The chunker's hidden units with which it guesses, its last event, and what it holds having read that.
    state, event = np.zeros(CHUNKER), np.zeros(SYMBOLS + DIGITS)
    held, since = np.zeros(CHUNKER), 0
    parts, ups, targets, t = [], [], [], 0
    for piece in pieces:
        surprise, chunk, distance, gone = [], [], [], []
        for _ in range(piece):
            h = elman(w, "automatizer", x, h)
            z = w["automatizer.readout.weight"] @ h + w["automatizer.readout.bias"]
            target = held if kept is None else kept[len(targets)]
            targets.append(held.copy())
            distance.append(((z[SYMBOLS:] - target) ** 2).mean())
            p, symbol = softmax(z[:SYMBOLS]), int(stream[t])
            surprise.append(-math.log(p[symbol]))
            since += 1
            up = p.argmax() != symbol or p.max() < confidence
            if up:
                state = elman(w, "chunker", event, state)
                guess = w["chunker.readout.weight"] @ state + w["chunker.readout.bias"]
                chunk.append(-math.log(softmax(guess[:SYMBOLS])[symbol]))
                event = np.concatenate([np.eye(SYMBOLS)[symbol], [(since >> k) & 1 for k in range(DIGITS)]])
                held, since = elman(w, "chunker", event, state), 0
            gone.append(up)
            x = np.eye(SYMBOLS)[symbol]
            t += 1
        parts.append((sum(surprise) / piece, sum(chunk), len(chunk), sum(distance) / piece))
        ups.append(gone)
    return parts, ups, targets


def total(found: list[Any], distil: float) -> list[float]:
    """The loss of each piece over the streams side by side."""
    losses = []
    for pieces in zip(*(one[0] for one in found), strict=True):
        events = max(sum(p[2] for p in pieces), 1)
        losses.append(
            np.mean([p[0] for p in pieces])
            + sum(p[1] for p in pieces) / events
            + distil * np.mean([p[3] for p in pieces])
        )
    return losses


@pytest.mark.parametrize("confidence", [0.0, 0.25, 0.3])
def test_the_numbers_are_those_of_the_equations_over_pieces_of_a_stream(confidence: float) -> None:
    pair, pieces = make(confidence), [7, 1, 9]
    streams = np.random.default_rng(0).integers(SYMBOLS, size=(17, 3))
    streams[7:, 0] = streams[6, 0]
    found = [by_hand(weights_of(pair), streams[:, b], pieces, confidence, 0.7) for b in range(3)]
    wanted = total(found, 0.7)
    state, start = None, 0
    for k, piece in enumerate(pieces):
        report = pair(torch.from_numpy(streams[start : start + piece]), state)
        state, start = report.state, start + piece
        assert report.loss.item() == pytest.approx(wanted[k], rel=1e-10)
        for b in range(3):
            assert (~report.expected[:, b]).tolist() == found[b][1][k]
    assert 0 < sum(map(sum, found[0][1])) < 17


def test_the_gradients_are_those_of_the_equations() -> None:
    """By finite differences of the numpy loss, with the chunker's hidden units held as targets."""
    pair = make(0.3)
    stream = np.random.default_rng(4).integers(SYMBOLS, size=12)
    pair(torch.from_numpy(stream)[:, None]).loss.backward()
    w = weights_of(pair)
    kept = by_hand(w, stream, [12], 0.3, 0.7)[2]

    def loss() -> float:
        return total([by_hand(w, stream, [12], 0.3, 0.7, kept)], 0.7)[0]

    for name, parameter in pair.named_parameters():
        assert parameter.grad is not None
        for place in list(np.ndindex(*parameter.shape))[::3]:
            old, around = w[name][place], []
            for shift in (1e-5, -1e-5):
                w[name][place] = old + shift
                around.append(loss())
            w[name][place] = old
            np.testing.assert_allclose(parameter.grad[place], (around[0] - around[1]) / 2e-5, rtol=1e-5, atol=1e-8)


def test_what_the_chunker_expected_is_told() -> None:
    """With a chunker that always says 3, and an automatizer that expects nothing."""
    pair = make(1.0)
    with torch.no_grad():
        pair.chunker.readout.weight.zero_()
        pair.chunker.readout.bias.zero_()
        pair.chunker.readout.bias[3] = 5.0
    report = pair(torch.tensor([[3, 0], [1, 3], [3, 3]]))
    assert not report.expected.any()
    assert report.chunker_expected.tolist() == [[True, False], [False, True], [True, True]]


def test_nothing_goes_up_when_all_is_expected() -> None:
    pair = make(0.0)
    with torch.no_grad():
        pair.automatizer.readout.bias[2] = 50.0
    first = pair(torch.full((4, 2), 2))
    second = pair(torch.full((3, 2), 2), first.state)
    assert first.expected.all() and second.expected.all() and second.chunker_expected.all()
    assert second.state.since.tolist() == [7, 7] and not second.state.hidden.any()
    assert math.isfinite(second.loss.item())


def train(pair: ChunkerAutomatizer, lag: int, most: int, seed: int) -> int | None:
    """Sequences until the automatizer alone expected every symbol but the first of 40 sequences on end."""
    optimiser = torch.optim.Adam(pair.parameters(), 0.01)
    chance, state, right = torch.Generator().manual_seed(seed), None, 0
    for number in range(1, most + 1):
        kind = int(torch.randint(2, (1,), generator=chance))
        sequence = torch.tensor([kind, *range(2, 2 + lag), 2 + lag + kind]).unsqueeze(1)
        report = pair(sequence, state)
        state = report.state
        optimiser.zero_grad()
        report.loss.backward()
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        optimiser.step()
        right = right + 1 if bool(report.expected[1:].all()) else 0
        if right == 40:
            return number
    return None


@pytest.mark.slow
def test_the_automatizer_takes_over_what_the_chunker_learned() -> None:
    """It comes to expect alone the end of a sequence that follows from its beginning."""
    torch.manual_seed(5)
    assert train(ChunkerAutomatizer(8, 12), 4, 1500, 5) is not None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: make()(torch.zeros(3, dtype=torch.long)),
            "ChunkerAutomatizer: sequences have shape (3,). Needed: symbols, (steps, batch), at least one step.",
        ),
        (
            lambda: make()(torch.zeros(0, 2, dtype=torch.long)),
            "ChunkerAutomatizer: sequences have shape (0, 2). Needed: symbols, (steps, batch), at least one step.",
        ),
        (
            lambda: make()(torch.zeros(3, 2)),
            "ChunkerAutomatizer: sequences are torch.float32. Needed: torch.int64. Cure: .long().",
        ),
        (
            lambda: make()(torch.full((3, 2), 5)),
            "ChunkerAutomatizer: sequences hold 5. Needed: symbols from 0 to 4.",
        ),
        (
            lambda: ChunkerAutomatizer(3, 4, distil=-1.0),
            "ChunkerAutomatizer: distil is -1.0. Needed: zero or a positive number.",
        ),
        (
            lambda: ChunkerAutomatizer(3, 4, chunker_size=0),
            "ChunkerAutomatizer: chunker_size is 0. Needed: a positive whole number.",
        ),
    ],
)
def test_messages_name_the_argument(call: Any, message: str) -> None:
    with pytest.raises((UsageError, ShapeError)) as caught:
        call()
    assert str(caught.value) == message
