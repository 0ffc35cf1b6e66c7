"""Hebbian learning of patterns."""

from __future__ import annotations

from torch import Tensor

from recurra.learn.closed.patterns import check_patterns, check_weight, without_diagonal


def hebbian(patterns: Tensor, weight: Tensor | None = None, self_connections: bool = False) -> Tensor:
    """The weights of an associative network by Hebb's rule: units that are active together are bound together.

    Equations:
        w_ij = 1/N sum over patterns p of x_i^p x_j^p,  w_ii = 0.

    Of random patterns of +-1, about N / (2 ln N) are recalled without error with high probability, and about 0.138 N
    with few errors; beyond, recall breaks down.

    Args:
        patterns: one a row, of +-1.
        weight: weights to add to, from patterns stored before.
        self_connections: whether w_ii is kept instead of 0.

    Shapes:
        patterns (patterns, units); the weights (units, units), symmetric.

    Raises:
        ShapeError: patterns or the weights do not fit.

    Differs from the paper: units of +-1 instead of 0 and 1 (then x = 2 V - 1), and the factor 1/N, which changes no
    sign.

    Reference:
        J. J. Hopfield. Neural networks and physical systems with emergent collective computational abilities.
        Proceedings of the National Academy of Sciences 79 (1982) 2554-2558.
        D. J. Amit, H. Gutfreund, H. Sompolinsky. Storing infinite numbers of patterns in a spin-glass model of neural
        networks. Physical Review Letters 55 (1985) 1530-1533.
        R. J. McEliece, E. C. Posner, E. R. Rodemich, S. S. Venkatesh. The capacity of the Hopfield associative memory.
        IEEE Transactions on Information Theory 33 (1987) 461-482.

    Example:
        >>> import torch
        >>> hebbian(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))[0].tolist()
        [0.0, -0.25, 0.25, -0.25]
    """
    patterns = check_patterns(patterns, "hebbian")
    weight = check_weight(weight, patterns, "hebbian")
    learned = patterns.mT @ patterns / patterns.shape[1]
    return weight + (learned if self_connections else without_diagonal(learned))
