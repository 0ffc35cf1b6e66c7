"""Cells that run up trees, the forests they run on, and what reads trees from brackets and nested tuples."""

from recurra.cells.join import JoinCell
from recurra.cells.trees.forest import Forest
from recurra.cells.trees.reading import Parsed, read_brackets, read_nested
from recurra.cells.trees.recursive import RecursiveNetwork
from recurra.cells.trees.tensor import RecursiveTensorNetwork
from recurra.cells.trees.tree_lstm import ChildSumTreeLSTM, NaryTreeLSTM

__all__ = [
    "ChildSumTreeLSTM",
    "Forest",
    "JoinCell",
    "NaryTreeLSTM",
    "Parsed",
    "RecursiveNetwork",
    "RecursiveTensorNetwork",
    "read_brackets",
    "read_nested",
]
