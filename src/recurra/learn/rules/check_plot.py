"""The plot of a rule's gradients beside the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from recurra.errors import UsageError
from recurra.learn.axes import new_axes

EXACT = 1e-12
"""What is smaller is rounding, and is drawn there: a logarithmic axis has no zero."""


class Measures(Protocol):
    """A window's measures, or those of all windows together."""

    @property
    def window(self) -> int: ...
    @property
    def cosine(self) -> float: ...
    @property
    def bias(self) -> float: ...
    @property
    def variance(self) -> float: ...


class Compared(Protocol):
    """What is drawn of `recurra.learn.RuleCheck`."""

    @property
    def rule(self) -> str: ...
    @property
    def repeats(self) -> int: ...
    @property
    def windows(self) -> Sequence[Measures]: ...
    @property
    def total(self) -> Measures: ...


def plot_check(found: Compared, axes: Sequence[Any] | None = None) -> list[Any]:
    """Cosine, bias and variance by window, and as dashed lines those of the sum over all windows.

    Raises:
        UsageError: there are not three axes.
    """
    axes = new_axes(3) if axes is None else list(axes)
    if len(axes) != 3:
        raise UsageError(f"there are {len(axes)} axes", where="RuleCheck.plot", need="three: cosine, bias, variance")
    windows = [row.window for row in found.windows]
    for place, name in zip(axes, ("cosine", "bias", "variance"), strict=True):
        values, total = [getattr(row, name) for row in found.windows], getattr(found.total, name)
        if name != "cosine":
            values, total = [max(value, EXACT) for value in values], max(total, EXACT)
            place.set_yscale("log")
            place.set_ylim(0.3 * min([*values, total]), 3.0 * max([*values, total]))
        place.plot(windows, values, marker="o", linewidth=1.2, label="each window")
        place.axhline(total, linestyle="--", linewidth=1.0, color="black", label="all windows together")
        place.set_ylabel(name)
    axes[0].set_ylim(-1.05, 1.05)
    axes[0].set_title(f"{found.rule} beside back-propagation through time, {found.repeats} draw(s)")
    axes[0].legend()
    axes[-1].set_xlabel("window")
    axes[-1].set_xticks(windows)
    return axes
