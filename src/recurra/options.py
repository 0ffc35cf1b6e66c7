"""How an option is declared once and serves everywhere: Python arguments, command-line flags, `--set`, TOML, help.

A section is a frozen dataclass whose fields are made with `option(...)`. A field's dotted name is `section.field`.
Importing this file imports no heavy package.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any

from recurra.errors import UsageError


def option(
    default: Any,
    help: str,
    *,
    flag: bool = False,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    may_change: bool = False,
) -> Any:
    """Declare a field of a section.

    Args:
        default: the value when nothing is given.
        help: one line for the help page and the docs.
        flag: whether the field is an option of `recurra train --help`; else it is reached through `--set`.
        choices: the allowed values of a text field.
        low, high: bounds of a number, both allowed.
        may_change: whether the field may be changed when a run is resumed.
    """
    metadata = {
        "help": help,
        "flag": flag,
        "choices": choices,
        "low": low,
        "high": high,
        "may_change": may_change,
    }
    return dataclasses.field(default=default, metadata=metadata)


def closest(word: str, words: typing.Iterable[str]) -> str:
    """A did-you-mean sentence, or the empty text when nothing is close."""
    words = list(words)
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.6) or difflib.get_close_matches(
        word.lower(), words, n=1, cutoff=0.5
    )
    return f"did you mean {found[0]!r}?" if found else ""


def field_types(section: type) -> dict[str, Any]:
    """The resolved type of each field of a section."""
    return typing.get_type_hints(section)


def parse(section: type, name: str, value: Any, where: str) -> Any:
    """Turn a given value (a text from the command line, or any Python value) into the field's type, or say why not.

    Texts are read by the field's type: numbers; `true`/`false`; lists as comma-separated; `none` or `auto` as None
    where None is allowed. Durations (fields ending in `time_limit`) take 90, 90s, 5m, 1h30m.
    """
    field = next(f for f in dataclasses.fields(section) if f.name == name)
    wanted = field_types(section)[name]
    kinds = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    meta = field.metadata
    need = describe(kinds, meta)
    if value is None or (isinstance(value, str) and value.lower() in ("none", "auto") and type(None) in kinds):
        if type(None) in kinds:
            return None
        raise UsageError("nothing was given", where=where, need=need)
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            result = _convert(kind, value, duration=name.endswith("time_limit"))
        except (ValueError, TypeError):
            continue
        _check(result, meta, need, where)
        return result
    raise UsageError(f"{value!r} is not understood", where=where, need=need)


def describe(kinds: tuple[Any, ...], meta: Mapping[str, Any]) -> str:
    """The allowed values of a field in plain words."""
    if meta.get("choices"):
        return "one of " + ", ".join(meta["choices"])
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "auto"}
    parts = []
    for kind in kinds:
        if typing.get_origin(kind) is tuple:
            inner = words[typing.get_args(kind)[0]].removeprefix("a ").removeprefix("whole ")
            parts.append(f"a comma-separated list of {inner}s")
        else:
            parts.append(words.get(kind, str(kind)))
    text = " or ".join(parts)
    low, high = meta.get("low"), meta.get("high")
    if low is not None and high is not None:
        text += f" from {low} to {high}"
    elif low is not None:
        text += f", at least {low}"
    elif high is not None:
        text += f", at most {high}"
    return text


def _convert(kind: Any, value: Any, duration: bool) -> Any:
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif isinstance(value, int | float):
            value = [value]
        return tuple(_convert(inner, v, False) for v in value)
    if kind is bool:
        if isinstance(value, bool):
            return value
        return (
            {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[str(value).lower()]
            if str(value).lower() in ("true", "yes", "1", "false", "no", "0")
            else _fail(value)
        )
    if kind is int:
        if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
            raise ValueError
        return int(value)
    if kind is float:
        if isinstance(value, bool):
            raise ValueError
        return seconds(value) if duration else float(value)
    if kind is str:
        if not isinstance(value, str):
            raise TypeError
        return value
    raise TypeError(kind)


def _fail(value: Any) -> Any:
    raise ValueError(value)


def seconds(value: Any) -> float:
    """A duration in seconds from 90, "90", "90s", "5m", "1h30m"."""
    import re

    if isinstance(value, int | float):
        return float(value)
    text = value.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|m|s)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise ValueError(value)
    return sum(float(n) * {"h": 3600, "m": 60, "s": 1}[u] for n, u in parts)


def _check(value: Any, meta: Mapping[str, Any], need: str, where: str) -> None:
    values = value if isinstance(value, tuple) else (value,)
    for v in values:
        if meta.get("choices") and v not in meta["choices"]:
            raise UsageError(
                f"{v!r} is not known", where=where, need=need, cure=closest(str(v), meta["choices"]) or None
            )
        if isinstance(v, int | float) and not isinstance(v, bool):
            low, high = meta.get("low"), meta.get("high")
            if v != v or (low is not None and v < low) or (high is not None and v > high):
                raise UsageError(f"{v} is out of range", where=where, need=need)


def build(sections: Mapping[str, type], given: Mapping[str, Any], where: str = "option") -> dict[str, Any]:
    """Make the sections' objects from flat (`clip`) or dotted (`train.clip`) names; unknown ones get a did-you-mean."""
    owner = {f.name: key for key, cls in sections.items() for f in dataclasses.fields(cls)}
    dotted = {f"{key}.{name}" for name, key in owner.items()}
    values: dict[str, dict[str, Any]] = {key: {} for key in sections}
    for name, value in given.items():
        short = name.rpartition(".")[2]
        if short not in owner or ("." in name and name not in dotted):
            known = sorted(dotted) if "." in name else sorted(owner)
            raise UsageError(
                f"{name!r} is not an option",
                where=where,
                need="one of " + ", ".join(known),
                cure=closest(name, known) or None,
            )
        values[owner[short]][short] = parse(sections[owner[short]], short, value, f"{where} {name!r}")
    return {key: cls(**values[key]) for key, cls in sections.items()}
