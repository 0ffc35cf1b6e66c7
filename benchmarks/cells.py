"""Every cell's forward pass and training step, compiled from its definition, against what else computes the same.

    python benchmarks/cells.py [--threads N|all] [--cells lstm,gru,...] [--shapes 0,1,...] [--peers torch.nn,jax,...]
                               [--parts ratios,lengths,...] [--repeats N] [--seconds S] [--quick] [--json FILE]

Ours is `recurra.nn.Recurrent(cell, inputs, hidden, backend="fused")`. A training step is the forward pass and the
gradients of x and of all weights for a random gradient of the output; "forward" is the forward pass alone, without what
a gradient needs. Peers, each with the same weights and inputs, in float32, in this one process:

    torch.nn         nn.LSTM, nn.GRU, nn.RNN (oneDNN where torch uses it)
    torchrecurrent   its layers, which are eager loops; without its second bias, which would only cost it time
    jax              lax.scan, forward and gradient compiled as a whole, the product with x before the scan
    loop             our own plain loop over the same cell
    compile          a loop over the step compiled by torch.compile, the product with x before the loop (to compile it
                     takes about ten seconds a cell and shape)

All take turns in changing order and each time is the median; compilation is not in it, packing of sequences is. The
process is held to as many cores as there are threads, so that every peer has the same; denormal numbers are flushed to
zero in torch and ours as XLA does of itself. Before anything is timed, every contender's output and all its gradients
are compared with the plain loop in float64, and the run ends where they differ.

Parts: ratios (the above), lengths (sequences of lengths uniform in [1, time]: ours, ours on the padded tensor, and
torch.nn on packed sequences), scaling (from one thread to all), growth (exponents of time, batch and hidden size),
memory (peak of a training step, each in a process of its own), million (1,000,000 steps with checkpoints over time).
The share of one core's multiply-add peak, measured at the start, is printed with the ratios; only matrix products are
counted. The peers' packages stand in benchmarks/requirements.txt.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any


def arguments() -> Any:
    """What the command line asks for."""
    parts = ("ratios", "lengths", "scaling", "growth", "memory", "million")
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", default="1", metavar="N|all", help="threads, on as many cores; 1 when absent")
    options.add_argument("--cells", metavar="NAME,...", help="cells to measure; all nine when absent")
    options.add_argument("--shapes", metavar="N,...", help="numbers of the shapes, from 0; all when absent")
    options.add_argument("--peers", metavar="NAME,...", help="peers to measure; all when absent")
    options.add_argument("--parts", metavar="NAME,...", help=f"of {', '.join(parts)}; all when absent")
    options.add_argument("--repeats", type=int, default=25, metavar="N", help="turns of each contender at most")
    options.add_argument("--seconds", type=float, default=4.0, metavar="S", help="for the turns of one case")
    options.add_argument("--quick", action="store_true", help="tiny shapes and few turns; claims nothing")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the rows here")
    given = options.parse_args()
    given.parts = _choice(options, "--parts", given.parts, parts)
    if given.quick:
        given.repeats, given.seconds = min(given.repeats, 3), min(given.seconds, 0.2)
    if given.repeats < 1:
        options.error(f"--repeats is {given.repeats}; at least 1 is needed")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    given.all_cores = cores
    if given.threads == "all":
        given.threads = len(cores)
    elif given.threads.isdigit() and 1 <= int(given.threads) <= len(cores):
        given.threads = int(given.threads)
    else:
        options.error(f"--threads is {given.threads!r}; a number from 1 to {len(cores)}, or all, is needed")
    given.options = options
    return given


def _choice(options: argparse.ArgumentParser, flag: str, given: str | None, known: Any) -> list[str]:
    chosen = list(known) if given is None else [name.strip() for name in given.split(",") if name.strip()]
    for name in chosen:
        if name not in known:
            options.error(f"{flag} names {name!r}; it takes {', '.join(known)}")
    return chosen


def main() -> None:
    given = arguments()
    from _cells_alone import hold_to

    # Before torch and jax are imported, as both look at the cores once.
    hold_to(given.all_cores[: given.threads])
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    import torch
    from _cells_cases import CELLS, QUICK_SHAPES, SHAPES
    from _cells_measure import PEERS, Run
    from _cells_targets import judge, threads_word

    torch.set_num_threads(given.threads)
    torch.set_flush_denormal(True)
    shapes = QUICK_SHAPES if given.quick else SHAPES
    cells = _choice(given.options, "--cells", given.cells, CELLS)
    peers = _choice(given.options, "--peers", given.peers, PEERS)
    numbers = _choice(given.options, "--shapes", given.shapes, [str(number) for number in range(len(shapes))])
    chosen = [shapes[int(number)] for number in numbers]
    run = Run(cells, chosen, peers, given.threads, given.all_cores, given.repeats, given.seconds, given.quick)
    try:
        for part in given.parts:
            getattr(run, part)()
    finally:
        # What a long run has measured is kept, also where it ends early.
        if given.json is not None:
            given.json.write_text(json.dumps(run.rows, indent=2) + "\n")
    lines, targets = judge(run.ratio_rows, given.threads, not given.quick and len(chosen) == len(SHAPES))
    run.rows += targets
    if run.ratio_rows:
        print(f"\n{threads_word(given.threads)}" + (", a quick run, which claims nothing" if given.quick else ""))
        print("\n".join(lines))
    for line in run.unmeasured:
        print(line)
    if given.json is not None:
        given.json.write_text(json.dumps(run.rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
