"""Networks whose parts run at several rates, each one step from its paper in float64 numpy."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from row import CellRow, Parts, Weights, sigmoid


def parts_of(units: int, count: int) -> list[np.ndarray]:
    """Which units belong to which of `count` parts."""
    return np.array_split(np.arange(units), count)


def counted(step: np.ndarray, cycle: int) -> np.ndarray:
    """The clock one step on; written so that it has a slope of 1 about whole numbers, as the cell's has."""
    return step + 1 - cycle * (np.rint(step) == cycle - 1)


def clockwork(
    w: Weights, x: np.ndarray, state: Parts, periods: tuple[int, ...] = (1, 2, 4, 8)
) -> tuple[np.ndarray, Parts]:
    h, step = state
    now = np.rint(step[:, 0])
    modules = parts_of(h.shape[1], len(periods))
    after = h.copy()
    for i, (module, period) in enumerate(zip(modules, periods, strict=True)):
        seen = np.concatenate(modules[i:])
        total = x @ w["weight_ih"][module].T + h[:, seen] @ w["weight_hh"][np.ix_(module, seen)].T
        total = total + (w["bias_ih"][module] if "bias_ih" in w else 0.0)
        due = now % period == 0
        after[np.ix_(due, module)] = np.tanh(total)[due]
    return after, (after, counted(step, int(np.lcm.reduce(periods))))


def hierarchical(
    w: Weights, x: np.ndarray, state: Parts, periods: tuple[int, ...] = (1, 2, 4), top_down: bool = True
) -> tuple[np.ndarray, Parts]:
    h, step = state
    count = np.rint(step[:, 0]) + 1
    levels = parts_of(h.shape[1], len(periods))
    after = h.copy()
    for i, (level, period) in enumerate(zip(levels, periods, strict=True)):
        below = x if i == 0 else after[:, levels[i - 1]]
        total = below @ (w["weight_ih"] if i == 0 else w[f"weight_up_{i + 1}"]).T
        total = total + h[:, level] @ w["weight_hh"][level][:, : len(level)].T
        if top_down and i + 1 < len(levels):
            total = total + h[:, levels[i + 1]] @ w[f"weight_down_{i + 1}"].T
        total = total + (w["bias_ih"][level] if "bias_ih" in w else 0.0)
        due = count % period == 0
        after[np.ix_(due, level)] = np.tanh(total)[due]
    return after, (after, counted(step, periods[-1]))


def hm_rnn(w: Weights, x: np.ndarray, state: Parts, levels: int = 3, slope: float = 1.0) -> tuple[np.ndarray, Parts]:
    h, c, z = state
    n = len(w["weight_out"])
    rows = [4 * n + 1] * (levels - 1) + [4 * n]
    starts = np.cumsum([0, *rows])
    hidden, cells, ends = [], [], []
    for level in range(levels):
        h_old, c_old = h[:, level * n : (level + 1) * n], c[:, level * n : (level + 1) * n]
        own = slice(starts[level], starts[level + 1])
        total = h_old @ w["weight_hh"][own].T + (w["bias_ih"][own] if "bias_ih" in w else 0.0)
        if level == 0:
            total = total + x @ w["weight_ih"].T
        else:
            up = slice(starts[level] - rows[0], starts[level + 1] - rows[0])
            total = total + ends[-1][:, None] * (hidden[-1] @ w["weight_up"][up].T)
        if level < levels - 1:
            above = h[:, (level + 1) * n : (level + 2) * n]
            total = total + z[:, level : level + 1] * (above @ w["weight_down"][own].T)
        f, i, o = (sigmoid(total[:, block * n : (block + 1) * n]) for block in range(3))
        g = np.tanh(total[:, 3 * n : 4 * n])
        c_new, h_new = np.empty_like(c_old), np.empty_like(h_old)
        for b in range(len(x)):
            ended = level < levels - 1 and z[b, level] == 1
            reads = level == 0 or ends[-1][b] == 1
            if ended:
                c_new[b] = i[b] * g[b]
            elif reads:
                c_new[b] = f[b] * c_old[b] + i[b] * g[b]
            else:
                c_new[b] = c_old[b]
            h_new[b] = o[b] * np.tanh(c_new[b]) if ended or reads else h_old[b]
        hidden.append(h_new)
        cells.append(c_new)
        if level < levels - 1:
            soft = np.clip((slope * total[:, 4 * n] + 1) / 2, 0, 1)
            ends.append((soft > 0.5).astype(float))
    joined = np.concatenate(hidden, 1)
    total = np.zeros_like(hidden[0])
    for level in range(levels):
        gate = sigmoid(joined @ w["weight_gate"][level])
        total = total + gate[:, None] * (hidden[level] @ w["weight_out"][:, level * n : (level + 1) * n].T)
    return np.maximum(total, 0.0), (joined, np.concatenate(cells, 1), np.stack(ends, 1))


def at_some_step(cell: Any, batch: int, generator: torch.Generator) -> Any:
    """Random units, and a clock that stands at whole numbers."""
    start = cell.initial_state(batch)
    h = torch.randn(start.h.shape, dtype=start.h.dtype, generator=generator)
    step = torch.randint(0, cell.periods[-1], start.step.shape, generator=generator)
    return type(start)(h, step.to(start.step.dtype))


def with_boundaries(cell: Any, batch: int, generator: torch.Generator) -> Any:
    """Random units and memories, and boundaries that are 0 or 1."""
    start = cell.initial_state(batch)
    h, c = (torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in (start.h, start.c))
    z = torch.randint(0, 2, start.z.shape, generator=generator)
    return type(start)(h, c, z.to(start.z.dtype))


def clocked(hidden: int) -> tuple[int, int]:
    return hidden, 1


ROWS = [
    CellRow("clockwork", clockwork, clocked, state=at_some_step),
    CellRow(
        "clockwork",
        partial(clockwork, periods=(1, 3)),
        clocked,
        {"periods": (1, 3)},
        hidden=5,
        state=at_some_step,
    ),
    CellRow("clockwork", clockwork, clocked, {"bias": False}, hidden=7, state=at_some_step),
    CellRow("hierarchical", hierarchical, clocked, state=at_some_step),
    CellRow(
        "hierarchical",
        partial(hierarchical, periods=(1, 3), top_down=False),
        clocked,
        {"periods": (1, 3), "top_down": False},
        hidden=5,
        state=at_some_step,
    ),
    CellRow("hierarchical", hierarchical, clocked, {"bias": False}, hidden=5, state=at_some_step),
    CellRow(
        "hm_rnn",
        hm_rnn,
        lambda hidden: (3 * hidden, 3 * hidden, 2),
        state=with_boundaries,
        differentiable=False,
    ),
    CellRow(
        "hm_rnn",
        partial(hm_rnn, levels=2, slope=2.5),
        lambda hidden: (2 * hidden, 2 * hidden, 1),
        {"levels": 2, "slope": 2.5, "bias": False},
        state=with_boundaries,
        differentiable=False,
    ),
]
