"""`--resume RUN`: an earlier run's own settings, of which only a few may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from recurra.cli.choose import Choice, from_config, read_config, read_option, read_sets
from recurra.errors import FolderError, UsageError
from recurra.settings import SECTIONS
from recurra.tasks.registry import TASKS


def changeable() -> list[str]:
    """The options that may change when a run is resumed."""
    fields = [f for parts in SECTIONS.values() for part in parts.values() for f in dataclasses.fields(part)]
    return list(dict.fromkeys(f.name for f in fields if f.metadata["may_change"]))


def resumed(
    run: str, flags: Mapping[str, str], sets: Iterable[str] | None, config: Path | None, out: str | None
) -> tuple[Choice, str | None]:
    """The settings of an earlier run with the few allowed changes, and the data it read.

    Raises:
        UsageError: an option was given that may not change.
        FolderError: the folder holds no run.
    """
    given = [("--" + name.replace("_", "-"), name, text) for name, text in flags.items()] + read_sets(sets)
    fixed = [
        s if s != "--set" else f"--set {name}" for s, name, _ in given if name.rpartition(".")[2] not in changeable()
    ]
    fixed += [name for name, value in (("--config", config), ("--out", out)) if value is not None]
    if fixed:
        free = ", ".join(
            "--" + name.replace("_", "-") if name != "keep_every" else f"--set train.{name}" for name in changeable()
        )
        raise UsageError(
            f"{', '.join(fixed)} cannot change in a run that goes on",
            where=f"--resume {run}",
            need=f"only {free} (and DATA, --json, --quiet) beside it",
            cure="leave it out, or train anew without --resume",
        )
    file = Path(run) / "run.toml"
    if not file.is_file():
        raise FolderError(
            "there is no run.toml in it" if Path(run).is_dir() else "this folder is not there",
            where=f"--resume {run}",
            need="the run folder of an earlier recurra train",
        )
    document = read_config(file)
    task = document.get("task")
    if task not in TASKS:
        raise FolderError(f"the task {task!r} is not known", where=str(file), need="one of " + ", ".join(TASKS))
    options = {}
    for spelled, name, value in from_config(document, file) + given:
        options.update(read_option(task, spelled, name, value))
    return Choice(task, options, f"{run} did"), recorded_data(document)


def recorded_data(document: Mapping[str, object]) -> str | None:
    """The path of the data that a run read, where it is written down."""
    source = document.get("source")
    return source if isinstance(source, str) else None
