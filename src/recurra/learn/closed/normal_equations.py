"""Ridge regression by the normal equations where they will do, refined until nothing of their squaring is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.learn.closed.ridge import RidgePath, ridge_path

STEPS = 8
"""Corrections at most."""
LEFT, LEFT_OF_SPECTRUM = 1e-3, 1e-5
"""How much of the digits, as a share, the squaring may take: of weights, which are corrected, and of singular values,
which are not."""


class Moments(NamedTuple):
    """Sums over rows about their means.

    Attributes:
        x, y: the means, (features,) and (outputs,).
        gram: sums of products of features, (features, features); its lower triangle alone.
        cross: sums of products of features and outputs, (features, outputs).
    """

    x: Tensor
    y: Tensor
    gram: Tensor
    cross: Tensor


def refined_ridge(parts: Sequence[tuple[Tensor, Tensor]], penalty: float) -> tuple[Tensor, Tensor] | None:
    """The weights and biases of ridge regression; None where X is too nearly singular.

    Equations:
        (X^T X + penalty I) W^T = X^T Y for X and Y about their means; then, with the rows themselves,
        W^T += (X^T X + penalty I)^-1 (X^T (Y - X W^T) - penalty W^T)  until W no longer changes.

    X^T X has the square of X's condition number and holds small singular values badly. As long as the square is far
    from the reciprocal of the number format's precision, each correction takes what is wrong down by a factor, and W
    ends as exact as by orthogonal factors. Where it is not, or the corrections do not fall as they should, there is no
    answer, and orthogonal factors are to be taken.

    Args:
        parts: rows of features and of outputs, X and Y, a part after another; best with means that are not large beside
            what the rows differ by.
        penalty: on the sum of the squared weights.

    Shapes:
        parts (rows, features) and (rows, outputs); W (outputs, features), biases (outputs,).

    Reference:
        A. Bjorck. Stability analysis of the method of seminormal equations for linear least squares problems. Linear
        Algebra and its Applications 88/89 (1987) 31-48.

    Example:
        >>> x = torch.arange(6.0, dtype=torch.float64).unsqueeze(-1)
        >>> weight, bias = refined_ridge([(x[:4], 2.0 * x[:4] + 1.0), (x[4:], 2.0 * x[4:] + 1.0)], 0.0)
        >>> round(weight.item(), 9), round(bias.item(), 9)
        (2.0, 1.0)
    """
    limit = LEFT / torch.finfo(parts[0][0].dtype).eps
    moments = gather_moments(parts, penalty, limit)
    factor = None if moments is None else trusted_factor(moments.gram, penalty, limit)
    if moments is None or factor is None:
        return None
    weight = _refined(
        parts, moments, _penalties([penalty], factor), lambda wanted: torch.cholesky_solve(wanted[0], factor)[None]
    )
    return None if weight is None else (weight[0].mT.contiguous(), moments.y - moments.x @ weight[0])


def refined_path(parts: Sequence[tuple[Tensor, Tensor]], penalties: Sequence[float]) -> RidgePath | None:
    """What `Ridge.path` gives, from one eigenvalue decomposition of X^T X; None where `refined_ridge` gives it.

    Args:
        parts, penalties: as in `refined_ridge`.
    """
    least, limit = min(penalties), LEFT_OF_SPECTRUM / torch.finfo(parts[0][0].dtype).eps
    moments = gather_moments(parts, least, limit)
    if moments is None:
        return None
    if not far_from_singular(moments.gram, least, limit) and trusted_factor(moments.gram, least, limit) is None:
        return None
    values, vectors = torch.linalg.eigh(moments.gram, UPLO="L")
    values = values.clamp_min(0.0)
    given = _penalties(penalties, values)
    each = values + given.unsqueeze(1)

    def solve(wanted: Tensor) -> Tensor:
        return _times(vectors, _times(vectors.mT, wanted) / each.unsqueeze(-1))

    weight = _refined(parts, moments, given, solve)
    if weight is None:
        return None
    rows, degrees = sum(len(x) for x, _ in parts), 1.0 + (values / each).sum(1)
    squares = _missing(parts, moments, weight, given)[1]
    return ridge_path(given, weight.mT.contiguous(), moments.y - moments.x @ weight, squares, degrees, rows)


def _penalties(penalties: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(list(penalties), dtype=like.dtype, device=like.device)


def _refined(
    parts: Sequence[tuple[Tensor, Tensor]], moments: Moments, penalties: Tensor, solve: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """W^T (penalties, features, outputs), first from the sums and then corrected; None where that does not end well."""
    weight = solve(moments.cross.expand(len(penalties), -1, -1))
    last, number = math.inf, torch.finfo(weight.dtype)
    for _ in range(STEPS):
        change = solve(_missing(parts, moments, weight, penalties)[0])
        weight = weight + change
        size = float((change.norm(dim=1) / weight.norm(dim=1).clamp_min(number.tiny)).max())
        # Corrections fall by about one factor: the next would be of no account.
        if size <= 256.0 * number.eps or (last < math.inf and size * size <= 64.0 * number.eps * last):
            return weight
        if not size < 0.25 * last:
            # It falls no further. What is left is due to the problem itself if it is small; if not, to the squaring.
            return weight if size < number.eps**0.5 else None
        last = size
    return None


def gather_moments(parts: Sequence[tuple[Tensor, Tensor]], penalty: float, limit: float) -> Moments | None:
    """The sums over all rows; None where it shows early that they will be of no use."""
    rows = sum(len(x) for x, _ in parts)
    like, features = parts[0][0], parts[0][0].shape[1]
    gram, cross = like.new_zeros(features, features), like.new_zeros(features, parts[0][1].shape[1])
    total_x, total_y = like.new_zeros(features), like.new_zeros(cross.shape[1])
    taken, looked, size = 0, rows < 4 * features, max(1024, features)
    for x, y in parts:
        for read, wanted in zip(x.split(size), y.split(size), strict=True):
            _add_products(gram, read)
            cross.addmm_(read.mT, wanted)
            total_x.addmv_(read.mT, read.new_ones(len(read)))
            total_y += wanted.sum(0)
            taken += len(read)
            if not looked and taken >= 1.5 * features:
                # Too nearly singular this far, it most likely stays so, and the rest of the sums is saved.
                looked = True
                if far_from_singular(gram, penalty * taken / rows, limit):
                    continue
                factor, failed = torch.linalg.cholesky_ex(_penalised(gram, penalty * taken / rows))
                least, most = factor.diagonal().aminmax()
                if int(failed) or float(most / least) ** 2 > limit:
                    return None
    mean_x, mean_y = total_x / rows, total_y / rows
    return Moments(mean_x, mean_y, gram.addr_(total_x, mean_x, alpha=-1.0), cross.addr_(total_x, mean_y, alpha=-1.0))


def trusted_factor(gram: Tensor, penalty: float, limit: float) -> Tensor | None:
    """The Cholesky factor of gram + penalty I, or None where its condition number is not below the limit."""
    factor, failed = torch.linalg.cholesky_ex(_penalised(gram, penalty))
    if int(failed):
        return None
    if far_from_singular(gram, penalty, limit):
        return factor
    found = torch.randn(len(gram), 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(gram)
    for _ in range(3):
        found = torch.cholesky_solve(found / found.norm(dim=0), factor)
    # The trace is the largest eigenvalue or more, by at most the number of features.
    largest = float(gram.diagonal().sum()) + penalty
    return factor if largest * float(found.norm(dim=0).max()) < limit else None


def far_from_singular(gram: Tensor, penalty: float, limit: float) -> bool:
    """Whether the penalty alone keeps the condition number of gram + penalty I below the limit."""
    return float(gram.diagonal().sum()) + penalty < limit * penalty


def _add_products(gram: Tensor, x: Tensor) -> None:
    """Add X^T X to the lower triangle, a strip at a time: half the arithmetic of the whole."""
    for start in range(0, gram.shape[0], 128):
        end = min(start + 128, gram.shape[0])
        gram[start:end, :end].addmm_(x[:, start:end].mT, x[:, :end])


def _penalised(gram: Tensor, penalty: float) -> Tensor:
    made = gram.clone()
    made.diagonal().add_(penalty)
    return made


def _times(matrix: Tensor, wanted: Tensor) -> Tensor:
    """matrix @ wanted for wanted (penalties, features, outputs), as one product."""
    count, _, outputs = wanted.shape
    side = wanted.transpose(0, 1).reshape(matrix.shape[1], -1)
    return (matrix @ side).reshape(-1, count, outputs).transpose(0, 1)


def _missing(
    parts: Sequence[tuple[Tensor, Tensor]], moments: Moments, weight: Tensor, penalties: Tensor
) -> tuple[Tensor, Tensor]:
    """X^T E - penalty W^T, and the sums of the squares of E = Y - X W^T, about the means and in one pass of the rows.

    W^T is (penalties, features, outputs), and the sums are (penalties, outputs).
    """
    count, features, outputs = weight.shape
    side = weight.transpose(0, 1).reshape(features, -1)
    bias = moments.y.repeat(count) - moments.x @ side
    found, total, squares = torch.zeros_like(side), torch.zeros_like(bias), torch.zeros_like(bias)
    size = max(1, 2**17 // max(features, 1))
    for x, y in parts:
        for read, wanted in zip(x.split(size), y.split(size), strict=True):
            missed = (wanted.repeat(1, count) - bias).addmm_(read, side, alpha=-1.0)
            found.addmm_(read.mT, missed)
            total += missed.sum(0)
            squares += missed.square().sum(0)
    found -= torch.outer(moments.x, total)
    found = found.reshape(features, count, outputs).transpose(0, 1) - penalties[:, None, None] * weight
    return found, squares.reshape(count, outputs)
