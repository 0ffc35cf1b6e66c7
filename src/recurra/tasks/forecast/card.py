"""The model card of a forecaster: what it forecasts, how good it is, how to use it, where it ends."""

from __future__ import annotations

from typing import Any

from recurra.types import Judgement


def model_card(task: Any, judgement: Judgement | None) -> str:
    """Markdown for the model folder's README.md."""
    schema, shape, settings = task.schema, task.shape, task.settings
    horizon = settings["data"].horizon
    lines = [
        f"# Forecaster of {', '.join(schema.target)}, {horizon} steps ahead",
        "",
        f"A recurrent network ({shape.cell}, {shape.layers} layer{'s' if shape.layers > 1 else ''}, "
        f"{shape.hidden_size} hidden units) trained with Recurra.",
        "",
        "## What it needs",
        "",
        f"- time column: {schema.time or 'none, the order of the rows'}"
        + (f", one row every {schema.frequency}" if schema.frequency else ""),
        f"- target: {', '.join(schema.target)}",
    ]
    for label, names in (
        ("series id", schema.series),
        ("known ahead, also over the horizon", schema.known),
        ("known up to now", schema.covariates),
        ("constant in a series", schema.static),
    ):
        if names:
            lines.append(f"- {label}: {', '.join(names)}")
    lines.append(
        f"- history: it reads the last {shape.context} steps, and looks back {shape.context + shape.lags} at most"
    )
    if judgement is not None:
        lines += ["", "## How good it is", "", judgement.headline, "", *judgement.sentences, ""]
        names = list(judgement.metrics)
        lines += ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for label, metrics in {"this model": judgement.metrics, **judgement.baselines}.items():
            lines.append(f"| {label} | " + " | ".join(f"{metrics[name]:.4g}" for name in names) + " |")
        lines += [
            "",
            "Measured on steps later than all that the network was trained on.",
            "After the measurement the intervals were calibrated once more, with those steps too.",
        ]
        lines += [f"- {warning}" for warning in judgement.warnings]
    lines += [
        "",
        "## How to use it",
        "",
        "```",
        "recurra predict THIS_FOLDER new.csv -o forecast.csv",
        "```",
        "",
        "## Where it ends",
        "",
        "- It continues what it has seen; a break in the way the series behave is not foreseen.",
        "- The intervals hold as far as the future resembles the calibration part.",
        "",
    ]
    return "\n".join(lines)
