"""What held-out windows say of a forecaster, in plain words; a lost comparison is said first."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.tasks.forecast.judge import Held
from recurra.tasks.forecast.metrics import mase
from recurra.types import Judgement

_WORDS = {
    "naive": "repeating the last value",
    "seasonal_naive": "repeating the last season",
    "drift": "a straight line",
}


def judgement(held: Held, *, cell: str, season: int, facts: dict[str, dict[str, Any]], predictions: Any) -> Judgement:
    """Measure, compare and put into words."""
    metrics, others = held.metrics(), held.baseline_metrics()
    # A constant history has no seasonal error to scale by; the plain error then decides.
    metric = "mase" if np.isfinite(metrics["mase"]) else "mae"
    best = min(others, key=lambda name: others[name][metric] if np.isfinite(others[name][metric]) else np.inf)
    ours, theirs = metrics[metric], others[best][metric]
    wins = bool(ours < theirs)
    named = f"{best.replace('_', ' ')}, {_WORDS[best]}" + (f" of {season} steps" if best == "seasonal_naive" else "")
    label = metric.upper()
    where = _where(held)
    if wins:
        share = 100 * (1 - ours / theirs) if theirs > 0 else 0.0
        headline = (
            f"The {cell.upper()} network forecasts {share:.0f} % better than the best baseline ({named}): "
            f"{label} {ours:.3g} against {theirs:.3g} {where}."
        )
    else:
        headline = (
            f"Do not use this model yet: a baseline is better ({named}): "
            f"{label} {theirs:.3g} against the {cell.upper()} network's {ours:.3g} {where}."
        )
    sentences, warnings = [], []
    won, counted = _windows_won(held, best)
    if counted > 1:
        sentences.append(f"It is better than that baseline in {won} of {counted} held-out windows.")
    if np.isfinite(metrics["smape"]):
        sentences.append(
            f"A forecast is off by {metrics['mae']:.4g} on average (sMAPE {metrics['smape']:.3g} %); "
            f"that baseline by {others[best]['mae']:.4g} (sMAPE {others[best]['smape']:.3g} %)."
        )
    nominal = float(held.levels[-1] - held.levels[0])
    if len(held.levels) > 1:
        sentences.append(
            f"The interval meant to hold {100 * nominal:.0f} % of the values held {100 * metrics['coverage']:.0f} %."
        )
        if abs(metrics["coverage"] - nominal) > 0.07:
            warnings.append(
                f"The intervals are {'too narrow' if metrics['coverage'] < nominal else 'too wide'}: "
                f"{100 * metrics['coverage']:.0f} % of held-out values fell inside instead of {100 * nominal:.0f} %."
            )
    if counted < 10:
        warnings.append(
            f"The comparison rests on {counted} held-out window{'s' if counted != 1 else ''}; "
            "a different stretch of time may well turn out otherwise."
        )
    if wins and counted > 10 and won < counted / 2:
        warnings.append("The average is better, but most single windows are not: a few windows decide it.")
    return Judgement(
        metric=metric,
        higher_is_better=False,
        metrics=metrics,
        baselines=others,
        headline=headline,
        sentences=sentences,
        warnings=warnings,
        beats_baselines=wins,
        predictions=predictions,
        facts=facts,
    )


def _where(held: Held) -> str:
    windows, horizon = held.rows.shape
    series = len(np.unique(held.origins.series))
    steps = "step" if horizon == 1 else "steps"
    if series == windows:
        return f"on the last {horizon} {steps} of {series} series" if series > 1 else f"on the last {horizon} {steps}"
    return f"on {windows} windows of {horizon} {steps}" + (f" from {series} series" if series > 1 else "")


def _windows_won(held: Held, best: str) -> tuple[int, int]:
    ours = mase(held.actual, held.point(held.quantiles), np.ones(len(held.actual)))
    theirs = mase(held.actual, held.point(held.baseline[best]), np.ones(len(held.actual)))
    seen = np.isfinite(ours) & np.isfinite(theirs)
    return int((ours < theirs)[seen].sum()), int(seen.sum())
