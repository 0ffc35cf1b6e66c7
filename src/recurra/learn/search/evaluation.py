"""The fitness of a whole population: at once by vmap, or row by row through an executor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.learn.search.weight_vector import WeightVector
from recurra.options import closest

SMALLEST_ERROR = 1e-12
"""An error of 0 counts as this one, so that 1/mse stays finite."""


def evaluate(
    population: Tensor,
    function: Callable[[Any], Any],
    *,
    vector: WeightVector | None = None,
    executor: Executor | None = None,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Tensor:
    """A function of the weights for every row of a population.

    Args:
        population: the rows.
        function: takes one row, or with `vector` a dict of that row's weights by name; returns one number. Without an
            executor it is written in tensor operations that `torch.vmap` takes.
        vector: how rows become weights.
        executor: any `concurrent.futures.Executor`; the function is then called once a row, and must be picklable where
            the executor's workers are processes.
        chunk_size: rows at once; all when absent.
        randomness: `torch.vmap`'s own: "error", "different" or "same".

    Shapes:
        population (P, D); the result (P,), float64, on the CPU.

    Raises:
        ShapeError: the population is not (P, D), or the function gave anything but one number a row.

    Example:
        >>> evaluate(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), lambda row: row.sum())
        tensor([3., 7.], dtype=torch.float64)
    """
    if not isinstance(population, Tensor) or population.dim() != 2:
        got = (
            f"has shape {tuple(population.shape)}"
            if isinstance(population, Tensor)
            else f"is {type(population).__name__}"
        )
        raise ShapeError(f"population {got}", where="evaluate", need="a tensor (P, D), one row a vector of weights")
    if executor is not None:
        rows = [row if vector is None else vector.unflatten(row) for row in population]
        found = [torch.as_tensor(value, dtype=torch.float64).detach() for value in executor.map(function, rows)]
        values = torch.stack(found) if found else torch.zeros(0, dtype=torch.float64)
    else:
        stacked = population if vector is None else vector.stack(population)
        with torch.no_grad():
            values = torch.vmap(function, chunk_size=chunk_size, randomness=randomness)(stacked)
    if not isinstance(values, Tensor) or values.shape != population.shape[:1]:
        got = f"shape {tuple(values.shape[1:])}" if isinstance(values, Tensor) else type(values).__name__
        raise ShapeError(
            f"function gave {got} for a row",
            where="evaluate",
            need="one number a row, a tensor of shape ()",
            cure="take the mean over batch and time",
        )
    return values.to("cpu", torch.float64)


def inverse_error(error: Tensor) -> Tensor:
    """1 / mse; an error below 1e-12 counts as 1e-12, NaN stays NaN."""
    return 1.0 / error.clamp(min=SMALLEST_ERROR)


def negative_error(error: Tensor) -> Tensor:
    """-mse."""
    return -error


FITNESSES: dict[str, Callable[[Tensor], Tensor]] = {"1/mse": inverse_error, "-mse": negative_error}
"""Ready fitness functions of an error that is to become small."""


def fitness_of(error: Tensor, form: str = "1/mse") -> Tensor:
    """The fitness of errors by the name of a ready form.

    Raises:
        UsageError: the form is not known.

    Example:
        >>> fitness_of(torch.tensor([0.5, 0.0]))
        tensor([2.0000e+00, 1.0000e+12])
    """
    if form not in FITNESSES:
        need, cure = "one of " + ", ".join(FITNESSES), closest(form, FITNESSES) or None
        raise UsageError(f"{form!r} is not a fitness", where="fitness", need=need, cure=cure)
    return FITNESSES[form](error)
