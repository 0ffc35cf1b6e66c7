"""Conceptors: soft projections onto the states that a pattern excites, and their Boolean algebra."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from recurra.cells.time_step import check_positive
from recurra.errors import ShapeError


def conceptor(states: Tensor, aperture: float = 10.0) -> Tensor:
    """The conceptor of states: the soft projection that keeps the directions in which they vary much.

    Equations:
        C = argmin over C of the mean of |h - C h|^2 + aperture^-2 |C|^2 = R (R + aperture^-2 I)^-1,
        R = the mean of h h^T.

    Computed by the singular values of the states, s^2 / (s^2 + rows aperture^-2), so that R is not formed.

    Args:
        states: h, any number of them.
        aperture: how much is let through; singular values of C go from 0 (aperture 0) to 1 (infinite).

    Shapes:
        states (..., units); C (units, units), symmetric.

    Raises:
        UsageError: the aperture is not positive.
        ShapeError: there are no states.

    Reference:
        H. Jaeger. Controlling recurrent neural networks by conceptors. arXiv:1403.3369 (2014).

    Example:
        >>> c = conceptor(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), aperture=1.0)
        >>> c.round(decimals=4).tolist()  # 4 / (4 + 1)
        [[0.800000011920929, 0.0], [0.0, 0.0]]
    """
    check_positive(aperture, "aperture", "conceptor")
    if states.dim() < 2 or not states.numel():
        raise ShapeError(f"states has shape {tuple(states.shape)}", where="conceptor", need="(..., units), not empty")
    rows = states.flatten(0, -2)
    # The triangular factor has the singular values and right vectors of all rows.
    factor = torch.linalg.qr(rows, mode="r").R
    _, s, vh = torch.linalg.svd(factor, full_matrices=False)
    kept = s.square() / (s.square() + len(rows) / aperture**2)
    return vh.mT @ (kept.unsqueeze(-1) * vh)


def negate(c: Tensor) -> Tensor:
    """NOT: what the conceptor does not let through.

    Equations:
        NOT C = I - C.

    Example:
        >>> negate(torch.diag(torch.tensor([0.25, 1.0]))).diagonal().tolist()
        [0.75, 0.0]
    """
    return torch.eye(c.shape[-1], dtype=c.dtype, device=c.device) - c


def conjunction(a: Tensor, b: Tensor) -> Tensor:
    """AND: what both conceptors let through.

    Equations:
        A AND B = P (P^T (A^+ + B^+ - I) P)^-1 P^T, where the columns of P span what is in the range of both A and B.
        For conceptors without zero singular values, (A^-1 + B^-1 - I)^-1.

    Shapes:
        A, B and the result (units, units).

    Reference:
        H. Jaeger. Controlling recurrent neural networks by conceptors. arXiv:1403.3369 (2014).

    Example:
        >>> half = torch.diag(torch.tensor([0.5, 0.0], dtype=torch.float64))
        >>> conjunction(half, torch.eye(2, dtype=torch.float64)).diagonal().tolist()
        [0.5, 0.0]
    """
    _check_pair(a, b, "conjunction")
    first, second = _outside(a), _outside(b)
    both = first @ first.mT + second @ second.mT
    values, vectors = torch.linalg.eigh(both)
    # The directions outside neither range.
    basis = vectors[:, values < _precision(a)]
    if not basis.shape[1]:
        return torch.zeros_like(a)
    inner = basis.mT @ (_inverse(a) + _inverse(b)) @ basis - torch.eye(basis.shape[1], dtype=a.dtype, device=a.device)
    return basis @ torch.linalg.inv(inner) @ basis.mT


def disjunction(a: Tensor, b: Tensor) -> Tensor:
    """OR: what at least one of the conceptors lets through.

    Equations:
        A OR B = NOT (NOT A AND NOT B).

    Example:
        >>> a = torch.diag(torch.tensor([0.5, 0.0], dtype=torch.float64))
        >>> disjunction(a, torch.zeros(2, 2, dtype=torch.float64)).diagonal().tolist()
        [0.5, 0.0]
    """
    _check_pair(a, b, "disjunction")
    return negate(conjunction(negate(a), negate(b)))


def adapt_aperture(c: Tensor, factor: float) -> Tensor:
    """The conceptor as it would be with its aperture times a factor.

    Equations:
        C (C + factor^-2 (I - C))^-1;  for 0 and infinity the limits: singular values other than 1, or 0, vanish, or
        become 1.

    Args:
        c: C.
        factor: what the aperture is multiplied with, from 0 to infinity.

    Raises:
        UsageError: the factor is negative.

    Example:
        >>> adapt_aperture(torch.diag(torch.tensor([0.5, 1.0])), 2.0).diagonal().tolist()
        [0.800000011920929, 1.0]
    """
    values, vectors = torch.linalg.eigh(c)
    values = values.clamp(0.0, 1.0)
    close = _precision(c)
    if factor == 0:
        adapted = (values > 1.0 - close).to(c)
    elif factor == math.inf:
        adapted = (values > close).to(c)
    else:
        scale = check_positive(factor, "factor", "adapt_aperture") ** -2
        adapted = values / (values + scale * (1.0 - values))
    return vectors @ (adapted.unsqueeze(-1) * vectors.mT)


def quota(c: Tensor) -> Tensor:
    """The share of the state space that a conceptor lets through: the mean of its singular values."""
    return c.diagonal(dim1=-2, dim2=-1).mean(-1)


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """How alike two conceptors are, from 0 to 1.

    Equations:
        |S_A^1/2 U_A^T U_B S_B^1/2|^2 / (|diag S_A| |diag S_B|) = trace(A B) / (|A| |B|), Frobenius norms.
    """
    return (a * b).sum((-2, -1)) / (a.norm() * b.norm())


def evidence(c: Tensor, states: Tensor) -> Tensor:
    """How much of each state a conceptor lets through.

    Equations:
        h^T C h for each h, of which the conceptor with the largest fits best.

    Shapes:
        C (units, units), states (..., units); (...,).
    """
    return ((states @ c) * states).sum(-1)


def _check_pair(a: Tensor, b: Tensor, where: str) -> None:
    if a.dim() != 2 or a.shape != b.shape or a.shape[0] != a.shape[1]:
        raise ShapeError(
            f"the conceptors have shapes {tuple(a.shape)} and {tuple(b.shape)}", where=where, need="(units, units) both"
        )


def _precision(c: Tensor) -> float:
    """Below this a singular value counts as zero: near the root of the precision, so that A^-1 keeps some digits."""
    return math.sqrt(torch.finfo(c.dtype).eps) * 1e-2


def _outside(c: Tensor) -> Tensor:
    """Columns that span what a conceptor shuts out altogether."""
    values, vectors = torch.linalg.eigh(c)
    return vectors * (values < _precision(c)).to(c)


def _inverse(c: Tensor) -> Tensor:
    """The pseudo-inverse."""
    values, vectors = torch.linalg.eigh(c)
    shut = values < _precision(c)
    return vectors @ ((~shut).to(c) / torch.where(shut, 1.0, values)).unsqueeze(-1).mul(vectors.mT)
