"""The forecasts: examples with their intervals, error by horizon, and error series by series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recurra.report.draw import (
    COLOURS,
    SERIES,
    figure,
    grid,
    legend,
    log_numbers,
    plain_numbers,
    svg,
    thin,
    time_axis,
    times,
    title_axes,
    whole_numbers,
)
from recurra.report.markup import Html, h, join, name, paragraph, plain
from recurra.report.record import Event, Record
from recurra.report.words import baseline, count, finite, floats, metric, number, percent

KINDS = {"best": "Among the best", "median": "In the middle", "worst": "Among the worst"}
# Baselines keep their colours over all figures of the section.
MARKS = {"naive": ("second", "dashed"), "seasonal_naive": ("third", "dotted"), "drift": ("fourth", "dashdot")}
EXAMPLES_SHOWN, DOTS, HISTORY = 9, 1500, 300


def section(record: Record) -> Html | None:
    """Fan charts, error by horizon, the model against the best baseline series by series."""
    parts = [
        _examples(record.last("examples")),
        grid(_by_horizon(record.last("horizon_error")), _series_by_series(record)),
    ]
    return join(parts) if any(part is not None for part in parts) else None


def _quantiles(forecast: Mapping[str, Any]) -> list[tuple[float, list[float]]]:
    """The forecast's quantiles from lowest to highest: keys that are numbers between 0 and 1."""
    found = []
    for key, values in forecast.items():
        try:
            level = float(str(key).removeprefix("q"))
        except ValueError:
            continue
        if 0 < level < 1:
            found.append((level, floats(values)))
    return sorted(found)


def _examples(event: Event | None) -> Html | None:
    items = [
        i for i in (event or {}).get("items") or () if isinstance(i, Mapping) and isinstance(i.get("forecast"), Mapping)
    ]
    if not items:
        return None
    order = {"best": 0, "median": 1, "worst": 2}
    items = sorted(items, key=lambda i: (str(i.get("target")), order.get(str(i.get("kind")), 3)))[:EXAMPLES_SHOWN]
    charts = [chart for i, item in enumerate(items) if (chart := _fan(item, f"fan{i}")) is not None]
    if not charts:
        return None
    keys: list[tuple[object, str, str]] = [("actual", "ink", "solid"), ("forecast (median)", "model", "solid")]
    for low, high, colour in _bands(_quantiles(items[0]["forecast"])):
        keys.append((f"{percent(high - low)} interval", colour, "area"))
    intro = (
        "Held-out stretches, from those forecast best to those forecast worst. The model saw the line up "
        "to the start of the band and nothing after it; a good band is narrow and still holds the actual line mostly."
    )
    return join(
        [
            h("h3", "Forecasts beside what happened"),
            paragraph(intro),
            legend(*keys),
            grid(*charts, class_="figures three"),
        ]
    )


def _bands(quantiles: list[tuple[float, list[float]]]) -> list[tuple[float, float, str]]:
    levels = [level for level, _ in quantiles]
    return [(low, high, "model") for low, high in zip(levels, reversed(levels), strict=True) if low < high - 1e-9]


def _fan(item: Mapping[str, Any], identity: str) -> Html | None:
    history, forecast = item.get("history") or {}, item["forecast"]
    ahead = list(forecast.get("time") or ())
    kept = max(30, min(HISTORY, 2 * len(ahead)))  # enough past to see the pattern, and room for the forecast
    past_values = floats(history.get("value"))[-kept:]
    all_times = times([*list(history.get("time") or ())[-kept:], *ahead])
    past_times, future = all_times[: len(all_times) - len(ahead)], all_times[len(all_times) - len(ahead) :]
    quantiles = [(level, values) for level, values in _quantiles(forecast) if len(values) == len(future)]
    if not future or not quantiles or len(past_times) != len(past_values):
        return None
    actual = floats(forecast.get("actual"))
    middle = min(quantiles, key=lambda q: abs(q[0] - 0.5))[1]

    def draw(axes: Any) -> None:
        axes.plot(past_times, past_values, color=COLOURS["ink"], linewidth=1.2)
        by_level = dict(quantiles)
        for low, high, colour in _bands(quantiles):
            axes.fill_between(future, by_level[low], by_level[high], color=COLOURS[colour], alpha=0.25, linewidth=0)
        # The last known value joins the history to what follows it.
        joined = ([past_times[-1]], [past_values[-1]]) if past_times else ([], [])
        if len(actual) == len(future):
            axes.plot(joined[0] + future, joined[1] + actual, color=COLOURS["ink"], linewidth=1.2)
        marker = "o" if len(future) < 3 else None
        axes.plot(future, middle, color=COLOURS["model"], linewidth=2, marker=marker, markersize=4)
        axes.axvline(future[0], color=COLOURS["line"], linewidth=0.8, linestyle=":")
        axes.margins(x=0.01)
        plain_numbers(axes.yaxis, 4)
        time_axis(axes, all_times)

    series, target = item.get("series", ""), item.get("target")
    kind = KINDS.get(str(item.get("kind")), str(item.get("kind", "")))
    label = f"{kind}: series {plain(name(series, 80))}, {count(len(future), 'step')} forecast"
    label += f" after {count(len(past_values), 'step')} of history"
    score = item.get("score")
    measure = str(item["metric"]).upper() if item.get("metric") else "score"
    told = join([f"{target}: " if target else None, f"{measure} {number(score, 3)}" if finite(score) else None])
    head = join([f"{kind}: ", name(series, 36)])
    return figure(head, svg(identity, label, draw, height=220, width=340), told or None)


