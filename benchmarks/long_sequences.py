"""One training step on sequences of up to a million steps: time and memory with and without checkpoints over time.

    python benchmarks/long_sequences.py [--steps N ...] [--cells NAME ...] [--threads N] [--json FILE]

Each case is a process of its own: one sequence of one feature through one layer of 16 hidden units, the loss the last
output's sum of squares; memory is what the step added to the largest resident size. Without checkpoints the longest
length is left out, as its memory would be hundreds of times that of a tenth of the length.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

CASE = """
import resource, sys, time, torch
from recurra.nn import Recurrent
steps, cell, checkpoint, threads = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "True", int(sys.argv[4])
torch.set_num_threads(threads)
torch.set_flush_denormal(True)
torch.manual_seed(0)
layer = Recurrent(cell, 1, 16, checkpoint=checkpoint)
layer(torch.randn(9, 1, 1))[0].square().sum().backward()
layer.zero_grad()
x = torch.randn(steps, 1, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
y, _ = layer(x)
y[-1].square().sum().backward()
seconds = time.perf_counter() - started
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], metavar="N")
    options.add_argument("--cells", nargs="+", default=["lstm", "gru", "peephole_lstm", "lru"], metavar="NAME")
    options.add_argument("--threads", type=int, default=1, metavar="N")
    options.add_argument("--json", type=Path, metavar="FILE")
    given = options.parse_args()
    rows = []
    print(f"{'cell':16} {'steps':>9}  {'checkpoints':11}  {'seconds':>8}  {'MiB':>7}")
    for cell in given.cells:
        for steps in given.steps:
            for checkpoint in (False, True):
                if not checkpoint and steps > 100_000:
                    continue
                command = [sys.executable, "-c", CASE, str(steps), cell, str(checkpoint), str(given.threads)]
                env = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
                seconds, mebibytes = (float(number) for number in done.stdout.split())
                print(f"{cell:16} {steps:9,}  {str(checkpoint):11}  {seconds:8.1f}  {mebibytes:7.0f}", flush=True)
                rows.append(
                    {"case": cell, "shape": [steps, 1, 1, 16], "checkpoint": checkpoint}
                    | {"ours_ms": 1000 * seconds, "ours_mib": mebibytes, "peer": None, "peer_ms": None, "ratio": None}
                )
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
