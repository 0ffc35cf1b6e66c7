"""Triangular factors of tall matrices: all that least squares needs of its rows, and mergeable."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import in_transform


def triangular_factor(rows: Tensor) -> Tensor:
    """R of rows = Q R: a square upper triangle with the same inner products as the rows.

    Equations:
        R^T R = A^T A, and the factor of A on top of B is the factor of R_A on top of R_B.

    So a long matrix may be factored block by block, or in parts on several machines, and the factors merged; A^T A
    itself, whose condition number is the square of A's, is never formed.

    Shapes:
        rows (..., m, n), any m from 0; R (..., n, n).

    Reference:
        J. Demmel, L. Grigori, M. Hoemmen, J. Langou. Communication-optimal parallel and sequential QR and LU
        factorizations. SIAM Journal on Scientific Computing 34 (2012) A206-A239.

    Example:
        >>> a, b = torch.randn(7, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
        >>> parts = torch.cat([triangular_factor(a), triangular_factor(b)])
        >>> merged, whole = triangular_factor(parts), triangular_factor(torch.cat([a, b]))
        >>> torch.allclose(merged.T @ merged, whole.T @ whole)
        True
    """
    m, n = rows.shape[-2:]
    if m < n:
        # Rows of zeros change no inner product, and the factor becomes square.
        rows = F.pad(rows, (0, 0, 0, n - m))
    # vmap cannot batch the mode that leaves Q out.
    return torch.linalg.qr(rows, mode="reduced" if in_transform() else "r").R


def factor_by_blocks(rows: Tensor, factor: Tensor | None = None, block: int = 2048) -> Tensor:
    """The factor of `factor` on top of many rows, a block of rows at a time, so that no copy of all of them is made."""
    # The factor so far is factored again with each block: beside blocks of many rows that is little.
    size = max(block, 6 * rows.shape[-1])
    for part in rows.split(size, -2) if rows.shape[-2] else [rows]:
        factor = triangular_factor(part if factor is None else torch.cat([factor, part], -2))
    assert factor is not None
    return factor


def penalised_factor(factor: Tensor, beside: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """R' and Y' of [R Y; sqrt(penalty) I 0] = Q [R' Y'; 0 *] for an upper triangle R and any Y beside it.

    Shapes:
        factor R (n, n), beside Y (n, outputs).

    Example:
        >>> r, y = penalised_factor(torch.tensor([[3.0]]), torch.tensor([[2.0]]), 16.0)
        >>> round(abs(r.item()), 5), round(abs(y.item()), 5)
        (5.0, 1.2)
    """
    n, root = len(factor), math.sqrt(penalty)
    eye = torch.eye(n, dtype=factor.dtype, device=factor.device)
    if factor.device.type != "cpu" or factor.dtype not in (torch.float32, torch.float64) or n == 0:
        whole = torch.cat([torch.cat([factor, beside], 1), torch.cat([root * eye, torch.zeros_like(beside)], 1)])
        solved = torch.linalg.qr(whole, mode="r").R[:n]
        return solved[:, :n], solved[:, n:]
    # Both parts are triangles, and a factorisation that knows it does a fifth of the arithmetic. Imported late, as
    # many who use this room never come here.
    from scipy.linalg import lapack

    letter = "d" if factor.dtype == torch.float64 else "s"
    triangles, turn = getattr(lapack, f"{letter}tpqrt"), getattr(lapack, f"{letter}tpmqrt")
    solved, reflectors, blocks, _ = triangles(n, min(n, 32), factor.numpy(), (root * eye).numpy())
    none = torch.zeros_like(beside).numpy()
    turned, _, _ = turn(n, reflectors, blocks, beside.numpy(), none, side="L", trans="T")
    return torch.from_numpy(solved), torch.from_numpy(turned)


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
