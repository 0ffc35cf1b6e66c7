"""Columns: what counts as missing, what counts as a number, categories as codes."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from recurra.data.place import Place
from recurra.errors import DataError

MISSING_MARKERS = ("", "na", "n/a", "#n/a", "nan", "nat", "null", "none", "-")
"""Texts that stand for a missing value, in any case, with or without spaces around them."""

MOST_LEVELS = 10_000


def type_column(column: pl.Series) -> pl.Series:
    """A column of texts as whole numbers, numbers or truth values where every value is one; else as it is.

    Missing markers become missing in columns of numbers; in a column of texts only the empty text does, for "NA" may
    be a name there. Texts such as "007" stay texts.

    Example:
        >>> type_column(pl.Series(["1", " 2", "n/a"])).to_list()
        [1, 2, None]
    """
    texts = column.str.strip_chars()
    empty = texts == ""
    if empty.any():
        texts = texts.to_frame("x").select(pl.when(pl.col("x") != "").then(pl.col("x")).alias(column.name)).to_series()
    sample = texts.drop_nulls().head(1000)
    sample = sample.filter(~sample.str.to_lowercase().is_in(MISSING_MARKERS))
    if sample.cast(pl.Float64, strict=False).null_count():
        values = sample.str.to_lowercase()
        if values.is_in(["true", "false"]).all():
            lowered = texts.str.to_lowercase()
            if lowered.drop_nulls().is_in(["true", "false", *MISSING_MARKERS]).all():
                return (lowered == "true").set(~lowered.is_in(["true", "false"]).fill_null(False), None)
        return texts
    if texts.str.contains(r"^[+-]?0[0-9]").any():
        return texts
    for kind in (pl.Int64, pl.Float64):
        numbers = texts.cast(kind, strict=False)
        odd = texts.filter(numbers.is_null()).drop_nulls()
        if odd.str.to_lowercase().is_in(MISSING_MARKERS).all():
            return numbers if numbers.null_count() < len(numbers) else texts
    return texts


def is_numeric(column: pl.Series) -> bool:
    """Whether the column's type is a number or a truth value."""
    return column.dtype.is_numeric() or column.dtype == pl.Boolean


def is_text(column: pl.Series) -> bool:
    """Whether the column holds texts or categories."""
    return column.dtype in (pl.String, pl.Categorical, pl.Enum)


def as_texts(column: pl.Series) -> pl.Series:
    """The column as texts, the same for the same values whatever the file format: 1, 1.0 and "1" are "1"."""
    if column.dtype.is_float():
        whole = column.fill_nan(None)
        if ((whole == whole.round()) | whole.is_null()).all() and (whole.abs() < 2.0**53).all():
            return whole.cast(pl.Int64).cast(pl.String)
        return whole.cast(pl.String)
    return column.cast(pl.String)


def _markers_to_null(column: pl.Series) -> pl.Series:
    texts = column.cast(pl.String).str.strip_chars()
    return texts.set(texts.str.to_lowercase().is_in(MISSING_MARKERS).fill_null(False), None)


def share_of_numbers(column: pl.Series) -> float:
    """How much of a column of texts is numbers (missing values aside); 0.0 when nothing is there."""
    texts = _markers_to_null(column).drop_nulls()
    if not len(texts):
        return 0.0
    return 1.0 - float(_parse(texts).null_count()) / len(texts)


def _parse(texts: pl.Series) -> pl.Series:
    return texts.cast(pl.Float64, strict=False)


def as_numbers(place: Place, column: pl.Series, what: str) -> np.ndarray:
    """A column as float64 with NaN for missing.

    Args:
        place: names the table and its rows in messages.
        column: the column.
        what: the column's part, as the user knows it ("--target units").

    Raises:
        DataError: a value is a text, has a decimal comma, or is infinite: the first such row is named.
    """
    if is_numeric(column):
        numbers = column.cast(pl.Float64)
    elif is_text(column):
        texts = _markers_to_null(column)
        numbers = _parse(texts)
        odd = (numbers.is_null() & texts.is_not_null()).to_numpy()
        if odd.any():
            raise _not_numbers(place, texts, odd, what)
    elif column.dtype.is_decimal():
        numbers = column.cast(pl.Float64)
    elif column.dtype == pl.Null:
        numbers = pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    else:
        kind = "dates or times" if column.dtype.is_temporal() else f"values of type {column.dtype}"
        raise DataError(
            f"the column holds {kind}, not numbers",
            where=place.where(column.name),
            need=f"numbers in {what}",
            cure="name another column, or make numbers of it first",
        )
    values = numbers.to_numpy().astype(np.float64, copy=True)
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"the value is infinite ({values[infinite[0]]}); {_count(len(infinite), 'such row')}",
            where=place.where(column.name, int(infinite[0])),
            need=f"finite numbers in {what}, or an empty field for a missing one",
            cure="replace infinite values by empty fields, or by what was meant",
        )
    return values


