"""Reservoirs against reservoirpy: one stream, many series at once, and ridge readouts.

    python benchmarks/reservoirs.py [--units N ...] [--threads N] [--peer-python FILE] [--json FILE]

The same weights (sparse, density .1, float64), the same inputs, the same leaking rate; the states of both are compared
before anything is timed. Each pair is timed in turns in one run, and the best of several turns counts.

- stream: one series of 5000 steps, the Mackey-Glass series.
- batch: 64 series of 200 steps at once.
- ridge: the readout that says the next value of that series from 4900 steps, for one penalty of 1e-6. Theirs is by the
  normal equations. Ours too, and corrected; most of the time of both goes into the products X^T X, at nearly the
  processor's full speed, so that neither can be much quicker than the other.
- small: the same for a penalty of 1e-12, with which the normal equations are wrong. Ours is by orthogonal factors, and
  slower. The errors printed are those of the answers on their own rows.
- series: the readout that says the input of 5 steps ago, from the 64 series at once, for one penalty of 1e-6.
- path: readouts for 12 penalties, from 1e-5 to 3.2, of the rows of `ridge`: one decomposition serves them all here,
  theirs is fitted 12 times.
- path small: the same for 12 penalties from 1e-12 to 0.1.

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

PENALTIES = {
    "ridge": [1e-6],
    "small": [1e-12],
    "series": [1e-6],
    "path": [10.0 ** (k / 2 - 5) for k in range(12)],
    "path small": [10.0**-k for k in range(1, 13)],
}
STEPS, SERIES, SHORT, WASHOUT, SHORT_WASHOUT, LAG, TURNS = 5000, 64, 200, 100, 20, 5, 3

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
many, goal = node.run(batch), given["goal"]
node.reset()
x = node.run(stream)
node.reset()
for line in sys.stdin:
    case, penalties = json.loads(line)
    began = time.perf_counter()
    if case == "stream":
        node.reset()
        x = node.run(stream)
    elif case == "batch":
        y = node.run(batch)
    elif case == "series":
        readout = Ridge(ridge=penalties[0])
        readout.fit(many, goal, warmup=int(given["short_washout"]))
    else:
        for penalty in penalties:
            readout = Ridge(ridge=penalty)
            readout.fit(x, target, warmup=int(given["washout"]))
    seconds = time.perf_counter() - began
    said = {"seconds": seconds}
    if case == "stream":
        np.save(sys.argv[2], x)
    if case in ("ridge", "small"):
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
    print(f"\n{'case':12}{'shape':>24}{'ours, ms':>12}{'peer, ms':>12}{'ratio':>8}")
    for row in rows:
        theirs = "-" if row["peer_ms"] is None else f"{row['peer_ms']:.1f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"{row['case']:12}{row['shape']:>24}{row['ours_ms']:12.1f}{theirs:>12}{ratio:>8}")
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
    many, goal = run(cell, batch)[0], batch.roll(LAG, 0)

    def ridge(case: str) -> tuple[Any, Any]:
        readout = OrthogonalReadout(PENALTIES[case][0])
        if case == "series":
            readout.partial_fit(many[SHORT_WASHOUT:], goal[SHORT_WASHOUT:])
        else:
            readout.partial_fit(used, wanted)
        return readout.weight, readout.bias

    def path(case: str) -> Any:
        return OrthogonalReadout().partial_fit(used, wanted).path(PENALTIES[case])

    ours: dict[str, Callable[[], Any]] = {
        "stream": lambda: run(cell, stream),
        "batch": lambda: run(cell, batch),
        "ridge": lambda: ridge("ridge"),
        "small": lambda: ridge("small"),
        "series": lambda: ridge("series"),
        "path": lambda: path("path"),
        "path small": lambda: path("path small"),
    }
    shapes = {
        "stream": f"N={units}, {STEPS}x1",
        "batch": f"N={units}, {SHORT}x{SERIES}",
        "ridge": f"N={units}, {STEPS - WASHOUT} rows",
        "small": f"N={units}, {STEPS - WASHOUT} rows",
        "series": f"N={units}, {SHORT - SHORT_WASHOUT}x{SERIES} rows",
        "path": f"N={units}, {len(PENALTIES['path'])} penalties",
        "path small": f"N={units}, {len(PENALTIES['path small'])} penalties",
    }
    best = {case: float("inf") for case in ours}
    theirs: dict[str, float | None] = {case: None for case in ours}
    with tempfile.TemporaryDirectory() as folder:
        process = None
        if python is not None:
            weight, bias_ih = cell.weight_hh, cell.bias_ih
            assert bias_ih is not None
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
                bias=bias_ih.numpy(),
                stream=stream[:, 0].numpy(),
                batch=batch.transpose(0, 1).numpy(),
                target=target.numpy(),
                goal=goal.transpose(0, 1).numpy(),
                washout=WASHOUT,
                short_washout=SHORT_WASHOUT,
            )
            command = [python, "-W", "ignore", "-c", PEER, f"{folder}/given.npz", f"{folder}/states.npy"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for case, act in ours.items():
            facts = {}
            for _ in range(1 if "path" in case else TURNS):
                began = time.perf_counter()
                act()
                best[case] = min(best[case], time.perf_counter() - began)
                if process is not None:
                    assert process.stdin is not None and process.stdout is not None
                    process.stdin.write(json.dumps([case, PENALTIES.get(case)]) + "\n")
                    process.stdin.flush()
                    facts = json.loads(process.stdout.readline())
                    theirs[case] = min(theirs[case] or float("inf"), facts["seconds"])
            if case == "stream" and process is not None:
                off = float(np.abs(np.load(f"{folder}/states.npy") - states.numpy()).max())
                print(f"N={units}: largest difference of states {off:.1e}", flush=True)
                assert off < 1e-9
            if case in ("ridge", "small"):
                weight_out, bias = ridge(case)
                error = float((used @ weight_out.mT + bias - wanted).square().mean().sqrt())
                told = f"error ours {error:.3e}, peer {facts.get('error', float('nan')):.3e}"
                print(f"N={units}, penalty {PENALTIES[case][0]:g}: {told}", flush=True)
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
