"""Listening to a network's products of weights and vectors while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from recurra.errors import UsageError


@dataclass
class Product:
    """One product a = W z + b that a step made.

    Attributes:
        weight: the number of W among the trained weights.
        given: z.
        made: a.
    """

    weight: int
    given: Tensor
    made: Tensor


class LinearProducts:
    """What rules that know of products a = W z + b hear of a step, and where they put random feedback.

    Args:
        inside: names of the weights that belong to cells.
        random_feedback: whether the error goes back through the read-out by a fixed random matrix instead of W^T.
    """

    def __init__(self, inside: set[str], random_feedback: bool = False):
        self.inside, self.random_feedback = inside, random_feedback
        self.matrices: dict[str, Tensor] = {}
        self.made: list[Product] = []

    @contextmanager
    def record(self, names: list[str], weights: tuple[Tensor, ...]) -> Iterator[None]:
        """Listen to one step."""
        self.made = []
        with _Listening(self, names, {id(weight): i for i, weight in enumerate(weights)}):
            yield

    def fed_back(self, name: str, given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The read-out's product, with another matrix on the way back to z."""
        if self.matrices and name not in self.matrices:
            raise UsageError(
                f"both {next(iter(self.matrices))} and {name} read the cell's outputs",
                where="random feedback",
                need="one linear read-out",
                cure="use feedback='symmetric'",
            )
        if name not in self.matrices:
            self.matrices[name] = torch.randn_like(weight) / weight.shape[1] ** 0.5
        # Zero in value; what comes back passes through the random matrix.
        detour = F.linear(given - given.detach(), self.matrices[name])
        return F.linear(given.detach(), weight, bias) + detour


class _Listening(TorchFunctionMode):
    def __init__(self, products: LinearProducts, names: list[str], numbers: dict[int, int]):
        super().__init__()
        self.products, self.names, self.numbers = products, names, numbers

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is not F.linear:
            return function(*args, **kwargs)
        given, weight, bias = _arguments(*args, **kwargs)
        number = self.numbers.get(id(weight))
        products = self.products
        if number is None:
            return function(*args, **kwargs)
        name = self.names[number]
        if products.random_feedback and name not in products.inside and given.requires_grad:
            return products.fed_back(name, given, weight, bias)
        made = function(given, weight, bias)
        products.made.append(Product(number, given, made))
        return made


def _arguments(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
    return input, weight, bias
