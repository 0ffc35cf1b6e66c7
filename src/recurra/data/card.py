"""The data card: what was read, in facts for the report and in a few lines for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class DataCard:
    """What a table holds, as it was read.

    Args:
        rows: rows of the table that are used.
        sequences: number of series or sequences.
        lengths: int64 (sequences,): rows of each, filled gaps included.
        columns: one dict a used column: name, role, kind ("number", "category", "time", "text"), missing,
            missing_fraction.
        frequency: the frequency in plain words, or None.
        irregular: whether times have no common step.
        gaps: rows filled in as missing.
        notes: what was assumed or done, one sentence each.
        leakage: the results of the leakage checks: check, passed, detail.
        classes: class to number of sequences (classification), or None.
        time_range: first and last time as texts, or None.
        kind: "series" or "sequences": what the table's parts are called.
        name: what the table is called in messages.
    """

    rows: int
    sequences: int
    lengths: np.ndarray
    columns: list[dict[str, Any]]
    frequency: str | None = None
    irregular: bool = False
    gaps: int = 0
    notes: list[str] = field(default_factory=list)
    leakage: list[dict[str, Any]] = field(default_factory=list)
    classes: dict[str, int] | None = None
    time_range: tuple[str, str] | None = None
    kind: str = "series"
    name: str = "table"

    def event(self) -> dict[str, Any]:
        """The facts as plain JSON values."""
        lengths = np.asarray(self.lengths)
        return {
            "name": self.name,
            "kind": self.kind,
            "rows": int(self.rows),
            "sequences": int(self.sequences),
            "lengths": self._histogram(lengths),
            "columns": [dict(column) for column in self.columns],
            "frequency": self.frequency,
            "irregular": bool(self.irregular),
            "gaps": int(self.gaps),
            "notes": list(self.notes),
            "leakage": [dict(check) for check in self.leakage],
            "classes": None if self.classes is None else dict(self.classes),
            "time_range": None if self.time_range is None else list(self.time_range),
        }

    @staticmethod
    def _histogram(lengths: np.ndarray) -> dict[str, Any]:
        """Smallest, median, largest, and counts over at most 20 bins; small however many sequences there are."""
        if not len(lengths):
            return {"smallest": 0, "median": 0.0, "largest": 0, "edges": [], "counts": []}
        low, high = int(lengths.min()), int(lengths.max())
        bins = min(20, high - low + 1)
        counts, edges = np.histogram(lengths, bins=bins, range=(low, high + 1))
        return {
            "smallest": low,
            "median": float(np.median(lengths)),
            "largest": high,
            "edges": [float(edge) for edge in edges],
            "counts": [int(count) for count in counts],
        }

    def lines(self) -> list[str]:
        """About six plain lines for the terminal."""
        low, high = int(np.min(self.lengths)), int(np.max(self.lengths))
        long = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        lines = [f"{self.name}: {self.rows:,} rows, {self.sequences:,} {self._parts()} of {long} steps"]
        if self.time_range is not None:
            lines.append(f"time: {self.time_range[0]} to {self.time_range[1]}")
        if self.frequency is not None:
            gaps = f"; {self.gaps:,} gap{'s' * (self.gaps != 1)} filled as missing" if self.gaps else "; no gaps"
            lines.append(f"frequency: {self.frequency}{gaps}")
        elif self.irregular:
            lines.append("frequency: none; the times are irregular")
        for role in dict.fromkeys(column["role"] for column in self.columns):
            if role not in ("time", "series", "sequence"):
                names = [_column_text(column) for column in self.columns if column["role"] == role]
                more = f" and {len(names) - 8} more" if len(names) > 8 else ""
                lines.append(f"{role}: " + ", ".join(names[:8]) + more)
        if self.classes is not None:
            shown = [f"{name} ({count:,})" for name, count in list(self.classes.items())[:8]]
            more = f" and {len(self.classes) - 8} more" if len(self.classes) > 8 else ""
            lines.append(f"classes: {', '.join(shown)}{more}")
        failed = [check["detail"] for check in self.leakage if not check["passed"]]
        if self.leakage:
            lines.append("leakage: " + ("; ".join(failed) if failed else f"none found in {len(self.leakage)} checks"))
        return lines

    def _parts(self) -> str:
        return "sequence" if self.kind == "sequences" and self.sequences == 1 else self.kind


def column_facts(name: str, role: str, kind: str, missing: int, rows: int) -> dict[str, Any]:
    """One entry of `DataCard.columns`."""
    return {
        "name": name,
        "role": role,
        "kind": kind,
        "missing": int(missing),
        "missing_fraction": float(missing / rows) if rows else 0.0,
    }


def _column_text(column: dict[str, Any]) -> str:
    parts = [] if column["kind"] == "number" else [column["kind"]]
    if column["missing"]:
        share = column["missing_fraction"]
        parts.append(f"{share:.1%} missing" if share >= 0.001 else f"{column['missing']:,} missing")
    return column["name"] + (f" ({', '.join(parts)})" if parts else "")
