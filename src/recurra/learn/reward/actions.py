"""What may be done in an environment, and the distributions from which a policy draws it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from recurra.errors import UsageError


class Actions(Protocol):
    """A kind of action with its distribution.

    Attributes:
        read_out_size: numbers that a policy's read-out gives a step.
        free_size: further numbers of the distribution that are learned but do not depend on what is seen.

    The parameters of a distribution are (..., read_out_size + free_size).
    """

    @property
    def read_out_size(self) -> int: ...

    @property
    def free_size(self) -> int: ...

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor: ...

    def best(self, parameters: Tensor) -> Tensor: ...

    def log_probability(self, parameters: Tensor, action: Tensor) -> Tensor: ...

    def entropy(self, parameters: Tensor) -> Tensor: ...

    def to_environment(self, action: Tensor) -> NDArray[Any]: ...


@dataclass(frozen=True)
class DiscreteActions:
    """One of so many actions, drawn from a softmax.

    Equations:
        p(a) = exp(z_a) / sum_b exp(z_b),  entropy = -sum_a p(a) log p(a).

    Args:
        count: how many there are; they are 0 .. count - 1.

    Shapes:
        parameters z (..., count), action (...,) whole numbers.

    Raises:
        UsageError: count is no whole number from 2.

    Example:
        >>> actions = DiscreteActions(2)
        >>> actions.log_probability(torch.zeros(1, 2), torch.tensor([0])).exp()
        tensor([0.5000])
    """

    count: int

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 2:
            raise UsageError(f"count is {self.count!r}", where="DiscreteActions", need="a whole number, at least 2")

    @property
    def read_out_size(self) -> int:
        """One number an action."""
        return self.count

    @property
    def free_size(self) -> int:
        """None."""
        return 0

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """An action drawn for each row."""
        probabilities = torch.softmax(parameters, -1).reshape(-1, self.count)
        return torch.multinomial(probabilities, 1, generator=generator).reshape(parameters.shape[:-1])

    def best(self, parameters: Tensor) -> Tensor:
        """The most probable action."""
        return parameters.argmax(-1)

    def log_probability(self, parameters: Tensor, action: Tensor) -> Tensor:
        """log p(action)."""
        return F.log_softmax(parameters, -1).gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self, parameters: Tensor) -> Tensor:
        """In nats."""
        logs = F.log_softmax(parameters, -1)
        return -(logs.exp() * logs).sum(-1)

    def to_environment(self, action: Tensor) -> NDArray[Any]:
        """Whole numbers."""
        return action.cpu().numpy()


@dataclass(frozen=True)
class ContinuousActions:
    """A vector of numbers, drawn from a Gaussian with independent parts whose spread does not depend on what is seen.

    Equations:
        a_i ~ N(m_i, exp(s_i)^2); the environment is given low + (high - low) (clip(a, -1, 1) + 1) / 2 where both bounds
        are finite, else clip(a, low, high). Probabilities are those of a before clipping.

    Args:
        low, high: bounds of each number, one a number; infinite where there is none.

    Shapes:
        parameters [m; s] (..., 2 size), action (..., size).

    Raises:
        UsageError: the bounds differ in length, or a low one is not below its high one.

    Example:
        >>> actions = ContinuousActions((-2.0,), (2.0,))
        >>> actions.to_environment(torch.tensor([[0.5], [3.0]]))
        array([[1.],
               [2.]], dtype=float32)
    """

    low: Sequence[float]
    high: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", tuple(float(bound) for bound in self.low))
        object.__setattr__(self, "high", tuple(float(bound) for bound in self.high))
        if not self.low or len(self.low) != len(self.high):
            given = f"{len(self.low)} low and {len(self.high)} high bounds"
            raise UsageError(given, where="ContinuousActions", need="as many of each, and at least one")
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            given = f"low is {self.low} and high is {self.high}"
            raise UsageError(given, where="ContinuousActions", need="each low bound below its high bound")

    @property
    def size(self) -> int:
        """Numbers of an action."""
        return len(self.low)

    @property
    def read_out_size(self) -> int:
        """The means."""
        return self.size

    @property
    def free_size(self) -> int:
        """The logarithms of the standard deviations."""
        return self.size

    def sample(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """An action drawn for each row."""
        mean, log_deviation = parameters.chunk(2, -1)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
        return mean + log_deviation.exp() * noise

    def best(self, parameters: Tensor) -> Tensor:
        """The mean."""
        return parameters.chunk(2, -1)[0]

    def log_probability(self, parameters: Tensor, action: Tensor) -> Tensor:
        """The logarithm of the density at the action."""
        mean, log_deviation = parameters.chunk(2, -1)
        scaled = (action - mean) * torch.exp(-log_deviation)
        return (-0.5 * scaled.square() - log_deviation - 0.5 * math.log(2.0 * math.pi)).sum(-1)

    def entropy(self, parameters: Tensor) -> Tensor:
        """Of the density, in nats."""
        return (parameters.chunk(2, -1)[1] + 0.5 * (1.0 + math.log(2.0 * math.pi))).sum(-1)

    def to_environment(self, action: Tensor) -> NDArray[Any]:
        """In the environment's own units, within its bounds."""
        given = action.cpu().numpy()
        low, high = np.array(self.low, given.dtype), np.array(self.high, given.dtype)
        bounded = np.isfinite(low) & np.isfinite(high)
        base, span = np.where(bounded, low, 0), np.where(bounded, high - low, 0)
        return np.where(bounded, base + span * (np.clip(given, -1, 1) + 1) / 2, np.clip(given, low, high))
