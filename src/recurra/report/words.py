"""Numbers, times and metric names in the words that people use."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

NOTHING = "–"


def finite(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def floats(values: Any) -> list[float]:
    """A list of floats, not-a-number in place of whatever is not a number."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    return [float(v) if finite(v) else math.nan for v in values]


def number(value: Any, digits: int = 4) -> str:
    """A number to `digits` significant digits, thousands separated; a dash for nothing.

    Example:
        >>> number(1234567), number(0.123456), number(1e-7), number(None), number(float("nan"))
        ('1,234,567', '0.1235', '1.0e-07', '–', '–')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else str(value)
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    size = abs(value)
    if size < 1e-4 or size >= 1e9:
        return f"{value:.1e}".replace("-", "−", 1) if value < 0 else f"{value:.1e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}".replace("-", "−")


def percent(share: Any, decimals: int = 0) -> str:
    r"""A fraction as percent; the sign never stands alone at the start of a line.

    Example:
        >>> percent(0.805), percent(0.0004, 1), percent(None)
        ('80\xa0%', '<0.1\xa0%', '–')
    """
    if not finite(share):
        return NOTHING
    smallest = 10.0**-decimals
    if 0 < 100 * share < smallest / 2:
        return f"<{smallest:.{decimals}f}\N{NO-BREAK SPACE}%"
    return f"{100 * share:.{decimals}f}\N{NO-BREAK SPACE}%".replace("-", "−")


def unbroken(text: Any) -> str:
    """A sentence in which no percent sign begins a line."""
    return re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", str(text))


def count(value: Any, word: str, plural: str | None = None) -> str:
    """ "1 series", "12 rows"."""
    shown = number(value)
    return f"{shown} {word if value == 1 else plural or word + 's'}"


def duration(seconds: Any) -> str:
    """Seconds in words.

    Example:
        >>> duration(0.4), duration(75), duration(7384)
        ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if not finite(seconds):
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Metric(NamedTuple):
    """How a metric is named and read: `better` is "lower", "higher" or "" (neither: a share to be hit)."""

    label: str
    better: str
    unit: str
    meaning: str


METRICS: Mapping[str, Metric] = {
    "smape": Metric("sMAPE", "lower", "%", "the error in percent of the size of actual and forecast together"),
    "mase": Metric("MASE", "lower", "", "the error divided by that of repeating the last season on the training part"),
    "mae": Metric("MAE", "lower", "", "the mean absolute error, in the target's own unit"),
    "rmse": Metric("RMSE", "lower", "", "the root of the mean squared error: large misses weigh more"),
    "pinball": Metric("pinball", "lower", "", "the error of the quantiles divided by the mean size of the target"),
    "coverage": Metric("coverage", "", "share", "how often the actual value lies in the outermost interval"),
    "accuracy": Metric("accuracy", "higher", "share", "the share of sequences given the right class"),
    "balanced_accuracy": Metric("balanced accuracy", "higher", "share", "the accuracy of each class, averaged"),
    "f1": Metric("F1", "higher", "", "precision and recall in one number, averaged over classes"),
    "log_loss": Metric("log loss", "lower", "", "how surprised the probabilities are by the true class"),
    "ece": Metric("calibration error", "lower", "share", "how far stated confidence is from accuracy (ECE)"),
}

BASELINES: Mapping[str, tuple[str, str]] = {
    "naive": ("naive", "repeats the last value"),
    "seasonal_naive": ("seasonal naive", "repeats the last season"),
    "drift": ("drift", "extends the line from first to last value"),
    "majority": ("majority", "always says the most frequent class"),
    "logistic_regression": ("logistic regression", "on each feature's mean and deviation"),
}


def metric(key: str) -> Metric:
    """What is known of a metric; one that is not known keeps its own name."""
    return METRICS.get(key) or Metric(str(key).replace("_", " "), "", "", "")


def metric_value(key: str, value: Any, decimals: int | None = None) -> str:
    """A metric's value with its unit, to a fixed number of decimals where one is given (for columns)."""
    unit = metric(key).unit
    if unit == "share":
        return percent(value, 1)
    text = f"{value:,.{decimals}f}".replace("-", "−") if decimals is not None and finite(value) else number(value)
    return f"{text}\N{NO-BREAK SPACE}%" if unit == "%" and finite(value) else text


def baseline(key: str) -> str:
    return BASELINES[key][0] if key in BASELINES else str(key).replace("_", " ")
