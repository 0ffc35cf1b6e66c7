"""Linear least squares by orthogonal factors, for one problem or a whole population of problems at once."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.learn.closed.triangular import triangular_factor


def least_squares(features: Tensor, targets: Tensor, penalty: float = 0.0) -> Tensor:
    """The linear readout with the least squared error: that of the pseudo-inverse, or of ridge regression.

    Equations:
        W = argmin over W of |X W^T - Y|^2 + penalty |W|^2;  with penalty 0 and several such W, the shortest:
        W^T = X^+ Y, the Moore-Penrose pseudo-inverse.

    Solved by the triangular factor of [X Y] and the singular values of its part for X, never by X^T X. No warning is
    given: `Ridge` says whether an answer can be trusted.

    Args:
        features: X, one row an observation.
        targets: Y.
        penalty: on the sum of the squared weights. With 0, singular values below the largest times the number of
            features times the number format's precision are taken for zero.

    Shapes:
        features (..., rows, features), targets (..., rows, outputs); W (..., outputs, features). Leading dimensions are
        independent problems.

    Reference:
        G. H. Golub, C. F. Van Loan. Matrix Computations. 4th edition, Johns Hopkins University Press (2013) ch. 5.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
        >>> least_squares(x, 3.0 - 2.0 * x[:, 1:]).round(decimals=6).tolist()
        [[3.0, -2.0]]
    """
    count = features.shape[-1]
    r = triangular_factor(torch.cat([features, targets], -1))
    u, s, vh = torch.linalg.svd(r[..., :count, :count], full_matrices=False)
    projected = u.mT @ r[..., :count, count:]
    return (vh.mT @ (shrinkage(s, penalty).unsqueeze(-1) * projected)).mT


def shrinkage(s: Tensor, penalty: float | Tensor) -> Tensor:
    """s / (s^2 + penalty) for singular values s (..., n), largest first; 0 for those that are zero to rounding."""
    cutoff = s[..., :1] * (s.shape[-1] * torch.finfo(s.dtype).eps)
    kept = (s > cutoff) | ((s > 0) & (torch.as_tensor(penalty, dtype=s.dtype, device=s.device) > 0))
    return torch.where(kept, s, torch.zeros_like(s)) / torch.where(kept, s * s + penalty, torch.ones_like(s))
