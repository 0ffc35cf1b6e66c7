"""Recursive least squares: a linear readout that is the best one after every single row."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recurra.cells.base import check_size
from recurra.cells.time_step import check_positive
from recurra.errors import ShapeError, UsageError
from recurra.learn.closed.rows import flat_rows


class RecursiveLeastSquares:
    """Recursive least squares with a forgetting factor, carried as a square root so that it cannot lose its footing.

    Equations:
        after t rows  W = argmin sum_i f^(t-i) |W x_i - y_i|^2 + f^t penalty |W - W_0|^2,  kept by
        e = y - W x;  k = P x / (f + x^T P x);  W' = W + e k^T;  P' = (P - k x^T P) / f;  P_0 = I / penalty.
        P = S S^T is carried as S (Potter):  s = S^T x;  a = 1 / (f + s^T s);  k = a S s;
        S' = (S - a / (1 + sqrt(f a)) (S s) s^T) / sqrt(f).

    P stays symmetric and not negative whatever the rounding. The plain form may lose both, as in a time in which the
    features vary little, and then it learns no more.
    With forgetting = 1 and W_0 = 0 the weights are those of `Ridge` without a bias, in any order of the rows.

    Args:
        features: number of features.
        outputs: number of outputs.
        penalty: on the first weights' change; 1 / penalty is the first P's diagonal.
        forgetting: f, the weight that a row keeps from one row to the next, above 0 and at most 1; rows count for about
            1 / (1 - f) rows. With f < 1 and features that stop varying, P grows without end along what is not seen.
        bias: whether a feature that is always 1 is appended; it is penalised as the others.
        weight: W_0, zeros when absent.
        dtype, device: where and in which number format to work.

    Shapes:
        x (..., features), y (..., outputs); weight = W (outputs, features), bias (outputs,). A row costs O(features^2).

    Raises:
        UsageError: a size or the penalty is not positive, or the forgetting factor is out of range.
        ShapeError: features or targets do not fit, or hold a number that is not finite.

    Differs from the paper: Potter's form has no forgetting factor; it enters by dividing S by sqrt(f), as given above.

    Reference:
        P. G. Kaminski, A. E. Bryson, S. F. Schmidt. Discrete square root filtering: a survey of current techniques.
        IEEE Transactions on Automatic Control 16 (1971) 727-736 (with Potter's form).
        S. Haykin. Adaptive Filter Theory. 4th edition, Prentice Hall (2002) ch. 9 and 11.

    Example:
        >>> rls = RecursiveLeastSquares(1, 1, penalty=1e-9)
        >>> errors = [rls.update(torch.tensor([[x]]), torch.tensor([[3 * x]])).item() for x in (1.0, 2.0)]
        >>> errors[0], abs(errors[1]) < 1e-6, round(rls.weight.item(), 6)
        (3.0, True, 3.0)
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        penalty: float = 1e-6,
        forgetting: float = 1.0,
        bias: bool = False,
        weight: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ):
        where = "RecursiveLeastSquares"
        self.features, self.outputs = check_size(features, "features", where), check_size(outputs, "outputs", where)
        self.penalty = check_positive(penalty, "penalty", where)
        if isinstance(forgetting, bool) or not isinstance(forgetting, int | float) or not 0 < forgetting <= 1:
            raise UsageError(f"forgetting is {forgetting!r}", where=where, need="a number above 0 and at most 1")
        self.forgetting, self.has_bias, self.rows = float(forgetting), bool(bias), 0
        size = features + self.has_bias
        self.square_root = torch.eye(size, dtype=dtype, device=device) / math.sqrt(self.penalty)
        self.all_weights = torch.zeros(outputs, size, dtype=dtype, device=device)
        if weight is not None:
            if weight.shape != (outputs, features):
                raise ShapeError(
                    f"weight has shape {tuple(weight.shape)}", where=where, need=f"({outputs}, {features})"
                )
            self.all_weights[:, :features] = weight

    def update(self, features: Tensor, targets: Tensor) -> Tensor:
        """Take in rows, one after another; returns y - W x of each with the weights before it, (rows, outputs)."""
        x, y = flat_rows(features, targets, None, where="RecursiveLeastSquares", dtype=self.all_weights.dtype)
        if x.shape[1] != self.features or y.shape[1] != self.outputs:
            raise ShapeError(
                f"features are {x.shape[1]} and outputs {y.shape[1]}",
                where="RecursiveLeastSquares",
                need=f"{self.features} features and {self.outputs} outputs",
            )
        if self.has_bias:
            x = torch.cat([x, x.new_ones(len(x), 1)], -1)
        f, root = self.forgetting, math.sqrt(self.forgetting)
        errors = []
        for row, target in zip(x, y, strict=True):
            error = target - self.all_weights @ row
            s = row @ self.square_root
            a = 1.0 / (f + s @ s)
            direction = self.square_root @ s
            self.all_weights = torch.addr(self.all_weights, error, a * direction)
            self.square_root = torch.addr(
                self.square_root, (a / (1.0 + torch.sqrt(f * a)) / root) * direction, s, beta=1.0 / root, alpha=-1.0
            )
            errors.append(error)
        self.rows += len(x)
        return torch.stack(errors) if errors else y

    def partial_fit(self, features: Tensor, targets: Tensor) -> RecursiveLeastSquares:
        """Take in rows, one after another."""
        self.update(features, targets)
        return self

    @property
    def weight(self) -> Tensor:
        """W, (outputs, features)."""
        return self.all_weights[:, : self.features]

    @property
    def bias(self) -> Tensor:
        """(outputs,); zeros where there is none."""
        return self.all_weights[:, -1] if self.has_bias else self.all_weights.new_zeros(self.outputs)

    @property
    def covariance(self) -> Tensor:
        """P: the inverse of the weighted sum of x x^T and the penalty, (features, features), bias last."""
        return self.square_root @ self.square_root.mT

    def predict(self, features: Tensor) -> Tensor:
        """W x for features (..., features), in their own number format."""
        return torch.nn.functional.linear(features, self.weight.to(features), self.bias.to(features))

    def __repr__(self) -> str:
        return f"RecursiveLeastSquares({self.features}, {self.outputs}, forgetting={self.forgetting:g})"
