"""How far back in time the gradient reaches."""

from __future__ import annotations

import math
from typing import Any

from recurra.report.draw import COLOURS, figure, grid, legend, log_numbers, svg, thin, title_axes, whole_numbers
from recurra.report.markup import Html, h, paragraph, short
from recurra.report.record import Record
from recurra.report.words import count, finite, floats, number

FLOOR = 1e-12


def section(record: Record) -> Html | None:
    """The norm of the gradient with respect to the hidden state, against how many steps ago that state was."""
    flow = record.last("gradient_flow")
    if flow is None:
        return None
    pairs = [(lag, norm) for lag, norm in zip(floats(flow.get("lags")), floats(flow.get("norm")), strict=False)]
    pairs = [(lag, norm) for lag, norm in pairs if lag == lag and norm == norm and norm >= 0]
    if len(pairs) < 2:
        return None
    lags = [lag for lag, _ in pairs]
    half = flow.get("half_lag") if finite(flow.get("half_lag")) and flow["half_lag"] <= lags[-1] else None
    norms = [max(norm, FLOOR) for _, norm in pairs]
    last = norms[-1]
    flat = max(norms) / max(min(norms), FLOOR) < 3

    def draw(axes: Any) -> None:
        low = max(min(norms) / 2, FLOOR)
        axes.fill_between(*thin(lags, norms), low, color=COLOURS["model"], alpha=0.12, linewidth=0)
        axes.plot(*thin(lags, norms), color=COLOURS["model"], linewidth=2.2)
        if half is not None:
            axes.axvline(half, color=COLOURS["second"], linestyle="--", linewidth=1.4)
        axes.set_xlim(0, max(lags))
        axes.set_ylim(low, max(norms) * (1.2 if flat else 2))
        log_numbers(axes)
        whole_numbers(axes.xaxis)
        title_axes(axes, "gradient norm, 1 at lag 0 (logarithmic)", "time lag: steps back from the loss")

    keys = [("gradient norm, mean over sequences", "model", "solid")]
    if half is not None:
        keys.append((f"half left after {count(half, 'step')}", "second", "dashed"))
    label = "Gradient norm against time lag on a logarithmic scale; "
    label += f"from 1 at lag 0 to {number(last, 2)} at lag {number(lags[-1])}"
    if half is not None:
        label += f"; half is left after {number(half)} steps"
    explained = (
        "Training corrects what the network did some steps ago only as far as the error signal reaches back to that "
        "step; this curve shows how much of the signal is left.",
        "A fast fall means that the network learns from the recent past alone and can hardly find links over longer "
        "times; a flat curve means that it can still learn from long ago.",
    )
    told: list[object] = []
    if flow.get("text"):
        told.append(short(flow["text"], 600))
    elif not flat and half is not None:
        told.append(f"Here half of the signal is left after {count(half, 'step')}.")
    told.append(f" At {count(lags[-1], 'step')} back, {_left(last)} of it is left.")
    picture = svg("flow", label, draw, height=250)
    return grid(
        h("div", [paragraph(part) for part in explained], paragraph(*told)),
        figure("Gradient norm against time lag", picture, None, legend(*keys)),
    )


def _left(norm: float) -> str:
    if norm >= 0.01:
        return f"{100 * norm:.0f} %"
    power = math.floor(-math.log10(max(norm, FLOOR)))
    return f"less than one part in {10**power:,}"
