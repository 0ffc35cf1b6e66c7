"""How recursive networks turn a leaf's input into hidden units."""

from __future__ import annotations

from recurra.cells.join import JoinCell
from recurra.errors import UsageError


def check_leaf(cell: JoinCell, leaf: str) -> None:
    """Check that leaf is "project", or "identity" with as many features as hidden units."""
    where = type(cell).__name__
    if leaf not in ("project", "identity"):
        raise UsageError(f"leaf is {leaf!r}", where=where, need="'project' or 'identity'")
    if leaf == "identity" and cell.input_size != cell.hidden_size:
        raise UsageError(
            f"input_size is {cell.input_size} and hidden_size {cell.hidden_size}",
            where=where,
            need="the same number with leaf='identity', where a leaf's hidden units are x itself",
            cure="leaf='project'",
        )


def leaf_shapes(cell: JoinCell) -> dict[str, tuple[int, ...]]:
    """The weights that a leaf's projection has; none for the identity."""
    if getattr(cell, "leaf", None) == "identity":
        return {}
    return {"weight_ih": (cell.hidden_size, cell.input_size), "bias_ih": (cell.hidden_size,)}
