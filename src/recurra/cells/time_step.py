"""What the cells in continuous time share: checks of their constants and the choice between dt and its default."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from recurra.errors import UsageError


def check_positive(value: Any, name: str, where: str) -> float:
    """A finite number above zero, or a UsageError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise UsageError(f"{name} is {value!r}", where=where, need="a positive number")
    return float(value)


def check_not_negative(value: Any, name: str, where: str) -> float:
    """A finite number that is zero or above, or a UsageError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise UsageError(f"{name} is {value!r}", where=where, need="zero or a positive number")
    return float(value)


def check_fraction(value: Any, name: str, where: str) -> float:
    """A number from 0 to 1, or a UsageError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(f"{name} is {value!r}", where=where, need="a number from 0 to 1")
    return float(value)


def check_choice(value: Any, name: str, choices: tuple[str, ...], where: str) -> str:
    """One of the words allowed, or a UsageError that lists them."""
    if value not in choices:
        *first, last = (repr(choice) for choice in choices)
        raise UsageError(f"{name} is {value!r}", where=where, need=f"{', '.join(first)} or {last}")
    return value


def per_unit(value: Any, hidden_size: int, name: str, where: str, limit: float = math.inf) -> list[float]:
    """One positive number for each hidden unit, from one number or that many, or a UsageError."""
    need = "a positive number" + ("" if limit == math.inf else f" of at most {limit:g}") + f", or {hidden_size} of them"
    if isinstance(value, Tensor):
        value = value.tolist()
    numbers = list(value) if isinstance(value, list | tuple) else [value] * hidden_size
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= limit:
            raise UsageError(f"{name} is {value!r}", where=where, need=need)
        if not math.isfinite(number):
            raise UsageError(f"{name} is {value!r}", where=where, need=need)
    if len(numbers) != hidden_size:
        raise UsageError(f"{name} has {len(numbers)} entries", where=where, need=need)
    return [float(number) for number in numbers]


def step_size(dt: Tensor | None, default: float) -> Tensor | float:
    """The time given for this step, (batch, 1), or the cell's own."""
    return default if dt is None else dt
