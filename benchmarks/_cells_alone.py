"""A process of its own for what one process cannot show of itself: peak memory, and times on another number of cores.

    python benchmarks/_cells_alone.py '{"task": "memory", "cores": [0], "who": "ours", "cell": "lstm", ...}'

It prints one line of JSON; benchmarks/cells.py calls it through `alone`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def alone(**request: Any) -> Any:
    """Do what `request` says in a process of its own.

    Args:
        request: `task`, "memory" or "times"; `cores`, those it may run on; and what the task's function takes.
    """
    threads = str(len(request["cores"]) or 1)
    env = {**os.environ, "OMP_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, __file__, json.dumps(request)], capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"the process for {request} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def hold_to(cores: Sequence[int]) -> None:
    """Let this process run on these cores only, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _peak_mib(start_again: bool = False) -> float:
    """The largest resident size so far; `start_again` lets it begin anew from the present size where Linux can.

    Linux's own line is preferred to getrusage, whose figure a process takes over from the one that started it.
    """
    if start_again:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pass
    try:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def memory(who: str, cell: str, shape: Sequence[int], checkpoint: bool) -> dict[str, float]:
    """One training step: seconds, what it added to the largest resident size, and that size of the whole process."""
    import torch
    from _cells_cases import CELLS, Shape

    from recurra.nn import Recurrent

    sizes = Shape(*shape)
    if who == "ours":
        layer: Any = Recurrent(cell, sizes.inputs, sizes.hidden, backend="fused", checkpoint=checkpoint)
    else:
        layer = getattr(torch.nn, CELLS[cell].torch_nn or "")(sizes.inputs, sizes.hidden)
    weights = list(layer.parameters())

    def train(steps: int) -> float:
        x = torch.randn(steps, sizes.batch, sizes.inputs, requires_grad=True)
        gy = torch.randn(steps, sizes.batch, sizes.hidden)
        started = time.perf_counter()
        y, _ = layer(x)
        torch.autograd.grad(y, [x, *weights], gy)
        return time.perf_counter() - started

    train(9)  # compiles, and loads what is loaded at first use
    before = _peak_mib(start_again=True)
    seconds = train(sizes.time)
    after = _peak_mib()
    return {"seconds": seconds, "step_mib": after - before, "process_mib": after}


def times(cells: Sequence[str], shapes: Sequence[Sequence[int]], repeats: int, seconds: float) -> list[Any]:
    """Milliseconds of training steps: [cell, shape, ours, torch.nn's or None] for each cell and shape."""
    from _cells_cases import Shape, make_problem
    from _cells_timing import take_turns
    from _peers_torch import ours, torch_nn

    found = []
    for cell in cells:
        for shape in shapes:
            problem = make_problem(cell, Shape(*shape))
            calls = {"ours": ours(problem).train}
            peer = torch_nn(problem)
            if peer is not None:
                calls["peer"] = peer.train
            reached = take_turns(calls, repeats, seconds)
            found.append([cell, list(shape), reached["ours"], reached.get("peer")])
    return found


def main() -> None:
    request = json.loads(sys.argv[1])
    task, cores = request.pop("task"), request.pop("cores")
    hold_to(cores)
    import torch

    torch.set_num_threads(len(cores) or 1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    print(json.dumps(memory(**request) if task == "memory" else times(**request)))


if __name__ == "__main__":
    main()
