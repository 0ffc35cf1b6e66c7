"""Triangular factors of tall matrices: all that least squares needs of its rows, and mergeable."""

from __future__ import annotations

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
    size = max(block, 2 * rows.shape[-1])
    for part in rows.split(size, -2) if rows.shape[-2] else [rows]:
        factor = triangular_factor(part if factor is None else torch.cat([factor, part], -2))
    assert factor is not None
    return factor
