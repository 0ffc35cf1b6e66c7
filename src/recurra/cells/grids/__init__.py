"""Cells that run over grids of one, two or more dimensions."""

from recurra.cells.grids.leaky import MDLeakyLP
from recurra.cells.grids.lstm import MDLSTM
from recurra.cells.grids.simple import MDRNN

__all__ = ["MDLSTM", "MDLeakyLP", "MDRNN"]