def _not_numbers(place: Place, texts: pl.Series, odd: np.ndarray, what: str) -> DataError:
    rows = np.flatnonzero(odd)
    value = str(texts[int(rows[0])])
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})*,\d+|[+-]?\d+,\d+", value):
        return DataError(
            f"{value!r} is written with a decimal comma; {_count(len(rows), 'such row')}",
            where=place.where(texts.name, int(rows[0])),
            need=f"numbers with a decimal point in {what}, such as {value.replace('.', '').replace(',', '.')}",
            cure="write the column with decimal points (in a spreadsheet: export with an English locale)",
        )
    return DataError(
        f"{value!r} is not a number; {_count(len(rows), 'such row')}",
        where=place.where(texts.name, int(rows[0])),
        need=f"numbers in {what}, or an empty field for a missing one",
        cure="correct the value, or leave the field empty",
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def is_category(place: Place, column: pl.Series, listed: bool, what: str) -> bool:
    """Whether a column is read as categories: when the user lists it, or when it holds texts.

    Raises:
        DataError: most of the texts are numbers, so that the others are likely mistakes.
    """
    if listed:
        return True
    if not is_text(column):
        return False
    share = share_of_numbers(column)
    if share == 1.0:
        return False
    if share >= 0.5 or _looks_like_decimal_commas(column):
        texts = _markers_to_null(column)
        error = _not_numbers(place, texts, (_parse(texts).is_null() & texts.is_not_null()).to_numpy(), what)
        error_cure = f"{error.cure}; if these are categories: --set data.categorical={column.name}"
        raise DataError(error.given, where=error.where, need=error.need, cure=error_cure)
    return True


def _looks_like_decimal_commas(column: pl.Series) -> bool:
    texts = _markers_to_null(column).drop_nulls()
    return len(texts) > 0 and bool(texts.str.contains(r"^[+-]?\d+(,\d+)?$").all())


def learn_levels(place: Place, column: pl.Series, what: str) -> list[str]:
    """The sorted levels of a categorical column; numbers sort as numbers.

    Raises:
        DataError: there are more than 10,000 levels.
    """
    texts = _markers_to_null(as_texts(column)) if is_text(column) else as_texts(column)
    levels = texts.drop_nulls().unique().to_list()
    if len(levels) > MOST_LEVELS:
        raise DataError(
            f"there are {len(levels):,} different values in a categorical column",
            where=place.where(column.name),
            need=f"at most {MOST_LEVELS:,} levels in {what}",
            cure="leave the column out, or group its rare values under one name",
        )
    return sort_levels(levels)


def sort_levels(levels: list[str]) -> list[str]:
    """Sorted as numbers when all are whole numbers, else as texts."""
    if all(re.fullmatch(r"-?\d+", level) for level in levels):
        return sorted(levels, key=int)
    return sorted(levels)


def as_codes(column: pl.Series, levels: list[str]) -> tuple[np.ndarray, list[str]]:
    """Codes 1..n of a column's levels as float64, 0 for missing or unseen ones; and the unseen levels, sorted."""
    texts = _markers_to_null(as_texts(column)) if is_text(column) else as_texts(column)
    table = {level: float(i + 1) for i, level in enumerate(levels)}
    codes = texts.replace_strict(list(table), list(table.values()), default=0.0, return_dtype=pl.Float64)
    values = codes.fill_null(0.0).to_numpy().astype(np.float64, copy=True)
    unseen = sorted(set(texts.filter(pl.Series(values == 0.0)).drop_nulls().unique().to_list()) - set(levels))
    return values, unseen


def missing_rows(column: pl.Series) -> np.ndarray:
    """Where a column holds nothing: null, NaN, or a missing marker in a column of texts; boolean (rows,)."""
    missing = column.is_null()
    if is_text(column):
        missing = missing | column.cast(pl.String).str.strip_chars().str.to_lowercase().is_in(MISSING_MARKERS)
    elif column.dtype.is_float():
        missing = missing | column.is_nan()
    return missing.fill_null(True).to_numpy()
