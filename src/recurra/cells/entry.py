"""What a row of the table of cells says. Importing this file imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CellEntry:
    """A row: where the class is, what it is, and the arguments that make this variant of it.

    Attributes:
        name: what users type.
        path: "module:Class".
        summary: what it is, in a few words.
        reference: its paper, as "Author year".
        arguments: the constructor's arguments that make this variant.
        driver: what runs it: "unroll" along time, "fold" up a tree, "sweep" over a grid.
    """

    name: str
    path: str
    summary: str
    reference: str
    arguments: tuple[tuple[str, object], ...] = ()
    driver: str = "unroll"
