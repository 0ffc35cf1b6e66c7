"""How messages name a place in a user's table; a protocol, so that readers of columns need not know of files."""

from __future__ import annotations

from typing import Protocol


class Place(Protocol):
    """Names a table's places in messages."""

    name: str

    def where(self, column: str | None = None, row: int | None = None) -> str:
        """Table, column, row."""
        ...

    def row(self, index: int) -> str:
        """The words for one row."""
        ...

    def rows(self, first: int, second: int) -> str:
        """The words for two rows."""
        ...


def called(part: str, name: str) -> str:
    """A series or sequence in words: "series 'a'", or "the series" where the table is one and has no id.

    Example:
        >>> called("series", "a"), called("series", "series")
        ("series 'a'", 'the series')
    """
    return f"the {part}" if name == part else f"{part} {name!r}"
