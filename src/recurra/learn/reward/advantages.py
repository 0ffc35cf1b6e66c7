"""Returns, and advantages of actions over what was expected."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import ShapeError, UsageError


def generalised_advantages(
    reward: Tensor, value: Tensor, next_value: Tensor, end: Tensor, discount: float, gae_lambda: float
) -> Tensor:
    """How much better than expected each step turned out, the future weighed by lambda.

    Equations:
        delta_t = r_t + discount V'_t - V_t,  A_t = delta_t + discount lambda (1 - end_t) A_{t+1},
        where V'_t is the value of where step t led: 0 if the episode terminated there, the value of its last
        observation if it was cut off. With lambda = 1 this is the return, less the value.

    Args:
        reward, value, next_value: r, V and V'.
        end: whether the episode ended with the step, in either way.
        discount, gae_lambda: from 0 to 1.

    Shapes:
        all (time, batch); the result too.

    Raises:
        ShapeError: the shapes differ.
        UsageError: a number is out of range.

    Differs from the paper: a time limit is no end of the task, so the value of what was cut off is counted.

    Reference:
        J. Schulman, P. Moritz, S. Levine, M. Jordan, P. Abbeel. High-dimensional continuous control using generalized
        advantage estimation. ICLR (2016); F. Pardo, A. Tavakoli, V. Levdik, P. Kormushev. Time limits in reinforcement
        learning. ICML (2018), for the steps cut off.

    Example:
        >>> one, no = torch.ones(3, 1), torch.zeros(3, 1)
        >>> end = torch.tensor([[False], [True], [False]])
        >>> generalised_advantages(one, no, no, end, 0.5, 1.0).flatten()
        tensor([1.5000, 1.0000, 1.0000])
    """
    for name, part in (("value", value), ("next_value", next_value), ("end", end)):
        if part.shape != reward.shape:
            raise ShapeError(
                f"{name} has shape {tuple(part.shape)}",
                where="generalised_advantages",
                need=f"{tuple(reward.shape)}, that is (time, batch) as reward has",
            )
    for name, number in (("discount", discount), ("gae_lambda", gae_lambda)):
        if not 0.0 <= number <= 1.0:
            raise UsageError(f"{name} is {number!r}", where="generalised_advantages", need="a number from 0 to 1")
    surprise = reward + discount * next_value - value
    factor = discount * gae_lambda * (~end.bool()).to(reward.dtype)
    advantage, found = reward.new_zeros(reward.shape[1:]), []
    for t in reversed(range(len(reward))):
        advantage = surprise[t] + factor[t] * advantage
        found.append(advantage)
    return torch.stack(found[::-1]) if found else torch.zeros_like(reward)


def discounted_returns(reward: Tensor, next_value: Tensor, end: Tensor, discount: float) -> Tensor:
    """The discounted sum of rewards from each step on, to the end of its episode.

    Equations:
        G_t = r_t + discount (V'_t if the episode ended with t or t is the last step, else G_{t+1}).

    Args, shapes and errors: as in `generalised_advantages`.

    Example:
        >>> discounted_returns(torch.ones(3, 1), torch.zeros(3, 1), torch.zeros(3, 1), 0.5).flatten()
        tensor([1.7500, 1.5000, 1.0000])
    """
    nothing = torch.zeros_like(reward)
    last = torch.zeros(reward.shape, dtype=torch.bool, device=reward.device)
    if len(last):
        last = torch.cat([last[:-1], ~last[-1:]])
    stops = end.bool() | last
    arrived = torch.where(stops, next_value, nothing)
    return generalised_advantages(reward, nothing, arrived, stops, discount, 1.0)
