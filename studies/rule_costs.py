"""Time and memory of gradient rules against size: exponents fitted to measurements.

    python studies/rule_costs.py [--quick] [--seeds N] [--json FILE]

A network of n fully connected units (inputs and read-out of one number) is trained for some steps by each rule, on one
sequence, or on 32 for back-propagation, whose time would else be that of reading the weights. What is measured: the
processor's time a time step, least of several runs; and the numbers in memory: those the rule carries from step to
step, and the most that autograd holds at once. A power of n is fitted to the larger sizes, where the arithmetic
outweighs the fixed cost of a step. For the element-wise form of real-time recurrent learning the network is
IndRNN, and the power is that of the number of weights.

Published (time a step): n^4 for real-time recurrent learning (Williams and Zipser 1989), n^3 for the hybrid in blocks
of n steps (Schmidhuber 1992), n^2 for back-propagation through time, and the number of weights for the element-wise
form (Mozer 1989). Memory of the forward rules does not grow with the length of the sequence. Matrix products run faster
a number the larger they are, which lowers measured exponents; weights that no longer fit into the processor's cache
raise them.
"""

from __future__ import annotations

import math
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from _data import Claim, claim, finish, parser, threads
from torch import Tensor, nn

from recurra.learn.rules import BPTT, RTRL, BlockRTRL, SnAp
from recurra.learn.rules.state_tree import tensors_of
from recurra.nn import Recurrent


@dataclass(frozen=True)
class Noise:
    """Sequences of random numbers, with random targets."""

    x: Tensor  # (time, batch, features)
    y: Tensor  # (time, batch, 1)

    @property
    def size(self) -> int:
        return self.x.shape[1]

    @property
    def steps(self) -> int:
        return self.x.shape[0]

    def to(self, device: Any) -> Noise:
        return self


