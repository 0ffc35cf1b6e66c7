"""Random guessing: what every search has to beat."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from recurra.learn.search.base import Search


class RandomGuess(Search):
    """Random weight guessing: every vector is drawn anew, and the best is kept.

    Equations:
        x = start + spread u, u uniform in [-1, 1] in each gene.

    Args:
        dimension, population, spread, start, seed, dtype: as in `Search`.

    Shapes:
        as in `Search`.

    Raises:
        UsageError, ShapeError: as in `Search`.

    Reference:
        J. Schmidhuber, S. Hochreiter, Y. Bengio. Evaluating benchmark problems by random guessing. In S. C. Kremer,
        J. F. Kolen (eds.), A field guide to dynamical recurrent neural networks (2001) 231-236.

    Example:
        >>> search = RandomGuess(dimension=2, population=100, seed=0)
        >>> search.tell(-search.ask().square().sum(1))
        >>> search.best.fitness > -0.1
        True
    """

    name: ClassVar[str] = "random"

    def __init__(self, dimension: int, population: int = 100, spread: float = 1.0, **arguments: Any) -> None:
        super().__init__(dimension, population, spread, **arguments)

    def _propose(self) -> Tensor:
        return self._first_population()

    def _learn(self, population: Tensor, fitness: Tensor) -> None:
        """Nothing is learnt."""
