"""The networks of the first LSTM paper, trained until they have fulfilled the paper's criteria."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from _lstm_1997_cases import Case
from _many_networks import ManyNetworks, Streams, ends, stream_of, together
from torch import Tensor

from recurra.problems.reber import embedded_reber_string, next_symbol_data

STEPS, BATCH = 3000, 250
"""Steps that all networks run before answers are looked at, and sequences drawn at once for a network."""

COPIES, TESTED = 128, 2560
"""Copies of a network that answer a test's sequences side by side, and the sequences of the test after success."""

STAGES = ((0, 16), (16, 64), (64, 512))
"""Strings that are predicted in turn, the further ones by networks alone that have predicted all before."""


@dataclass
class Outcome:
    """What became of one seed: sequences until success (None without), sequences read, and the test's wrong answers."""

    solved: int | None
    read: int
    wrong: int = 0


class Training:
    """All seeds of a case side by side, of which those that have ended leave.

    Args:
        case: the task.
        seeds: one a network.
        draws: for each seed a function that gives more of its stream.
        budget: processor seconds.
    """

    def __init__(self, case: Case, seeds: range, draws: Sequence[Callable[[], Tensor]], budget: float) -> None:
        self.case, self.all, self.seeds, self.budget = case, seeds, list(seeds), budget
        self.networks = ManyNetworks.of_seeds(case.shape, seeds, case.draw is None, case.slope)
        self.streams = Streams(draws)
        self.read = np.zeros(len(seeds), int)
        self.ended: dict[int, Outcome] = {}
        # Compiled before the clock starts.
        self.networks.copies([0]).run(self.streams.left[0][:1].unsqueeze(2))
        self.began = self.said = time.process_time()

    def stretches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Train on by some steps, again and again: what was read, and what the networks said to it."""
        while len(self.ended) < len(self.all) and time.process_time() - self.began < self.budget:
            stream = self.streams.read(STEPS)
            yield stream, self.networks.run(stream)
            if time.process_time() - self.said > 30:
                self.said = time.process_time()
                solved = sum(outcome.solved is not None for outcome in self.ended.values())
                text = f"{int(self.read.max())} sequences, {solved} of {len(self.all)} solved"
                print(f"    {self.case.title}: {text}, {self.said - self.began:.0f} s", file=sys.stderr, flush=True)

    def end(self, place: int, solved: int | None, wrong: int = 0) -> None:
        """A seed is solved or given up, once."""
        self.ended.setdefault(self.seeds[place], Outcome(solved, int(self.read[place]), wrong))

    def going(self, place: int) -> bool:
        """Whether a seed has not ended."""
        return self.seeds[place] not in self.ended

    def drop(self) -> list[int] | None:
        """Let those leave that have ended; the places that stay, or None where all or none do."""
        left = [place for place in range(len(self.seeds)) if self.going(place)]
        if len(left) in (0, len(self.seeds)):
            return None
        self.networks.keep(left)
        self.streams.keep(left)
        self.seeds, self.read = [self.seeds[place] for place in left], self.read[left]
        return left

    def outcomes(self) -> list[Outcome]:
        """Of all seeds, in their order."""
        for place in range(len(self.seeds)):
            self.end(place, None)
        return [self.ended[seed] for seed in self.all]


class Recent:
    """Each network's latest answers.

    Args:
        window: how many.
        count: networks.
    """

    def __init__(self, window: int, count: int) -> None:
        self.window = window
        # What stands before the first answers counts for so many wrong ones that no window that holds it is right.
        self.past = np.full((count, 2, window), window + 1.0)
        self.waiting = [np.zeros((2, 0))] * count

    def add(self, wrong: Tensor, error: Tensor, at: Tensor) -> None:
        """Answers, (steps, networks), which count at some of the steps."""
        both = torch.stack([wrong.double(), error.double()]).numpy()
        for place, steps in enumerate(at.T.numpy()):
            self.waiting[place] = np.concatenate([self.waiting[place], both[:, steps, place]], 1)

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each next BATCH answers of all: wrong ones and the mean error of the window that ends there."""
        while min(each.shape[1] for each in self.waiting) >= BATCH:
            new = np.stack([each[:, :BATCH] for each in self.waiting])
            self.waiting = [each[:, BATCH:] for each in self.waiting]
            whole = np.concatenate([self.past, new], 2)
            self.past = whole[:, :, -self.window :]
            sums = np.cumsum(whole, 2)
            sums = sums[:, :, self.window :] - sums[:, :, : -self.window]
            yield sums[:, 0], sums[:, 1] / self.window

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the networks alone."""
        self.past = self.past[list(places)]
        self.waiting = [self.waiting[place] for place in places]


def errors(networks: ManyNetworks, stream: Tensor, y: Tensor) -> Tensor:
    """How far outputs are from their targets."""
    inputs = networks.shape.inputs
    return (y - stream[:, inputs : inputs + networks.shape.outputs]).abs()


def wrong_answers(networks: ManyNetworks, place: int, case: Case, sequences: int, seed: int) -> int:
    """One of the networks' wrong answers to fresh sequences, TESTED at a time until some of them are wrong."""
    assert case.draw is not None
    generator, wrong = torch.Generator().manual_seed(2_000_003 + seed), 0
    for start in range(0, sequences, TESTED):
        x, target, lengths = case.draw(min(TESTED, sequences - start), generator)
        parts = [slice(number, None, COPIES) for number in range(min(COPIES, len(lengths)))]
        stream = together([stream_of(x[:, part], target[part], lengths[part], 0.0, False) for part in parts])
        copies = networks.copies([place] * len(parts))
        found = errors(copies, stream, copies.run(stream)).amax(1)[ends(stream)]
        wrong += int((found > case.right).sum())
        if wrong:
            break
    return wrong


