"""Schedules of scheduled sampling: the probability of feeding the true token, falling with training."""

from __future__ import annotations

import math

from recurra.errors import UsageError


def linear_decay(i: float, *, slope: float, start: float = 1.0, lowest: float = 0.0) -> float:
    """The probability of feeding the true token, falling along a line.

    Equations:
        p_i = max(lowest, start - slope i).

    Args:
        i: how far training is: the number of the batch, say.
        slope: what is taken off with each i.
        start: the probability at i = 0.
        lowest: where the line ends.

    Raises:
        UsageError: an argument is out of range.

    Reference:
        S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer. Scheduled sampling for sequence prediction with recurrent neural
        networks. NIPS (2015) 1171-1179.

    Example:
        >>> [linear_decay(i, slope=0.25, lowest=0.5) for i in (0, 1, 5)]
        [1.0, 0.75, 0.5]
    """
    for name, value in (("start", start), ("lowest", lowest)):
        if not 0 <= value <= 1:
            raise UsageError(f"{name} is {value!r}", where="linear_decay", need="a probability, from 0 to 1")
    if slope < 0:
        raise UsageError(f"slope is {slope!r}", where="linear_decay", need="a number from 0 on")
    return max(lowest, start - slope * i)


def exponential_decay(i: float, *, base: float) -> float:
    """The probability of feeding the true token, falling by a constant factor.

    Equations:
        p_i = base^i.

    Args:
        i: how far training is: the number of the batch, say.
        base: the factor, between 0 and 1.

    Raises:
        UsageError: base is out of range.

    Reference:
        S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer. Scheduled sampling for sequence prediction with recurrent neural
        networks. NIPS (2015) 1171-1179.

    Example:
        >>> [exponential_decay(i, base=0.5) for i in (0, 1, 2)]
        [1.0, 0.5, 0.25]
    """
    if not 0 < base < 1:
        raise UsageError(f"base is {base!r}", where="exponential_decay", need="a number between 0 and 1")
    return base**i


def inverse_sigmoid_decay(i: float, *, scale: float) -> float:
    """The probability of feeding the true token, falling late and then smoothly.

    Equations:
        p_i = k / (k + exp(i / k)), k = scale.

    Args:
        i: how far training is: the number of the batch, say.
        scale: k; half of the tokens are true ones at i = k log k.

    Raises:
        UsageError: scale is below 1.

    Reference:
        S. Bengio, O. Vinyals, N. Jaitly, N. Shazeer. Scheduled sampling for sequence prediction with recurrent neural
        networks. NIPS (2015) 1171-1179.

    Example:
        >>> [round(inverse_sigmoid_decay(i, scale=10), 3) for i in (0, 10, 23.03, 1000000)]
        [0.909, 0.786, 0.5, 0.0]
    """
    if scale < 1:
        raise UsageError(f"scale is {scale!r}", where="inverse_sigmoid_decay", need="a number from 1 on")
    # 1 / (1 + exp(i / k) / k), with the exponent kept where exp does not overflow.
    return 1.0 / (1.0 + math.exp(min(i / scale - math.log(scale), 700.0)))
