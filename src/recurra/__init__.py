"""Recurra: recurrent neural networks of every kind, every way to train them, on your own data.

Names are loaded when first used, so that `import recurra` is quick and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recurra.version import __version__

_WHERE = {
    "Forecaster": "recurra.estimators",
    "SequenceClassifier": "recurra.estimators",
    "load": "recurra.estimators",
    "write_report": "recurra.report.write",
    "explain": "recurra.nn.explain",
    "Cell": "recurra.cells.base",
    "RecurraError": "recurra.errors",
    "UsageError": "recurra.errors",
    "ShapeError": "recurra.errors",
    "DataError": "recurra.errors",
    "FolderError": "recurra.errors",
    "TrainingError": "recurra.errors",
    "nn": "",
    "cells": "",
    "learn": "",
    "analysis": "",
    "circuits": "",
    "memory": "",
    "reservoir": "",
}

__all__ = [
    "__version__",
    "Cell",
    "DataError",
    "FolderError",
    "Forecaster",
    "RecurraError",
    "SequenceClassifier",
    "ShapeError",
    "TrainingError",
    "UsageError",
    "analysis",
    "cells",
    "circuits",
    "explain",
    "learn",
    "load",
    "memory",
    "nn",
    "reservoir",
    "write_report",
]


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'recurra' has no attribute {name!r}")
    if not where:
        return importlib.import_module(f"recurra.{name}")
    module, _, attribute = where.partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from recurra import analysis, cells, circuits, learn, memory, nn, reservoir
    from recurra.cells.base import Cell
    from recurra.errors import DataError, FolderError, RecurraError, ShapeError, TrainingError, UsageError
    from recurra.estimators import Forecaster, SequenceClassifier, load
    from recurra.nn.explain import explain
    from recurra.report.write import write_report
