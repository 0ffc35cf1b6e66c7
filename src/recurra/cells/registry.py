"""The table of cells: one row a cell, from the files in `rows`. Importing this file imports no torch."""

from __future__ import annotations

import importlib

from recurra.cells.entry import CellEntry
from recurra.cells.rows import circuits_and_spikes, continuous, external, gated, grids, gru, linear, lstm, simple, trees
from recurra.errors import UsageError
from recurra.options import closest

FAMILIES: dict[str, tuple[CellEntry, ...]] = {
    "simple": simple.ROWS,
    "LSTM": lstm.ROWS,
    "GRU": gru.ROWS,
    "gated": gated.ROWS,
    "continuous time": continuous.ROWS,
    "linear and modern": linear.ROWS,
    "circuits and spikes": circuits_and_spikes.ROWS,
    "external memory": external.ROWS,
    "trees": trees.ROWS,
    "grids": grids.ROWS,
}
"""The rows of each family, in the order in which lists show them."""

CELLS: dict[str, CellEntry] = {row.name: row for rows in FAMILIES.values() for row in rows}


DRIVERS = {"unroll": "recurra.nn.Recurrent", "fold": "recurra.nn.Tree", "sweep": "recurra.nn.Grid"}
"""The layer that runs the cells of each driver."""


def along_time() -> list[str]:
    """The names of the cells that run along time."""
    return [name for name, row in CELLS.items() if row.driver == "unroll"]


def cell_class(name: str, driver: str | None = None) -> tuple[type, dict[str, object]]:
    """The class and the arguments behind a registered name.

    Args:
        name: in the table.
        driver: what is to run it, where only such cells will do.

    Raises:
        UsageError: the name is not registered, or another driver's; the message lists the names and the closest one.
    """
    names = [known for known, row in CELLS.items() if driver in (None, row.driver)]
    if name in CELLS and name not in names:
        row = CELLS[name]
        raise UsageError(
            f"{name!r} is {row.summary}, which {row.driver} runs",
            where="cell",
            need="one of " + ", ".join(names),
            cure=f"{DRIVERS[row.driver]}({name!r}, ...)",
        )
    if name not in names:
        raise UsageError(
            f"{name!r} is not a cell",
            where="cell",
            need="one of " + ", ".join(names),
            cure=closest(name, names) or None,
        )
    module, _, attribute = CELLS[name].path.partition(":")
    return getattr(importlib.import_module(module), attribute), dict(CELLS[name].arguments)