def _by_horizon(event: Event | None) -> Html | None:
    if not event:
        return None
    steps, ours = floats(event.get("horizon")), floats(event.get("model"))
    if len(steps) < 2 or len(steps) != len(ours):
        return None
    key = str(event.get("metric", "error"))
    others = {k: floats(v) for k, v in (event.get("baselines") or {}).items()}
    others = {k: v for k, v in others.items() if len(v) == len(steps) and any(x == x for x in v)}
    marks = {k: MARKS.get(k, (SERIES[4 + i % 3], "dashed")) for i, k in enumerate(others)}

    def draw(axes: Any) -> None:
        dashes = {"dashed": "--", "dotted": ":", "dashdot": "-."}
        for k, values in others.items():
            axes.plot(*thin(steps, values), color=COLOURS[marks[k][0]], linestyle=dashes[marks[k][1]], linewidth=1.6)
        axes.plot(*thin(steps, ours), color=COLOURS["model"], linewidth=2.4)
        # A baseline that runs away must not flatten what is compared.
        top = max(
            [v for v in ours if v == v] + [min(max(x for x in v if x == x) for v in others.values())]
            if others
            else ours
        )
        ceiling = max([v for series in (ours, *others.values()) for v in series if v == v])
        axes.set_ylim(0, min(ceiling * 1.05, top * 2.2) or 1)
        axes.set_xlim(min(steps), max(steps))
        plain_numbers(axes.yaxis)
        whole_numbers(axes.xaxis)
        unit = f" ({metric(key).unit})" if metric(key).unit == "%" else ""
        title_axes(axes, f"{metric(key).label}{unit}", "steps ahead")

    keys = [("this model", "model", "solid"), *((baseline(k), *marks[k]) for k in others)]
    label = f"{metric(key).label} by steps ahead, model and {count(len(others), 'baseline')}; the model goes from "
    label += f"{number(ours[0])} one step ahead to {number(ours[-1])} at {number(steps[-1])} steps"
    told = (
        "Looking further ahead is harder, so lines usually rise. The model earns its keep where its line is the lowest."
    )
    return figure("Error by how far ahead", svg("horizon", label, draw), told, legend(*keys))


def _series_by_series(record: Record) -> Html | None:
    """Each series' mean absolute error under the model against that under the best baseline, from the predictions."""
    verdict = record.last("verdict") or {}
    pairs = _errors(record, verdict)
    if pairs is None:
        return None
    ours, theirs, other = pairs
    wins = sum(1 for a, b in zip(ours, theirs, strict=True) if a < b) / len(ours)
    # Evenly thinned in the order of the baseline's error, so that the cloud keeps its shape.
    order = sorted(range(len(ours)), key=theirs.__getitem__)
    stride = max(1, math.ceil(len(order) / DOTS))
    dots = [i for i in order[::stride] if ours[i] > 0 and theirs[i] > 0]
    if len(dots) < 5:
        return None

    def draw(axes: Any) -> None:
        x, y = [theirs[i] for i in dots], [ours[i] for i in dots]
        low, high = min(x + y) / 1.3, max(x + y) * 1.3
        axes.fill_between([low, high], [low, high], low, color=COLOURS["model"], alpha=0.08, linewidth=0)
        axes.plot([low, high], [low, high], color=COLOURS["line"], linewidth=1)
        alpha = 0.75 if len(dots) < 150 else 0.4
        drawn = axes.scatter(
            x,
            y,
            s=26 if len(dots) < 60 else 12 if len(dots) < 400 else 6,
            color=COLOURS["model"],
            alpha=alpha,
            linewidths=0,
        )
        drawn.set_rasterized(len(dots) > 10_000)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        log_numbers(axes, "x")
        log_numbers(axes, "y")
        title_axes(axes, "this model (logarithmic)", f"{baseline(other)} (logarithmic)")

    label = f"Mean absolute error of each of {len(ours)} series, model against {baseline(other)}"
    label += f"; the model is better on {percent(wins)}"
    told = "Each dot is a series, placed by its mean absolute error. Below the line the model is better: "
    told += f"{percent(wins)} of {count(len(ours), 'series', 'series')}."
    return figure("Series by series", svg("series", label, draw), told)


def _errors(record: Record, verdict: Event) -> tuple[list[float], list[float], str] | None:
    names = list(verdict.get("baselines") or {})
    frame = record.predictions()
    if frame is None or "actual" not in frame.columns:
        return None
    import polars as pl

    columns = [n for n in names if n in frame.columns]
    centre = next((c for c in ("q0.5", "0.5", "mean") if c in frame.columns), None)
    ids = [c for c in _names(record.setting("data", "series")) if c in frame.columns]
    if not columns or centre is None or not ids:
        return None
    scored = frame.filter(pl.col("actual").is_finite() & pl.col(centre).is_finite())
    means = [
        (pl.col(c) - pl.col("actual")).abs().fill_nan(None).mean().alias(f"e{i}")
        for i, c in enumerate([centre, *columns])
    ]
    target = ["target"] if "target" in frame.columns else []
    errors = scored.group_by([*ids, *target], maintain_order=True).agg(means)
    totals = {c: errors[f"e{i}"].median() for i, c in enumerate(columns, 1)}
    usable = {c: t for c, t in totals.items() if finite(t)}
    if not usable:
        return None
    other = min(usable, key=usable.__getitem__)
    both = errors.select("e0", pl.col(f"e{columns.index(other) + 1}").alias("other")).drop_nulls()
    return (both["e0"].to_list(), both["other"].to_list(), other) if both.height >= 5 else None


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(part) for part in value or ()]
