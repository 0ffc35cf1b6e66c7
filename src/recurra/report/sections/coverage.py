"""The intervals: how often they hold the actual value, beside what they promise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from recurra.report.draw import COLOURS, figure, grid, legend, percents, svg, thin, title_axes, whole_numbers
from recurra.report.markup import Html, h, join, table
from recurra.report.record import Event, Record
from recurra.report.words import NOTHING, floats, percent


class _Promise(NamedTuple):
    """An interval (or one side of one) with the share of actual values it promises to hold, and held."""

    name: str
    promised: float
    held: float
    before: float
    one_sided: bool = False


def section(record: Record) -> Html | None:
    """Promised and observed coverage, before and after calibration, and by how far ahead."""
    event = record.last("coverage")
    if not event:
        return None
    levels, observed = floats(event.get("nominal")), floats(event.get("observed"))
    before = floats(event.get("before")) or [math.nan] * len(levels)
    if not levels or not len(levels) == len(observed) == len(before):
        return None
    quantiles = _are_quantiles(levels, record.setting("model", "quantiles"))
    promises = _promises(levels, observed, before) if quantiles else _intervals(levels, observed, before)
    corrected = any(p.before == p.before for p in promises)
    heads = ["", "held", *(["before correction"] if corrected else [])]
    rows = [
        [
            join([p.name, h("small", _judge(p))]),
            h("b", percent(p.held, 1)),
            *([percent(p.before, 1)] if corrected else []),
        ]
        for p in promises
    ]
    caption = "How often the actual value lay where the forecast said, on held-out data."
    widest = max((p.promised for p in promises), default=math.nan)
    return grid(
        h("div", table(caption, heads, rows, numbers=range(1, len(heads)))),
        _coverage_by_horizon(event, widest),
        _curve(levels, observed, before if corrected else None, quantiles),
    )


def _are_quantiles(levels: list[float], asked: Any) -> bool:
    """Whether the levels are of quantiles (share of actual values below) or of intervals (share inside)."""
    asked = floats(asked)
    if asked:
        return all(any(math.isclose(level, a) for a in asked) for level in levels)
    return any(math.isclose(low + high, 1) for low, high in zip(levels, reversed(levels), strict=True))


def _promises(levels: list[float], observed: list[float], before: list[float]) -> list[_Promise]:
    """Central intervals from pairs of quantiles, widest first, then quantiles that have no counterpart."""
    found, single = [], []
    for i, low in enumerate(levels):
        j = next((k for k, high in enumerate(levels) if math.isclose(low + high, 1) and high > 0.5), None)
        if low < 0.5 and j is not None:
            promised = levels[j] - low
            name = f"{percent(promised)} interval"
            found.append(_Promise(name, promised, observed[j] - observed[i], before[j] - before[i]))
        elif not math.isclose(low, 0.5) and not any(math.isclose(low + other, 1) for other in levels):
            single.append(_Promise(f"below the {percent(low)} quantile", low, observed[i], before[i], one_sided=True))
    return sorted(found, key=lambda p: -p.promised) + single


def _intervals(levels: list[float], observed: list[float], before: list[float]) -> list[_Promise]:
    return [_Promise(f"{percent(p)} interval", p, o, b) for p, o, b in zip(levels, observed, before, strict=True)]


def _judge(promise: _Promise) -> str:
    if promise.held != promise.held:
        return NOTHING
    off = round(promise.held - promise.promised, 9)
    if abs(off) <= 0.03:
        return "as promised"
    far = "far " if abs(off) > 0.1 else ""
    if promise.one_sided:
        return f"{far}too {'low' if off < 0 else 'high'}"
    if off < 0:
        return f"{far}too narrow: surprises are more frequent than promised"
    return f"{far}too wide: more cautious than needed"


def _curve(levels: list[float], observed: list[float], before: list[float] | None, quantiles: bool) -> Html | None:
    if len(levels) < 3:  # the table says it all
        return None

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=COLOURS["line"], linewidth=1)
        if before:
            axes.plot(levels, before, color=COLOURS["second"], linestyle="--", marker="s", markersize=4)
        axes.plot(levels, observed, color=COLOURS["model"], marker="o", markersize=5)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        percents(axes.xaxis)
        percents(axes.yaxis)
        what = "actual values below the quantile" if quantiles else "actual values inside"
        title_axes(axes, what, "level of the quantile" if quantiles else "promised")

    keys = [("as corrected" if before else "this model", "model", "solid")]
    if before:
        keys.append(("before correction", "second", "dashed"))
    told = (
        "On the diagonal, each quantile has exactly as many actual values below it as it should."
        if quantiles
        else "On the diagonal, intervals hold exactly what they promise; below it they are too narrow."
    )
    label = (
        f"Share of actual values {'below the quantile' if quantiles else 'inside the interval'} at {len(levels)} levels"
    )
    return figure("Promise and practice", svg("coverage", label, draw), told, legend(*keys))


def _coverage_by_horizon(event: Event, promised: float) -> Html | None:
    by = event.get("by_horizon")
    if not isinstance(by, Mapping):
        return None
    steps, held = floats(by.get("horizon")), floats(by.get("observed"))
    if len(steps) < 3 or len(steps) != len(held) or not any(v == v for v in held) or promised != promised:
        return None

    def draw(axes: Any) -> None:
        axes.axhline(promised, color=COLOURS["second"], linestyle="--", linewidth=1.4)
        axes.plot(*thin(steps, held), color=COLOURS["model"], linewidth=2)
        known = [v for v in held if v == v]
        axes.set_ylim(max(0.0, min([promised - 0.2, *(v - 0.05 for v in known)])), 1)
        axes.set_xlim(min(steps), max(steps))
        percents(axes.yaxis)
        whole_numbers(axes.xaxis)
        title_axes(axes, "actual values inside", "steps ahead")

    keys = [
        (f"held by the {percent(promised)} interval", "model", "solid"),
        (f"promised: {percent(promised)}", "second", "dashed"),
    ]
    label = f"Share of actual values inside the {percent(promised)} interval by steps ahead"
    told = "A line that sinks means that intervals further ahead are too sure of themselves."
    return figure("Coverage by how far ahead", svg("coverage-horizon", label, draw), told, legend(*keys))
