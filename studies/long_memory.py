"""Gradient norm against lag: how much of a change far back still reaches the present, cell by cell.

    python studies/long_memory.py [--quick] [--seeds N] [--steps T] [--cells NAME ...] [--plot FILE] [--json FILE]

For each cell, new networks of one layer read T random numbers a sequence. What is measured is the norm of the
derivative of the last output along a random direction by the hidden output k steps before, over that at k = 0
(`recurra.analysis.gradient_flow.gradient_flow`), averaged over sequences, and as the geometric mean over seeds. In an
LSTM a hidden output acts on the memory cells through the gates first: that is the fall at lag 1, and what follows is
the memory cells' own.

Published: in a network with tanh and weights of usual size it falls exponentially (Hochreiter 1991); in an LSTM along
the memory cells it falls as the product of the forget gates, so that their bias decides; IndRNN keeps it between 1/2
and 2 over T steps where |u| lies between (1/2)^(1/T) and 2^(1/T) and a unit stays active (Li et al. 2018); in coRNN
its bounds do not vanish where the step dt is about 1/T (Rusch and Mishra 2021). With a fixed dt the damping shows: at
dt = 0.042, gamma = 2.7, epsilon = 4.7 the slower root of x^2 + epsilon x + gamma = 0 is -0.67, a factor of
exp(-0.028) a step.

The cells have their own first weights, except: "lstm, chrono" and "gru, chrono" have gate biases for memories of 1 to T
steps (Tallec and Ollivier 2018), and "indrnn, bounded" the paper's recurrent weights. Nothing is trained: this is what
learning begins with.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from _data import claim, finish, parser, threads

from recurra.analysis.gradient_flow import gradient_flow
from recurra.cells.base import Cell
from recurra.cells.registry import CELLS
from recurra.nn import Recurrent

HIDDEN, BATCH = 32, 8
TINY = 1e-300


def chrono(cell: Cell, steps: int) -> None:
    """Biases with which the gate that keeps the state holds it for 1 to T steps."""
    gate = type(cell).keep_gate
    assert gate is not None
    keep = torch.log(1 + (steps - 2) * torch.rand(cell.hidden_size))
    with torch.no_grad():
        for name in ("bias_ih", "bias_hh"):
            bias = getattr(cell, name).unflatten(0, (gate.count, -1))
            bias[gate.index] = gate.sign * keep if name == gate.bias else 0.0
            other = type(cell).write_gate
            if other is not None:
                bias[other.index] = -keep if name == gate.bias else 0.0


def bounded(cell: Cell, steps: int) -> None:
    """Recurrent weights from (1/2)^(1/T) to 2^(1/T)."""
    with torch.no_grad():
        cell.get_parameter("weight_hh").uniform_(0.5 ** (1 / steps), 2.0 ** (1 / steps))


PREPARED: dict[str, tuple[str, Callable[[Cell, int], None]]] = {
    "lstm, chrono": ("lstm", chrono),
    "gru, chrono": ("gru", chrono),
    "indrnn, bounded": ("indrnn", bounded),
}
DEFAULT = ["elman", "lstm", "lstm, chrono", "gru", "gru, chrono", "indrnn", "indrnn, bounded", "cornn"]


def flow(label: str, steps: int, seed: int) -> list[float]:
    """The norm at lags 0, 1, ..., steps - 1 of one new network."""
    torch.manual_seed(seed)
    name, prepare = PREPARED.get(label, (label, None))
    layer = Recurrent(name, 1, HIDDEN)
    if prepare is not None:
        prepare(layer.stack_cells()[0], steps)
    x = torch.randn(steps, BATCH, 1)
    return gradient_flow(layer, x, max_lag=steps - 1, seed=seed)["norm"]


def mean_over_seeds(norms: list[list[float]]) -> list[float]:
    """The geometric mean, lag by lag, over the lags that no seed cut off for overflow."""
    return [
        math.exp(sum(math.log(max(one, TINY)) for one in at_lag) / len(at_lag)) for at_lag in zip(*norms, strict=False)
    ]


def plot(curves: dict[str, list[float]], file: Path) -> None:
    """Draw the curves, the norm on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for label, curve in curves.items():
        axes.plot(range(len(curve)), curve, label=label)
    top = 10 * max(max(curve) for curve in curves.values())
    axes.set(xlabel="lag (steps)", ylabel="gradient norm, 1 at lag 0", yscale="log", ylim=(1e-12, top))
    axes.legend()
    figure.savefig(file)


def main(arguments: list[str] | None = None) -> int:
    made = parser(__doc__ or "", seeds=10)
    made.add_argument("--steps", type=int, default=1000, metavar="T", help="length of the sequences (default 1000)")
    made.add_argument("--cells", nargs="+", default=DEFAULT, metavar="NAME", help="registered cells, or those prepared")
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves here (.svg, .png, .pdf)")
    options = made.parse_args(arguments)
    threads(1)
    seeds, steps = (2, 100) if options.quick else (options.seeds, options.steps)
    lags = [lag for lag in (1, 10, 100, 300, 999) if lag < steps]
    print("cell".ljust(20) + "".join(f"lag {lag}".rjust(12) for lag in lags) + "half of it is gone at".rjust(24))
    curves: dict[str, list[float]] = {}
    for label in options.cells:
        if PREPARED.get(label, (label,))[0] not in CELLS:
            print(f"{label.ljust(20)}not measured: no cell of this name is registered")
            continue
        curve = curves[label] = mean_over_seeds([flow(label, steps, seed) for seed in range(seeds)])
        half = next((str(lag) for lag, norm in enumerate(curve) if norm <= 0.5), f"never in {len(curve)}")
        shown = [f"{curve[lag]:.2e}" if lag < len(curve) else "overflow" for lag in lags]
        print(label.ljust(20) + "".join(text.rjust(12) for text in shown) + half.rjust(24), flush=True)
    if options.plot is not None:
        plot(curves, options.plot)
    published = {
        "elman": ("vanishes exponentially (Hochreiter 1991)", "<= -6"),
        "indrnn, bounded": ("0.5 to 2 while a unit is active (Li et al. 2018)", ">= -1"),
        "cornn": ("bounded below for dt of 1/T (Rusch and Mishra 2021)", ">= -2"),
    }
    claims = []
    for label, curve in curves.items():
        for lag in lags[2:] or lags[-1:]:
            if lag < len(curve):
                said, wanted = published.get(label, ("", "report")) if lag == 100 else ("", "report")
                power = math.log10(max(curve[lag], TINY))
                claims.append(claim(f"{label}: log10 of the norm at lag {lag}", said, wanted, power, options.quick))
    return finish(f"Gradient norm against lag, {HIDDEN} units, T = {steps}, {seeds} seed(s)", claims, options.json)


if __name__ == "__main__":
    sys.exit(main())
