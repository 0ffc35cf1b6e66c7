"""What can be said of a cell by looking at it: its parameters at a size, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass

from recurra.cells.registry import CELLS, cell_class
from recurra.errors import UsageError

MARKS = {
    "elementwise": "elementwise",
    "linear": "linear",
    "continuous_time": "continuous time",
    "external_memory": "external memory",
}
"""A cell's flags, and how people read them."""


@dataclass(frozen=True)
class CellFacts:
    """Facts of a registered cell at a size.

    Attributes:
        name: in the table of cells.
        parameters: how many numbers are learned, or None where the cell cannot be made at this size.
        problem: why it cannot be made.
        elementwise, linear, continuous_time, external_memory: as the attributes of `Cell`.
    """

    name: str
    parameters: int | None
    problem: str | None
    elementwise: bool
    linear: bool
    continuous_time: bool
    external_memory: bool

    @property
    def marks(self) -> str:
        """What the cell can do, in words."""
        return ", ".join(words for flag, words in MARKS.items() if getattr(self, flag))


def cell_facts(name: str, input_size: int, hidden_size: int) -> CellFacts:
    """The facts of a registered cell, without drawing a number.

    Args:
        name: in the table of cells.
        input_size: features of x.
        hidden_size: hidden units.

    Example:
        >>> facts = cell_facts("lstm", 8, 64)
        >>> facts.parameters, facts.linear, cell_facts("lru", 8, 64).marks
        (18944, False, 'elementwise, linear')
    """
    kind, arguments = cell_class(name)
    try:
        cell = kind(input_size, hidden_size, **arguments, device="meta")
    except UsageError as error:
        flags = {flag: bool(getattr(kind, flag, False)) for flag in MARKS}
        return CellFacts(name, None, str(error), **flags)
    parameters = sum(weight.numel() for weight in cell.parameters() if weight.requires_grad)
    return CellFacts(name, parameters, None, **{flag: bool(getattr(cell, flag, False)) for flag in MARKS})


def all_facts(input_size: int, hidden_size: int) -> list[CellFacts]:
    """The facts of every registered cell, in the order of the table."""
    return [cell_facts(name, input_size, hidden_size) for name in CELLS]
