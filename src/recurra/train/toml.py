"""Writing TOML, as much of it as a run's settings need; reading is the standard library's `tomllib`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def dumps(document: Mapping[str, Any]) -> str:
    """The TOML text of a mapping of values and of sections (mappings of values); None is left out.

    Raises:
        TypeError: a value has no TOML form here (texts, whole and other numbers, true/false and lists of these have).

    Example:
        >>> print(dumps({"task": "forecast", "train": {"seed": 0, "epochs": None, "clip": 1.0}}), end="")
        task = "forecast"
        <BLANKLINE>
        [train]
        seed = 0
        clip = 1.0
    """
    top = {key: value for key, value in document.items() if not isinstance(value, Mapping)}
    parts = [_lines(top)] if any(value is not None for value in top.values()) else []
    for key, value in document.items():
        if isinstance(value, Mapping):
            parts.append(f"[{_key(key)}]\n{_lines(value)}")
    return "\n".join(parts)


def _lines(values: Mapping[str, Any]) -> str:
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in values.items() if value is not None)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        text = repr(float(value))
        return text if "." in text or "e" in text else text + ".0"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    raise TypeError(f"{type(value).__name__} has no TOML form here")


def _text(text: str) -> str:
    def escaped(character: str) -> str:
        if character in _SHORT:
            return _SHORT[character]
        # TOML takes no control characters, and no lone surrogates, which no UTF-8 text can hold.
        if ord(character) < 0x20 or ord(character) == 0x7F:
            return f"\\u{ord(character):04X}"
        return "\ufffd" if 0xD800 <= ord(character) <= 0xDFFF else character

    return '"' + "".join(map(escaped, text)) + '"'
