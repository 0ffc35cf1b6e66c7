"""A search as a text: its name, and named arguments in brackets."""

from __future__ import annotations

import re
from typing import Any

from recurra.errors import UsageError


def name_and_rest(text: str) -> tuple[str, str] | None:
    """A name and what stands in brackets behind it, or None where the text is nothing of this kind.

    Example:
        >>> name_and_rest("ga(population=80)"), name_and_rest("ga"), name_and_rest("4 of 5")
        (('ga', 'population=80'), ('ga', ''), None)
    """
    found = re.fullmatch(r"\s*([A-Za-z][\w-]*)\s*(?:\((.*)\))?\s*", text)
    return (found.group(1), found.group(2) or "") if found else None


def named_arguments(rest: str, text: str, where: str) -> dict[str, Any]:
    """The arguments that stand in brackets.

    Args:
        rest: `population=80, selection=rank`.
        text: the whole that it stands in, for the message.
        where: what an error's message says that the text was given for.

    Raises:
        UsageError: an argument has no name.

    Example:
        >>> named_arguments("population=80, spread=none", "ga(population=80, spread=none)", "search")
        {'population': 80, 'spread': None}
    """
    arguments: dict[str, Any] = {}
    for part in filter(str.strip, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier():
            need = "named arguments, as in ga(population=80, selection=rank)"
            raise UsageError(f"{part.strip()!r} in {text!r} is not understood", where=where, need=need)
        arguments[key.strip()] = _value(value.strip())
    return arguments


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"none": None, "true": True, "false": False}.get(text.lower(), text.strip("'\""))
