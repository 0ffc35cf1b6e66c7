"""Readouts of reservoirs by ridge regression that is exact for small penalties too."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.cells.time_step import check_not_negative
from recurra.errors import UsageError
from recurra.learn.closed import Ridge, RidgePath
from recurra.learn.closed.normal_equations import refined_path, refined_ridge
from recurra.learn.closed.rows import flat_rows
from recurra.learn.closed.triangular import condition_estimate, penalised_factor
from recurra.reservoir.linear_readout import LinearReadout

HELD = 2**25
"""How many numbers of rows are held at most before they are reduced to a factor."""


class OrthogonalReadout(LinearReadout):
    """Ridge regression by orthogonal factors, or as exactly by corrected normal equations: the default readout.

    Equations:
        W, b = argmin |X W^T + 1 b^T - Y|^2 + penalty |W|^2;  [1 X Y] = Q R, and for the part R_xx of X and R_xy beside
        it  [R_xx; sqrt(penalty) I] = Q' R',  R' W^T = Q'^T [R_xy; 0].

    Where the penalty is not tiny beside X^T X, the normal equations are solved instead, and corrected by means of the
    rows until W is as exact as by the factors (`recurra.learn.closed.normal_equations`), in less than half the time.
    Small penalties keep their meaning, as nothing is squared for them.

    Rows are held, up to 2^25 numbers. Where there are more, or where more come after an answer was given, R alone is
    held, whose size does not grow, by `recurra.learn.closed.Ridge`.

    Args:
        penalty: on the sum of the squared weights, in squared units of the features. With 0 the answer is that of the
            pseudo-inverse.
        dtype: in which number format to work.

    Shapes:
        features (..., features), targets (..., outputs), mask (...,); weight = W (outputs, features), bias = b
        (outputs,).

    Raises:
        UsageError: the penalty is negative, or no rows were given.
        ShapeError: features, targets or the mask do not fit, or hold a number that is not finite.

    Warns:
        ConditionWarning: rounding alone decides some weights; as in `Ridge`. The condition number is an estimate.

    Reference:
        G. H. Golub, C. F. Van Loan. Matrix Computations. 4th edition, Johns Hopkins University Press (2013) ch. 6.
        A. Bjorck. Stability analysis of the method of seminormal equations for linear least squares problems. Linear
        Algebra and its Applications 88/89 (1987) 31-48.

    Example:
        >>> x = torch.arange(6.0).unsqueeze(-1)
        >>> readout = OrthogonalReadout(1e-12).partial_fit(x, 2.0 * x + 1.0)
        >>> round(readout.weight.item(), 6), round(readout.bias.item(), 6)
        (2.0, 1.0)
    """

    def __init__(self, penalty: float = 1e-6, dtype: torch.dtype = torch.float64):
        self._ridge = Ridge(penalty, dtype=dtype)
        self._answer: tuple[Tensor, Tensor] | None = None
        self._held: list[tuple[Tensor, Tensor]] = []
        # Rows are held as their differences from this point, the mean of the first portion: sums of their products lose
        # digits where the mean is large.
        self._about: Tensor | None = None

    @property
    def penalty(self) -> float:
        """The penalty on the squared weights."""
        return self._ridge.penalty

    @property
    def rows(self) -> int:
        """How many rows were taken in."""
        return self._ridge.rows + sum(len(x) for x, _ in self._held)

    @property
    def ridge(self) -> Ridge:
        """The ridge regression that has taken in all rows, as a factor."""
        if self._held:
            assert self._about is not None
            held, self._held = self._held, []
            x, y = (torch.cat(part) for part in zip(*held, strict=True))
            taken = Ridge(self.penalty, dtype=self._ridge.dtype).partial_fit(x, y)
            assert taken.factor is not None
            # Moving all rows adds a multiple of the column of ones, which is not zero in the first row alone.
            taken.factor[0, 1 : 1 + x.shape[1]] += taken.factor[0, 0] * self._about
            self._ridge.merge(taken)
        return self._ridge

    def partial_fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> OrthogonalReadout:
        """Take in more rows."""
        x, y = flat_rows(features, targets, mask, where="OrthogonalReadout", dtype=self._ridge.dtype)
        sizes = x.shape[1], y.shape[1]
        if self._held and sizes != tuple(part.shape[1] for part in self._held[0]):
            self.ridge.check_sizes(*sizes)
        self._ridge.check_sizes(*sizes)
        if self._answer is not None:
            # Who asks after every portion is not to wait each time for all the rows before it.
            _ = self.ridge
            self._answer = None
        if len(x):
            if self._about is None:
                # A product with ones is a quicker sum of rows than `mean`.
                self._about = x.mT @ x.new_full((len(x),), 1.0 / len(x))
            self._held.append((x - self._about, y.clone()))
        if sum(x.numel() + y.numel() for x, y in self._held) > HELD:
            _ = self.ridge
        return self

    def merge(self, other: OrthogonalReadout) -> OrthogonalReadout:
        """Take in all rows that another one has taken in."""
        self.ridge.merge(other.ridge)
        self._answer = None
        return self

    def path(self, penalties: Sequence[float]) -> RidgePath:
        """The readouts for several penalties from one decomposition, as `Ridge.path`."""
        if self._held and self._ridge.factor is None and len(penalties):
            checked = [check_not_negative(penalty, "penalty", "OrthogonalReadout.path") for penalty in penalties]
            found = refined_path(self._held, checked)
            if found is not None:
                assert self._about is not None
                return found._replace(bias=found.bias - found.weight @ self._about)
        return self.ridge.path(penalties)

    def _solve(self) -> tuple[Tensor, Tensor]:
        if self._answer is None:
            if not self.rows:
                raise UsageError("no rows were given", where="OrthogonalReadout", cure="call partial_fit first")
            found = None if self._ridge.rows else refined_ridge(self._held, self.penalty)
            if found is None:
                self._answer = self._by_factor()
            else:
                assert self._about is not None
                weight, bias = found
                self._answer = weight, bias - weight @ self._about
        return self._answer

    def _by_factor(self) -> tuple[Tensor, Tensor]:
        """The answer by orthogonal factors."""
        ridge = self.ridge
        assert ridge.factor is not None
        r, split = ridge.factor, 1 + ridge.features
        solved, beside = r[1:split, 1:split], r[1:split, split:]
        if self.penalty:
            solved, beside = penalised_factor(solved, beside, self.penalty)
        limit = 1.0 / (torch.finfo(r.dtype).eps * ridge.features)
        # No singular value is below the root of the penalty, which often is enough to know.
        most = float(solved.norm())
        if most < limit * math.sqrt(self.penalty) or condition_estimate(solved) < limit:
            weight = torch.linalg.solve_triangular(solved, beside, upper=True).mT.contiguous()
            # The first row of the factor is the means times its corner.
            return weight, (r[0, split:] - weight @ r[0, 1:split]) / r[0, 0]
        return ridge.weight, ridge.bias  # by singular values, with the warning that is due


class SingularValueReadout(OrthogonalReadout):
    """Ridge regression by the singular values of the factor: the slowest and surest, for any penalty.

    Everything is as in `OrthogonalReadout`, but for the last step, which is that of `Ridge`.
    """

    def _solve(self) -> tuple[Tensor, Tensor]:
        ridge = self.ridge
        return ridge.weight, ridge.bias

    def path(self, penalties: Sequence[float]) -> RidgePath:
        """The readouts for several penalties from one decomposition, as `Ridge.path`."""
        return self.ridge.path(penalties)
