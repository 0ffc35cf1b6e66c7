"""torchrecurrent's layers with the same weights: eager loops, as its documentation uses them."""

from __future__ import annotations

from typing import Any

import torch
from _cells_cases import CELLS, Contender, Missing, Problem
from torch import Tensor

NAME = "torchrecurrent"

OPTIONS: dict[str, dict[str, Any]] = {
    "indrnn": {"nonlinearity": "relu"},
    "lem": {"cell_bias": False},
    "multiplicative_lstm": {"multiplicative_bias": False},
}
"""Arguments beside recurrent_bias=False, which leaves out the second bias that our cells have not."""

PLACES: dict[str, dict[str, tuple[str, int, int]]] = {
    "peephole_lstm": {"peephole": ("weight_ph", 0, 3)},
    "indrnn": {"weight_hh": ("vector_u", 0, 1)},
    "lem": {"weight_memory": ("weight_ch", 0, 1)},
    "multiplicative_lstm": {
        "weight_ih": ("weight_ih", 1, 5),
        "bias_ih": ("bias_ih", 1, 5),
        "weight_hh": ("weight_mh", 0, 4),
        "weight_mx": ("weight_ih", 0, 1),
        "weight_mh": ("weight_hh", 0, 1),
    },
}
"""Where a weight of ours lies in theirs: name, and rows in blocks of hidden_size; elsewhere the same name, all rows."""

OTHER_EQUATIONS = {"lem": "its h_n reads z_(n-1) where the paper and ours read z_n; the arithmetic is as much"}


def torchrecurrent_layer(problem: Problem) -> Contender | Missing | None:
    """torchrecurrent's layer, where it has the cell."""
    named = CELLS[problem.cell].torchrecurrent
    if named is None:
        return None
    try:
        import torchrecurrent
    except ImportError:
        return Missing(NAME, "torchrecurrent is not installed")
    shape = problem.shape
    options = {"recurrent_bias": False, **OPTIONS.get(problem.cell, {})}
    layer = getattr(torchrecurrent, named)(shape.inputs, shape.hidden, **options)
    theirs = dict(layer.cells[0].named_parameters())
    if "beta" in theirs:
        # JANET's beta is a number in the paper and in ours.
        theirs.pop("beta").requires_grad_(False)
    places = {name: _place(problem.cell, name, weight, theirs) for name, weight in problem.weights.items()}
    with torch.no_grad():
        for weight in theirs.values():
            weight.zero_()
        for name, weight in problem.weights.items():
            _rows(places[name], theirs, shape.hidden).copy_(weight)
    x = problem.x.detach().clone().requires_grad_()

    def forward() -> Tensor:
        with torch.no_grad():
            return layer(x)[0]

    def train() -> tuple[Tensor, ...]:
        y = layer(x)[0]
        return y, *torch.autograd.grad(y, [x, *theirs.values()], problem.gy)

    def read(found: tuple[Tensor, ...]) -> dict[str, Tensor]:
        y, of_x, *rest = found
        gradients = dict(zip(theirs, rest, strict=True))
        weights = {name: _rows(place, gradients, shape.hidden) for name, place in places.items()}
        return {"y": y.detach(), "x": of_x, **weights}

    return Contender(NAME, forward, train, read, lambda y: y, OTHER_EQUATIONS.get(problem.cell))


def _place(cell: str, name: str, weight: Tensor, theirs: dict[str, Tensor]) -> tuple[str, int, int | None]:
    place = PLACES.get(cell, {}).get(name, (name, 0, None))
    if place[0] not in theirs:
        raise KeyError(f"{NAME}'s {cell} has no {place[0]} for {name}; it has {', '.join(theirs)}")
    return place


def _rows(place: tuple[str, int, int | None], tensors: dict[str, Tensor], hidden: int) -> Tensor:
    name, start, stop = place
    return tensors[name][start * hidden : None if stop is None else stop * hidden]
