"""The ways of solving for a readout by their names."""

from __future__ import annotations

from typing import Any

import torch

from recurra.cells.time_step import check_choice
from recurra.reservoir.gram_readout import GramReadout
from recurra.reservoir.linear_readout import LinearReadout
from recurra.reservoir.online_readout import OnlineReadout
from recurra.reservoir.orthogonal_readout import OrthogonalReadout, SingularValueReadout

SOLVERS = ("tsqr", "svd", "gram", "rls", "sgd")


def make_readout(solver: str, penalty: float, dtype: torch.dtype = torch.float64) -> LinearReadout:
    """The readout of a named solver: "tsqr", "svd", "gram", "rls" or "sgd"."""
    check_choice(solver, "solver", SOLVERS, "make_readout")
    if solver in ("rls", "sgd"):
        return OnlineReadout(solver, penalty, dtype=dtype)
    kinds: dict[str, Any] = {"tsqr": OrthogonalReadout, "svd": SingularValueReadout, "gram": GramReadout}
    return kinds[solver](penalty, dtype=dtype)
