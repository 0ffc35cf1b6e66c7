"""What a run folder says, as the report's sections read it."""

from __future__ import annotations

import csv
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import FolderError

if TYPE_CHECKING:
    from recurra.train.run_folder import RunFolder

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """The facts of one run.

    Attributes:
        name: the run folder as it was given, for commands that name it.
        events: the lines of `log.jsonl`, oldest first.
        metrics: the rows of `metrics.csv`, numbers read as numbers.
        settings_text: `run.toml` as it stands.
        settings: `run.toml` as sections.
        environment: `environment.json`.
        predictions_file: `predictions.parquet`, where there is one.
    """

    name: str
    events: Sequence[Event]
    metrics: Sequence[Event] = ()
    settings_text: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    predictions_file: Path | None = None

    def last(self, event: str) -> Event | None:
        """The latest event of that name: after a resume it stands for the earlier ones."""
        return next((e for e in reversed(self.events) if e.get("event") == event), None)

    def every(self, event: str) -> list[Event]:
        return [e for e in self.events if e.get("event") == event]

    def by_step(self, event: str) -> list[Event]:
        """The events of that name in order of their step; a step repeated after a resume counts once."""
        latest = {e["step"]: e for e in self.every(event) if isinstance(e.get("step"), int | float)}
        return [latest[step] for step in sorted(latest)]

    def evaluations(self) -> list[Event]:
        """One row an evaluation, from the log or else from `metrics.csv`."""
        rows = self.by_step("evaluation")
        return rows or [row for row in self.metrics if isinstance(row.get("step"), int | float)]

    @property
    def task(self) -> str | None:
        """The task's name, from the run's first line or from what only one task writes."""
        run = self.last("run")
        if run and isinstance(run.get("task"), str):
            return run["task"]
        named = self.settings.get("task")
        return named if isinstance(named, str) else None

    def setting(self, section: str, name: str) -> Any:
        part = self.settings.get(section)
        return part.get(name) if isinstance(part, Mapping) else None

    def predictions(self, columns: Sequence[str] | None = None) -> Any:
        """The held-out predictions as a polars DataFrame, or None where they are absent or cannot be read."""
        if self.predictions_file is None:
            return None
        import polars as pl

        try:
            return pl.read_parquet(self.predictions_file, columns=list(columns) if columns else None)
        except (OSError, pl.exceptions.PolarsError):
            return None


def open_run(run_path: str | os.PathLike[str]) -> tuple[RunFolder, Record]:
    """Open a run folder and read what the report needs.

    Raises:
        FolderError: the folder is missing, has no log, or cannot be read.
    """
    from recurra.train.run_folder import RunFolder

    folder = RunFolder.open(run_path)
    path, where = folder.path, str(run_path)
    if not (path / "log.jsonl").is_file():
        raise FolderError(
            "the folder has no log.jsonl",
            where=where,
            need="a run folder as `recurra train` writes it",
            cure="name the run folder itself, not a folder in it or a copied model",
        )
    try:
        settings_text = _text(path / "run.toml")
        predictions = path / "predictions.parquet"
        record = Record(
            name=where,
            events=folder.events(),
            metrics=[{key: _number(value) for key, value in row.items() if key} for row in folder.metrics()],
            settings_text=settings_text,
            settings=_toml(settings_text),
            environment=_json(path / "environment.json"),
            predictions_file=predictions if predictions.is_file() else None,
        )
    except (OSError, csv.Error) as error:
        raise FolderError(
            f"the folder cannot be read ({getattr(error, 'strerror', None) or error})",
            where=where,
            need="a run folder whose files you may read",
            cure="check its permissions and the disk",
        ) from error
    return folder, record


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # shown as text all the same
        return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _number(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text
