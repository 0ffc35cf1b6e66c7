"""Checks for data that tell a model what it should not know; each gives {check, passed, detail} and is cheap.

Big tables are looked at in part: up to 200 series or 2,000 sequences spread over all.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from recurra.data.sequence_set import SequenceSchema, SequenceSet
from recurra.data.series_set import ForecastSchema, SeriesSet

SERIES = 200
SEQUENCES = 2000
ALIKE = 0.9999
"""A correlation of steps from here on means that one column was made from the other."""
SHIFTS = (1, 2, 3, 7, 12, 24)


def _result(check: str, detail: str, passed: bool) -> dict[str, Any]:
    return {"check": check, "passed": passed, "detail": detail}


def check_forecast_leakage(data: SeriesSet, schema: ForecastSchema) -> list[dict[str, Any]]:
    """Check whether a covariate is the target under another name, now or shifted.

    Args:
        data: the series to fit on.
        schema: names the columns.

    Returns:
        one dict a check: its name, whether it passed, and one sentence. No check when there is no covariate.

    Example:
        >>> from recurra.data.forecast_table import read_forecast
        >>> from recurra.settings import ForecastData
        >>> t = np.arange(50)
        >>> table = {"time": t, "y": np.sin(t), "z": np.sin(t) * 2 + 1}
        >>> card = read_forecast(table, ForecastData(target=("y",), time="time", covariates=("z",)))[2]
        >>> [check["passed"] for check in card.leakage]
        [False, True]
    """
    columns = [(name, data.past[:, i], "covariates") for i, name in enumerate(schema.covariates)]
    columns += [(name, data.known[:, i], "known") for i, name in enumerate(schema.known)]
    columns = [entry for entry in columns if entry[0] not in schema.levels]
    if not columns:
        return []
    which = np.unique(np.linspace(0, data.n - 1, min(data.n, SERIES)).astype(np.int64))
    same, ahead = [], []
    for name, values, role in columns:
        for t, target in enumerate(schema.target):
            if _alike(data, values, data.target[:, t], which, 0):
                same.append(f"{name!r} is {target!r} under another name" + (" (known ahead!)" * (role == "known")))
            for shift in SHIFTS:
                # column[t] = target[t + shift]: the column knows the future. The past under a name is no leak.
                if _alike(data, values, data.target[:, t], which, shift):
                    ahead.append(f"{name!r} holds {target!r} of {shift} step{'s' * (shift != 1)} later")
    listed = ", ".join(name for name, _, _ in columns)
    return [
        _result("covariate equals target", "; ".join(same) or f"no copy of the target among {listed}", not same),
        _result(
            "covariate from the future",
            "; ".join(ahead) or f"no shifted target among {listed} (1 to 24 steps)",
            not ahead,
        ),
    ]


def _alike(data: SeriesSet, values: np.ndarray, target: np.ndarray, which: np.ndarray, shift: int) -> bool:
    """Whether column[t] and target[t+shift] rise and fall as one, within series: in their levels and their steps."""
    left, right = [], []
    for i in which:
        rows = data.slice(int(i))
        a, b = values[rows], target[rows]
        if len(a) < shift + 4:
            continue
        left.append(_centred(a[: len(a) - shift]))
        right.append(_centred(b[shift:]))
    if not left:
        return False
    return all(_correlation(how(left), how(right)) > ALIKE for how in (np.concatenate, _steps))


def _centred(part: np.ndarray) -> np.ndarray:
    seen = ~np.isnan(part)
    return part - part[seen].mean() if seen.any() else part


def _steps(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.diff(part) for part in parts])


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    seen = ~(np.isnan(a) | np.isnan(b))
    a, b = a[seen], b[seen]
    if len(a) < 4:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(abs(a @ b) / scale) if scale > 0 else 0.0


def check_sequence_leakage(data: SequenceSet, schema: SequenceSchema) -> list[dict[str, Any]]:
    """Check whether a feature gives the label away, a sequence is there twice, or the order of the ids tells.

    Args:
        data: labelled sequences.
        schema: names the features and classes.

    Returns:
        one dict a check: its name, whether it passed, and one sentence.
    """
    if data.label is None or data.n < 2:
        return []
    return [_giveaway(data, schema), _twice(data), _sorted(data, schema)]


def _giveaway(data: SequenceSet, schema: SequenceSchema) -> dict[str, Any]:
    """A feature that is constant within every sequence and whose value alone names the class."""
    check = "feature gives the label away"
    assert data.label is not None
    starts, lengths = data.offsets[:-1], data.lengths
    found = []
    for i, name in enumerate(schema.features):
        values = data.values[:, i]
        first = values[starts]
        if not np.array_equal(values, np.repeat(first, lengths), equal_nan=True) or np.isnan(first).all():
            continue
        _, code = np.unique(first, return_inverse=True)
        kinds = int(code.max()) + 1
        pairs = len(np.unique(code.astype(np.int64) * (len(schema.classes) + 1) + data.label))
        # Few values, each with one class only: a copy of the label. Many values (an id, say) would fit by chance.
        if pairs == kinds and kinds >= 2 and kinds <= max(data.n // 2, len(schema.classes)):
            found.append(f"{name!r} alone names the class of every sequence; is it made from the label?")
    return _result(check, "; ".join(found) or "no feature is a copy of the label", not found)


def _twice(data: SequenceSet) -> dict[str, Any]:
    """Equal sequences may land on both sides of the split, and disagree on their label."""
    assert data.label is not None
    which = np.unique(np.linspace(0, data.n - 1, min(data.n, SEQUENCES)).astype(np.int64))
    seen: dict[bytes, int] = {}
    pairs, odd = [], 0
    for i in which:
        part = np.ascontiguousarray(data.values[data.slice(int(i))])
        digest = hashlib.sha256(part.tobytes()).digest()
        other = seen.setdefault(digest, int(i))
        if other != i:
            pairs.append((other, int(i)))
            odd += int(data.label[other] != data.label[i])
    if not pairs:
        return _result("same sequence twice", f"{len(which):,} sequences are all different", True)
    one, two = (data.names[k] for k in pairs[0])
    detail = f"{len(pairs):,} sequences are there more than once (the first: {one!r} and {two!r})"
    detail += f"; {odd:,} of them with different labels" if odd else "; copies in both parts make the test too easy"
    return _result("same sequence twice", detail, False)


def _sorted(data: SequenceSet, schema: SequenceSchema) -> dict[str, Any]:
    """Where the sequences stand in the order of their classes, a feature that counts rows or ids tells the class."""
    check = "rows sorted by label"
    assert data.label is not None
    changes = int((np.diff(data.label) != 0).sum())
    classes = len(np.unique(data.label))
    if classes < 2 or changes > classes - 1:
        return _result(check, "the sequences do not stand in the order of their classes", True)
    first = data.values[data.offsets[:-1]]
    counting = [name for i, name in enumerate(schema.features) if (np.diff(first[:, i]) > 0).all()]
    detail = "the sequences stand in the order of their classes"
    if counting:
        return _result(check, f"{detail}, and {', '.join(map(repr, counting))} counts them: leave it out", False)
    return _result(check, f"{detail}; the split is at random, so that does no harm", True)
