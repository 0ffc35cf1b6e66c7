"""The protocols that the rooms of the library share. Importing this file imports neither torch nor polars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

State = Any
"""A cell's state: a NamedTuple of tensors, batch first (or a tuple of such, for cells made of cells)."""

Log = Callable[..., None]
"""`log(event, **facts)`: takes what happened as JSON-able facts; a run folder writes it to `log.jsonl`."""


class Batch(Protocol):
    """What a task hands to its learner: tensors of `size` sequences over `steps` time steps."""

    steps: int
    size: int

    def to(self, device: torch.device) -> Batch: ...


class Learner(Protocol):
    """A task's network with its loss: an `nn.Module` whose forward is the loss over a span of time.

    `learner(batch, start, stop, state)` returns `(loss, state)`: the loss of steps start..stop-1, divided by the weight
    of the **whole** batch, so that the losses of consecutive spans add up to the loss of the batch. `state` is None at
    the first span.
    """

    def __call__(self, batch: Batch, start: int, stop: int, state: State | None) -> tuple[Tensor, State]: ...

    def why_not_streamed(self) -> str | None:
        """None where the sequence may be cut in time and the state carried; else the reason (bidirectional, say)."""
        ...


class Problem(Protocol):
    """A training problem as the loop sees it: batches that follow from (seed, epoch) alone, and a validation."""

    learner: nn.Module

    def plans(self, epoch: int) -> Sequence[Any]:
        """The epoch's batches as light plans (index arrays), always the same for the same epoch."""
        ...

    def batch(self, plan: Any) -> Batch:
        """The tensors of one plan."""
        ...

    def validate(self, learner: nn.Module) -> dict[str, float]:
        """Metrics on the validation part; `loss` is among them and is what early stopping watches (lower is better)."""
        ...

    def locate(self, batch: Batch) -> str:
        """Where in the user's data a batch's non-finite or extreme numbers stand: series or sequence, row, column."""
        ...


class Cost(NamedTuple):
    """Growth of a rule's cost per time step, in plain words and as a number for given sizes."""

    time: float
    memory: float
    formula: str


@runtime_checkable
class GradientRule(Protocol):
    """How the gradient of a sequence's loss is obtained; it lands in `.grad`, so that any optimiser follows."""

    name: str
    exact: bool
    unbiased: bool
    online: bool

    def cost(self, hidden: int, parameters: int, steps: int) -> Cost: ...

    def supports(self, learner: nn.Module) -> str | None:
        """None, or the reason why this rule cannot serve the learner, with what to use instead."""
        ...

    def init(self, learner: nn.Module) -> Any:
        """The rule's own memory before the first batch."""
        ...

    def step(self, learner: nn.Module, batch: Batch, memory: Any) -> tuple[Tensor, Any]:
        """Add one batch's gradient to `.grad`; returns the detached loss and the rule's memory."""
        ...

    def flush(self, learner: nn.Module, memory: Any) -> Any:
        """Bring what is pending into `.grad` at the end of a stream."""
        ...

    def reset(self, memory: Any) -> Any:
        """Forget influences carried over, at the start of new sequences."""
        ...


@dataclass(frozen=True)
class Judgement:
    """What held-out data say of a model, beside its baselines.

    Attributes:
        metric: name of the main metric (lower is better unless `higher_is_better`).
        metrics: name to value for the model.
        baselines: baseline name to metrics of the same names on the same held-out part.
        headline: line one of the verdict; says so first when a baseline wins.
        sentences: two to four more sentences in plain words.
        warnings: what a careful reader should know (few data, coverage off, drift).
        beats_baselines: whether the model's main metric is better than every baseline's.
        predictions: a polars DataFrame of the held-out predictions.
        facts: event name to JSON-able facts for the report (examples, coverage, confusion ...).
        held_out: whether all of the data are such that training had not seen, as far as is known.
    """

    metric: str
    higher_is_better: bool
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    headline: str
    sentences: list[str]
    warnings: list[str]
    beats_baselines: bool
    predictions: Any
    facts: dict[str, dict[str, Any]]
    held_out: bool = True
