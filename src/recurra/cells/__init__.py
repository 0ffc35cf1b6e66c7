"""Cells: the definitions of the networks, one file a cell. Names load on first use, so that the table stays light."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurra.cells.base import Cell
    from recurra.cells.elman import Elman
    from recurra.cells.gru import GRU
    from recurra.cells.indrnn import IndRNN
    from recurra.cells.lstm import LSTM, LSTMState
    from recurra.cells.registry import CELLS, cell_class
    from recurra.cells.state import HiddenState, map_state

_PLACES = {
    "CELLS": "registry",
    "Cell": "base",
    "Elman": "elman",
    "GRU": "gru",
    "HiddenState": "state",
    "IndRNN": "indrnn",
    "LSTM": "lstm",
    "LSTMState": "lstm",
    "cell_class": "registry",
    "map_state": "state",
}

__all__ = [
    "CELLS",
    "Cell",
    "Elman",
    "GRU",
    "HiddenState",
    "IndRNN",
    "LSTM",
    "LSTMState",
    "cell_class",
    "map_state",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
