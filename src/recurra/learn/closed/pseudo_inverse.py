"""The pseudo-inverse rule for patterns."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.learn.closed.patterns import check_patterns, without_diagonal


def pseudo_inverse(patterns: Tensor, self_connections: bool = True) -> Tensor:
    """The weights of an associative network that hold every pattern fixed: the projection onto the patterns.

    Equations:
        W = X^+ X with the patterns as rows of X, the orthogonal projection onto what they span, so that W x = x for
        every pattern, correlated ones included; w_ii = 0 instead where self_connections is False.

    Up to N independent patterns are fixed points; the regions from which they are reached shrink as their number grows
    and are gone at about N / 2, later where the diagonal is zero. The rule is neither local nor incremental.

    Args:
        patterns: one a row, usually of +-1; they may depend on one another.
        self_connections: whether the diagonal of the projection is kept, as in the paper.

    Shapes:
        patterns (patterns, units); the weights (units, units), symmetric.

    Raises:
        ShapeError: patterns do not fit.

    Reference:
        L. Personnaz, I. Guyon, G. Dreyfus. Collective computational properties of neural networks: new learning
        mechanisms. Physical Review A 34 (1986) 4217-4228.
        I. Kanter, H. Sompolinsky. Associative recall of memory without errors. Physical Review A 35 (1987) 380-392
        (zero diagonal).

    Example:
        >>> x = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, -1.0, 1.0, 1.0]])
        >>> torch.allclose(x @ pseudo_inverse(x), x)
        True
    """
    patterns = check_patterns(patterns, "pseudo_inverse")
    if patterns.shape[0] == 0:
        return patterns.new_zeros(patterns.shape[1], patterns.shape[1])
    # From an orthonormal basis of the rows: exactly symmetric, as X^+ X computed by a product is not.
    _, s, vh = torch.linalg.svd(patterns, full_matrices=False)
    kept = s > s[:1] * max(patterns.shape) * torch.finfo(s.dtype).eps
    basis = vh * kept.to(vh.dtype).unsqueeze(-1)
    weight = basis.mT @ basis
    return weight if self_connections else without_diagonal(weight)
