"""Files: what a path holds, by its ending and its first bytes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl

from recurra.data.delimited import read_delimited
from recurra.data.table import ACCEPTED, Table, check_any_row, first_line
from recurra.errors import DataError

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
JSON_ENDINGS = (".ndjson", ".jsonl", ".json", ".ndjson.gz", ".jsonl.gz", ".json.gz")
PARQUET_ENDINGS = (".parquet", ".pq")


def read_path(path: Path) -> Table:
    """Read a file by its ending and its first bytes.

    Args:
        path: of a CSV, TSV or TXT file (also gzipped), a Parquet file, or NDJSON.

    Raises:
        DataError: the file is missing, empty, damaged, may not be read, or is not what its name says.
    """
    name = path.name or str(path)
    try:
        if path.is_dir():
            raise DataError(
                f"{str(path)!r} is a folder",
                where=name,
                need="a file: CSV, Parquet or NDJSON",
                cure="give the path of one file in it" + _inside(path),
            )
        if not path.exists():
            raise DataError(
                f"there is no file {str(path)!r}", where=name, need=ACCEPTED, cure=_nearby(path) or "check the path"
            )
        with open(path, "rb") as file:
            head = file.read(4096)
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(
            f"{str(path)!r} may not be read (permission denied)",
            where=name,
            need="permission to read the file",
            cure=f"change it with: chmod u+r {path}",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} cannot be opened ({getattr(error, 'strerror', None) or first_line(error)})",
            where=name[:80],
            need=ACCEPTED,
            cure="check the path",
        ) from error
    if not head:
        raise DataError(
            "the file is empty (0 bytes)",
            where=name,
            need="a header and at least two rows",
            cure="check how the file was made",
        )
    return _read_file(path, name, head)


def _read_file(path: Path, name: str, head: bytes) -> Table:
    lower = name.lower()
    if head[:4] == b"PAR1" or lower.endswith(PARQUET_ENDINGS):
        return Table(check_any_row(_read_parquet(path, name, head), name), name, first_row=1)
    for magic, what in ((b"PK\x03\x04", "a ZIP archive or an Excel workbook"), (b"\xd0\xcf\x11\xe0", "an Excel file")):
        if head.startswith(magic):
            raise DataError(
                f"the file is {what}, not a text table",
                where=name,
                need="CSV, Parquet or NDJSON",
                cure="save the sheet as CSV (UTF-8), or unpack the archive",
            )
    if head.lstrip()[:14].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(
            "the file is a web page or XML, not a table",
            where=name,
            need="CSV, Parquet or NDJSON",
            cure="download the data themselves, not the page that shows them",
        )
    content = _bytes_of(path, name, zipped=head[:2] == b"\x1f\x8b" or lower.endswith(".gz"))
    if lower.endswith(JSON_ENDINGS) or (not lower.endswith(TEXT_ENDINGS) and content.lstrip()[:1] == b"{"):
        from recurra.data.json_lines import read_json_lines

        frame, lines, notes = read_json_lines(content, name)
    elif content.lstrip()[:2] == b'{"':
        raise DataError(
            "the file holds JSON, not what its name says",
            where=name,
            need="a name that ends as the content does",
            cure=f"rename it to {path.stem}.ndjson",
        )
    else:
        frame, lines, notes = read_delimited(content, name)
    first = int(lines[0]) if len(lines) else 1
    consecutive = bool(np.all(np.diff(lines) == 1))
    return Table(check_any_row(frame, name), name, first, None if consecutive else lines, counted="line", notes=notes)


def _read_parquet(path: Path, name: str, head: bytes) -> pl.DataFrame:
    if head[:4] != b"PAR1":
        raise DataError(
            f"the file is not Parquet: it starts with {head[:12]!r}",
            where=name,
            need="a Parquet file (it starts with b'PAR1')",
            cure="name the file by what it holds, .csv or .ndjson, or write it again as Parquet",
        )
    if not path.name.lower().endswith(PARQUET_ENDINGS):
        raise DataError(
            "the file holds Parquet, not what its name says",
            where=name,
            need="a name that ends as the content does",
            cure=f"rename it to {path.stem}.parquet",
        )
    try:
        return pl.read_parquet(path, glob=False)
    except Exception as error:  # a damaged file may fail in any part of the reader
        with open(path, "rb") as file:
            file.seek(-4, os.SEEK_END)
            cut = file.read(4) != b"PAR1"
        raise DataError(
            f"the Parquet file is {'cut short' if cut else 'damaged'} ({first_line(error)})",
            where=name,
            need="a whole Parquet file" + (" (its last four bytes are PAR1)" if cut else ""),
            cure="copy or write it again",
        ) from error


def _bytes_of(path: Path, name: str, zipped: bool) -> bytes:
    if not zipped:
        return path.read_bytes()
    import gzip
    import zlib

    try:
        with gzip.open(path) as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"the gzip file is cut short or damaged ({first_line(error)})",
            where=name,
            need="a whole gzip file",
            cure="copy or compress it again",
        ) from error


def _inside(path: Path) -> str:
    endings = TEXT_ENDINGS + JSON_ENDINGS + PARQUET_ENDINGS
    names = sorted(p.name for p in path.iterdir() if p.name.lower().endswith(endings))
    return f", such as {names[0]}" if names else ""


def _nearby(path: Path) -> str:
    from recurra.options import closest

    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {str(folder)!r} either; check the path"
    return closest(path.name, [p.name for p in folder.iterdir() if p.is_file()])
