"""One walk over a cell: its weights, and all else that its step follows from."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recurra.cells.base import Cell

PLAIN = frozenset({bool, int, str, type(None)})


def survey(cell: Cell) -> tuple[Any, dict[str, Tensor]]:
    """A cell's structure and its weights.

    Returns:
        what the step follows from, the weights' numbers apart (classes, settings and shapes of all parts), as a key;
        and the parameters and buffers by name, all that a step may use beside its arguments.
    """
    parts: list[Any] = []
    parameters: dict[str, Tensor] = {}
    buffers: dict[str, Tensor] = {}
    seen: set[int] = set()

    def visit(part: nn.Module, name: str) -> None:
        seen.add(id(part))
        # Classes that a parametrisation makes are made anew for each module; what counts is the one they come from.
        settings: list[Any] = [name, type(part).__mro__[1] if "parametrizations" in part._modules else type(part)]
        for key, value in part.__dict__.items():
            if key[0] != "_" and not isinstance(value, Tensor):
                kind = type(value)
                # 1 and True are one key, but not one setting; and a number that is not one is unlike itself.
                settings += (key, kind, value if kind in PLAIN else repr(value))
        parts.append(tuple(settings))
        start = name + "." if name else ""
        for table, found in ((part._parameters, parameters), (part._buffers, buffers)):
            for key, weight in table.items():
                if weight is not None and id(weight) not in seen:
                    seen.add(id(weight))
                    found[start + key] = weight
        for key, below in part._modules.items():
            if below is not None and id(below) not in seen:
                visit(below, start + key)

    visit(cell, "")
    parameters.update(buffers)
    shapes = tuple([(name, weight.shape, weight.dtype) for name, weight in parameters.items()])
    return (tuple(parts), shapes), parameters


def weight_table(cell: Cell) -> dict[str, Tensor]:
    """The cell's parameters and buffers by name."""
    return survey(cell)[1]
