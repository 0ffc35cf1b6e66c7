"""Echo state forecasts: a network that reads a series, and goes on by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.cells.base import Cell, check_size
from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import ClosedLoop, ClosedLoopState
from recurra.reservoir.estimator import DTYPE, ReservoirEstimator
from recurra.reservoir.run import run_blocks
from recurra.reservoir.series import padded
from recurra.unroll import unroll


class EchoStateForecaster(ReservoirEstimator):
    """Echo state network that says the next value of a series, and, reading its own values, all after it.

    Equations:
        h_t = reservoir(x_t, h_{t-1});  z_t = W [x_t; h_t] + b is the forecast of x_{t+1}, or with `increments`
        x_t + W [x_t; h_t] + b is;  past the end of what is known z_t is read as x_{t+1}.

    Args:
        units, spectral_radius, rate, input_scale, bias_scale, topology, topology_arguments, input_weights,
        nonlinearity, layers, reservoirs, inputs, squares, cell, solver, penalty, washout, random_state: as in
            `EchoStateRegressor`.
        increments: whether the readout says how far the series moves; it needs `inputs`, or a cell that shows its input
            first.

    Shapes:
        X (time, features) is one series, (series, time, features) many, and a list of (time, features) arrays many of
        any lengths; forecasts (horizon, features), (series, horizon, features), or a list of (horizon, features).

    Attributes:
        cell_, readout_, n_features_in_: as in `EchoStateRegressor`.
        coef_, intercept_: W and b, for the next value itself.

    Raises:
        UsageError: a parameter is out of range.
        ShapeError: X does not fit, holds a number that is not finite, or no series outlasts the washout.

    Warns:
        ConditionWarning: the readout's weights are decided by rounding.

    Reference:
        H. Jaeger, H. Haas. Harnessing nonlinearity: predicting chaotic systems and saving energy in wireless
        communication. Science 304 (2004) 78-80.

    Example:
        >>> wave = np.sin(0.2 * np.arange(400.0))[:, None]
        >>> model = EchoStateForecaster(units=50, input_scale=0.3, washout=50, random_state=0).fit(wave[:300])
        >>> said = model.forecast(100, warmup=wave[200:300])
        >>> bool(np.abs(said - wave[300:]).max() < 0.01)
        True
    """

    def __init__(
        self,
        units: int = 200,
        spectral_radius: float | None = 0.9,
        rate: float = 1.0,
        input_scale: float | Sequence[float] = 1.0,
        bias_scale: float = 0.2,
        topology: Any = "random",
        topology_arguments: dict[str, Any] | None = None,
        input_weights: Any = "uniform",
        nonlinearity: str = "tanh",
        layers: int = 1,
        reservoirs: int = 1,
        inputs: bool = True,
        squares: str = "none",
        cell: Cell | None = None,
        solver: str = "tsqr",
        penalty: float = 1e-6,
        washout: int = 0,
        random_state: Any = None,
        increments: bool = False,
    ):
        super().__init__(
            units,
            spectral_radius,
            rate,
            input_scale,
            bias_scale,
            topology,
            topology_arguments,
            input_weights,
            nonlinearity,
            layers,
            reservoirs,
            inputs,
            squares,
            cell,
            solver,
            penalty,
            washout,
            random_state,
        )
        self.increments = increments

    def fit(self, X: Any, y: Any = None) -> EchoStateForecaster:
        """Draw the reservoir anew and learn to say the next value of these series; y is not looked at."""
        series = self._series(X, reset=True)
        self._begin(series.features)
        return self._fit(series.parts)

    def partial_fit(self, X: Any, y: Any = None) -> EchoStateForecaster:
        """Take in more series, as if they had been among those of the earlier calls."""
        series, first = self._continue(X)
        if first:
            self._begin(series.features)
        return self._fit(series.parts)

    def _fit(self, parts: list[Tensor]) -> EchoStateForecaster:
        shows = self.cell_.inputs or getattr(self.cell_.cell, "shows_input", False)
        if self.increments and not shows:
            raise UsageError(
                "increments was asked for, and the readout does not see the inputs",
                where="EchoStateForecaster",
                need="inputs=True, or a cell that shows its input first",
            )
        if max(len(part) for part in parts) < 2:
            raise ShapeError(
                "no series has more than 1 sample, that is one time step",
                where="EchoStateForecaster",
                need="at least two, one of which is said from the other",
            )
        wanted = [part[1:] - part[:-1] if self.increments else part[1:] for part in parts]
        self._learn([part[:-1] for part in parts], wanted)
        return self

    def _settle(self) -> None:
        super()._settle()
        if self.increments:
            # x_t is the first of the features: the next value is the increment and that.
            moved = self.coef_.copy()
            moved[:, : len(moved)] += np.eye(len(moved))
            self.coef_ = moved

    def predict(self, X: Any) -> Any:
        """What was expected one step after every step of the series: entry t is the forecast of step t + 1."""
        series = self._series(X)
        return self._given_back(self._outputs(series.parts), series.form, plain=False)

    @torch.no_grad()
    def forecast(self, horizon: int, warmup: Any) -> Any:
        """What comes after a piece of each series.

        Args:
            horizon: steps to go on by itself.
            warmup: what has been seen of the series, from which the state follows; nothing else is remembered. It
                should be at least as long as the washout.
        """
        check_size(horizon, "horizon", "EchoStateForecaster.forecast")
        series = self._series(warmup)
        if not all(len(part) for part in series.parts):
            raise ShapeError("a series has no steps", where="EchoStateForecaster.forecast", need="at least one step")
        loop = ClosedLoop(self.cell_, torch.as_tensor(self.coef_), torch.as_tensor(self.intercept_))
        found: list[Tensor] = [torch.empty(0)] * len(series.parts)
        for batch in padded(series.parts):
            said = torch.zeros(len(batch.which), self.n_features_in_, dtype=DTYPE)
            state = None
            for block in run_blocks(self.cell_, batch.x, lengths=batch.lengths):
                place = batch.lengths - 1 - block.start
                ends = (place >= 0) & (place < len(block.y))
                at_end = block.y[place.clamp(0, len(block.y) - 1), torch.arange(len(place))]
                said = torch.where(ends.unsqueeze(1), self._readout(at_end), said)
                state = block.state
            unread = said.new_zeros(horizon - 1, len(said), loop.input_size)
            later, _ = unroll(loop, unread, ClosedLoopState(state, said))
            whole = torch.cat([said.unsqueeze(0), later])
            for number, part in zip(batch.which, whole.unbind(1), strict=True):
                found[number] = part
        return self._given_back(found, series.form, plain=False)

    def score(self, X: Any, y: Any = None) -> float:
        """The coefficient of determination R^2 of forecasts one step ahead, past the washout."""
        from sklearn.metrics import r2_score

        parts = self._series(X).parts
        said = [part[self.washout : -1].numpy() for part in self._outputs(parts)]
        true = [part[self.washout + 1 :].numpy() for part in parts]
        return float(r2_score(np.concatenate(true), np.concatenate(said)))
