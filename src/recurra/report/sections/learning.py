"""Learning: loss, learning rate, size of the gradient, and why training stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from recurra.report.draw import (
    COLOURS,
    figure,
    grid,
    legend,
    log_numbers,
    percents,
    plain_numbers,
    svg,
    thin,
    title_axes,
    whole_numbers,
)
from recurra.report.markup import Html, details, join, paragraph, short, table
from recurra.report.record import Event, Record
from recurra.report.words import count, duration, finite, floats, metric, metric_value, number, percent

STOPPED = {
    "epochs": "Training ran through all its planned epochs.",
    "patience": "Training stopped by itself: the validation loss had not improved for as long as patience allows.",
    "time limit": "Training stopped at its time limit; more time might still have helped.",
    "interrupted": "Training was interrupted; what was reached had been saved.",
}


def section(record: Record) -> Html | None:
    """Curves of the training, and the table behind them."""
    rows = record.evaluations()
    steps = record.by_step("step")
    finder = record.last("learning_rate_finder")
    if not rows and not steps and not finder:
        return None
    epochs = _epochs(rows, steps)
    return join(
        [
            paragraph(_story(record, rows)),
            grid(
                _loss(rows, record),
                _rate(rows, steps, epochs),
                _gradient(rows, steps, epochs, record.setting("train", "clip")),
                _clipped(rows),
                _finder(finder),
            ),
            _table(rows),
        ]
    )


def _column(rows: Sequence[Event], key: str) -> list[float]:
    return floats([row.get(key) for row in rows])


def _epochs(rows: Sequence[Event], steps: Sequence[Event]) -> float:
    """Steps an epoch, so that curves by step and curves by epoch share an axis; 0 where it is not known."""
    found = [
        r["step"] / r["epoch"] for r in rows if finite(r.get("step")) and finite(r.get("epoch")) and r["epoch"] > 0
    ]
    return sorted(found)[len(found) // 2] if found else 0.0


def best_row(record: Record, rows: Sequence[Event]) -> Event | None:
    """The evaluation whose weights were kept: as the run's end says, or the lowest validation loss."""
    named = (record.last("end") or {}).get("best_epoch")
    for row in rows:
        if finite(named) and row.get("epoch") == named:
            return row
    scored = [row for row in rows if finite(row.get("valid_loss"))]
    return min(scored, key=lambda row: row["valid_loss"]) if scored else None


def _story(record: Record, rows: Sequence[Event]) -> str:
    end = record.last("end") or {}
    told = []
    if rows and finite(rows[-1].get("epoch")):
        took = f" in {duration(end['seconds'])}" if finite(end.get("seconds")) else ""
        told.append(f"The network saw the training data {count(rows[-1]['epoch'], 'time')}{took}.")
    if end.get("stopped"):
        told.append(STOPPED.get(str(end["stopped"]), f"Training stopped because of: {end['stopped']}."))
    best = best_row(record, rows)
    if best and finite(best.get("epoch")):
        told.append(f"The weights of epoch {number(best['epoch'])} were kept, where the validation loss was lowest.")
    return " ".join(told)


def _loss(rows: Sequence[Event], record: Record) -> Html | None:
    if len(rows) < 2:
        return None
    x, train, valid = _column(rows, "epoch"), _column(rows, "train_loss"), _column(rows, "valid_loss")
    if not any(v == v for v in train + valid):
        return None
    best = best_row(record, rows)
    positive = [v for v in train + valid if v == v]
    logarithmic = min(positive) > 0 and max(positive) / min(positive) > 8

    def draw(axes: Any) -> None:
        axes.plot(*thin(x, train), color=COLOURS["second"], linestyle="--", label="training")
        axes.plot(*thin(x, valid), color=COLOURS["model"], label="validation")
        if best and finite(best.get("epoch")) and finite(best.get("valid_loss")):
            axes.axvline(best["epoch"], color=COLOURS["line"], linewidth=1, zorder=0)
            axes.plot([best["epoch"]], [best["valid_loss"]], "o", color=COLOURS["model"], markersize=6.5, zorder=5)
        if logarithmic:
            log_numbers(axes)
        else:
            plain_numbers(axes.yaxis)
        whole_numbers(axes.xaxis)
        title_axes(axes, "loss (logarithmic)" if logarithmic else "loss", "epoch")

    keys = [("training", "second", "dashed"), ("validation", "model", "solid")]
    told = (
        "Validation data are never trained on. Where their curve turns up while training goes on falling, "
        "the network learns by heart."
    )
    label = f"Training and validation loss over {len(rows)} evaluations"
    if best:
        at, value = number(best.get("epoch")), number(best.get("valid_loss"))
        label += f"; lowest validation loss {value} at epoch {at}"
        keys.append((f"best: epoch {at}, loss {value}", "model", "dot"))
    return figure("Loss", svg("loss", label, draw), told, legend(*keys))


def _by_step(rows: Sequence[Event], steps: Sequence[Event], key: str, epochs: float) -> tuple[list[float], list[float]]:
    """A quantity over epochs: from the finer steps where they were logged, else from the evaluations."""
    if epochs and sum(1 for s in steps if finite(s.get(key))) >= max(8, len(rows)):
        there = [s for s in steps if finite(s.get(key))]
        return thin([s["step"] / epochs for s in there], _column(there, key))
    return _column(rows, "epoch"), _column(rows, key)


