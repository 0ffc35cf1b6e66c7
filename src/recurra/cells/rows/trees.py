"""Cells that run up trees."""

from __future__ import annotations

from recurra.cells.entry import CellEntry

ROWS = (
    CellEntry(
        "recursive",
        "recurra.cells.trees.recursive:RecursiveNetwork",
        "recursive network on trees",
        "Goller and Kuechler 1996",
        driver="fold",
    ),
    CellEntry(
        "rntn",
        "recurra.cells.trees.tensor:RecursiveTensorNetwork",
        "recursive neural tensor network",
        "Socher et al. 2013",
        driver="fold",
    ),
    CellEntry(
        "child_sum_tree_lstm",
        "recurra.cells.trees.tree_lstm:ChildSumTreeLSTM",
        "Tree-LSTM that sums over any number of children",
        "Tai et al. 2015",
        driver="fold",
    ),
    CellEntry(
        "nary_tree_lstm",
        "recurra.cells.trees.tree_lstm:NaryTreeLSTM",
        "Tree-LSTM with weights for each of N children",
        "Tai et al. 2015",
        driver="fold",
    ),
)
