"""Readouts of reservoirs that learn row by row."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.time_step import check_choice
from recurra.errors import UsageError
from recurra.learn.closed import RecursiveLeastSquares
from recurra.learn.closed.rows import flat_rows
from recurra.reservoir.linear_readout import LinearReadout


class OnlineReadout(LinearReadout):
    """A readout that learns row by row: recursive least squares, or stochastic gradient descent.

    Equations:
        rls: as in `recurra.learn.closed.RecursiveLeastSquares`, with a bias;
        sgd: e = y - W x - b;  W += step e x^T / (1 + |x|^2);  b += step e / (1 + |x|^2)
        (normalised least mean squares, the input 1 of the bias counted).

    Args:
        kind: "rls" or "sgd".
        penalty: of recursive least squares, positive.
        forgetting: of recursive least squares.
        step: of gradient descent, between 0 and 2.
        dtype: in which number format to work.

    Shapes:
        as in `OrthogonalReadout`; the rows are taken in order.

    Raises:
        UsageError: an argument is out of range, or no rows were given.

    Reference:
        S. Haykin. Adaptive Filter Theory. 4th edition, Prentice Hall (2002) ch. 6 and 9.

    Example:
        >>> x = torch.rand(200, 1, generator=torch.Generator().manual_seed(0))
        >>> round(OnlineReadout("rls").partial_fit(x, 2.0 * x).weight.item(), 3)
        2.0
    """

    def __init__(
        self,
        kind: str = "rls",
        penalty: float = 1e-6,
        forgetting: float = 1.0,
        step: float = 0.5,
        dtype: torch.dtype = torch.float64,
    ):
        self.kind = check_choice(kind, "kind", ("rls", "sgd"), "OnlineReadout")
        if not 0 < step < 2:
            raise UsageError(f"step is {step!r}", where="OnlineReadout", need="a number between 0 and 2")
        self.penalty, self.forgetting, self.step, self.dtype = penalty, forgetting, step, dtype
        self._rls: RecursiveLeastSquares | None = None
        self._weights: Tensor | None = None

    def partial_fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> OnlineReadout:
        """Take in more rows, one after another; time goes before the batch."""
        x, y = flat_rows(features, targets, mask, where="OnlineReadout", dtype=self.dtype)
        if self.kind == "rls":
            if self._rls is None:
                self._rls = RecursiveLeastSquares(
                    x.shape[1], y.shape[1], self.penalty, self.forgetting, bias=True, dtype=self.dtype, device=x.device
                )
            self._rls.update(x, y)
            return self
        x = torch.cat([x, x.new_ones(len(x), 1)], 1)
        if self._weights is None:
            self._weights = x.new_zeros(y.shape[1], x.shape[1])
        sizes = self.step / x.square().sum(1)
        for row, target, size in zip(x, y, sizes, strict=True):
            self._weights = torch.addr(self._weights, size * (target - self._weights @ row), row)
        return self

    def _solve(self) -> tuple[Tensor, Tensor]:
        if self._rls is not None:
            return self._rls.weight, self._rls.bias
        if self._weights is None:
            raise UsageError("no rows were given", where="OnlineReadout", cure="call partial_fit first")
        return self._weights[:, :-1], self._weights[:, -1]
