"""The table of cells: one row a cell. Importing this file imports no torch, so that help pages stay quick."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from recurra.errors import UsageError
from recurra.options import closest


@dataclass(frozen=True)
class CellEntry:
    """A row: where the class is, what it is, and the arguments that make this variant of it."""

    name: str
    path: str
    summary: str
    reference: str
    arguments: tuple[tuple[str, object], ...] = ()


CELLS: dict[str, CellEntry] = {
    row.name: row
    for row in (
        CellEntry("elman", "recurra.cells.elman:Elman", "simple recurrent network, tanh", "Elman 1990"),
        CellEntry(
            "elman_relu",
            "recurra.cells.elman:Elman",
            "simple recurrent network, ReLU",
            "Elman 1990",
            (("nonlinearity", "relu"),),
        ),
        CellEntry("lstm", "recurra.cells.lstm:LSTM", "long short-term memory with forget gate", "Gers et al. 2000"),
        CellEntry(
            "gru",
            "recurra.cells.gru:GRU",
            "gated recurrent unit, reset after the product (as in cuDNN)",
            "Cho et al. 2014",
        ),
        CellEntry(
            "gru_reset_before",
            "recurra.cells.gru:GRU",
            "gated recurrent unit, reset before the product",
            "Cho et al. 2014",
            (("reset_after", False),),
        ),
        CellEntry("indrnn", "recurra.cells.indrnn:IndRNN", "independently recurrent network, ReLU", "Li et al. 2018"),
    )
}


def cell_class(name: str) -> tuple[type, dict[str, object]]:
    """The class and the arguments behind a registered name.

    Raises:
        UsageError: the name is not registered; the message lists the names and the closest one.
    """
    if name not in CELLS:
        raise UsageError(
            f"{name!r} is not a cell",
            where="cell",
            need="one of " + ", ".join(CELLS),
            cure=closest(name, CELLS) or None,
        )
    module, _, attribute = CELLS[name].path.partition(":")
    return getattr(importlib.import_module(module), attribute), dict(CELLS[name].arguments)
