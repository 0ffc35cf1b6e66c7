"""Cells that run over grids."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS = (
    CellEntry(
        "mdrnn",
        "recurra.cells.grids.simple:MDRNN",
        "multi-dimensional recurrent network",
        "Graves et al. 2007",
        driver="sweep",
    ),
    CellEntry(
        "mdlstm",
        "recurra.cells.grids.lstm:MDLSTM",
        "multi-dimensional LSTM with peepholes",
        "Graves et al. 2007",
        driver="sweep",
    ),
    CellEntry(
        "md_leaky_lp",
        "recurra.cells.grids.leaky:MDLeakyLP",
        "multi-dimensional memory cell that stays bounded",
        "Leifert et al. 2016",
        driver="sweep",
    ),
)
