"""The cell that a layer is asked for: its class and the arguments to make it with."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from recurra.cells.registry import cell_class
from recurra.errors import UsageError
from recurra.options import closest


def choose_cell(
    cell: Any,
    bias: bool,
    given: dict[str, Any],
    where: str,
    kinds: tuple[type, ...],
    driver: str | None = None,
    own: Sequence[str] = (),
) -> tuple[Any, dict[str, Any]]:
    """The cell's class and its arguments.

    Args:
        cell: a registered name or a class.
        bias: whether the cell is to have biases.
        given: further arguments of the cell.
        where: the layer's name, for messages.
        kinds: the classes that the layer runs.
        driver: what is to run the cell, where only such cells will do.
        own: arguments that the layer itself gives the cell.

    Raises:
        UsageError: there is no such cell, or it does not know one of the arguments; the message names the closest one.
    """
    arguments: dict[str, Any] = {}
    if isinstance(cell, str):
        kind, arguments = cell_class(cell, driver)
    elif isinstance(cell, type) and issubclass(cell, kinds):
        kind = cell
    else:
        names = " or ".join(each.__name__ for each in kinds)
        raise UsageError(f"cell is {cell!r}", where=where, need=f"a registered name or a class derived from {names}")
    known = inspect.signature(kind).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for name in given:
        if name not in known and not takes_any:
            choices = [other for other in known if other not in ("input_size", "hidden_size", "bias", *own)]
            raise UsageError(
                f"{name!r} is not an argument of {kind.__name__}",
                where=where,
                need="one of " + ", ".join(choices),
                cure=closest(name, choices) or None,
            )
    if "bias" in known:
        arguments["bias"] = bias
    elif not bias:
        raise UsageError("bias is False", where=where, need=f"bias=True, as {kind.__name__} knows no other")
    return kind, {**arguments, **given}
