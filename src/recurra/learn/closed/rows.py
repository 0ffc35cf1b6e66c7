"""What the closed forms share: sequences of features and targets as plain rows, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import ShapeError


def flat_rows(
    features: Tensor, targets: Tensor, mask: Tensor | None, *, where: str, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(rows, features) and (rows, outputs) from tensors with any leading dimensions, without what the mask leaves out.

    Raises:
        ShapeError: leading dimensions differ, or a number is not finite.
    """
    for name, given in (("features", features), ("targets", targets)):
        if not isinstance(given, Tensor) or given.dim() < 1:
            raise ShapeError(f"{name} is {type(given).__name__}", where=where, need="a tensor (..., features)")
    if features.shape[:-1] != targets.shape[:-1]:
        raise ShapeError(
            f"features {tuple(features.shape)} and targets {tuple(targets.shape)} differ before the last dimension",
            where=where,
            need="(..., features) and (..., outputs) with the same leading dimensions",
            cure="give targets a last dimension of 1 where there is one output" if targets.dim() < 2 else None,
        )
    x = features.detach().to(dtype).reshape(-1, features.shape[-1])
    y = targets.detach().to(dtype).reshape(-1, targets.shape[-1])
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != features.shape[:-1]:
            raise ShapeError(
                f"mask is {mask.dtype} of shape {tuple(mask.shape)}",
                where=where,
                need=f"booleans of shape {tuple(features.shape[:-1])}",
            )
        x, y = x[mask.reshape(-1)], y[mask.reshape(-1)]
    for name, given in (("features", x), ("targets", y)):
        # A sum is finite only if all is; where it is not, it may be that the sum alone is too large.
        if bool(torch.isfinite(given.sum())):
            continue
        bad = ~torch.isfinite(given).all(-1)
        if bad.any():
            raise ShapeError(
                f"{name} are not finite in {int(bad.sum())} of {len(given)} rows, first in row {int(bad.nonzero()[0])}",
                where=where,
                need="finite numbers",
                cure="leave such rows out with a mask",
            )
    return x, y
