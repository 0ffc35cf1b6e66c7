"""The run folder: everything that a training run leaves behind.

model/  state/  run.toml  environment.json  log.jsonl  metrics.csv  predictions.parquet  report.html
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from recurra.errors import FolderError, UsageError
from recurra.train import atomic, plain_json, toml
from recurra.train.environment import environment

MARKS = ("run.toml", "log.jsonl", "state", "model")
"""A folder with one of these is taken for a run folder."""


class RunFolder:
    """A run folder on disk; make one with `create`, come back to one with `open`.

    Attributes:
        path: the folder. `model`, `state`: the folders in it for the model and for what resuming needs.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as here:
        ...     run = RunFolder.create(f"{here}/run")
        ...     run.log("note", text="begun")
        ...     RunFolder.open(run.path).events()[0]["text"]
        'begun'
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self.model = self.path / "model"
        self.state = self.path / "state"

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Make a new run folder; an empty folder may be there already.

        Raises:
            UsageError: the name is taken by a file, by an earlier run or by a folder with other content; nothing is
                touched then.
            FolderError: the folder cannot be made.
        """
        folder = cls(path)
        try:
            if folder.path.exists() and not folder.path.is_dir():
                raise UsageError(
                    "there is a file of that name",
                    where=str(folder.path),
                    need="the name of a new or empty folder",
                    cure="name another folder with --out",
                )
            if folder.path.is_dir() and any(folder.path.iterdir()):
                raise _taken(folder.path)
            folder.path.mkdir(parents=True, exist_ok=True)
            folder.state.mkdir(exist_ok=True)
        except OSError as error:
            raise atomic.cannot_write(folder.path, error) from error
        return folder

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Come back to a run folder.

        Raises:
            FolderError: it is not there, or it is no run folder.
        """
        folder = cls(path)
        if not folder.path.is_dir():
            given = "this is a file" if folder.path.exists() else "there is no such folder"
            raise FolderError(
                given,
                where=str(folder.path),
                need="the run folder of an earlier training",
                cure="give the folder that recurra train named at its end",
            )
        if not any((folder.path / mark).exists() for mark in MARKS):
            raise FolderError(
                "this folder holds no run",
                where=str(folder.path),
                need="a folder made by recurra train, with run.toml and log.jsonl in it",
                cure="give the folder that recurra train named at its end",
            )
        return folder

    # What happened: log.jsonl

    def log(self, event: str, **facts: Any) -> None:
        """Append what happened as one JSON line `{"event": ..., "at": ..., facts}` to log.jsonl."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._append("log.jsonl", plain_json.dumps({"event": event, "at": at, **facts}) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """What happened, in order. A line that a killed run left half-written is passed over."""
        path = self.path / "log.jsonl"
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise cannot_read(path, error) from error
        found = []
        for line in lines:
            try:
                fact = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(fact, dict) and "event" in fact:
                found.append(fact)
        return found

    def rewind(self, step: int, rows: list[dict[str, Any]]) -> None:
        """Take back what was logged after `step`, when a killed run goes on from a state saved before its end.

        Args:
            step: the last step that the saved state knows.
            rows: the evaluation rows up to it, which metrics.csv then holds.
        """

        kept, evaluations = [], 0
        for event in self.events():
            evaluations += event["event"] == "evaluation"
            late = event["event"] == "step" and event.get("step", 0) > step
            if not late and not (event["event"] == "evaluation" and evaluations > len(rows)):
                kept.append(event)
        if (self.path / "log.jsonl").exists():
            self.write_text("log.jsonl", "".join(plain_json.dumps(event) + "\n" for event in kept))
        if rows or (self.path / "metrics.csv").exists():
            self._write_metrics(rows)

    # Evaluations: metrics.csv

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add an evaluation's row to metrics.csv; a new column is added to the earlier rows as empty fields."""
        rows = self.metrics()
        if rows and list(row) == list(rows[0]):
            self._append("metrics.csv", _csv([list(row.values())]))
        else:
            self._write_metrics([*rows, dict(row)])

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv as texts."""
        try:
            with open(self.path / "metrics.csv", encoding="utf-8", newline="") as file:
                return [dict(row) for row in csv.DictReader(file)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise cannot_read(self.path / "metrics.csv", error) from error

    def _write_metrics(self, rows: list[dict[str, Any]]) -> None:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        lines: list[list[Any]] = [columns, *([row.get(column) for column in columns] for row in rows)]
        self.write_text("metrics.csv", _csv(lines) if rows else "")

    # Whole files

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the folder; at any moment the old one or the new one is there whole."""
        atomic.write_text(self._inside(name), text)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the folder, as `write_text` does."""
        self.write_text(name, plain_json.dumps(value, indent=2) + "\n")

    def write_file(self, name: str, write: Callable[[Path], Any]) -> None:
        """Let `write(path)` make a file (Parquet, say) aside, then give it its name in the folder."""
        path = self._inside(name)
        temporary = atomic.aside(path)
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            atomic.sync_folder(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise atomic.cannot_write(path, error) from error

    def write_settings(self, task: str, settings: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> None:
        """Write run.toml: the task, `extra` (source, command ...) on top, then a section for each entry of `settings`.

        Args:
            task: the task's name.
            settings: section name to section (a dataclass of `recurra.settings`, or a mapping).
            extra: more top-level facts.
        """
        sections = {name: s if isinstance(s, Mapping) else dataclasses.asdict(s) for name, s in settings.items()}
        self.write_text("run.toml", toml.dumps({"task": task, **(extra or {}), **sections}))

    def read_settings(self) -> dict[str, Any]:
        """What run.toml holds: `task`, the extra facts, and a dict for each section.

        Raises:
            FolderError: there is none, or it is damaged.
        """
        path = self.path / "run.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise FolderError(
                "there is no run.toml",
                where=str(self.path),
                need="the settings that recurra train writes when it begins",
                cure="give the folder of a run, or train anew",
            ) from error
        except OSError as error:
            raise cannot_read(path, error) from error
        except ValueError as error:
            raise FolderError(
                f"this is no TOML ({error})",
                where=str(path),
                need="the settings as recurra train wrote them",
                cure="undo the last change to the file, or train anew",
            ) from error

    def write_environment(self, device: str | None = None) -> None:
        """Write environment.json: versions, platform, processor, threads, device."""
        self.write_json("environment.json", environment(device))

    def _inside(self, name: str) -> Path:
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise UsageError(f"{name!r} leads out of the folder", where=str(self.path), need="a name inside it")
        return path

    def _append(self, name: str, text: str) -> None:
        path = self.path / name
        try:
            with open(path, "ab+") as file:
                if file.tell() and _last_byte(file) != b"\n":  # a killed run left half a line: begin a new one
                    text = "\n" + text
                file.write(text.encode("utf-8"))
        except OSError as error:
            raise atomic.cannot_write(path, error) from error


def _last_byte(file: io.BufferedRandom) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _taken(path: Path) -> UsageError:
    if any((path / mark).exists() for mark in MARKS):
        return UsageError(
            "there is a run in this folder already",
            where=str(path),
            need="a new folder for a new run",
            cure=f"continue it with --resume {path}, or name another folder with --out",
        )
    return UsageError(
        "the folder is not empty, and what is in it is no run",
        where=str(path),
        need="a new or empty folder",
        cure="name another folder with --out; nothing has been touched",
    )


def cannot_read(path: Path, error: OSError) -> FolderError:
    """The error for a file of a folder that is there but cannot be read."""
    return FolderError(
        f"the file could not be read ({error.strerror or error})",
        where=str(path),
        need="a file that you may read",
        cure="check its permissions and the disk",
    )
