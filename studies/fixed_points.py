"""Fixed points of a network that remembers three bits: the 27 cells of a cube.

    python studies/fixed_points.py [--quick] [--seeds N] [--json FILE] [--figure FILE.svg]

Published (Sussillo and Barak 2013): a network trained on the 3-bit flip-flop has 8 stable fixed points, one for each
content of its memory, which lie as the corners of a cube, and between them saddle points that mediate the transitions.

A GRU of 8 units with a linear readout is trained on sequences of 30 steps; then all points at which it stands still
without input are searched from states that it passes on other sequences. Asked is that, in every seed, there be as many
fixed points as a cube has cells, by their number of unstable directions: 8 corners (0), 12 edges (1), 6 faces (2) and
the centre (3); that the readout of each point, rounded, be a triple of -1, 0 and 1 with as many zeros as the point
has unstable directions; and that all 27 triples occur.

What differs from the paper: a GRU in place of a rate network in continuous time, Adam in place of FORCE learning, and
pulses of one step. The number of units was chosen on seeds 100 to 104: with 10 to 24 all 27 cells were there too, but
in some networks a saddle point or the centre had split into several.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from _data import Claim, claim, finish, parser, threads
from torch import nn

from recurra.analysis.fixed_points import FixedPoints, fixed_points
from recurra.analysis.visited import visited_states
from recurra.cells import GRU
from recurra.problems.flip_flop import flip_flop
from recurra.unroll import unroll

UNITS, STEPS, BATCH, UPDATES = 8, 30, 64, 600


class Network(nn.Module):
    """The cell and its readout."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.read = GRU(3, UNITS), nn.Linear(UNITS, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(unroll(self.cell, x)[0])


def train(seed: int, updates: int) -> tuple[Network, float]:
    """A trained network, and the share of steps and bits that it has right on new sequences of 100 steps."""
    torch.manual_seed(seed)
    network = Network()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    for update in range(updates):
        x, targets = flip_flop(STEPS, BATCH, seed=1_000_000 * (seed + 1) + update)
        loss = (network(x) - targets).square().mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        x, targets = flip_flop(100, 256, seed=seed + 7)
        said = network(x)
    known = targets != 0
    return network, float((said.sign() == targets)[known].float().mean())


def triples(network: Network, found: FixedPoints) -> list[tuple[int, ...]]:
    """The readout of each fixed point, rounded to -1, 0 and 1."""
    with torch.no_grad():
        said = network.read(found.points[found.fixed].float())
    return [tuple(int(value) for value in row) for row in said.round().clamp(-1, 1).tolist()]


def study(seed: int, quick: bool) -> dict[str, Any]:
    """One network: how many points of each kind, and whether they are the cells of a cube."""
    begun = time.monotonic()
    network, right = train(seed, 400 if quick else UPDATES)
    trained = time.monotonic() - begun
    x, _ = flip_flop(100, 64, seed=seed + 99)
    vectors = visited_states(network.cell, x, most=256 if quick else 2048)
    found = fixed_points(network.cell, starts=vectors, adam_iterations=200 if quick else 1000)
    said, kinds = triples(network, found), found.unstable[found.fixed].tolist()
    cells = [triple for triple, kind in zip(said, kinds, strict=True) if triple.count(0) == kind]
    cube = len(said) == 27 and len(set(cells)) == 27
    searched = time.monotonic() - begun - trained
    print(f"seed {seed}: {100 * right:.2f} % right, {found.text} ({trained:.0f} + {searched:.0f} s)", flush=True)
    return {"found": found, "cube": cube, "cells": len(set(cells)), "stable": kinds.count(0), "vectors": vectors}


def draw(told: dict[str, Any], file: str) -> None:
    """The points in the plane of the states, written to a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    told["found"].draw(figure.add_subplot(), told["vectors"])
    figure.savefig(file)


def main(arguments: list[str] | None = None) -> int:
    made = parser(__doc__ or "", seeds=5)
    made.add_argument("--figure", metavar="FILE", help="draw the first seed's points here")
    options = made.parse_args(arguments)
    threads(1)
    seeds = 1 if options.quick else options.seeds
    told = [study(seed, options.quick) for seed in range(seeds)]
    if options.figure:
        draw(told[0], options.figure)
    mean = [sum(float(each[name]) for each in told) / seeds for name in ("stable", "cells", "cube")]
    claims: list[Claim] = [
        claim("stable fixed points, mean over seeds", "8 (Sussillo and Barak 2013)", "8 to 8", mean[0], options.quick),
        claim("cells of the cube found, mean over seeds", "27 exact", ">= 26", mean[1], options.quick),
        claim("share of seeds: 27 points, all cells of a cube", "1 exact", ">= 0.8", mean[2], options.quick),
    ]
    return finish("Fixed points of the 3-bit flip-flop", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
