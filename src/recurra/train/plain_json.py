"""JSON that every reader takes: arrays as lists, times as texts, numbers that are not finite as null."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
from collections.abc import Mapping
from typing import Any


def plain(value: Any, keep_all: bool = False) -> Any:
    """The value made of dict, list, text, number, true/false and None alone.

    Args:
        keep_all: keep numbers that are not finite (Python's JSON reads them back), instead of making them None.

    Raises:
        TypeError: something in it has no plain form.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if keep_all or math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(part, keep_all) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part, keep_all) for part in value]
    if isinstance(value, set | frozenset):
        return [plain(part, keep_all) for part in sorted(value, key=str)]
    if isinstance(value, datetime.date | datetime.datetime | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), keep_all) for field in dataclasses.fields(value)}
    if getattr(getattr(value, "dtype", None), "kind", "") in ("M", "m"):  # numpy times
        return value.astype(str).tolist()
    if hasattr(value, "tolist"):  # numpy arrays and numbers, torch tensors
        return plain(value.tolist(), keep_all)
    raise TypeError(f"{type(value).__name__} has no plain form")


def dumps(value: Any, *, indent: int | None = None, keep_all: bool = False) -> str:
    """The value's JSON text; `keep_all` as in `plain`.

    Pure ASCII: a user's names may hold line separators or half surrogates, which would break a log of lines.
    """
    return json.dumps(plain(value, keep_all), ensure_ascii=True, allow_nan=keep_all, indent=indent)
