"""Searches on the double pole, and online gradient rules, against other packages and written-out peers.

    python benchmarks/rules.py [--threads N] [--json FILE] [--only searches|online] [--population N] [--generations N]

Searches: two poles without velocities, trials of at most 1000 control steps. Every package runs its own search from
first weights of the same kind, for the same number of generations; what is compared is milliseconds for 1000
evaluations, the whole of the search included. As searches differ in how long their networks balance, the mean length of
a trial stands beside, and the ratio of times for the same number of control steps. The packages evaluate one network
after another, with the physics in plain Python, which is what their users write where no environment exists; that this
physics and ours give the same states is checked in the same run. EvoTorch can take a function of whole populations
too: that row has our simulation on both sides, and so compares the searches alone.

Online rules: gradients of a simple recurrent network over a window of 50 steps. No package of torch or JAX that
computes real-time recurrent learning or SnAp-1 of a dense network is measured; the peers are these two recursions
written out by hand for that one network, in torch and as a compiled JAX scan: without what a rule for any network
needs, and so about the fastest that there is. Gradients are compared in the same run.

Peers that are not installed are named as not measured. Rows: {"case", "shape", "ours_ms", "peer", "peer_ms", "ratio"}.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _rules_online import Network, Noise, in_jax, in_torch, ours
from _rules_searches import (
    LIMIT,
    Work,
    evotorch,
    evotorch_on_our_physics,
    neat_python,
    ours_fixed,
    ours_neat,
    physics_error,
    pygad,
)

Row = dict[str, Any]
Search = Callable[[int, int, int], Work]

SEARCHES: list[tuple[str, Search, str, str, Search]] = [
    ("one unit", ours_fixed, "PyGAD", "pygad", pygad),
    ("one unit", ours_fixed, "EvoTorch CoSyNE", "evotorch", evotorch),
    ("one unit", ours_fixed, "EvoTorch CoSyNE on our physics", "evotorch", evotorch_on_our_physics),
    ("NEAT", ours_neat, "neat-python", "neat", neat_python),
]


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def searches(population: int, generations: int) -> list[Row]:
    """Times of whole searches, in turns of three seeds."""
    error = physics_error()
    print(f"physics of both sides differ by at most {error:.1e} over 50 steps")
    if not error < 1e-9:
        sys.exit("The two simulations do not agree: nothing was measured.")
    rows: list[Row] = []
    for case, our, peer, module, theirs in SEARCHES:
        name, shape = f"double pole, {case}", [population, generations, LIMIT]
        if not installed(module):
            print(f"{name}: {peer} not measured, as {module} is not installed")
            rows.append({"case": name, "shape": shape, "ours_ms": None, "peer": peer, "peer_ms": None, "ratio": None})
            continue
        our(population, 1, 9), theirs(population, 2, 9)  # imports and first calls
        spent, done = [0.0, 0.0], [Work(), Work()]
        for seed in range(3):
            for side, search in enumerate((our, theirs)):
                began = time.perf_counter()
                work = search(population, generations, seed)
                spent[side] += time.perf_counter() - began
                done[side].evaluations += work.evaluations
                done[side].steps += work.steps
        ours_ms, peer_ms = (1e6 * s / work.evaluations for s, work in zip(spent, done, strict=True))
        lengths = [work.steps / work.evaluations for work in done]
        # A trial that balances t steps computes t + 1 of them.
        same = peer_ms / (lengths[1] + 1) / (ours_ms / (lengths[0] + 1))
        rows.append(
            {"case": name, "shape": shape, "ours_ms": ours_ms, "peer": peer, "peer_ms": peer_ms}
            | {"ratio": peer_ms / ours_ms, "ours_steps": lengths[0], "peer_steps": lengths[1], "ratio_a_step": same}
        )
        print(
            f"{name:24} {peer:32} ours {1e6 / ours_ms:9.0f}/s  peer {1e6 / peer_ms:7.0f}/s"
            f"  ratio {peer_ms / ours_ms:7.1f}  steps a trial {lengths[0]:.0f} and {lengths[1]:.0f}"
            f"  ratio a step {same:.1f}",
            flush=True,
        )
    return rows


def fastest(call: Callable[[], Any], seconds: float = 1.0) -> float:
    """The least time of a call, in milliseconds, of at least three."""
    call()
    best, spent, count = math.inf, 0.0, 0
    while count < 3 or spent < seconds:
        began = time.perf_counter()
        call()
        took = time.perf_counter() - began
        best, spent, count = min(best, took), spent + took, count + 1
    return 1000 * best


def online(seconds: float) -> list[Row]:
    """Times of a window's gradient."""
    rows: list[Row] = []
    for rule, hidden, size in (("rtrl", 32, 1), ("rtrl", 64, 1), ("rtrl", 32, 8), ("snap1", 64, 1), ("snap1", 128, 8)):
        torch.manual_seed(0)
        network = Network(8, hidden)
        batch = Noise(torch.randn(50, size, 8), torch.randn(50, size, 1))
        call = ours(rule, network, batch)
        mine, ours_ms = call(), fastest(call, seconds)
        case, shape = f"{rule}, {hidden} tanh units", [50, size, 8, hidden]
        for peer, module, make in (("torch, written out", "torch", in_torch), ("JAX scan, written out", "jax", in_jax)):
            row = {"case": case, "shape": shape, "ours_ms": ours_ms, "peer": peer, "peer_ms": None, "ratio": None}
            rows.append(row)
            if not installed(module):
                print(f"{case}: {peer} not measured, as {module} is not installed")
                continue
            theirs = make(rule, network, batch)
            apart = max(
                float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())
                for a, b in zip(mine, theirs(), strict=True)
            )
            if not apart < 1e-3:
                sys.exit(f"{case}: the gradients of {peer} differ by {apart:.1e} of their size.")
            row |= {"peer_ms": fastest(theirs, seconds), "difference": apart}
            row["ratio"] = row["peer_ms"] / ours_ms
            print(
                f"{case:24} batch {size}  {peer:24} ours {ours_ms:9.2f} ms  peer {row['peer_ms']:9.2f} ms"
                f"  ratio {row['ratio']:6.2f}  gradients differ by {apart:.0e}",
                flush=True,
            )
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", type=int, default=1, metavar="N")
    options.add_argument("--json", type=Path, metavar="FILE")
    options.add_argument("--only", choices=["searches", "online"])
    options.add_argument("--population", type=int, default=1000, metavar="N")
    options.add_argument("--generations", type=int, default=5, metavar="N")
    options.add_argument("--seconds", type=float, default=1.0, metavar="S", help="for each time of an online rule")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    logging.disable(logging.INFO)  # EvoTorch tells of every problem that is made
    rows: list[Row] = []
    if given.only != "online":
        rows += searches(given.population, given.generations)
    if given.only != "searches":
        rows += online(given.seconds)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
