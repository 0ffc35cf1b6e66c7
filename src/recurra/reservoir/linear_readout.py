"""What the readouts of reservoirs share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class LinearReadout(ABC):
    """Abstract base of what takes in rows of features and targets, and has a weight and a bias."""

    @abstractmethod
    def partial_fit(self, features: Tensor, targets: Tensor, mask: Tensor | None = None) -> Any:
        """Take in more rows."""

    @abstractmethod
    def _solve(self) -> tuple[Tensor, Tensor]:
        """The weight and the bias from all rows taken in."""

    @property
    def weight(self) -> Tensor:
        """W, (outputs, features)."""
        return self._solve()[0]

    @property
    def bias(self) -> Tensor:
        """b, (outputs,)."""
        return self._solve()[1]
