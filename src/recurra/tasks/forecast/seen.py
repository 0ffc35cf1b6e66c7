"""Which windows of a table lie in the time that a network was trained on, so that nobody takes them for held out."""

from __future__ import annotations

import dataclasses

import numpy as np

from recurra.tasks.forecast.panel import Panel
from recurra.tasks.forecast.windows import Origins, Split
from recurra.types import Judgement


def trained_until(panel: Panel, split: Split) -> str | int | None:
    """The last time of which training or validation knew a target, over all series; None where there is none."""
    read = split.valid_end > 0
    if not read.any():
        return None
    rows = panel.start.numpy()[read] + split.valid_end[read] - 1
    return written(panel.times[rows].max())


def written(time: np.datetime64 | np.int64) -> str | int:
    """A time as it stands in a file."""
    return int(time) if np.issubdtype(type(time), np.integer) else str(time)


def seen_windows(panel: Panel, origins: Origins, until: str | int | None) -> int:
    """How many windows begin at or before a time; none where it is not known or of another kind."""
    if until is None or np.issubdtype(panel.times.dtype, np.integer) != isinstance(until, int):
        return 0
    first = panel.times[panel.start.numpy()[origins.series] + origins.origin]
    return int((first <= np.asarray(until, dtype=panel.times.dtype)).sum())


def with_seen_windows(judgement: Judgement, seen: int, windows: int, until: str | int | None) -> Judgement:
    """The judgement, with a warning first where some of its windows were not held out."""
    if not seen:
        return judgement
    named = str(until).removesuffix("T00:00:00.000000")
    share = "all of these" if seen == windows else f"{seen} of these {windows}"
    warning = (
        f"{share} windows lie in the time up to {named}, which the network was trained on or chosen by: "
        "there it looks better than it will on what is new. Only later windows tell."
    )
    plain = [sentence.replace(" held-out windows", " windows") for sentence in judgement.sentences]
    others = [each.replace("held-out ", "") for each in judgement.warnings]
    return dataclasses.replace(judgement, sentences=plain, warnings=[warning, *others], held_out=False)
