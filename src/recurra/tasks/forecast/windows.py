"""Windows of a panel: which rows a network reads before each origin, and the horizon that follows it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.tasks.forecast.panel import Panel


class Plan(NamedTuple):
    """One batch: a window for each series named, ending at `origin` rows of history, with forks before that end.

    `forks` counts the rows of the window that are read before a forecast is made; each fork is a forecast origin.
    """

    series: np.ndarray
    origin: np.ndarray
    forks: np.ndarray


@dataclass
class WindowBatch:
    """Tensors of a plan. A window: `lags` rows for look-backs, `steps` rows that are read, `horizon` rows ahead."""

    value: Tensor
    seen: Tensor
    past: Tensor
    known: Tensor
    clock: Tensor
    gap: Tensor
    past_codes: Tensor
    known_codes: Tensor
    static: Tensor
    static_codes: Tensor
    inside: Tensor
    forks: np.ndarray
    lags: int
    steps: int
    series: np.ndarray
    origin: np.ndarray

    @property
    def size(self) -> int:
        return len(self.series)

    def to(self, device: torch.device) -> WindowBatch:
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {k: v.to(device) for k, v in held.items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def cut(
    panel: Panel, plan: Plan, *, lags: int, steps: int, horizon: int, limit: np.ndarray | None = None
) -> WindowBatch:
    """Cut a plan's windows out of the panel; rows before a series' start repeat its first row and are not `inside`.

    With `limit` (rows a series), targets at or past the limit count as unseen: training never looks past its part.
    """
    series = torch.from_numpy(plan.series)
    first = torch.from_numpy(plan.origin)[:, None] - (lags + steps)
    within = first + torch.arange(lags + steps + horizon)
    last = (panel.known_rows[series] + _tail(panel)[series] - 1)[:, None]
    rows = panel.start[series][:, None] + within.clamp(min=torch.zeros_like(last), max=last)
    inside = (within >= 0) & (within <= last)
    allowed = inside if limit is None else inside & (within < torch.from_numpy(limit)[series][:, None])
    return WindowBatch(
        value=panel.value[rows],
        seen=panel.seen[rows] & allowed[..., None],
        past=panel.past[rows],
        known=panel.known[rows],
        clock=panel.clock[rows],
        gap=panel.gap[rows],
        past_codes=panel.past_codes[rows],
        known_codes=panel.known_codes[rows],
        static=panel.static[series],
        static_codes=panel.static_codes[series],
        inside=inside,
        forks=plan.forks,
        lags=lags,
        steps=steps,
        series=plan.series,
        origin=plan.origin,
    )


def _tail(panel: Panel) -> Tensor:
    """Rows of future after each series' history: the same number for all."""
    ends = torch.cat([panel.start[1:], torch.tensor([len(panel.value)])])
    return ends - panel.start - panel.known_rows


@dataclass(frozen=True)
class Origins:
    """Forecast origins: pairs of a series and a number of rows of history known at that moment."""

    series: np.ndarray
    origin: np.ndarray

    def __len__(self) -> int:
        return len(self.series)

    def part(self, chosen: np.ndarray) -> Origins:
        return Origins(self.series[chosen], self.origin[chosen])


@dataclass(frozen=True)
class Split:
    """The parts in time, in rows a series: training up to `train_end`, validation up to `valid_end`, then the test."""

    train_end: np.ndarray
    valid_end: np.ndarray
    valid: Origins
    test: Origins


def split_by_time(rows: np.ndarray, horizon: int, *, test_windows: int, valid_windows: int, least: int) -> Split:
    """Split each series by time: the last windows for the test, those before for validation, the rest for training.

    A series too short for all of it gives up validation windows first, then test windows, and always keeps `least`
    rows for training if it has them.
    """
    room = np.maximum((rows - least) // horizon, 0)
    tests = np.minimum(test_windows, room)
    valids = np.minimum(valid_windows, room - tests)
    train_end = rows - (tests + valids) * horizon

    def origins(count: np.ndarray, first: np.ndarray) -> Origins:
        owner = np.repeat(np.arange(len(rows)), count)
        nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return Origins(owner, first[owner] + nth * horizon)

    valid_end = rows - tests * horizon
    return Split(train_end, valid_end, origins(valids, train_end), origins(tests, valid_end))


def train_plans(
    train_end: np.ndarray, *, seed: int, epoch: int, count: int, batch_size: int, span: int, forks: int, steps: int
) -> list[Plan]:
    """The epoch's batches: series drawn in turn, origins at random, all from (seed, epoch) alone.

    The last origin of a window lies anywhere from two rows to one row before the end of the training part, so that
    also short series give windows; targets past the training part never count (the panel's rows there are cut off).
    """
    random = np.random.default_rng([seed, epoch, 7])
    usable = np.flatnonzero(train_end >= 3)
    plans = []
    queue = np.empty(0, np.int64)
    for _ in range(count):
        while len(queue) < batch_size:
            queue = np.concatenate([queue, random.permutation(usable)])
        series, queue = queue[:batch_size], queue[batch_size:]
        latest = train_end[series] - 1
        earliest = np.minimum(np.maximum(2, np.minimum(steps // 2, latest // 2)), latest)
        origin = earliest + (random.random(batch_size) * (latest - earliest + 1)).astype(np.int64)
        plans.append(Plan(series, origin, np.sort(random.choice(span + 1, forks, replace=False)) + steps - span))
    return plans
