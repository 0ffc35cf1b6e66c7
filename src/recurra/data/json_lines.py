"""Newline-delimited JSON: one object a line; a file that is one JSON array of objects is read too."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import polars as pl

from recurra.data.columns import type_column
from recurra.data.delimited import to_utf8
from recurra.errors import DataError


def read_json_lines(content: bytes, name: str) -> tuple[pl.DataFrame, np.ndarray, list[str]]:
    """Read NDJSON into a frame.

    Args:
        content: the file's bytes, unpacked.
        name: the file's name, for messages.

    Returns:
        the frame, the line number of every row, and notes.

    Raises:
        DataError: a line is not JSON, or not an object; the first such line is named.

    Example:
        >>> read_json_lines(b'{"t": 1, "y": 2.5}\\n{"t": 2, "y": null}\\n', "a.ndjson")[0]["y"].to_list()
        [2.5, None]
    """
    notes: list[str] = []
    content = to_utf8(content, name, notes)
    if content.lstrip()[:1] == b"[":
        frame = pl.DataFrame(_array(content, name), infer_schema_length=None, strict=False)
        return frame, np.arange(frame.height, dtype=np.int64) + 1, notes
    full = [i + 1 for i, line in enumerate(content.split(b"\n")) if line.strip()]
    if not full:
        raise DataError(
            "the file holds no text",
            where=name,
            need="one JSON object a line, at least two",
            cure="check how the file was made",
        )
    try:
        frame = pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise _why_unreadable(content, name) from error
    if frame.height != len(full):
        raise _why_unreadable(content, name)
    # Mixed columns come out as texts: a column of numbers with one text keeps that text, so that it can be named.
    frame = frame.select(type_column(c) if c.dtype == pl.String and _mixed(c) else c for c in frame.get_columns())
    return frame, np.asarray(full, dtype=np.int64), notes


def _mixed(column: pl.Series) -> bool:
    """Texts such as "NA" among numbers make a column of texts; give such a column back its numbers."""
    return bool(column.str.to_lowercase().is_in(["na", "n/a", "nan", "null", "-", ""]).any())


def _array(content: bytes, name: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(content)
    except RecursionError as error:
        raise DataError(
            "the JSON is nested too deep",
            where=name,
            need="one JSON object of plain values a line",
            cure="write the rows as flat objects",
        ) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"the JSON is broken: {error.msg}",
            where=f"{name}, line {error.lineno}",
            need="one JSON object a line, or one array of objects",
            cure="correct the line, or write the file again",
        ) from error
    odd = next((i for i, row in enumerate(rows) if not isinstance(row, dict)), None)
    if odd is not None:
        raise DataError(
            f"item {odd + 1} of the JSON array is not an object",
            where=name,
            need='objects such as {"time": "2024-01-01", "units": 3}',
            cure="write one object for each row",
        )
    return rows


def _why_unreadable(content: bytes, name: str) -> DataError:
    for i, line in enumerate(content.split(b"\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            message = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deep"
            given = f"the line is not JSON ({message}): {line[:40].decode()!r}"
        else:
            if isinstance(row, dict):
                continue
            given = f"the line is not a JSON object: {line[:40].decode()!r}"
        return DataError(
            given,
            where=f"{name}, line {i + 1}",
            need='one JSON object a line, such as {"time": "2024-01-01", "units": 3}',
            cure="correct or remove the line; if it is the last one, the file was probably cut short",
        )
    return DataError(
        "the lines cannot be read as one table",
        where=name,
        need="one JSON object of plain values a line",
        cure="write the file again, with the same keys in every line",
    )
