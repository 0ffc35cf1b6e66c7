"""What the times were to be, and what they are: the tables at the end of benchmarks/cells.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from _cells_cases import CELLS

Row = dict[str, Any]
"""One measurement: case, shape, ours_ms, peer, peer_ms, ratio (peer over ours), and what else was measured."""


class Target(NamedTuple):
    """Ratios wanted of some cells over a peer: their geometric mean over the shapes, and the least."""

    label: str
    peer: str
    work: str
    cells: tuple[str, ...]
    mean: float | None
    least: float
    but: int = 0
    """So many shapes may fall below `least`."""


GATED = tuple(cell for cell in CELLS if CELLS[cell].gated)
TARGETS = (
    Target("LSTM against torch.nn.LSTM (oneDNN)", "torch.nn", "training", ("lstm",), 1.4, 1.0),
    Target("GRU against torch.nn.GRU", "torch.nn", "training", ("gru",), 5.0, 2.5),
    Target("Elman against torch.nn.RNN", "torch.nn", "training", ("elman",), 4.0, 2.0),
    Target(
        "six other cells against torchrecurrent",
        "torchrecurrent",
        "training",
        tuple(cell for cell in CELLS if CELLS[cell].torchrecurrent),
        10.0,
        4.0,
    ),
    Target("LSTM with lengths against torch.nn packed", "torch.nn packed", "training", ("lstm",), 8.0, 3.0),
    Target("with lengths against ours padded", "ours padded", "training", tuple(CELLS), 0.95, 0.9),
    Target("gated cells against JAX lax.scan", "jax", "training", GATED, 2.0, 1.2),
    Target("LSTM forward against torch.nn.LSTM", "torch.nn", "forward", ("lstm",), None, 1.0, but=1),
)

PEAK_SHARE = 0.65
"""Of one core's multiply-add peak, for the training step of gated cells from hidden size 128 and batch 32 on."""


def geometric_mean(values: Sequence[float]) -> float:
    """exp(mean(log))."""
    return math.exp(sum(map(math.log, values)) / len(values))


def judge(rows: Sequence[Row], threads: int, claims: bool) -> tuple[list[str], list[Row]]:
    """The lines of the table of targets, and a row for each.

    With several cells in a row, the geometric mean is that of the cell where it is lowest, so that a quick cell cannot
    stand in for a slow one.

    Args:
        rows: what was measured.
        threads: of these measurements.
        claims: whether this run may say that a target is met (a quick one, or one with some shapes only, may not).
    """
    lines = [
        f"{'target, peer time over ours, ' + threads_word(threads):58} {'wanted':>13}  {'reached':>13}  lowest at",
        f"{'':58} {'mean   least':>13}  {'mean   least':>13}",
    ]
    found: list[Row] = []
    for target in TARGETS:
        chosen = [
            row
            for row in rows
            if row["peer"] == target.peer and row["work"] == target.work and row["threads"] == threads
            if row["cell"] in target.cells and row["ratio"] is not None
        ]
        wanted = f"{'' if target.mean is None else format(target.mean, '.2f'):>5}  {target.least:6.2f}"
        if not chosen:
            lines.append(f"{target.label:58} {wanted}   not measured")
            continue
        cells = list(dict.fromkeys(row["cell"] for row in chosen))
        means = {cell: geometric_mean([row["ratio"] for row in chosen if row["cell"] == cell]) for cell in cells}
        slowest = min(means, key=lambda cell: means[cell])
        ordered = sorted(chosen, key=lambda row: row["ratio"])
        least = ordered[min(target.but, len(ordered) - 1)]["ratio"]
        holds = least >= target.least and (target.mean is None or means[slowest] >= target.mean)
        # A target is met by all its cells; one alone can show that it is not.
        claimed = claims and (not holds or set(cells) == set(target.cells))
        verdict = ("met" if holds else "not met") if claimed else "no claim"
        where = f"{ordered[0]['cell']} {tuple(ordered[0]['shape'])}"
        reached = f"{means[slowest]:5.2f}  {ordered[0]['ratio']:6.2f}"
        lines.append(f"{target.label:58} {wanted}  {reached}  {where}: {verdict}")
        if len(cells) > 1:
            lines.append("    geometric means: " + ", ".join(f"{cell} {mean:.2f}" for cell, mean in means.items()))
        found.append(
            plain_row(f"target: {target.label}", None, target.peer, None, None, means[slowest], threads=threads)
            | {"least": ordered[0]["ratio"], "wanted": [target.mean, target.least]}
            | {"holds": holds if claimed else None}
        )
    shares = [row for row in rows if row.get("peak_share") is not None and counts_for_peak(row)]
    if shares:
        worst = min(shares, key=lambda row: row["peak_share"])
        holds = worst["peak_share"] >= PEAK_SHARE
        claimed = claims and (not holds or {row["cell"] for row in shares} == set(GATED))
        verdict = ("met" if holds else "not met") if claimed else "no claim"
        label = "gated cells, hidden >= 128, batch >= 32: share of peak"
        where = f"{worst['cell']} {tuple(worst['shape'])}"
        wanted, reached = f"{PEAK_SHARE:.2f}", f"{worst['peak_share']:.2f}"
        lines.append(f"{label:58} {wanted:>13}  {reached:>13}  {where}: {verdict}")
        found.append(
            plain_row(f"target: {label}", None, None, None, None, None, threads=threads)
            | {"least": worst["peak_share"], "wanted": [None, PEAK_SHARE], "holds": holds if claimed else None}
        )
    return lines, found


def counts_for_peak(row: Row) -> bool:
    """Whether the share of the peak is a target at this cell and shape."""
    _, batch, _, hidden = row["shape"]
    return CELLS[row["cell"]].gated and hidden >= 128 and batch >= 32 and row["threads"] == 1


def plain_row(
    case: str,
    shape: Sequence[int] | None,
    peer: str | None,
    ours_ms: float | None,
    peer_ms: float | None,
    ratio: float | None,
    **more: Any,
) -> Row:
    """A row in the form that all benchmarks write, with what else was measured."""
    place = None if shape is None else list(shape)
    return {
        "case": case, "shape": place, "ours_ms": ours_ms, "peer": peer, "peer_ms": peer_ms, "ratio": ratio, **more
    }  # fmt: skip


def threads_word(threads: int) -> str:
    """For people."""
    return "1 thread" if threads == 1 else f"{threads} threads"
