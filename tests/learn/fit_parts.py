"""A small network, its data and an optimiser, for the tests of `fit`."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from recurra.cells import Elman
from recurra.learn import Network

QUIET: dict[str, Any] = {"progress": False}
SGD = functools.partial(torch.optim.SGD, lr=0.1)


def network(hidden: int = 3, outputs: int = 2, inputs: int = 2) -> Network:
    return Network(Elman(inputs, hidden), outputs=outputs)


def data(steps: int = 7, size: int = 5, outputs: int = 2) -> tuple[Tensor, Tensor]:
    return torch.randn(steps, size, 2), torch.randn(steps, size, outputs)
