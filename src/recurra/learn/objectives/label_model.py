"""What a decoder asks of a model of labellings."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from recurra.learn.objectives.log_scores import Array


@runtime_checkable
class LabelModel(Protocol):
    """A model that says which label is likely next: an n-gram model, or a network of one's own behind these methods.

    A state stands for the labels so far. It is never changed, only replaced by `advance`.
    """

    def begin(self) -> Any:
        """The state before the first label."""
        ...

    def advance(self, state: Any, label: int) -> Any:
        """The state after one more label."""
        ...

    def log_probs(self, state: Any) -> Array:
        """The log-probability of each class to be next, (classes,), in nats; the blank's is never looked at."""
        ...

    def end(self, state: Any) -> float:
        """The log-probability that the labelling ends here; 0 for a model that does not know ends."""
        ...