def _rate(rows: Sequence[Event], steps: Sequence[Event], epochs: float) -> Html | None:
    x, rate = _by_step(rows, steps, "learning_rate", epochs)
    known = [v for v in rate if v == v]
    if len(known) < 2:
        return None

    def draw(axes: Any) -> None:
        axes.plot(x, rate, color=COLOURS["model"])
        axes.set_ylim(0, max(known) * 1.08 or 1)
        plain_numbers(axes.yaxis)
        whole_numbers(axes.xaxis)
        title_axes(axes, "learning rate", "epoch")

    label = f"Learning rate over training, highest {number(max(known))}, last {number(known[-1])}"
    last = "almost nothing" if known[-1] < max(known) / 100 else number(known[-1], 2)
    told = f"How far each step goes: at most {number(max(known), 2)}, at the end {last}."
    return figure("Learning rate", svg("rate", label, draw, height=190), told)


def _gradient(rows: Sequence[Event], steps: Sequence[Event], epochs: float, clip: Any) -> Html | None:
    x, norm = _by_step(rows, steps, "gradient_norm", epochs)
    known = [v for v in norm if v == v and v > 0]
    if len(known) < 2:
        return None
    bound = clip if finite(clip) and clip > 0 else None

    def draw(axes: Any) -> None:
        axes.plot(x, [v if v > 0 else math.nan for v in norm], color=COLOURS["model"], linewidth=1.3)
        if bound:
            axes.axhline(bound, color=COLOURS["second"], linestyle="--", linewidth=1.4)
        log_numbers(axes)
        whole_numbers(axes.xaxis)
        title_axes(axes, "gradient norm (logarithmic)", "epoch")

    keys = [("gradient norm", "model", "solid")]
    if bound:
        keys.append((f"clipped above {number(bound)}", "second", "dashed"))
    shares = [v for v in _column(rows, "clipped") if v == v]
    told = (
        "Spikes are steps where the gradient was far larger than usual; clipping keeps them from throwing training off."
    )
    if shares and not any(shares):
        told += " Clipping never had to act."
    label = f"Gradient norm over training, from {number(min(known))} to {number(max(known))}"
    return figure("Size of the gradient", svg("gradient", label, draw, height=190), told, legend(*keys))


def _clipped(rows: Sequence[Event]) -> Html | None:
    x, share = _column(rows, "epoch"), _column(rows, "clipped")
    known = [v for v in share if v == v]
    if len(known) < 2 or not any(known):
        return None

    def draw(axes: Any) -> None:
        axes.fill_between(x, share, 0, color=COLOURS["model"], alpha=0.25, linewidth=0)
        axes.plot(x, share, color=COLOURS["model"])
        axes.set_ylim(0, min(1.0, max(known) * 1.15))
        percents(axes.yaxis)
        whole_numbers(axes.xaxis)
        title_axes(axes, "steps clipped", "epoch")

    mean = sum(known) / len(known)
    told = f"On average {percent(mean)} of the steps had their gradient cut down to the bound. "
    told += "Nearly all steps all the time would mean that the bound, not the learning rate, sets the pace."
    label = f"Share of steps whose gradient was clipped, over epochs; on average {percent(mean)}"
    return figure("How often clipping acted", svg("clipped", label, draw, height=190), told)


def _finder(finder: Event | None) -> Html | None:
    if not finder:
        return None
    rates = floats(finder.get("learning_rates") or finder.get("rates"))
    losses = floats(finder.get("losses") or finder.get("loss"))
    chosen = next((finder[k] for k in ("chosen", "learning_rate", "suggestion") if finite(finder.get(k))), None)
    pairs = [(r, v) for r, v in zip(rates, losses, strict=False) if r > 0 and v == v]
    if len(pairs) < 3:
        return None

    def draw(axes: Any) -> None:
        axes.plot(*thin([r for r, _ in pairs], [v for _, v in pairs]), color=COLOURS["model"])
        if chosen:
            axes.axvline(chosen, color=COLOURS["second"], linestyle="--", linewidth=1.4)
        low = min(v for _, v in pairs)
        first = pairs[0][1]
        axes.set_ylim(low - 0.1 * abs(first - low) - 1e-12, max(first, low) + 0.6 * abs(first - low) + 1e-12)
        log_numbers(axes, "x")
        plain_numbers(axes.yaxis)
        title_axes(axes, "loss", "learning rate (logarithmic)")

    keys = [("loss", "model", "solid")] + ([(f"chosen: {number(chosen, 2)}", "second", "dashed")] if chosen else [])
    told = "Before training, a short trial raised the learning rate step by step until the loss stopped falling."
    if finder.get("text"):
        told += f" Result: {short(finder['text'], 300)}."
    label = f"Loss against learning rate in the trial; chosen {number(chosen, 2)}"
    return figure("Search for the learning rate", svg("finder", label, draw, height=190), told, legend(*keys))


def _table(rows: Sequence[Event]) -> Html | None:
    if not rows:
        return None
    fixed = ["epoch", "step", "train_loss", "valid_loss"]
    others = [k for k in rows[-1] if str(k).startswith("valid_") and k not in fixed][:5]
    most = 60
    shown = list(rows) if len(rows) <= most else [rows[i * (len(rows) - 1) // (most - 1)] for i in range(most)]
    heads = ["epoch", "step", "training loss", "validation loss", *(metric(k[6:]).label for k in others), "seconds"]
    body = [
        [
            *(number(row.get(key)) for key in fixed),
            *(metric_value(key[6:], row.get(key)) for key in others),
            number(round(row["seconds"], 1)) if finite(row.get("seconds")) else number(row.get("seconds")),
        ]
        for row in shown
    ]
    caption = f"{count(len(rows), 'evaluation')}" + (f", {len(shown)} of them shown" if len(shown) < len(rows) else "")
    return details("The numbers behind the curves", table(caption + ".", heads, body, numbers=range(len(heads))))
