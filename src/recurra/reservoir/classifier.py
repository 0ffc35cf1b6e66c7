"""Echo state classification: a label for every series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.time_step import check_choice
from recurra.errors import ShapeError, UsageError
from recurra.reservoir.estimator import DTYPE, ReservoirEstimator
from recurra.reservoir.run import run_blocks
from recurra.reservoir.series import padded


class EchoStateClassifier(ClassifierMixin, ReservoirEstimator):
    """Echo state network that gives every series a label: a frozen reservoir, and a linear readout of its states.

    Equations:
        h_t = reservoir(x_t, h_{t-1});  r = the mean of [x_t; h_t] over the steps past the washout, or the last of them,
        or both;  scores = W r + b, fitted by ridge regression to 1 for the series' class and -1 for the others; the
        label is that of the largest score.

    Args:
        units, spectral_radius, rate, input_scale, bias_scale, topology, topology_arguments, input_weights,
        nonlinearity, layers, reservoirs, inputs, squares, cell, solver, penalty, washout, random_state: as in
            `EchoStateRegressor`.
        pooling: "mean", "last" or "mean_and_last".

    Shapes:
        X a list of (time, features) arrays of any lengths, or (series, time, features), or (series, time) of one
        feature; y (series,), any labels.

    Attributes:
        classes_: the labels, sorted.
        cell_, readout_, coef_, intercept_: as in `EchoStateRegressor`; two classes have one row of scores.
        n_features_in_: features of a series, or time steps where X was (series, time).

    Raises:
        UsageError: a parameter is out of range.
        ShapeError: X or y does not fit, or holds a number that is not finite; a series does not outlast the washout.

    Warns:
        ConditionWarning: the readout's weights are decided by rounding.

    Reference:
        H. Jaeger, M. Lukosevicius, D. Popovici, U. Siewert. Optimization and applications of echo state networks with
        leaky-integrator neurons. Neural Networks 20 (2007) 335-352.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> slow = [np.sin(0.1 * np.arange(n))[:, None] for n in rng.integers(40, 80, 20)]
        >>> fast = [np.sin(0.3 * np.arange(n))[:, None] for n in rng.integers(40, 80, 20)]
        >>> model = EchoStateClassifier(units=50, random_state=0).fit(slow + fast, ["slow"] * 20 + ["fast"] * 20)
        >>> model.predict([np.sin(0.3 * np.arange(60))[:, None]]).tolist()
        ['fast']
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
        pooling: str = "mean_and_last",
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
        self.pooling = pooling

    def fit(self, X: Any, y: Any) -> EchoStateClassifier:
        """Draw the reservoir anew and learn its readout, of nothing but these series."""
        series = self._series(X, "series", reset=True)
        labels = self._labels(y, len(series.parts))
        self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise UsageError(
                f"y has one class, {self.classes_.tolist()}", where="EchoStateClassifier", need="at least 2 classes"
            )
        self._begin(series.features)
        return self._fit(series.parts, labels)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> EchoStateClassifier:
        """Take in more series, as if they had been among those of the earlier calls.

        Args:
            X, y: as in `fit`.
            classes: all labels that will ever come, at the first call.
        """
        series, first = self._continue(X, "series")
        labels = self._labels(y, len(series.parts))
        if first:
            self.classes_ = np.unique(labels if classes is None else np.asarray(classes))
            self._begin(series.features)
        return self._fit(series.parts, labels)

    def _labels(self, y: Any, count: int) -> np.ndarray:
        where = "EchoStateClassifier"
        if y is None:
            raise ShapeError("requires y to be passed, but the target y is None", where=where, need="a label a series")
        labels = np.asarray(y)
        if labels.ndim == 2 and labels.shape[1] == 1:
            import warnings

            from sklearn.exceptions import DataConversionWarning

            warnings.warn(
                "A column-vector y was passed when a 1d array was expected.", DataConversionWarning, stacklevel=3
            )
            labels = labels[:, 0]
        if labels.ndim != 1 or len(labels) != count:
            raise ShapeError(f"y has shape {labels.shape}", where=where, need=f"({count},), a label for each series")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise ShapeError("Input y contains NaN or infinity", where=where, need="labels")
        check_classification_targets(labels)
        return labels

    def _fit(self, parts: list[Tensor], labels: np.ndarray) -> EchoStateClassifier:
        unknown = np.setdiff1d(labels, self.classes_)
        if len(unknown):
            raise UsageError(
                f"y holds {unknown[0]!r}",
                where="EchoStateClassifier",
                need=f"one of the classes {self.classes_.tolist()!r:.80}",
                cure="name all classes at the first call of partial_fit",
            )
        hot = (labels[:, None] == self.classes_).astype(np.float64)
        targets = torch.as_tensor(2.0 * (hot[:, 1:] if len(self.classes_) == 2 else hot) - 1.0)
        self.readout_.partial_fit(self._pooled(parts), targets)
        self._settle()
        return self

    def _pooled(self, parts: list[Tensor]) -> Tensor:
        """The pooled features of each series, (series, features)."""
        check_choice(self.pooling, "pooling", ("mean", "last", "mean_and_last"), "EchoStateClassifier")
        shortest = min(len(part) for part in parts)
        if shortest <= self.washout:
            raise ShapeError(
                f"a series has {shortest} steps",
                where="EchoStateClassifier",
                need=f"more than the washout of {self.washout} in every series",
            )
        found: list[Tensor] = [torch.empty(0)] * len(parts)
        for batch in padded(parts):
            total = torch.zeros(len(batch.which), self.cell_.output_size, dtype=DTYPE)
            last = torch.zeros_like(total)
            for block in run_blocks(self.cell_, batch.x, lengths=batch.lengths, washout=self.washout):
                total = total + (block.y * block.used.unsqueeze(-1)).sum(0)
                place = batch.lengths - 1 - block.start
                ends = (place >= 0) & (place < len(block.y))
                at_end = block.y[place.clamp(0, len(block.y) - 1), torch.arange(len(place))]
                last = torch.where(ends.unsqueeze(1), at_end, last)
            mean = total / (batch.lengths - self.washout).unsqueeze(1)
            pooled = {"mean": mean, "last": last, "mean_and_last": torch.cat([mean, last], 1)}[self.pooling]
            for place_in_batch, number in enumerate(batch.which):
                found[number] = pooled[place_in_batch]
        return torch.stack(found)

    def decision_function(self, X: Any) -> np.ndarray:
        """The scores, (series, classes); for two classes (series,), positive for the second."""
        self._need_fitted()
        series = self._series(X, "series")
        scores = self._readout(self._pooled(series.parts)).numpy()
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """The labels, (series,)."""
        scores = self.decision_function(X)
        return self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of series with the right label."""
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(np.asarray(y), self.predict(X), sample_weight=sample_weight))
