"""Echo state regression: targets at every step of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from torch import Tensor

from recurra.cells.base import Cell
from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import ClosedLoop, ClosedLoopState
from recurra.reservoir.estimator import DTYPE, ReservoirEstimator
from recurra.reservoir.series import Series, padded, read_series, read_targets
from recurra.unroll import unroll


class EchoStateRegressor(RegressorMixin, ReservoirEstimator):
    """Echo state network that says a target at every step of a series: a frozen reservoir and a linear readout of it.

    Equations:
        h_t = reservoir(x_t, h_{t-1});  y_t = W [x_t; h_t] + b, where W, b = argmin of the squared error over all steps
        past the washout of all series + penalty |W|^2.
        With `feedback` the reservoir, and the readout, read [x_t; y_{t-1}]: the targets in training, the network's own
        outputs in `predict`.

    Args:
        units: of each reservoir.
        spectral_radius: of its recurrent weights; None leaves them as they are drawn.
        rate: the leaking rate, above 0 and at most 1.
        input_scale: of the input weights; a number, or one for each feature.
        bias_scale: of the biases.
        topology, topology_arguments: the recurrent weights, as in `EchoState`.
        input_weights: as in `EchoState`.
        nonlinearity: "tanh", "relu", "sigmoid" or "linear".
        layers: reservoirs on top of one another; the readout sees all.
        reservoirs: such stacks side by side, on the same inputs.
        inputs: whether the readout sees the inputs too.
        squares: "none", "appended" or "every_second": whether it sees squares of the units.
        cell: a cell to use in place of all of the above but `inputs` and `squares`, of float64 weights.
        solver: "tsqr", "svd", "gram", "rls" or "sgd".
        penalty: on the squared weights of the readout, in squared units of the features.
        washout: steps at the beginning of every series that do not train, while the initial state is forgotten.
        random_state: a seed (0 is one as any other), a numpy RandomState, or None for other weights at every fit.
        feedback: whether outputs are fed back.
        feedback_scale: of the weights for them.

    Shapes:
        X (time, features) is one series, (series, time, features) many, and a list of (time, features) arrays many of
        any lengths; y the same with outputs in place of features, or without that axis. Predictions have the form of
        y.

    Attributes:
        cell_: the frozen cell, with what the readout sees of it as its output.
        readout_: what holds the rows taken in; `readout_.path(penalties)` with the solvers "tsqr" and "svd".
        coef_, intercept_: W and b, as arrays.
        n_features_in_: features of X.

    Raises:
        UsageError: a parameter is out of range.
        ShapeError: X or y does not fit, holds a number that is not finite, or no series outlasts the washout.

    Warns:
        ConditionWarning: the readout's weights are decided by rounding.

    Reference:
        H. Jaeger. The "echo state" approach to analysing and training recurrent neural networks. GMD report 148 (2001).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = [rng.uniform(size=(steps, 1)) for steps in (300, 200)]
        >>> y = [np.roll(x[:, 0], 3) for x in X]
        >>> model = EchoStateRegressor(units=50, washout=20, random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.99, model.predict(X)[1].shape
        (True, (200,))
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
        feedback: bool = False,
        feedback_scale: float = 1.0,
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
        self.feedback, self.feedback_scale = feedback, feedback_scale

    def fit(self, X: Any, y: Any) -> EchoStateRegressor:
        """Draw the reservoir anew and learn its readout, of nothing but these series."""
        series = self._series(X, reset=True)
        targets, plain = read_targets(y, series, DTYPE, type(self).__name__)
        return self._fit(series, targets, plain, first=True)

    def partial_fit(self, X: Any, y: Any) -> EchoStateRegressor:
        """Take in more series, as if they had been among those of the earlier calls."""
        series, first = self._continue(X)
        targets, plain = read_targets(y, series, DTYPE, type(self).__name__)
        return self._fit(series, targets, plain, first)

    def _fit(self, series: Series, targets: list[Tensor], plain: bool, first: bool) -> EchoStateRegressor:
        outputs = targets[0].shape[1]
        if first:
            scale = None
            if self.feedback:
                own = np.broadcast_to(np.asarray(self.input_scale, dtype=np.float64), (series.features,))
                scale = [*own, *[self.feedback_scale] * outputs]
            self._begin(series.features + (outputs if self.feedback else 0), scale)
            self.n_outputs_, self._plain = outputs, plain
        if any(target.shape[1] != self.n_outputs_ for target in targets):
            raise ShapeError(
                f"y has {[target.shape[1] for target in targets]!r:.60} outputs",
                where=type(self).__name__,
                need=f"{self.n_outputs_} for every series",
            )
        parts = series.parts
        if self.feedback:
            before = [torch.cat([torch.zeros_like(target[:1]), target[:-1]]) for target in targets]
            parts = [torch.cat(pair, 1) for pair in zip(parts, before, strict=True)]
        self._learn(parts, targets)
        return self

    def predict(self, X: Any, history: Any = None) -> Any:
        """The outputs at every step of every series, those of the washout included.

        Args:
            X: the series.
            history: with feedback, targets of the first steps, in the form of y but shorter: they are read in place of
                the network's own outputs there. None lets it run by itself from the first step.
        """
        series = self._series(X)
        if not self.feedback:
            if history is not None:
                raise UsageError("history was given", where="EchoStateRegressor.predict", need="feedback=True")
            return self._given_back(self._outputs(series.parts), series.form, self._plain)
        known = self._known(history, series)
        found: list[Tensor] = [torch.empty(0)] * len(series.parts)
        for batch in padded(series.parts):
            y = self._looped(batch.x, [known[number] for number in batch.which])
            for place, number in enumerate(batch.which):
                found[number] = y[: len(series.parts[number]), place]
        return self._given_back(found, series.form, self._plain)

    def _known(self, history: Any, series: Series) -> list[Tensor]:
        """The targets known of each series, one length for all."""
        if history is None:
            return [torch.zeros(0, self.n_outputs_, dtype=DTYPE)] * len(series.parts)
        given = [history] if series.form == "one" else list(history)
        where = "EchoStateRegressor.predict"
        arrays = [array[:, None] if (array := np.asarray(part)).ndim == 1 else array for part in given]
        parts = read_series(arrays, DTYPE, where, name="history").parts
        lengths = {len(part) for part in parts}
        fits = len(parts) == len(series.parts) and all(part.shape[1] == self.n_outputs_ for part in parts)
        if not fits or len(lengths) > 1 or max(lengths) > min(len(part) for part in series.parts):
            raise ShapeError(
                f"history has shapes {[tuple(part.shape) for part in parts]!r:.80}",
                where=where,
                need=f"for each series (steps, {self.n_outputs_}) with one number of steps, no more than X has",
            )
        return parts

    @torch.no_grad()
    def _looped(self, x: Tensor, known: list[Tensor]) -> Tensor:
        """The outputs (time, batch, outputs): with the known targets read at first, then with the loop closed."""
        weight, bias = torch.as_tensor(self.coef_), torch.as_tensor(self.intercept_)
        history = torch.stack(known, 1)
        forced = len(history)
        read = torch.cat([torch.zeros_like(history[:1]), history[:-1]])
        y, state = unroll(self.cell_, torch.cat([x[:forced], read], -1))
        last = history[-1] if forced else x.new_zeros(x.shape[1], self.n_outputs_)
        free, _ = unroll(ClosedLoop(self.cell_, weight, bias), x[forced:], ClosedLoopState(state, last))
        return torch.cat([self._readout(y), free])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination R^2 over all steps past the washout."""
        series = self._series(X)
        targets, _ = read_targets(y, series, DTYPE, type(self).__name__)
        said = self.predict([part.numpy() for part in series.parts])
        outputs = [np.reshape(part, (-1, self.n_outputs_))[self.washout :] for part in said]
        true = np.concatenate([target.numpy()[self.washout :] for target in targets])
        if sample_weight is not None and series.form != "one":
            raise UsageError("sample_weight was given", where="EchoStateRegressor.score", need="one series (time, ...)")
        from sklearn.metrics import r2_score

        weight = None if sample_weight is None else np.asarray(sample_weight)[self.washout :]
        return float(r2_score(true, np.concatenate(outputs), sample_weight=weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
