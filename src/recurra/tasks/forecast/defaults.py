"""What a forecaster does where the user said nothing: sizes and budgets that follow from the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recurra.settings import ForecastModel, TrainSettings

STEPS_AN_EPOCH = 50
_LONGEST_CONTEXT = 512
_LONGEST_SEASON = 2000


@dataclass(frozen=True)
class Defaults:
    """Every choice, resolved."""

    cell: str
    layers: int
    hidden_size: int
    dropout: float
    context: int
    span: int
    forks: int
    batch_size: int
    epochs: int
    learning_rate: float
    patience: int


def usable_seasons(seasons: list[int], train_rows: np.ndarray) -> tuple[int, ...]:
    """The seasons, shortest first, of which a typical series holds at least two whole ones; three at most."""
    typical = float(np.median(train_rows))
    kept = [m for m in seasons if 2 <= m <= min(typical / 2, _LONGEST_SEASON)]
    return tuple(sorted(kept[:3]))


def choose(
    model: ForecastModel, train: TrainSettings, *, horizon: int, seasons: tuple[int, ...], train_rows: np.ndarray
) -> Defaults:
    """Fill in what the settings leave open.

    The budget of steps grows with the square root of the rows, since neighbouring windows say much the same; sizes
    were chosen on validation parts of several public data sets, never on a test part.
    """
    rows = int(train_rows.sum())
    typical = int(np.median(train_rows))
    wanted = max(2 * horizon, max(seasons, default=0), 24)
    context = model.context or int(np.clip(wanted, 2, max(2, min(_LONGEST_CONTEXT, typical - 1))))
    hidden = model.hidden_size or (16 if rows < 1_000 else 32 if rows < 10_000 else 64 if rows < 100_000 else 128)
    ahead = 1 if model.decode == "recursive" else horizon
    span = int(np.clip(min(context // 2, typical // 4), 1, 96))
    forks = min(span + 1, int(np.clip(384 // ahead, 2, 32 if ahead == 1 else 8)))
    steps = int(np.clip(33 * rows**0.3, 400, 2_000))
    return Defaults(
        cell=model.cell or "lstm",
        layers=model.layers or 1,
        hidden_size=hidden,
        dropout=0.1 if model.dropout is None else model.dropout,
        context=context,
        span=span,
        forks=forks,
        batch_size=train.batch_size or 32,
        epochs=train.epochs or max(1, round(steps / STEPS_AN_EPOCH)),
        learning_rate=train.learning_rate or (2e-3 if rows < 100_000 else 3e-3),
        patience=train.patience or 10,
    )
