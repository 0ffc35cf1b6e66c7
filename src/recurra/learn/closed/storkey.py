"""Storkey's rules for patterns, of first and second order."""

from __future__ import annotations

from torch import Tensor

from recurra.errors import UsageError
from recurra.learn.closed.patterns import check_patterns, check_weight, without_diagonal


def storkey(patterns: Tensor, weight: Tensor | None = None, order: int = 1, self_connections: bool = False) -> Tensor:
    """The weights of an associative network by Storkey's rule: as Hebb's, less what the network already says.

    Equations:
        for each pattern x in turn, with the weights before it,
        h_ij = sum over k other than i and j of w_ik x_k,
        first order:   w_ij += (x_i x_j - x_i h_ji - h_ij x_j) / N
        second order:  w_ij += (x_i - h_ij) (x_j - h_ji) / N, which adds h_ij h_ji / N to the first;
        w_ii = 0.

    Local and incremental as Hebb's rule is, with a capacity of about N / sqrt(2 ln N) random patterns of +-1 without
    error, instead of N / (2 ln N). The result depends on the order of the patterns.

    Args:
        patterns: one a row, of +-1, stored from the first to the last.
        weight: weights to add to, from patterns stored before.
        order: 1 or 2.
        self_connections: whether w_ii, for which the same equations hold with i = j, is kept instead of 0.

    Shapes:
        patterns (patterns, units); the weights (units, units), symmetric where those given are.

    Raises:
        UsageError: order is neither 1 nor 2.
        ShapeError: patterns or the weights do not fit.

    Reference:
        A. J. Storkey. Increasing the capacity of a Hopfield network without sacrificing functionality. ICANN (1997)
        451-456.
        A. J. Storkey, R. Valabregue. The basins of attraction of a new Hopfield learning rule. Neural Networks 12
        (1999) 869-876.

    Example:
        >>> import torch
        >>> from recurra.learn.closed import hebbian
        >>> x = torch.tensor([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
        >>> bool((storkey(x[:1]) == hebbian(x[:1])).all()), bool((storkey(x) == hebbian(x)).all())
        (True, False)
    """
    if order not in (1, 2) or isinstance(order, bool):
        raise UsageError(f"order is {order!r}", where="storkey", need="1 or 2")
    patterns = check_patterns(patterns, "storkey")
    weight, units = check_weight(weight, patterns, "storkey"), patterns.shape[1]
    for x in patterns.unbind(0):
        # h_ij, from the whole field less the terms of k = i and k = j; for i = j that is one term, taken off once.
        own = weight.diagonal() * x
        field = (weight @ x - own).unsqueeze(-1) - without_diagonal(weight * x)
        heard = field * x
        change = x.unsqueeze(-1) * x - (heard + heard.mT)
        if order == 2:
            change = change + field * field.mT
        weight = weight + (change if self_connections else without_diagonal(change)) / units
    return weight
