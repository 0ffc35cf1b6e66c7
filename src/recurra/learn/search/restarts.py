"""Beginning a search again where it has come to a standstill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from recurra.learn.search.base import Search


class Restarts(Search):
    """A search that is begun again, from a new seed, when its own best has not improved for some generations.

    Equations:
        the k-th search is make(seed + 1,000,003 k); `best` and `evaluations` are those of all of them together.

    Args:
        make: builds the search from a seed; always with the same arguments but for it.
        patience: generations without an improvement after which the search is begun again; None to wait until the
            search itself says that it is exhausted.
        seed: of the first search.

    Shapes:
        those of the search that is made.

    Attributes:
        restarts: how often the search was begun again.
        inner: the search that runs at present.

    Raises:
        UsageError: patience is no positive whole number.

    Reference:
        A. Auger, N. Hansen. A restart CMA evolution strategy with increasing population size. CEC (2005) 1769-1776,
        for restarts; the population does not grow here.

    Example:
        >>> from recurra.learn.search import CoSyNE
        >>> search = Restarts(lambda seed: CoSyNE(3, population=8, seed=seed), patience=2)
        >>> for _ in range(5):
        ...     population = search.ask()
        ...     search.tell([0.0] * 8)  # nothing ever improves on the first
        >>> search.restarts, search.evaluations
        (1, 40)
    """

    name: ClassVar[str] = "restarts"
    _kept: ClassVar[tuple[str, ...]] = ("restarts",)

    def __init__(self, make: Callable[[int], Search], patience: int | None = None, seed: int = 0) -> None:
        self.make, self.restarts = make, 0
        self.inner = make(seed)
        inner = self.inner
        super().__init__(inner.dimension, inner.population, inner.spread, inner.start, seed, inner.dtype)
        self.patience = None if patience is None else self._whole("patience", patience)

    def _propose(self) -> Tensor:
        return self.inner.ask()

    def _checked(self, fitness: Tensor) -> Tensor:
        return self.inner._checked(fitness)

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        self.inner.tell(fitness)
        if self.inner.exhausted or (self.patience is not None and self.inner.stale >= self.patience):
            self.restarts += 1
            self.inner = self.make(self._seed_now())

    def _seed_now(self) -> int:
        # Far apart, so that neighbouring seeds of two runs never meet in a later restart.
        return self.seed + 1_000_003 * self.restarts

    def state_dict(self) -> dict[str, Any]:
        """The counts of all, and the present search's own state."""
        return super().state_dict() | {"inner": self.inner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the present search from its seed, and bring it to its state."""
        super().load_state_dict(state)
        self.inner = self.make(self._seed_now())
        self.inner.load_state_dict(state["inner"])