def last_step_task(case: Case, seeds: range, budget: float) -> list[Outcome]:
    """Train all seeds until each has fulfilled the criterion on the answers at the ends of its latest sequences."""

    def drawn(seed: int) -> Callable[[], Tensor]:
        generator, draw = torch.Generator().manual_seed(1_000_003 + seed), case.draw
        assert draw is not None
        return lambda: stream_of(*draw(BATCH, generator), case.rate, False)

    training = Training(case, seeds, [drawn(seed) for seed in seeds], budget)
    recent, asked = Recent(case.window, len(seeds)), dict.fromkeys(seeds, 0)
    for stream, y in training.stretches():
        error = errors(training.networks, stream, y)
        recent.add(error.amax(1) > case.right, error.mean(1), ends(stream))
        for wrongs, means in recent.blocks():
            before = int(training.read[0])
            training.read += BATCH
            fulfilled = (wrongs < case.wrong) & (means < case.mean)
            for place in np.flatnonzero(fulfilled.any(1)).tolist():
                seed = training.seeds[place]
                if not training.going(place) or training.read[place] < asked[seed]:
                    continue
                asked[seed] = int(training.read[place]) + case.window
                if not case.held or not wrong_answers(training.networks, place, case, case.held, seed):
                    missed = wrong_answers(training.networks, place, case, TESTED, seed + 1_000_000)
                    training.end(place, before + 1 + int(fulfilled[place].argmax()), missed)
        if training.read[0] >= case.most:
            break
        left = training.drop()
        if left is not None:
            recent.keep(left)
    return training.outcomes()


def reber_sets(pair: int) -> tuple[list[str], list[str]]:
    """256 strings to learn from, and 256 that are not among them."""
    chance = random.Random(pair)
    training = [embedded_reber_string(chance) for _ in range(256)]
    others: list[str] = []
    while len(others) < 256:
        string = embedded_reber_string(chance)
        if string not in training:
            others.append(string)
    return training, others


def predicted(stream: Tensor, y: Tensor) -> Tensor:
    """For each network whether at every step the symbols that may come next are the most active ones.

    Args:
        stream: (steps, features, networks), whose targets are 1 for the symbols that may come next.
        y: the output units, (steps, symbols, networks).
    """
    possible, wanted = stream[:, 7:14], stream[:, 14] == 1
    least = torch.where(possible == 1, y, torch.inf).amin(1)
    most = torch.where(possible == 0, y, -torch.inf).amax(1)
    return ((least > most) | ~wanted).all(0)


def solved_places(training: Training, tests: Sequence[Sequence[Tensor]], pairs: int) -> list[int]:
    """The networks that predict all strings of their pair of sets, with the weights held."""
    places = [place for place in range(len(training.seeds)) if training.going(place)]
    for test in tests:
        if places:
            stream = together([test[training.seeds[place] % pairs] for place in places])
            passed = predicted(stream, training.networks.copies(places).run(stream)).tolist()
            places = [place for place, right in zip(places, passed, strict=True) if right]
    return places


def reber_task(case: Case, seeds: range, budget: float) -> list[Outcome]:
    """Train all seeds on the next symbol of strings picked from their own training sets."""
    pairs = min(3, len(seeds))
    sets = [reber_sets(pair) for pair in range(pairs)]
    data = [next_symbol_data(training + others) for training, others in sets]

    def strings(pair: int, picked: Tensor, rate: float, wanted: int) -> Tensor:
        parts = data[pair]
        return stream_of(parts[0][:, picked], parts[wanted][:, picked], parts[3][picked], rate, True)

    def drawn(seed: int) -> Callable[[], Tensor]:
        generator = torch.Generator().manual_seed(1_000_003 + seed)
        return lambda: strings(seed % pairs, torch.randint(0, 256, (BATCH,), generator=generator), case.rate, 1)

    order = torch.randperm(512, generator=torch.Generator().manual_seed(0))
    tests = [[strings(pair, order[a:b], 0.0, 2) for pair in range(pairs)] for a, b in STAGES]
    training = Training(case, seeds, [drawn(seed) for seed in seeds], budget)
    for stream, _ in training.stretches():
        training.read += ends(stream).sum(0).numpy()
        for place in solved_places(training, tests, pairs):
            training.end(place, int(training.read[place]))
        for place in np.flatnonzero(training.read >= case.most).tolist():
            training.end(place, None)
        training.drop()
    return training.outcomes()
