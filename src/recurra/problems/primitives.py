"""Sequences of reused movements: the same few loops in every order."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from recurra.errors import UsageError


def primitive_sequences(
    primitives: int = 3, repeats: int = 2, period: int = 16, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Paths in the plane that join the same loops in all their orders.

    Equations:
        loop k is a circle of radius 1/2 through the origin, gone round once in `period` steps:
        p_k(t) = 1/2 (c(a_k) - c(a_k + 2 pi t / period)),  c(a) = (cos a, sin a),  a_k = 2 pi k / primitives;
        a path goes `repeats` times round each loop of an order before it turns to the next.

    Every loop begins and ends at the origin. What comes next does not follow from where the path stands there, nor,
    with two repeats or more, from the loop that it has just gone: a network must know how far it is in the path.

    Args:
        primitives: loops; there are as many paths as orders of them, primitives factorial.
        repeats: rounds of each loop.
        period: steps a round.
        dtype: the number format.

    Shapes:
        paths (primitives * repeats * period + 1, orders, 2), the first and the last step at the origin; loops
        (primitives * repeats, orders), whole numbers: which loop each round is.

    Raises:
        UsageError: primitives is not from 1 to 6, repeats is below 1, or period is below 3.

    Differs from the paper: the loops are circles, where the paper's movements are a robot's, and their orders are all
    there are, with nothing held back.

    Reference:
        Y. Yamashita, J. Tani. Emergence of functional hierarchy in a multiple timescale neural network model: a
        humanoid robot experiment. PLoS Computational Biology 4 (2008) e1000220.

    Example:
        >>> paths, loops = primitive_sequences(2, repeats=1, period=4)
        >>> loops.T.tolist(), paths[1].round(decimals=2).tolist()  # a quarter round the first loop
        ([[0, 1], [1, 0]], [[0.5, -0.5], [-0.5, 0.5]])
    """
    if not 1 <= primitives <= 6 or repeats < 1 or period < 3:
        raise UsageError(
            f"primitives is {primitives!r}, repeats is {repeats!r}, period is {period!r}",
            where="primitive_sequences",
            need="1 to 6 primitives, 1 or more repeats and a period of 3 or more steps",
        )
    orders = torch.tensor(list(itertools.permutations(range(primitives)))).T
    loops = orders.repeat_interleave(repeats, 0)
    angle = loops.unsqueeze(1).to(torch.float64) * (2 * math.pi / primitives)
    turned = angle + torch.arange(period, dtype=torch.float64).reshape(1, -1, 1) * (2 * math.pi / period)
    path = 0.5 * torch.stack([angle.cos() - turned.cos(), angle.sin() - turned.sin()], -1)
    paths = torch.cat([path.flatten(0, 1), path.new_zeros(1, loops.shape[1], 2)])
    return paths.to(dtype), loops
