"""The contract table of cells: one row a cell and variant, from the files in `rows`, one a family.

A new cell adds a row there; the generic tests of `test_cells.py` follow.
"""

from __future__ import annotations

from row import CellRow
from rows import circuits_and_spikes, continuous, external, gated, gru, linear, lstm, simple

TABLE: list[CellRow] = [
    row
    for family in (simple, lstm, gru, gated, continuous, linear, circuits_and_spikes, external)
    for row in family.ROWS
]
