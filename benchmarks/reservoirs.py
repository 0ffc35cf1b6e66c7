"""Reservoirs against reservoirpy: one stream, many series at once, and ridge readouts.

    python benchmarks/reservoirs.py [--units N ...] [--threads N] [--peer-python FILE] [--json FILE]

The same weights (sparse, density .1, float64), the same inputs, the same leaking rate; the states of both are compared
before anything is timed. Each pair is timed in turns in one run, and the best of several turns counts.

- stream: one series of 5000 steps, the Mackey-Glass series.
- batch: 64 series of 200 steps at once.
- ridge: the readout that says the next value of that series from 4900 steps, for one penalty of 1e-12; ours by
  orthogonal factors, theirs by the normal equations, which is half the arithmetic. The errors printed are those of the
  answers on their own rows.
- path: readouts for 12 penalties of the same rows: one factor serves them all here, theirs is fitted 12 times.

reservoirpy may stand in another environment: --peer-python names its interpreter, and the peer's part then runs there
as a process of its own. Where it is not installed, it is named as not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PENALTIES = [10.0**-k for k in range(1, 13)]
STEPS, SERIES, SHORT, WASHOUT, TURNS = 5000, 64, 200, 100, 3

PEER = """
import sys, json, time
import numpy as np
from reservoirpy.nodes import Reservoir, Ridge

with np.load(sys.argv[1]) as file:
    given = dict(file)