class Network(nn.Module):
    """Units that all hear one another, or none, and a read-out."""

    def __init__(self, cell: str, hidden: int):
        super().__init__()
        # Orthogonal weights: derivatives that vanish over many steps end as numbers that processors are slow with.
        start = "orthogonal" if cell == "elman" else None
        self.layer = Recurrent(cell, 1 if cell == "elman" else hidden // 4, hidden, recurrent_init=start)
        self.out = nn.Linear(hidden, 1)

    def forward(self, batch: Noise, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        y, state = self.layer(batch.x[start:stop], state)
        return ((self.out(y) - batch.y[start:stop]) ** 2).sum() / batch.steps, state


class Held:
    """Counts the numbers that autograd keeps for the way back."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def keep(self, tensor: Tensor) -> Any:
        box = _Box(tensor.detach())  # with its graph, an operation's own result would never be freed
        count = tensor.numel()
        self.now += count
        self.most = max(self.most, self.now)
        weakref.finalize(box, self.release, count)
        return box

    def release(self, count: int) -> None:
        self.now -= count


class _Box:
    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def numbers(rule: Any, learner: Network, batch: Noise) -> int:
    """The most numbers in memory: carried, and kept by autograd without the weights themselves."""
    held = Held()
    weights = {weight.data_ptr() for weight in learner.parameters()}

    def keep(tensor: Tensor) -> Any:
        return tensor if tensor.untyped_storage().data_ptr() in weights else held.keep(tensor)

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda box: getattr(box, "tensor", box)):
        memory = rule.step(learner, batch, rule.init(learner))[1]
    influence = getattr(memory, "influence", None)
    return held.most + sum(part.numel() for part in tensors_of(influence) if part.is_floating_point())


def seconds(rule: Any, learner: Network, batch: Noise, repeats: int) -> float:
    """The least time of a step."""
    memory = rule.step(learner, batch, rule.init(learner))[1]  # a first run finds patterns and memory
    best = math.inf
    for _ in range(repeats):
        began = time.process_time()
        memory = rule.step(learner, batch, memory)[1]
        best = min(best, (time.process_time() - began) / batch.steps)
    return best


def exponent(sizes: list[float], values: list[float], last: int = 3) -> float:
    """The slope of a line through the logarithms of the last few points."""
    x = [math.log(size) for size in sizes[-last:]]
    y = [math.log(value) for value in values[-last:]]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


@dataclass(frozen=True)
class Case:
    """A rule, the sizes it is measured at, and what is expected of it."""

    label: str
    make: Callable[[], Any]
    cell: str
    quick: list[int]
    full: list[int]
    steps: Callable[[int], int]
    published: str
    time: str
    memory: str
    of_weights: bool = False
    sequences: int = 1


CASES = [
    Case("rtrl", lambda: RTRL(8192), "elman", [24, 48, 96], [64, 96, 128, 192, 256], lambda n: 3,
         "time n^4, memory n^3 (Williams and Zipser 1989)", "3.4 to 4.4", "2.8 to 3.2"),
    Case("blockrtrl", lambda: BlockRTRL("auto", 8192), "elman", [24, 48, 96], [96, 128, 192, 256], lambda n: n,
         "time n^3, memory n^3 (Schmidhuber 1992)", "2.5 to 3.4", "2.8 to 3.2"),
    Case("bptt", BPTT, "elman", [256, 512, 1024], [512, 724, 1024, 1448], lambda n: 20,
         "time n^2 (Werbos 1990)", "1.6 to 2.4", "report", sequences=32),
    Case("rtrl, element-wise", RTRL, "indrnn", [128, 256, 512], [512, 1024, 1448, 2048], lambda n: 3,
         "time and memory p^1 (Mozer 1989)", "0.8 to 1.2", "0.9 to 1.1", True),
    Case("snap(1)", lambda: SnAp(1), "elman", [32, 64, 128], [128, 256, 384, 512], lambda n: 3,
         "memory n^2 (Menick et al. 2021)", "report", "1.8 to 2.2"),
]  # fmt: skip


def measure(case: Case, quick: bool, repeats: int) -> list[Claim]:
    """One rule at all sizes."""
    sizes, times, memories = [], [], []
    for n in case.quick if quick else case.full:
        torch.manual_seed(0)
        learner = Network(case.cell, n)
        steps = case.steps(n)
        features = learner.layer.input_size
        batch = Noise(torch.randn(steps, case.sequences, features), torch.randn(steps, case.sequences, 1))
        sizes.append(float(sum(w.numel() for w in learner.layer.parameters()) if case.of_weights else n))
        times.append(seconds(case.make(), learner, batch, repeats))
        memories.append(float(numbers(case.make(), learner, batch)))
        what = "weights" if case.of_weights else "units"
        text = f"{case.label:20} {int(sizes[-1]):>8} {what} {times[-1] * 1e3:10.3f} ms a step"
        print(f"{text} {memories[-1]:14,.0f} numbers", flush=True)
    by = "weights" if case.of_weights else "n"
    return [
        claim(f"{case.label}: time a step, power of {by}", case.published, case.time, exponent(sizes, times), quick),
        claim(f"{case.label}: memory, power of {by}", case.published, case.memory, exponent(sizes, memories), quick),
    ]


def growth(label: str, make: Callable[[], Any], cell: str, wanted: str, quick: bool) -> Claim:
    """How much more memory a sequence four times as long takes."""
    found = []
    for steps in (40, 160):
        torch.manual_seed(0)
        learner = Network(cell, 24)
        batch = Noise(torch.randn(steps, 1, learner.layer.input_size), torch.randn(steps, 1, 1))
        found.append(numbers(make(), learner, batch))
    return claim(f"{label}: memory at 160 steps over that at 40", "", wanted, found[1] / found[0], quick)


def main(arguments: list[str] | None = None) -> int:
    made = parser(__doc__ or "", seeds=3)
    options = made.parse_args(arguments)
    threads(1)
    torch.set_flush_denormal(True)
    repeats = 2 if options.quick else max(2, options.seeds)
    claims = [row for case in CASES for row in measure(case, options.quick, repeats)]
    flat = "0.99 to 1.01"
    claims += [
        growth("rtrl", RTRL, "elman", flat, options.quick),
        growth("blockrtrl", lambda: BlockRTRL(20), "elman", flat, options.quick),
        growth("rtrl, element-wise", RTRL, "indrnn", flat, options.quick),
        growth("snap(1)", lambda: SnAp(1), "elman", flat, options.quick),
        growth("bptt", BPTT, "elman", "3.5 to 4.1", options.quick),
    ]
    return finish("Cost of gradient rules, one thread, float32", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
