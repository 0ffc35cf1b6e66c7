"""Ridge regression: the linear readout of least squared error, of any number of rows, at any number of penalties."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.cells.time_step import check_not_negative
from recurra.errors import UsageError
from recurra.learn.closed.least_squares import shrinkage
from recurra.learn.closed.rows import flat_rows
from recurra.learn.closed.triangular import factor_by_blocks, triangular_factor


class ConditionWarning(UserWarning):
    """The weights of a readout are not determined by the data to any digit."""


class RidgePath(NamedTuple):
    """Readouts for several penalties.

    Attributes:
        penalty: (penalties,).
        weight: (penalties, outputs, features).
        bias: (penalties, outputs), zeros where the readout has none.
        error: mean squared error on the rows given, (penalties, outputs).
        degrees_of_freedom: effective number of weights for each output, the bias included, (penalties,).
        generalised_error: generalised cross-validation, an estimate of the squared error on new rows that follows from
            the rows given, (penalties, outputs); infinite where there are no more rows than degrees of freedom.
    """

    penalty: Tensor
    weight: Tensor
    bias: Tensor
    error: Tensor
    degrees_of_freedom: Tensor
    generalised_error: Tensor


def ridge_path(penalty: Tensor, weight: Tensor, bias: Tensor, squares: Tensor, degrees: Tensor, rows: int) -> RidgePath:
    """A path from the sums of squared errors on so many rows."""
    spare = (1.0 - degrees / rows).clamp_min(0.0).unsqueeze(-1)
    estimate = torch.where(spare > 0, squares / rows / spare.square(), torch.full_like(squares, math.inf))
    return RidgePath(penalty, weight, bias, squares / rows, degrees, estimate)


class Ridge:
    """Ridge regression, kept as a triangular factor that takes in rows and merges with others.

    Equations:
        W, b = argmin |X W^T + 1 b^T - Y|^2 + penalty |W|^2;  y = W x + b.
        [1 X Y] = Q R;  its part for X is R_xx = U S V^T, that beside it R_xy:
        W^T = V diag(s / (s^2 + penalty)) U^T R_xy.
        generalised cross-validation: (rss / m) / (1 - d / m)^2 for m rows and d degrees of freedom, d = 1 + sum
        s^2 / (s^2 + penalty).

    R holds all that the answer needs, for every penalty. Its size does not grow with the rows; more rows are taken in
    by `partial_fit`, and what was gathered elsewhere by `merge`. As X^T X is not formed, small penalties keep their
    meaning down to the precision of the number format.

    Args:
        penalty: on the sum of the squared weights; the bias is not penalised. With 0 the shortest of all best answers
            is given, which is that of the pseudo-inverse.
        bias: whether b exists.
        dtype: in which number format to work.

    Shapes:
        features (..., features) and targets (..., outputs) with the same leading dimensions, as (time, batch, ...);
        mask: those leading dimensions, booleans, False where a row is left out. weight = W (outputs, features), bias =
        b (outputs,), as in torch.nn.Linear. penalty is in squared units of the features.

    Raises:
        UsageError: the penalty is negative, something is asked before any row was given, or what is merged does not
            fit.
        ShapeError: features, targets or the mask do not fit, or hold a number that is not finite.

    Warns:
        ConditionWarning: the condition number of the problem, sqrt((s_max^2 + penalty) / (s_min^2 + penalty)), is so
        large that rounding alone decides some weights. Predictions within the data may still be good; weights, and
        predictions that feed on themselves, are not to be trusted.

    Reference:
        A. E. Hoerl, R. W. Kennard. Ridge regression: biased estimation for nonorthogonal problems. Technometrics 12
        (1970) 55-67.
        G. H. Golub, M. Heath, G. Wahba. Generalized cross-validation as a method for choosing a good ridge parameter.
        Technometrics 21 (1979) 215-223.

    Example:
        >>> x = torch.arange(6.0).unsqueeze(-1)
        >>> half = Ridge(0.0).partial_fit(x[:3], 2.0 * x[:3] + 1.0)
        >>> other = Ridge(0.0).partial_fit(x[3:], 2.0 * x[3:] + 1.0)
        >>> both = half.merge(other)
        >>> round(both.weight.item(), 6), round(both.bias.item(), 6)
        (2.0, 1.0)
    """

    def __init__(self, penalty: float = 1e-6, bias: bool = True, dtype: torch.dtype = torch.float64):
        self.penalty = check_not_negative(penalty, "penalty", "Ridge")
        self.has_bias, self.dtype = bool(bias), dtype
        self.rows, self.features, self.outputs = 0, 0, 0
        self._forget()

    def _forget(self) -> None:
        self.rows = 0
        self.factor: Tensor | None = None
        self._answer: tuple[Tensor, Tensor] | None = None
        self._parts: tuple[Tensor, ...] | None = None

    def fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> Ridge:
        """Forget all rows and take these."""
        self._forget()
        return self.partial_fit(features, targets, mask)

    def partial_fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> Ridge:
        """Take in more rows; the answer is the same in whatever portions they come."""
        x, y = flat_rows(features, targets, mask, where="Ridge", dtype=self.dtype)
        self.check_sizes(x.shape[1], y.shape[1])
        ones = [x.new_ones(len(x), 1)] if self.has_bias else []
        self.factor = factor_by_blocks(torch.cat([*ones, x, y], -1), self.factor)
        self.rows += len(x)
        self._answer = self._parts = None
        return self

    def merge(self, other: Ridge) -> Ridge:
        """Take in all rows that another one has taken in, from its factor alone."""
        if other.factor is None:
            return self
        if other.has_bias != self.has_bias:
            raise UsageError("one has a bias and the other has none", where="Ridge.merge", need="two of one kind")
        self.check_sizes(other.features, other.outputs)
        theirs = other.factor.to(self.dtype)
        self.factor = theirs if self.factor is None else triangular_factor(torch.cat([self.factor, theirs]))
        self.rows += other.rows
        self._answer = self._parts = None
        return self

    def check_sizes(self, features: int, outputs: int) -> None:
        """Raise where rows of these sizes do not go with those before."""
        if self.factor is not None and (features, outputs) != (self.features, self.outputs):
            raise UsageError(
                f"these rows have {features} features and {outputs} outputs",
                where="Ridge",
                need=f"{self.features} features and {self.outputs} outputs, as the rows before",
                cure="begin anew with fit",
            )
        self.features, self.outputs = features, outputs

    def _solve(self) -> tuple[Tensor, ...]:
        """The parts of the factor and the singular values: computed once, and good for every penalty."""
        if self.factor is None or self.rows == 0:
            raise UsageError("no rows were given", where="Ridge", cure="call fit or partial_fit first")
        if self._parts is None:
            first, split = int(self.has_bias), int(self.has_bias) + self.features
            r = self.factor
            u, s, vh = torch.linalg.svd(r[first:split, first:split])
            self._parts = (u.mT @ r[first:split, split:], s, vh, r[:first, first:], r[split:, split:])
        return self._parts

    def path(self, penalties: Sequence[float]) -> RidgePath:
        """The readouts for several penalties, from the one factor; no warning is given for any of them."""
        projected, s, vh, top, rest = self._solve()
        checked = [check_not_negative(penalty, "penalty", "Ridge.path") for penalty in penalties]
        given = torch.tensor(checked, dtype=self.dtype, device=s.device)
        factors = shrinkage(s.expand(len(given), -1), given.unsqueeze(-1))
        weight = (vh.mT @ (factors.unsqueeze(-1) * projected)).mT
        bias = weight.new_zeros(len(given), self.outputs)
        if self.has_bias:
            # The first row of the factor is the means times its corner.
            assert self.factor is not None
            corner = self.factor[0, 0]
            bias = (top[0, self.features :] - weight @ top[0, : self.features]) / corner
        missed = ((1.0 - factors * s).unsqueeze(-1) * projected).square().sum(1) + rest.square().sum(0)
        degrees = self.has_bias + (factors * s).sum(1)
        return ridge_path(given, weight, bias, missed, degrees, max(self.rows, 1))

    def _final(self) -> tuple[Tensor, Tensor]:
        if self._answer is None:
            path = self.path([self.penalty])
            self._answer = (path.weight[0], path.bias[0])
            condition = self.condition_number
            limit = 1.0 / (torch.finfo(self.dtype).eps * max(self.features, 1))
            if not condition < limit:
                said = (
                    f"{self.rows} rows do not determine {self.features} weights for each output"
                    if self.rows - self.has_bias < self.features and not self.penalty
                    else f"the condition number of the features is {condition:.1e}, above {limit:.1e}"
                )
                warnings.warn(
                    f"Ridge: {said}: rounding decides some weights. Cure: a penalty above {self.penalty:g}, fewer or "
                    "less similar features, or more rows.",
                    ConditionWarning,
                    stacklevel=3,
                )
        return self._answer

    @property
    def weight(self) -> Tensor:
        """W, (outputs, features)."""
        return self._final()[0]

    @property
    def bias(self) -> Tensor:
        """b, (outputs,); zeros where the readout has none."""
        return self._final()[1]

    @property
    def singular_values(self) -> Tensor:
        """Those of the features, about their means where there is a bias, largest first."""
        return self._solve()[1]

    @property
    def condition_number(self) -> float:
        """sqrt((s_max^2 + penalty) / (s_min^2 + penalty)); infinite where the answer is not determined."""
        s = self.singular_values
        low = float(s[-1].square() + self.penalty)
        return math.sqrt(float(s[0].square() + self.penalty) / low) if low > 0 else math.inf

    def predict(self, features: Tensor) -> Tensor:
        """W x + b for features (..., features), in their own number format."""
        weight, bias = self._final()
        return torch.nn.functional.linear(features, weight.to(features), bias.to(features))

    def linear(self, dtype: Any = None) -> torch.nn.Linear:
        """The readout as a torch.nn.Linear."""
        weight, bias = self._final()
        made = torch.nn.Linear(self.features, self.outputs, bias=self.has_bias, dtype=dtype or self.dtype)
        with torch.no_grad():
            made.weight.copy_(weight)
            if self.has_bias:
                made.bias.copy_(bias)
        return made

    def __repr__(self) -> str:
        return f"Ridge(penalty={self.penalty:g}, bias={self.has_bias}, rows={self.rows})"
