"""Input weights of reservoirs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recurra.cells.base import check_size
from recurra.cells.time_step import check_choice
from recurra.errors import UsageError


def uniform(units: int, inputs: int, generator: torch.Generator | None = None) -> Tensor:
    """Uniform in +-1."""
    return 2.0 * torch.rand(units, inputs, generator=generator, dtype=torch.float64) - 1.0


def normal(units: int, inputs: int, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal."""
    return torch.randn(units, inputs, generator=generator, dtype=torch.float64)


def sign(units: int, inputs: int, generator: torch.Generator | None = None) -> Tensor:
    """-1 or 1 with even chances: all of one size, as in the simple cycle reservoir."""
    drawn = torch.rand(units, inputs, generator=generator, dtype=torch.float64)
    return torch.where(drawn < 0.5, -1.0, 1.0).to(torch.float64)


def one_input_each(units: int, inputs: int, generator: torch.Generator | None = None) -> Tensor:
    """Each unit hears one input alone, the units shared out evenly among the inputs, weights uniform in +-1."""
    heard = torch.arange(units) * inputs // units
    drawn = 2.0 * torch.rand(units, 1, generator=generator, dtype=torch.float64) - 1.0
    return torch.zeros(units, inputs, dtype=torch.float64).scatter(1, heard.unsqueeze(1), drawn)


def first_unit(units: int, inputs: int, generator: torch.Generator | None = None) -> Tensor:
    """Input i reaches unit i alone, with a weight of 1: for delay lines and rings."""
    if inputs > units:
        raise UsageError(f"there are {inputs} inputs for {units} units", where="first_unit", need="a unit for each")
    return torch.eye(units, inputs, dtype=torch.float64)


INPUT_WEIGHTS: dict[str, Callable[..., Tensor]] = {
    "uniform": uniform,
    "normal": normal,
    "sign": sign,
    "one_input_each": one_input_each,
    "first_unit": first_unit,
}
"""The input initialisers by name; each is called with units, inputs and a generator, and gives (units, inputs)."""


def input_weights(kind: str, units: int, inputs: int, generator: torch.Generator | None = None) -> Tensor:
    """Input weights of a named kind, before any scaling.

    Args:
        kind: "uniform", "normal", "sign", "one_input_each" or "first_unit".
        units: of the reservoir.
        inputs: that it reads.
        generator: of random numbers; torch's own when absent.

    Returns:
        (units, inputs), float64.

    Raises:
        UsageError: the kind is not known, or a size is not positive.

    Example:
        >>> input_weights("sign", 3, 2, torch.Generator().manual_seed(0)).abs().sum().item()
        6.0
    """
    check_choice(kind, "input_weights", tuple(INPUT_WEIGHTS), "input_weights")
    check_size(units, "units", "input_weights")
    check_size(inputs, "inputs", "input_weights")
    return INPUT_WEIGHTS[kind](units, inputs, generator)
