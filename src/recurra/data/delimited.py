"""Delimited text (CSV and its kin): encoding, separator, header, ragged lines, and typed columns."""

from __future__ import annotations

import codecs
import csv
import io

import numpy as np
import polars as pl

from recurra.data.columns import type_column
from recurra.errors import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_delimited(content: bytes, name: str) -> tuple[pl.DataFrame, np.ndarray, list[str]]:
    """Read delimited text into typed columns.

    Args:
        content: the file's bytes, unpacked.
        name: the file's name, for messages.

    Returns:
        the frame, the line number of every row (the header's line counts), and notes.

    Raises:
        DataError: wrong encoding, no header, a column named twice, a line with too many or too few fields.

    Example:
        >>> frame, lines, notes = read_delimited(b"time;units\\n1;2.5\\n2;NA\\n", "a.csv")
        >>> frame["units"].to_list(), lines.tolist()
        ([2.5, None], [2, 3])
    """
    notes: list[str] = []
    content = to_utf8(content, name, notes)
    if b"\r" in content[:65536] and b"\n" not in content[:65536]:
        content = content.replace(b"\r", b"\n")
    body = content.lstrip(b"\r\n")
    above = content[: len(content) - len(body)].count(b"\n")
    if not body.strip():
        raise DataError(
            "the file holds no text",
            where=name,
            need="a header and at least two rows",
            cure="check how the file was made",
        )
    separator = sniff_separator(body)
    header = _header(body, separator, name)
    try:
        frame = pl.read_csv(
            body, separator=separator, infer_schema=False, empty_string_is_null=False, raise_if_empty=False
        )
    except pl.exceptions.PolarsError as error:
        raise _why_unreadable(body, separator, header, above, name) from error
    frame.columns = header
    _check_short_lines(body, separator, frame, above, name)
    frame, lines = _number_lines(body, separator, frame, above)
    return frame.select(type_column(frame[c]) for c in frame.columns), lines, notes


def to_utf8(content: bytes, name: str, notes: list[str]) -> bytes:
    """The content as UTF-8 without a byte-order mark; UTF-16 and UTF-32 are told by their mark, others by failing."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            if encoding == "utf-8":
                content = content[len(mark) :]
                break
            try:
                text = content.decode(encoding)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"the file is marked as {encoding.upper()}, but byte {error.start} does not fit it",
                    where=name,
                    need="a text file in UTF-8",
                    cure="save it again as UTF-8",
                ) from error
            notes.append(f"{name} is in {encoding.upper()}; it was read as such.")
            return text.encode()
    control = sum(byte < 9 or 13 < byte < 32 for byte in content[:1024])
    if control > 0.02 * min(len(content), 1024):
        raise DataError(
            "the file is binary (or text in UTF-16 without a mark), not a text table",
            where=name,
            need="a text file in UTF-8, or Parquet",
            cure="save it again as CSV in UTF-8, or as Parquet",
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"byte 0x{content[error.start]:02x} is not UTF-8; the file is probably in Latin-1 or Windows-1252",
            where=f"{name}, line {line}",
            need="a text file in UTF-8",
            cure=f"save it again as UTF-8, or: iconv -f WINDOWS-1252 -t UTF-8 {name} > utf8-{name}",
        ) from error
    return content


def sniff_separator(content: bytes) -> str:
    """The separator that splits the first lines into the same number of fields, the most fields winning."""
    text = content[:65536].decode("utf-8", errors="ignore")
    lines = [line for line in text.split("\n")[:21] if line.strip()]
    if len(lines) > 1 and len(content) > 65536:
        lines = lines[:-1]
    best, score = ",", (-1.0, 0)
    for separator in SEPARATORS:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator)]
        if counts and counts[0] > 1:
            agree = sum(count == counts[0] for count in counts) / len(counts)
            score, best = max((score, best), ((agree, counts[0]), separator))
    return best


def _header(content: bytes, separator: str, name: str) -> list[str]:
    first = next(csv.reader(io.StringIO(content[:1_000_000].decode("utf-8", errors="ignore")), delimiter=separator))
    header = [field.strip() or f"unnamed_{i + 1}" for i, field in enumerate(first)]
    if all(_is_number(field) for field in header):
        raise DataError(
            f"the first line holds only numbers ({separator.join(first[:4])}{' ...' if len(first) > 4 else ''})",
            where=f"{name}, line 1",
            need="a header: the first line names the columns",
            cure="write the columns' names, separated as the rows are, above the first row",
        )
    for i, field in enumerate(header):
        if field in header[:i]:
            raise DataError(
                f"column {field!r} is named twice (columns {header.index(field) + 1} and {i + 1})",
                where=f"{name}, line 1",
                need="a different name for every column",
                cure="rename or remove one of the two",
            )
    return header


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _why_unreadable(content: bytes, separator: str, header: list[str], above: int, name: str) -> DataError:
    """Find the first line that does not fit the header; only ever run on files that could not be read."""
    kind = SEPARATORS[separator]
    reader = csv.reader(io.StringIO(content.decode()), delimiter=separator)
    start = 1
    for row in reader:
        if len(row) > len(header):
            return DataError(
                f"the line has {len(row)} fields, the header {len(header)} (separated by {kind})",
                where=f"{name}, line {start + above}",
                need="the same number of fields in every line",
                cure='remove the extra separator, or put the field that holds it in double quotes ("...")',
            )
        start = reader.line_num + 1
    lines = content.split(b"\n")
    odd = next((i for i, line in enumerate(lines) if line.count(b'"') % 2), 0)
    return DataError(
        "a double quote is opened and not closed",
        where=f"{name}, line {odd + 1 + above}",
        need='quotes in pairs (a quote inside a quoted field is written "")',
        cure="close or remove the quote",
    )


def _check_short_lines(content: bytes, separator: str, frame: pl.DataFrame, above: int, name: str) -> None:
    """A line with too few fields would pass as missing values; counting the separators of the file tells, fast."""
    width = frame.width
    if width == 1 or b'"' in content:
        return
    expected = (width - 1) * (frame.height + 1)
    blank = frame.select(pl.all_horizontal(pl.all().str.strip_chars() == "").sum()).item()
    if content.count(separator.encode()) >= expected - blank * (width - 1):
        return
    for i, line in enumerate(content.split(b"\n")):
        fields = line.count(separator.encode()) + 1
        if line.strip() and fields < width:
            raise DataError(
                f"the line has {fields} field{'s' * (fields > 1)}, the header {width} "
                f"(separated by {SEPARATORS[separator]})",
                where=f"{name}, line {i + 1 + above}",
                need="the same number of fields in every line (a missing value is an empty field)",
                cure="complete the line; if it is the last one, the file was probably cut short",
            )


def _number_lines(content: bytes, separator: str, frame: pl.DataFrame, above: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Drop blank lines, and say on which line each remaining row begins."""
    lines = np.arange(frame.height, dtype=np.int64) + 2 + above
    ends = content.count(b"\n") + (not content.endswith(b"\n"))
    if ends != frame.height + 1:  # quoted fields hold line ends: only then is the slower reader needed
        reader = csv.reader(io.StringIO(content.decode(), newline=""), delimiter=separator)
        starts, start = [], 1
        for _ in reader:
            starts.append(start + above)
            start = reader.line_num + 1
        if len(starts) == frame.height + 1:
            lines = np.asarray(starts[1:], dtype=np.int64)
    if frame.width > 1 and frame.height:
        full = frame.select(pl.any_horizontal(pl.all().str.strip_chars() != "")).to_series()
        if not full.all():
            return frame.filter(full), lines[full.to_numpy()]
    return frame, lines
