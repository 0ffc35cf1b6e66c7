"""Bad inputs, one row each: how the source is made, how it is read, and every part of the message that must come.

A row's `make(folder)` writes a file into a fresh folder (or makes a frame) and returns the source. `{folder}` in an
expected text stands for that folder. `then` is a second source, read by what was learned from the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recurra.errors import RecurraError


@dataclass(frozen=True)
class Case:
    """One bad input and the message it must give."""

    name: str
    make: Callable[[Path], Any]
    error: type[RecurraError]
    given: str
    where: str
    need: str
    cure: str
    task: str = "forecast"
    options: dict[str, Any] = field(default_factory=dict)
    then: Callable[[Path], Any] | None = None


def text(content: str | bytes, name: str = "sales.csv") -> Callable[[Path], Path]:
    """A file with this content."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def frame(**columns: Any) -> Callable[[Path], pl.DataFrame]:
    """A polars frame."""
    return lambda folder: pl.DataFrame(columns)


def days(n: int, start: str = "2024-01-01") -> list[str]:
    """Consecutive dates as texts."""
    return [str(day) for day in np.datetime64(start) + np.arange(n)]


def rows(*lines: str, header: str = "date,units") -> str:
    """A CSV text."""
    return "\n".join([header, *lines]) + "\n"


def good(n: int = 20) -> str:
    """A CSV text with nothing wrong."""
    return rows(*(f"{day},{i % 5}.5" for i, day in enumerate(days(n))))


def cut_parquet(folder: Path) -> Path:
    path = folder / "sales.parquet"
    pl.DataFrame({"date": days(50), "units": np.arange(50.0)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def parquet_named_csv(folder: Path) -> Path:
    path = folder / "sales.csv"
    pl.DataFrame({"date": days(50), "units": np.arange(50.0)}).write_parquet(path)
    return path


def a_folder(folder: Path) -> Path:
    (folder / "shop").mkdir()
    (folder / "shop" / "sales.csv").write_text(good())
    return folder / "shop"


def near_file(folder: Path) -> Path:
    (folder / "sales.csv").write_text(good())
    return folder / "sale.csv"


HOURLY_AND_DAILY = frame(
    store=["a"] * 48 + ["b"] * 30,
    date=[*(np.datetime64("2024-01-01T00") + np.arange(48)).astype("datetime64[us]").tolist()]
    + [*(np.datetime64("2024-01-01") + np.arange(30)).astype("datetime64[us]").tolist()],
    units=np.arange(78.0),
)
STORE = {"series": ("store",)}
LABELLED = {"sequence": ("id",), "label": "y"}
SEQUENCES = rows("1,1.0,a", "1,2.0,a", "2,3.0,b", "2,4.0,b", "3,1.5,a", "4,3.5,b", header="id,x,y")
KNOWN = {"known": ("price",), "target": ("units",), "time": "date", "horizon": 3}
PRICED = rows(*(f"{day},{i},{i % 3}" for i, day in enumerate(days(10))), header="date,units,price")


CASES = (
    # CASES#
)
