"""Linear readouts of reservoirs, by the ways of solving for them."""

from __future__ import annotations

import math
import warnings
from typing import Any, Protocol

import torch
from torch import Tensor

from recurra.cells.time_step import check_choice, check_not_negative
from recurra.errors import UsageError
from recurra.learn.closed import ConditionWarning, RecursiveLeastSquares, Ridge
from recurra.learn.closed.rows import flat_rows


class Readout(Protocol):
    """What takes in rows of features and targets, and has a weight and a bias."""

    def partial_fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> Any: ...

    @property
    def weight(self) -> Tensor: ...

    @property
    def bias(self) -> Tensor: ...


class OrthogonalReadout:
    """Ridge regression by a triangular factor that takes in rows block by block: the default readout of reservoirs.

    Equations:
        W, b = argmin |X W^T + 1 b^T - Y|^2 + penalty |W|^2;  [1 X Y] = Q R, and for the part R_xx of X and R_xy beside
        it  [R_xx; sqrt(penalty) I] = Q' R',  R' W^T = Q'^T [R_xy; 0].

    The rows are held as R alone, whose size does not grow, by `recurra.learn.closed.Ridge`; `ridge.path` gives the
    readouts for any number of penalties from it. Nothing is squared, so that small penalties keep their meaning; and
    for one penalty no singular values are needed, which for many units is several times as quick.

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

    Example:
        >>> x = torch.arange(6.0).unsqueeze(-1)
        >>> readout = OrthogonalReadout(1e-12).partial_fit(x, 2.0 * x + 1.0)
        >>> round(readout.weight.item(), 6), round(readout.bias.item(), 6)
        (2.0, 1.0)
    """

    def __init__(self, penalty: float = 1e-6, dtype: torch.dtype = torch.float64):
        self.ridge = Ridge(penalty, dtype=dtype)
        self._answer: tuple[Tensor, Tensor] | None = None
        self._waiting: list[tuple[Tensor, Tensor]] = []

    @property
    def penalty(self) -> float:
        """The penalty on the squared weights."""
        return self.ridge.penalty

    def partial_fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> OrthogonalReadout:
        """Take in more rows."""
        x, y = flat_rows(features, targets, mask, where="OrthogonalReadout", dtype=self.ridge.dtype)
        # Few rows at a time would cost a factorisation of the whole each: they wait until they are many.
        self._waiting.append((x, y))
        if sum(len(rows) for rows, _ in self._waiting) >= 4 * (x.shape[1] + 1):
            self._take()
        self._answer = None
        return self

    def _take(self) -> Ridge:
        """The ridge regression with all rows in."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            x, y = (torch.cat(part) for part in zip(*waiting, strict=True))
            self.ridge.partial_fit(x, y)
        return self.ridge

    def merge(self, other: OrthogonalReadout) -> OrthogonalReadout:
        """Take in all rows that another one has taken in."""
        self._take().merge(other._take())
        self._answer = None
        return self

    def path(self, penalties: Any) -> Any:
        """The readouts for several penalties from the one factor, as `Ridge.path`."""
        return self._take().path(penalties)

    def _solve(self) -> tuple[Tensor, Tensor]:
        if self._answer is None:
            ridge = self._take()
            if ridge.factor is None or ridge.rows == 0:
                raise UsageError("no rows were given", where="OrthogonalReadout", cure="call partial_fit first")
            split = 1 + ridge.features
            r = ridge.factor
            inner, beside = r[1:split, 1:split], r[1:split, split:]
            solved = inner
            if self.penalty:
                below = math.sqrt(self.penalty) * torch.eye(ridge.features, dtype=r.dtype, device=r.device)
                whole = torch.cat([torch.cat([inner, beside], 1), torch.cat([below, torch.zeros_like(beside)], 1)])
                solved = torch.linalg.qr(whole, mode="r").R[: ridge.features]
                solved, beside = solved[:, : ridge.features], solved[:, ridge.features :]
            limit = 1.0 / (torch.finfo(r.dtype).eps * ridge.features)
            if condition_estimate(solved) < limit:
                weight = torch.linalg.solve_triangular(solved, beside, upper=True).mT.contiguous()
                # The first row of the factor is the means times its corner.
                self._answer = (weight, (r[0, split:] - weight @ r[0, 1:split]) / r[0, 0])
            else:
                self._answer = (ridge.weight, ridge.bias)  # by singular values, with the warning that is due
        return self._answer

    @property
    def weight(self) -> Tensor:
        """W, (outputs, features)."""
        return self._solve()[0]

    @property
    def bias(self) -> Tensor:
        """b, (outputs,)."""
        return self._solve()[1]


class SingularValueReadout(OrthogonalReadout):
    """Ridge regression by the singular values of the factor: the slowest and surest, for any penalty.

    Everything is as in `OrthogonalReadout`, but for the last step, which is that of `Ridge`.
    """

    def _solve(self) -> tuple[Tensor, Tensor]:
        ridge = self._take()
        return ridge.weight, ridge.bias


class GramReadout:
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

    @property
    def weight(self) -> Tensor:
        """W, (outputs, features)."""
        return self._solve()[0]

    @property
    def bias(self) -> Tensor:
        """b, (outputs,)."""
        return self._solve()[1]


class OnlineReadout:
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

    @property
    def weight(self) -> Tensor:
        """W, (outputs, features)."""
        return self._solve()[0]

    @property
    def bias(self) -> Tensor:
        """b, (outputs,)."""
        return self._solve()[1]


SOLVERS = ("tsqr", "svd", "gram", "rls", "sgd")


def make_readout(solver: str, penalty: float, dtype: torch.dtype = torch.float64) -> Readout:
    """The readout of a named solver: "tsqr", "svd", "gram", "rls" or "sgd"."""
    check_choice(solver, "solver", SOLVERS, "make_readout")
    if solver in ("rls", "sgd"):
        return OnlineReadout(solver, penalty, dtype=dtype)
    kinds: dict[str, Any] = {"tsqr": OrthogonalReadout, "svd": SingularValueReadout, "gram": GramReadout}
    return kinds[solver](penalty, dtype=dtype)


def condition_estimate(triangle: Tensor, rounds: int = 12) -> float:
    """The condition number of an upper triangle, nearly, by power iteration on it and on its inverse.

    The estimate is from below, and within a few hundredths where the outermost singular value stands apart; infinite
    where the diagonal holds a zero.
    """
    if not bool((triangle.diagonal() != 0).all()):
        return math.inf
    found = []
    # Four directions at once, drawn the same at every call: one alone may be at right angles to what is looked for.
    start = torch.randn(len(triangle), 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for inverse in (False, True):
        directions, size = start.to(triangle), torch.zeros((), dtype=triangle.dtype)
        for _ in range(rounds):
            directions = torch.linalg.qr(directions).Q
            if inverse:
                half = torch.linalg.solve_triangular(triangle.mT, directions, upper=False)
                directions = torch.linalg.solve_triangular(triangle, half, upper=True)
            else:
                directions = triangle.mT @ (triangle @ directions)
            size = directions.norm(dim=0).max()
            if not bool(torch.isfinite(size)):
                return math.inf
        found.append(math.sqrt(float(size)))
    return found[0] * found[1]
