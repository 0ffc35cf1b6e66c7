"""How machines with an external memory are trained to say again what they read, and what they are made of."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.external.ntm import NTM
from recurra.cells.lstm import LSTM, LSTMState
from recurra.cells.state import HiddenState
from recurra.problems.copying import Recall, recall_loss, wrong_bits
from recurra.unroll import unroll

STUCK = 0.2
"""The running mean of the loss that tells a network that learns from one that does not."""
FOCUS = 0.02
"""The weight of the term that keeps the heads together."""
LSTM_UNITS = 20

Draw = Callable[[torch.Generator], Recall]


class FeedForward(Cell):
    """A controller without a memory of its own, y = tanh(W x + b): what is to be kept has to go through the slots."""

    def __init__(self, input_size: int, hidden_size: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size)
        self.map = nn.Linear(input_size, hidden_size, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        self.map.reset_parameters()

    def project(self, x: Tensor) -> Tensor:
        return self.map(x)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = torch.tanh(projected)
        return h, HiddenState(h)


class TanhBesideLSTM(Cell):
    """A controller of tanh units without a memory of their own and of 20 LSTM units, all of which see the same.

    The tanh units learn at once to send what is read into the slots; the LSTM units count, and know where they are.
    """

    def __init__(self, input_size: int, hidden_size: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size)
        self.map = nn.Linear(input_size, hidden_size - LSTM_UNITS, device=device, dtype=dtype)
        self.lstm = LSTM(input_size, LSTM_UNITS, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        self.map.reset_parameters()
        self.lstm.reset_parameters()

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        return self.lstm.initial_state(batch_size, dtype=dtype, device=device)

    def project(self, x: Tensor) -> Tensor:
        return torch.cat([self.map(x), self.lstm.project(x)], -1)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        without = self.map.out_features
        h, state = self.lstm.advance(projected[..., without:], state)
        return torch.cat([torch.tanh(projected[..., :without]), h], -1), state


class Network(nn.Module):
    """The cell and its readout."""

    def __init__(self, cell: Cell, bits: int) -> None:
        super().__init__()
        self.cell, self.read = cell, nn.Linear(cell.output_size, bits)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(unroll(self.cell, x)[0])

    def with_spread(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs, and over how many slots the heads are spread: 0 at one slot each.

        It is the mean over time, sequences and heads of -log(sum over the slots of w^2), the logarithm of that number;
        of a computer, which writes only when it wants to, over the read heads alone.
        """
        y, _, states = unroll(self.cell, x, all_states=True)
        weights = states.read_weights
        if isinstance(self.cell, NTM):
            weights = torch.cat([states.write_weights, weights], -2)
        return self.read(y), -weights.square().sum(-1).clamp_min(1e-6).log().mean()


@dataclass(frozen=True)
class Course:
    """How a network is trained.

    Attributes:
        seconds: of one processor core, at most.
        rate: Adam's.
        cycle: updates in the last stage from one validation to the next.
        lowest: to which share of itself the rate falls in each of these cycles; 1 keeps it.
        learned: the running mean of the loss, in nats a bit, below which the next stage begins.
        focused: the first stage in which the heads are kept together.
        small: the loss at a validation below which one without a wrong bit ends the training.
        patience: updates after which a network is given up that has not come to the last stage, or whose running mean
            of the loss is 0.2 or more there; absent where none is given up.
        slots: of the memory at the validations, where it is another than in training.
    """

    seconds: float
    rate: float = 3e-3
    cycle: int = 250
    lowest: float = 0.05
    learned: float = 0.05
    focused: int = 1
    small: float = float("inf")
    patience: int | None = None
    slots: int | None = None


@dataclass
class Trained:
    """The best network, how it came about, and how many networks were begun until then."""

    network: Network
    updates: int
    seconds: float
    loss: float
    wrong: float
    tries: int = 1


def train(network: Network, stages: list[Draw], validate: Draw, seed: int, course: Course) -> Trained:
    """Train stage after stage, until the time is over or a validation is without a wrong bit and its loss is small.

    In the last stage the network is validated at the end of each cycle, and when the time is over. The best one has the
    fewest wrong bits, of equals the smallest loss.
    """
    chance = torch.Generator().manual_seed(10_000 + seed)
    optimiser = torch.optim.Adam(network.parameters(), course.rate)
    begun, updates, stage, mean, within = time.process_time(), 0, 0, 1.0, 0
    best = Trained(copy.deepcopy(network), 0, 0.0, float("inf"), float("inf"))
    over = False
    while not over and (best.wrong or best.loss >= course.small):
        told = stages[stage](chance)
        said, spread = network.with_spread(told.x) if stage >= course.focused else (network(told.x), torch.zeros(()))
        loss = recall_loss(said, told)
        optimiser.zero_grad()
        (loss + FOCUS * spread).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if stage + 1 == len(stages):
            optimiser.param_groups[0]["lr"] = course.rate * course.lowest ** (within / course.cycle)
            within = (within + 1) % course.cycle
        optimiser.step()
        updates += 1
        mean = 0.95 * mean + 0.05 * loss.item()
        over = time.process_time() - begun >= 0.98 * course.seconds  # the rest is for the last validation
        over = over or (updates == course.patience and (stage + 1 < len(stages) or mean >= STUCK))
        if over or (stage + 1 == len(stages) and within == 0):
            told = validate(torch.Generator().manual_seed(20_000 + seed))
            now, wrong = validated(network, told, course.slots)
            if (wrong, now) < (best.wrong, best.loss):
                best = Trained(copy.deepcopy(network), updates, time.process_time() - begun, now, wrong)
        if mean < course.learned and stage + 1 < len(stages):
            stage, mean = stage + 1, 0.3
    return best


def train_anew(
    make: Callable[[int], Network], stages: list[Draw], validate: Draw, seed: int, course: Course
) -> Trained:
    """Train, and begin again with other first weights where a network is given up, as long as the time lasts.

    `make` makes a network from the seed of its weights: the seed itself, and 1000 more at each new beginning.
    """
    begun, tries = time.process_time(), 0
    best: Trained | None = None
    while best is None or (best.wrong and time.process_time() - begun < 0.9 * course.seconds):
        gone = time.process_time() - begun
        left = replace(course, seconds=course.seconds - gone)
        found = train(make(seed + 1000 * tries), stages, validate, seed, left)
        tries += 1
        if best is None or (found.wrong, found.loss) < (best.wrong, best.loss):
            best = replace(found, seconds=gone + found.seconds, tries=tries)
    return best


def validated(network: Network, told: Recall, slots: int | None) -> tuple[float, float]:
    """The loss, and the mean number of wrong bits of a sequence, with a memory of that many slots."""
    cell: Any = network.cell
    own, cell.slots = cell.slots, slots or cell.slots
    with torch.no_grad():
        said = network(told.x)
    cell.slots = own
    return recall_loss(said, told).item(), float(wrong_bits(said, told).float().mean())


def judge(network: Network, told: Recall) -> tuple[float, float]:
    """The share of sequences without a wrong bit, and the share of bits that are wrong."""
    with torch.no_grad():
        wrong = wrong_bits(network(told.x), told)
    bits = int(told.asked.sum()) * told.targets.shape[-1]
    return float((wrong == 0).float().mean()), float(wrong.sum()) / bits


def between(low: int, high: int, chance: torch.Generator) -> int:
    """A whole number, both ends included."""
    return int(torch.randint(low, high + 1, (1,), generator=chance))
