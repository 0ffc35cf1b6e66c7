"""From what was typed to a task and its options: flags, `--set`, `--config`, and what an earlier run wrote down."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.errors import UsageError
from recurra.options import build
from recurra.settings import SECTIONS
from recurra.tasks.registry import TASKS

REQUIRED = {"forecast": ("horizon",), "classify": ("sequence", "label")}
"""What a table cannot say by itself, so that the command line must."""

NAMED = {"forecast": ("target", "horizon"), "classify": ("sequence", "label")}
"""What a user would name; a target may be left out where one number column is all there is."""

Given = list[tuple[str, str, Any]]
"""(how it was spelled, option name, value), the later one wins."""


ABOUT = ("task", "source", "command", "recurra")
"""What a run writes down about itself beside its options."""


@dataclass(frozen=True)
class Choice:
    """A task, its options by their flat names, and why this task."""

    task: str
    options: dict[str, Any]
    why: str


def choose(flags: Mapping[str, str], sets: Iterable[str] | None, config: Path | None) -> Choice:
    """Infer the task and put the options together: defaults, then `--config`, then flags, then `--set`.

    Raises:
        UsageError: the options say nothing of a task, or of two; or one of them is not known or not readable.
    """
    document = read_config(config) if config else {}
    given = from_config(document, config)
    given += [("--" + name.replace("_", "-"), name, text) for name, text in flags.items()] + read_sets(sets)
    stated = document.get("task")
    task, why = infer(given, stated if isinstance(stated, str) else None, config)
    options = {}
    for spelled, name, value in given:
        options.update(read_option(task, spelled, name, value))
    missing = [name for name in REQUIRED[task] if not options.get(name)]
    if missing:
        raise UsageError(
            f"the options say to {task}, but not " + " and ".join(f"--{name}" for name in missing),
            where=why or None,
            need=" and ".join(f"--{name}" for name in REQUIRED[task]),
            cure="add " + " ".join(f"--{name} {'14' if name == 'horizon' else 'COLUMN'}" for name in missing),
        )
    return Choice(task, options, why)


def infer(given: Given, stated: str | None, config: Path | None) -> tuple[str, str]:
    """The task that the options give away, and a sentence's end that says which ones did."""
    names = {
        task: {f.name for part in parts.values() for f in dataclasses.fields(part)} for task, parts in SECTIONS.items()
    }
    signs: dict[str, list[str]] = {task: [] for task in SECTIONS}
    for spelled, name, _ in given:
        owners = [task for task in SECTIONS if name.rpartition(".")[2] in names[task]]
        if len(owners) == 1:
            signs[owners[0]].append(spelled)
    if stated is not None:
        if stated not in TASKS:
            raise UsageError(f"the task {stated!r} is not known", where=str(config), need="one of " + ", ".join(TASKS))
        signs[stated].append(str(config))
    found = [task for task in signs if signs[task]]
    if len(found) == 1:
        return found[0], _join(signs[found[0]])
    ways = "; ".join(
        f"{' and '.join(f'--{name}' for name in NAMED[task])} to {entry.summary}" for task, entry in TASKS.items()
    )
    if not found:
        raise UsageError(
            "the options do not say what to learn",
            need=ways,
            cure="name the columns; recurra check DATA lists the columns of a file",
        )
    sides = "; ".join(f"{_join(signs[task])} {'go' if len(signs[task]) > 1 else 'goes'} with {task}" for task in found)
    raise UsageError(f"the options say two tasks: {sides}", need=ways, cure="leave out the options of one task")


def read_option(task: str, spelled: str, name: str, value: Any) -> dict[str, Any]:
    """One option, by its flat name, in its own type."""
    short = name.rpartition(".")[2]
    sections = build(SECTIONS[task], {name: value}, spelled)
    return next({short: getattr(part, short)} for part in sections.values() if hasattr(part, short))


def read_sets(sets: Iterable[str] | None) -> Given:
    """The `--set NAME=VALUE` options."""
    given = []
    for text in sets or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"{text!r} is no setting", where="--set", need="NAME=VALUE, such as train.clip=0.5")
        given.append(("--set", name.strip(), value.strip()))
    return given


def read_config(path: Path) -> dict[str, Any]:
    """A TOML file of options: tables named as the sections, and perhaps the `task`.

    Raises:
        UsageError: the file is not there, or is no TOML; the message names the line.
    """
    if path.is_dir() and (path / "run.toml").is_file():
        path = path / "run.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"cannot be read ({reason})", where=f"--config {path}", need="a TOML file") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"this is not TOML: {error}", where=f"--config {path}", need="lines such as clip = 0.5 under [train]"
        ) from error


def from_config(document: Mapping[str, Any], path: Path | None) -> Given:
    """The options of a configuration; what a run wrote down about itself is no option."""
    given: Given = []
    for key, value in document.items():
        if key in ("data", "model", "train") and isinstance(value, dict):
            given += [(str(path), f"{key}.{name}", part) for name, part in value.items()]
        elif key not in ABOUT:
            given.append((str(path), key, value))
    return given


def _join(words: Iterable[str]) -> str:
    *some, last = dict.fromkeys(words)
    return f"{', '.join(some)} and {last}" if some else last
