"""Reservoirs: frozen cells with readouts in closed form."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recurra.cells.liquid import Liquid, LiquidState
from recurra.cells.sparse import SparseWeight
from recurra.reservoir.conceptor import (
    adapt_aperture,
    conceptor,
    conjunction,
    disjunction,
    evidence,
    negate,
    quota,
    similarity,
)
from recurra.reservoir.deep import DeepReservoir, ParallelReservoir
from recurra.reservoir.echo_state import EchoState
from recurra.reservoir.features import ReservoirFeatures
from recurra.reservoir.input_weights import INPUT_WEIGHTS, input_weights
from recurra.reservoir.intrinsic_plasticity import IntrinsicPlasticity
from recurra.reservoir.loaded import LoadedReservoir, load_patterns
from recurra.reservoir.next_generation import DelayState, NextGenerationReservoir
from recurra.reservoir.readout import GramReadout, OnlineReadout, OrthogonalReadout, SingularValueReadout, make_readout
from recurra.reservoir.run import run, run_blocks
from recurra.reservoir.spectral_radius import effective_spectral_radius, spectral_radius
from recurra.reservoir.topologies import TOPOLOGIES, reservoir_weights

if TYPE_CHECKING:
    from recurra.reservoir.classifier import EchoStateClassifier
    from recurra.reservoir.forecaster import EchoStateForecaster
    from recurra.reservoir.regressor import EchoStateRegressor

__all__ = [
    "INPUT_WEIGHTS",
    "TOPOLOGIES",
    "DeepReservoir",
    "DelayState",
    "EchoState",
    "EchoStateClassifier",
    "EchoStateForecaster",
    "EchoStateRegressor",
    "GramReadout",
    "IntrinsicPlasticity",
    "Liquid",
    "LiquidState",
    "LoadedReservoir",
    "NextGenerationReservoir",
    "OnlineReadout",
    "OrthogonalReadout",
    "ParallelReservoir",
    "ReservoirFeatures",
    "SingularValueReadout",
    "SparseWeight",
    "adapt_aperture",
    "conceptor",
    "conjunction",
    "disjunction",
    "effective_spectral_radius",
    "evidence",
    "input_weights",
    "load_patterns",
    "make_readout",
    "negate",
    "quota",
    "reservoir_weights",
    "run",
    "run_blocks",
    "similarity",
    "spectral_radius",
]

# Who wants a cell alone does not wait for scikit-learn.
_ESTIMATORS = {
    "EchoStateClassifier": "recurra.reservoir.classifier",
    "EchoStateForecaster": "recurra.reservoir.forecaster",
    "EchoStateRegressor": "recurra.reservoir.regressor",
}


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ESTIMATORS[name]), name)
