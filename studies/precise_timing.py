"""Precise timing: telling spikes 50 steps apart from 49, and spiking by itself, with and without peepholes.

    python studies/precise_timing.py [--quick] [--seeds N] [--task NAME] [--json FILE]

Published (Gers, Schraudolph and Schmidhuber 2002): an LSTM with peepholes learns to tell intervals of 50 steps from 49
without the help of shorter ones, and to generate timed spikes without any input.

Three tasks, each learnt by an LSTM with one memory cell, with peepholes and with the same peepholes held at 0:

- delay: a spike 49 or 50 steps after the start; at the spike the network says which.
- stream: spikes 49 or 50 steps apart without end; at every spike, which. The network must start anew by itself.
- generate: no input; the output must be 1 at every 50th step and 0 at all others.

A seed has solved a task when every output asked for is within 0.49 of its target: for "delay" both sequences; for
"stream" 10 fresh streams of 100 spikes; for "generate" 20 spikes, that is 1000 steps, after training on 3.

As in the paper: one cell, whose squashing functions are the identity; a sigmoid output; biases; gates that see the
input and the cell's output; 10 seeds. What differs: full gradients through time instead of those cut at the gates, Adam
on all short training sequences at once instead of momentum on one long stream, cross-entropy, and first biases of the
forget gate of 6 instead of -2.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import product

import torch
from _data import Claim, claim, finish, parser, threads
from _side_by_side import SideBySide
from torch import Tensor
from torch.nn import functional as F

from recurra.problems.timing import spike_delays, timed_spikes

NEAR = 0.49
UPDATES = 3000
FIRST_BIASES = (0.0, 6.0, 0.0, 0.0)
"""Of the input gate, the forget gate, the cell and the output gate."""

Data = tuple[Tensor, Tensor, Tensor]
"""x (time, batch, 1), the steps that are asked for something (time, batch), and the targets (time, batch)."""


def delays(period: int, spikes: int) -> Data:
    """Every stream of so many spikes, each `period - 1` or `period` steps after the one before."""
    x = torch.zeros(spikes * period, 2**spikes, 1)
    target = torch.zeros(x.shape[:2])
    for column, choice in enumerate(product((0, 1), repeat=spikes)):
        step = -1
        for later in choice:
            step += period - 1 + later
            x[step, column], target[step, column] = 1.0, float(later)
    return x, x.squeeze(-1) > 0.5, target


def fresh_delays(period: int, spikes: int, streams: int) -> Data:
    """Random streams for the test."""
    return spike_delays(period - 1, spikes, streams, generator=torch.Generator().manual_seed(1))


def even(period: int, spikes: int) -> Data:
    """A spike every `period` steps, asked at every step."""
    x, target = timed_spikes(period, spikes)
    return x, torch.ones(target.shape[:2], dtype=torch.bool), target.squeeze(-1)


def solved(networks: SideBySide, data: Data) -> list[bool]:
    """Which networks give every output asked for within 0.49."""
    x, asked, target = data
    with torch.no_grad():
        said = torch.sigmoid(networks(x.double())).squeeze(-1)
    wrong = ((said - target.unsqueeze(-1)).abs() >= NEAR) & asked.unsqueeze(-1)
    return [not bool(w) for w in wrong.flatten(0, 1).any(0)]


def train(networks: SideBySide, data: Data, updates: int, name: str) -> None:
    """Adam on all training sequences at once; targets of 0 and of 1 weigh the same in total."""
    x, asked, target = data
    x, target = x.double(), target.double().unsqueeze(-1)
    ones, zeros = (target * asked.unsqueeze(-1)), (1 - target) * asked.unsqueeze(-1)
    weight = 0.5 * ones / ones.sum() + 0.5 * zeros / zeros.sum()
    slow = [parameter for parameter in networks.cell.parameters() if parameter.requires_grad]
    groups = [{"params": slow, "lr": 0.005}, {"params": [networks.read, networks.bias], "lr": 0.05}]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    for update in range(1, updates + 1):
        y = networks(x).squeeze(-1)
        losses = F.binary_cross_entropy_with_logits(y, target.expand_as(y), reduction="none") * weight
        optimiser.zero_grad()
        losses.sum().backward()
        networks.clip_gradients(1.0)
        optimiser.step()
        schedule.step()
        if update % 250 == 0:
            shown = " ".join(f"{loss:.3f}" for loss in losses.sum((0, 1)).tolist())
            print(f"    {name}, {update} updates, losses {shown}", file=sys.stderr, flush=True)


def study(task: str, period: int, seeds: int, updates: int, quick: bool) -> list[Claim]:
    """One task, with peepholes and without: the networks of a seed begin with the same weights but for these."""
    title, learn, test = TASKS[task]
    title = title.format(short=period - 1, long=period)
    started = time.monotonic()
    both = [True] * seeds + [False] * seeds
    networks = SideBySide([*range(seeds), *range(seeds)], 1, 1, 1, FIRST_BIASES, peepholes=both)
    train(networks, learn(period), updates, title)
    found = solved(networks, test(period))
    claims = []
    for name, part in (("with", found[:seeds]), ("without", found[seeds:])):
        said, wanted = PUBLISHED[task][name]
        claims.append(claim(f"{title}, {name} peepholes: share of seeds", said, wanted, sum(part) / seeds, quick))
        print(f"{title}, {name} peepholes: {sum(part)} of {seeds} seeds", flush=True)
    print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return claims


TASKS: dict[str, tuple[str, Callable[[int], Data], Callable[[int], Data]]] = {
    "delay": ("one delay, {short} or {long}", lambda period: delays(period, 1), lambda period: delays(period, 1)),
    "stream": (
        "stream of delays, {short} or {long}",
        lambda period: delays(period, 3),
        lambda period: fresh_delays(period, 100, 10),
    ),
    "generate": ("a spike every {long}", lambda period: even(period, 3), lambda period: even(period, 20)),
}
"""Title, training data and test data of each task."""

PUBLISHED = {
    "delay": {"with": ("learnt", ">= 0.9"), "without": ("learnt as well", "report")},
    "stream": {"with": ("learnt by some", "report"), "without": ("learnt by some", "report")},
    "generate": {"with": ("learnt", "report"), "without": ("not learnt", "report")},
}
"""What the paper says of each task with and without peepholes, and what is asked here."""


def main(arguments: list[str] | None = None) -> int:
    made = parser(__doc__ or "", seeds=10)
    made.add_argument("--task", choices=list(TASKS), help="this task alone")
    options = made.parse_args(arguments)
    threads(1)
    torch.set_flush_denormal(True)
    period, seeds = (10, 3) if options.quick else (50, options.seeds)
    claims = []
    for task in [options.task] if options.task else list(TASKS):
        claims += study(task, period, seeds, 200 if options.quick else UPDATES, options.quick)
    return finish(f"Precise timing, {seeds} seed(s)", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
