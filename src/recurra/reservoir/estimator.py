"""What the reservoir estimators share: their parameters, the cell made from them, and the readout's fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.errors import ShapeError
from recurra.reservoir.deep import DeepReservoir, ParallelReservoir
from recurra.reservoir.echo_state import EchoState
from recurra.reservoir.features import ReservoirFeatures
from recurra.reservoir.linear_readout import LinearReadout
from recurra.reservoir.readout import make_readout
from recurra.reservoir.run import check_washout, run, run_blocks
from recurra.reservoir.series import Series, padded, read_series

DTYPE = torch.float64


class ReservoirEstimator(BaseEstimator):
    """Abstract base of the reservoir estimators: a frozen cell, and a linear readout of it in closed form.

    The parameters are kept as they are given, and looked at in `fit`. Nothing is remembered from one call of `predict`
    to the next: every series begins at the cell's initial state.
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
    ):
        self.units, self.spectral_radius, self.rate = units, spectral_radius, rate
        self.input_scale, self.bias_scale = input_scale, bias_scale
        self.topology, self.topology_arguments, self.input_weights = topology, topology_arguments, input_weights
        self.nonlinearity, self.layers, self.reservoirs = nonlinearity, layers, reservoirs
        self.inputs, self.squares, self.cell = inputs, squares, cell
        self.solver, self.penalty, self.washout, self.random_state = solver, penalty, washout, random_state

    def _begin(self, features: int, input_scale: Any = None) -> None:
        """Make the cell and an empty readout; all that an earlier fit left is gone."""
        where = type(self).__name__
        check_washout(self.washout, where)
        check_size(self.layers, "layers", where)
        check_size(self.reservoirs, "reservoirs", where)
        # A generator of our own, seeded whatever the number: 0 is a seed as any other.
        seed = int(check_random_state(self.random_state).randint(2**31))
        generator = torch.Generator().manual_seed(seed)
        scale = self.input_scale if input_scale is None else input_scale
        if self.cell is not None and self.cell.input_size != features:
            raise ShapeError(
                f"X has {features} features",
                where=where,
                need=f"{self.cell.input_size}, the input_size of the cell given",
            )
        inner = self._drawn(features, scale, generator) if self.cell is None else self.cell
        wanted = self.inputs and not getattr(inner, "shows_input", False)
        self.cell_ = ReservoirFeatures(inner, wanted, self.squares)
        self.readout_: LinearReadout = make_readout(self.solver, self.penalty, DTYPE)

    def _drawn(self, features: int, scale: Any, generator: torch.Generator) -> Cell:
        """Echo state reservoirs, as many as are asked for."""

        def made(inputs: int, scale: Any) -> EchoState:
            return EchoState(
                inputs,
                self.units,
                spectral_radius=self.spectral_radius,
                rate=self.rate,
                input_scale=scale,
                bias_scale=self.bias_scale,
                topology=self.topology,
                topology_arguments=self.topology_arguments,
                input_weights=self.input_weights,
                nonlinearity=self.nonlinearity,
                generator=generator,
                dtype=DTYPE,
            )

        def column() -> Cell:
            first = made(features, scale)
            if self.layers == 1:
                return first
            # A layer hears all units of the one below: the sum of so many inputs keeps the size of one.
            between = 1.0 / self.units**0.5
            return DeepReservoir([first, *(made(self.units, between) for _ in range(self.layers - 1))])

        columns = [column() for _ in range(self.reservoirs)]
        return columns[0] if self.reservoirs == 1 else ParallelReservoir(columns)

    def _series(self, X: Any, rows: str = "time", reset: bool = False) -> Series:
        """The series of X, whose features must be those of the fit."""
        if not reset:
            self._need_fitted()
        _check_feature_names(self, X, reset=reset)
        series = read_series(X, DTYPE, type(self).__name__, rows)
        # A matrix whose rows are series has their steps as columns, which is what is compared with other estimators.
        columns = len(series.parts[0]) if series.form == "flat" else series.features
        if reset:
            self.n_features_in_ = columns
        elif columns != self.n_features_in_:
            raise ShapeError(
                f"X has {columns} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input",
                need="as many as in fit",
            )
        return series

    def _learn(self, parts: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Take in rows: the cell's features of the series beside their targets, a block of steps at a time."""
        longest = max((len(part) for part in parts), default=0)
        if longest <= self.washout:
            raise ShapeError(
                f"the longest series has {longest} steps",
                where=type(self).__name__,
                need=f"more than the washout of {self.washout}",
                cure="longer series or a shorter washout",
            )
        for batch in padded(parts):
            wanted = torch.nn.utils.rnn.pad_sequence([targets[number] for number in batch.which])
            for block in run_blocks(self.cell_, batch.x, lengths=batch.lengths, washout=self.washout):
                self.readout_.partial_fit(block.y, wanted[block.start : block.start + len(block.y)], block.used)
        self._settle()

    def _settle(self) -> None:
        """Solve for the readout now, so that whatever is wrong with it is said by `fit`."""
        self.coef_, self.intercept_ = self.readout_.weight.numpy(), self.readout_.bias.numpy()

    def _readout(self, features: Tensor) -> Tensor:
        """The readout of features (..., features)."""
        return F.linear(features, torch.as_tensor(self.coef_), torch.as_tensor(self.intercept_))

    def _outputs(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The readout at every step of every series, (time, outputs) each."""
        found: list[Tensor] = [torch.empty(0)] * len(parts)
        for batch in padded(parts):
            y, _ = run(self.cell_, batch.x, lengths=batch.lengths, transform=self._readout)
            for place, number in enumerate(batch.which):
                found[number] = y[: len(parts[number]), place]
        return found

    def _given_back(self, parts: list[Tensor], form: str, plain: bool) -> Any:
        """Series in the form in which they came, without the last axis where the targets had none."""
        arrays = [(part[:, 0] if plain else part).numpy() for part in parts]
        if form == "one":
            return arrays[0]
        return torch.stack([torch.as_tensor(array) for array in arrays]).numpy() if form == "cube" else arrays

    def _need_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments first."
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def _continue(self, X: Any, rows: str = "time") -> tuple[Series, bool]:
        """The series of a partial fit, and whether it is the first."""
        first = not self.__sklearn_is_fitted__()
        return self._series(X, rows, reset=first), first
