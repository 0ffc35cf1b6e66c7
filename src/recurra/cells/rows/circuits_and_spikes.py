"""Networks of electrical parts, and of units that spike."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS: tuple[CellEntry, ...] = (
    CellEntry(
        "memristive_reservoir",
        "recurra.cells.circuits.memristive_reservoir:MemristiveReservoir",
        "memristive circuit, the memory of its memristors as hidden units",
        "Caravelli et al. 2017",
    ),
    CellEntry(
        "liquid",
        "recurra.cells.liquid:Liquid",
        "liquid of a liquid state machine: frozen spiking units, the nearer the more linked",
        "Maass et al. 2002",
    ),
)
