"""The readout of reservoirs by the normal equations."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from recurra.cells.time_step import check_not_negative
from recurra.errors import UsageError
from recurra.learn.closed import ConditionWarning
from recurra.learn.closed.rows import flat_rows
from recurra.learn.closed.triangular import condition_estimate
from recurra.reservoir.linear_readout import LinearReadout


class GramReadout(LinearReadout):
    """Ridge regression by the normal equations: the quickest, and wrong where the penalty is small.

    Equations:
        W^T = (X^T X + penalty I)^-1 X^T Y for X and Y about their means, by a Cholesky factor.

    X^T X has the square of X's condition number: singular values below the square root of the number format's
    precision are lost. It is here for large penalties, and to be compared with.

    Args:
        penalty: on the sum of the squared weights.
        dtype: in which number format to work.

    Shapes:
        as in `OrthogonalReadout`.

    Raises:
        UsageError: the penalty is negative, no rows were given, or the sums are not positive definite to rounding.

    Warns:
        ConditionWarning: the condition number of X^T X + penalty I is so large that its inverse holds no digit.

    Example:
        >>> x = torch.arange(6.0).unsqueeze(-1)
        >>> round(GramReadout(1e-9).partial_fit(x, 2.0 * x).weight.item(), 6)
        2.0
    """

    def __init__(self, penalty: float = 1e-6, dtype: torch.dtype = torch.float64):
        self.penalty, self.dtype = check_not_negative(penalty, "penalty", "GramReadout"), dtype
        self.sums: Tensor | None = None
        self.features = 0

    def partial_fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> GramReadout:
        """Take in more rows."""
        x, y = flat_rows(features, targets, mask, where="GramReadout", dtype=self.dtype)
        rows = torch.cat([x.new_ones(len(x), 1), x, y], 1)
        sums = rows.mT @ rows
        self.sums, self.features = sums if self.sums is None else self.sums + sums, x.shape[1]
        return self

    def merge(self, other: GramReadout) -> GramReadout:
        """Take in all rows that another one has taken in."""
        if other.sums is not None:
            self.sums = other.sums if self.sums is None else self.sums + other.sums
            self.features = other.features
        return self

    def _solve(self) -> tuple[Tensor, Tensor]:
        if self.sums is None or not self.sums[0, 0] > 0:
            raise UsageError("no rows were given", where="GramReadout", cure="call partial_fit first")
        count, split = self.sums[0, 0], 1 + self.features
        mean = self.sums[0] / count
        about = self.sums - count * torch.outer(mean, mean)
        gram = about[1:split, 1:split] + self.penalty * torch.eye(self.features, dtype=self.dtype)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if failed:
            raise UsageError(
                f"X^T X is not positive definite to rounding with a penalty of {self.penalty:g}",
                where="GramReadout",
                need="a larger penalty",
                cure="solver='tsqr', which does not form X^T X",
            )
        # The factor's condition number is the root of that of the sums.
        condition = condition_estimate(factor.mT) ** 2
        limit = 1.0 / (torch.finfo(self.dtype).eps * self.features)
        if not condition < limit:
            warnings.warn(
                f"GramReadout: the condition number of X^T X is {condition:.1e}, above {limit:.1e}: rounding decides "
                f"some weights. Cure: solver='tsqr', or a penalty above {self.penalty:g}.",
                ConditionWarning,
                stacklevel=4,
            )
        weight = torch.cholesky_solve(about[1:split, split:], factor).mT.contiguous()
        return weight, mean[split:] - weight @ mean[1:split]