from scipy import sparse
units = int(given["units"])
W = sparse.csr_array((given["values"], given["columns"], given["starts"]), shape=(units, units))
node = Reservoir(units, lr=float(given["rate"]), W=W, Win=given["w_in"], bias=given["bias"])
stream, batch, target = given["stream"], given["batch"], given["target"]
found = {}
x = node.run(stream)
node.reset()
for line in sys.stdin:
    case = line.strip()
    began = time.perf_counter()
    if case == "stream":
        node.reset()
        x = node.run(stream)
    elif case == "batch":
        y = node.run(batch)
    else:
        for penalty in [1e-12] if case == "ridge" else given["penalties"]:
            readout = Ridge(ridge=float(penalty))
            readout.fit(x, target, warmup=int(given["washout"]))
    seconds = time.perf_counter() - began
    said = {"seconds": seconds}
    if case == "stream":
        np.save(sys.argv[2], x)
    if case == "ridge":
        missed = (readout.run(x) - target)[int(given["washout"]):]
        said["error"] = float(np.sqrt((missed ** 2).mean()))
    print(json.dumps(said), flush=True)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--units", type=int, nargs="+", default=[500, 1000, 2000], metavar="N")
    options.add_argument("--threads", type=int, default=1, metavar="N")
    options.add_argument("--peer-python", default=sys.executable, metavar="FILE")
    options.add_argument("--json", type=Path, metavar="FILE")
    given = options.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(given.threads)
    import torch

    torch.set_num_threads(given.threads)
    asked = [given.peer_python, "-W", "ignore", "-c", "import reservoirpy; print(reservoirpy.__version__)"]
    said = subprocess.run(asked, capture_output=True, text=True)
    peer = f"reservoirpy {said.stdout.strip()}" if said.returncode == 0 else None
    if peer is None:
        print("not measured: reservoirpy (not installed; see --peer-python)")
    rows = []
    for units in given.units:
        rows += measure(units, given.peer_python if peer else None, peer)
    print(f"\n{'case':8}{'shape':>24}{'ours, ms':>12}{'peer, ms':>12}{'ratio':>8}")
    for row in rows:
        theirs = "-" if row["peer_ms"] is None else f"{row['peer_ms']:.1f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"{row['case']:8}{row['shape']:>24}{row['ours_ms']:12.1f}{theirs:>12}{ratio:>8}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(units: int, python: str | None, peer: str | None) -> list[dict[str, Any]]:
    """All cases at one size, ours and the peer's in turns."""
    import numpy as np
    import torch

    from recurra.problems.mackey_glass import mackey_glass
    from recurra.reservoir import EchoState, OrthogonalReadout, run

    generator = torch.Generator().manual_seed(0)
    cell = EchoState(1, units, rate=0.3, topology_arguments={"density": 0.1}, generator=generator, dtype=torch.float64)
    series = torch.tanh(mackey_glass(STEPS + 1) - 1.0)
    stream, target = series[:-1], series[1:, 0]
    batch = 2.0 * torch.rand(SHORT, SERIES, 1, generator=generator, dtype=torch.float64) - 1.0
    states = run(cell, stream)[0][:, 0]
    used, wanted = states[WASHOUT:], target[WASHOUT:]

    def ridge() -> tuple[Any, Any]:
        readout = OrthogonalReadout(1e-12).partial_fit(used, wanted)
        return readout.weight, readout.bias

    ours: dict[str, Callable[[], Any]] = {
        "stream": lambda: run(cell, stream),
        "batch": lambda: run(cell, batch),
        "ridge": ridge,
        "path": lambda: OrthogonalReadout().partial_fit(used, wanted).path(PENALTIES),
    }
    shapes = {
        "stream": f"N={units}, {STEPS}x1",
        "batch": f"N={units}, {SHORT}x{SERIES}",
        "ridge": f"N={units}, {STEPS - WASHOUT} rows",
        "path": f"N={units}, {len(PENALTIES)} penalties",
    }
    best = {case: float("inf") for case in ours}
    theirs: dict[str, float | None] = {case: None for case in ours}
    with tempfile.TemporaryDirectory() as folder:
        process = None
        if python is not None:
            weight = cell.weight_hh
            order = torch.argsort(weight.row * units + weight.column)
            starts = torch.cat(
                [torch.zeros(1, dtype=torch.long), torch.bincount(weight.row, minlength=units).cumsum(0)]
            )
            np.savez(
                Path(folder) / "given.npz",
                units=units,
                rate=0.3,
                values=weight.values[order].numpy(),
                columns=weight.column[order].numpy().astype(np.int32),
                starts=starts.numpy().astype(np.int32),
                w_in=cell.weight_ih.numpy(),
                bias=cell.bias_ih.numpy(),
                stream=stream[:, 0].numpy(),
                batch=batch.transpose(0, 1).numpy(),
                target=target.numpy(),
                washout=WASHOUT,
                penalties=PENALTIES,
            )
            command = [python, "-W", "ignore", "-c", PEER, f"{folder}/given.npz", f"{folder}/states.npy"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for case, act in ours.items():
            facts = {}
            for _ in range(TURNS if case != "path" else 1):
                began = time.perf_counter()
                act()
                best[case] = min(best[case], time.perf_counter() - began)
                if process is not None:
                    assert process.stdin is not None and process.stdout is not None
                    process.stdin.write(case + "\n")
                    process.stdin.flush()
                    facts = json.loads(process.stdout.readline())
                    theirs[case] = min(theirs[case] or float("inf"), facts["seconds"])
            if case == "stream" and process is not None:
                off = float(np.abs(np.load(f"{folder}/states.npy") - states.numpy()).max())
                print(f"N={units}: largest difference of states {off:.1e}", flush=True)
                assert off < 1e-9
            if case == "ridge":
                weight_out, bias = ridge()
                error = float((used @ weight_out.mT + bias - wanted).square().mean().sqrt())
                print(f"N={units}: error ours {error:.3e}, peer {facts.get('error', float('nan')):.3e}", flush=True)
        if process is not None:
            process.communicate()
    return [
        {
            "case": case,
            "shape": shapes[case],
            "ours_ms": 1000.0 * best[case],
            "peer": peer,
            "peer_ms": None if (other := theirs[case]) is None else 1000.0 * other,
            "ratio": None if other is None else other / best[case],
        }
        for case in ours
    ]


if __name__ == "__main__":
    main()
