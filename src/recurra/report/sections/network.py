"""Inside the network: what the hidden units do over time, and the paths that hidden states take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recurra.report.draw import COLOURS, SERIES, figure, grid, legend, plain_numbers, svg, title_axes, whole_numbers
from recurra.report.markup import Html, join, name, paragraph, plain
from recurra.report.record import Event, Record
from recurra.report.words import count, finite, floats, percent

STEPS_DRAWN, UNITS_DRAWN, PATHS_DRAWN, POINTS_DRAWN = 500, 64, 40, 150
# Blue above zero and orange below, as in the page's light scheme; zero is the page itself, in either scheme.
ABOVE, BELOW = (0.18, 0.53, 0.78), (0.88, 0.48, 0.12)


def section(record: Record) -> Html | None:
    """The hidden-state heat map of one sequence and the two-dimensional paths of several."""
    event = record.last("hidden_states")
    if not event:
        return None
    shown = grid(_heat_map(event), _paths(event))
    if shown is None:
        return None
    told = (
        "The hidden state is the network's memory: a list of numbers that every time step changes a little. "
        "Stripes along time are units that remember; flicker is units that follow the input."
    )
    return join([paragraph(told), shown])


def _heat_map(event: Event) -> Html | None:
    states = [floats(row)[:UNITS_DRAWN] for row in event.get("states") or ()]
    states = [row for row in states if row]
    if len(states) < 2 or len({len(row) for row in states}) != 1:
        return None
    steps, units = len(states), len(states[0])

    def draw(axes: Any) -> None:
        import numpy as np

        values = np.nan_to_num(np.asarray(states, dtype=float).T)
        if steps > STEPS_DRAWN:
            edges = np.linspace(0, steps, STEPS_DRAWN + 1).astype(int)[:-1]
            values = np.add.reduceat(values, edges, axis=1) / np.diff(np.append(edges, steps))
        # Units that move alike stand side by side: sorted by their angle in the plane of the two main directions.
        centred = values - values.mean(axis=1, keepdims=True)
        if units > 2 and np.any(centred):
            directions = np.linalg.svd(centred, full_matrices=False)[0][:, :2]
            values = values[np.argsort(np.arctan2(directions[:, -1], directions[:, 0]), kind="stable")]
        # A fixed number of grey levels keeps the picture the same on every machine.
        strength = np.round(np.clip(np.abs(values) / max(np.abs(values).max(), 1e-12), 0, 1) * 64) / 64
        picture = np.empty((*values.shape, 4))
        picture[..., :3] = np.where(values[..., None] >= 0, ABOVE, BELOW)
        picture[..., 3] = strength
        axes.imshow(picture, aspect="auto", interpolation="nearest", extent=(0, steps, units, 0))
        axes.grid(False)
        whole_numbers(axes.xaxis)
        whole_numbers(axes.yaxis, 5)
        title_axes(axes, "hidden unit", "time step")

    one = name(event.get("sequence", ""), 48)
    label = f"Heat map of {units} hidden units over {steps} time steps of {plain(one)}"
    keys = legend(("above zero", "heat-above", "area full"), ("below zero", "heat-below", "area full"))
    told = join(
        [
            f"{count(units, 'unit')} over {count(steps, 'step')} of ",
            one,
            ". The stronger the colour, the further from zero; units that move alike stand together.",
        ]
    )
    return figure("Hidden units over time", svg("heat", label, draw, height=280), told, keys)


def _paths(event: Event) -> Html | None:
    paths = []
    for item in event.get("trajectories") or ():
        if not isinstance(item, Mapping):
            continue
        points = [
            p
            for p in (floats(p)[:2] for p in item.get("points") or ())
            if len(p) == 2 and p[0] == p[0] and p[1] == p[1]
        ]
        if len(points) >= 2:
            stride = max(1, len(points) // POINTS_DRAWN)
            paths.append(
                (
                    str(item.get("label") if item.get("label") is not None else item.get("name", "")),
                    points[:-1:stride] + points[-1:],
                )
            )
    if not paths:
        return None
    total = len(paths)
    paths = paths[:PATHS_DRAWN]
    labels = list(dict.fromkeys(label for label, _ in paths))
    named = labels[: len(SERIES)]
    colour = {label: SERIES[i] for i, label in enumerate(named)}
    many = len(paths) > 12

    def draw(axes: Any) -> None:
        for label, points in paths:
            x, y = [p[0] for p in points], [p[1] for p in points]
            ink = COLOURS[colour.get(label, "line")]
            axes.plot(x, y, color=ink, linewidth=1 if many else 1.4, alpha=0.55 if many else 0.8)
            axes.plot(x[:1], y[:1], "o", markersize=4, markerfacecolor=COLOURS["paper"], markeredgecolor=ink)
            axes.plot(x[-1:], y[-1:], "o", markersize=5.5, markerfacecolor=ink, markeredgecolor="none")
        axes.grid(True, axis="both")
        plain_numbers(axes.xaxis)
        plain_numbers(axes.yaxis)
        title_axes(axes, "second direction", "first direction")

    keys: list[tuple[object, str, str]] = [(name(label, 32), colour[label], "solid") for label in named if label]
    if len(labels) > len(named):
        keys.append((f"{len(labels) - len(named)} others", "line", "solid"))
    explained = [v for v in floats(event.get("explained")) if v == v]
    told = (
        "Each line is one sequence's hidden state over time, from its start (hollow) to its end (filled), "
        "seen in the two directions of largest change"
    )
    if explained and finite(sum(explained)):
        told += f", which hold {percent(min(1.0, sum(explained)))} of it"
    told += "."
    if 1 < len(labels) < len(paths):
        told += " Where ends of one colour gather apart from the others, the network has told them apart."
    if total > len(paths):
        told += f" {len(paths)} of {total} are drawn."
    label = f"Paths of the hidden states of {count(len(paths), 'sequence')} in two dimensions"
    return figure(
        "Paths of the hidden state", svg("paths", label, draw, height=300), told, legend(*keys) if keys else None
    )
