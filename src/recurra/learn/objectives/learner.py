"""A network with an objective, in the form that gradient rules take."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.learn.objectives.objective import Objective
from recurra.types import State


@dataclass(frozen=True)
class SequenceBatch:
    """Sequences with their teacher signals.

    Attributes:
        input: (time, batch, features).
        target: what the objective takes: (time, batch, ...) or, without time, (batch, ...) or a list of labellings.
        lengths: the steps of each sequence, (batch,), or None where all are full.
        mask: which signals count, (batch,), or (time, batch, ...) where the target has time.
        weights: how much they count, in the same shapes.
        target_in_time: whether the target's first dimension is time, and so a window takes its part of it.
    """

    input: Tensor
    target: Any
    lengths: Tensor | None = None
    mask: Tensor | None = None
    weights: Tensor | None = None
    target_in_time: bool = True

    @property
    def steps(self) -> int:
        """Time steps."""
        return self.input.shape[0]

    @property
    def size(self) -> int:
        """Sequences."""
        return self.input.shape[1]

    def to(self, device: torch.device) -> SequenceBatch:
        """The batch on another device."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: part.to(device) for name, part in parts.items() if isinstance(part, Tensor)}
        return replace(self, **moved)

    def window(self, start: int, stop: int) -> dict[str, Any]:
        """Target, mask and weights of steps start..stop-1; what has no time is passed on whole."""
        parts = {"target": self.target, "mask": self.mask, "weights": self.weights}
        if not self.target_in_time:
            return parts
        return {
            name: part if part is None or (name != "target" and part.dim() == 1) else part[start:stop]
            for name, part in parts.items()
        }


class ObjectiveLearner(nn.Module):
    """A network and an objective as a learner: its forward is the loss of a span, over the weight of the whole batch.

    Equations:
        learner(batch, a, b, state) = (sum of the objective over steps a..b-1) / (its weight over all steps), 0 where
        the weight is 0, so that the losses of spans that follow each other add up to the batch's mean loss.

    Args:
        network: called as network(x, state, lengths=...), gives (y, state): a layer of `recurra.nn`, say.
        objective: what its outputs cost.
        read_out: from y to the outputs, a linear layer say; none when absent.

    Shapes:
        a `SequenceBatch`, time first.

    Raises:
        UsageError: a span of an objective that cannot be cut in time.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from recurra.learn.objectives import MSE
        >>> from recurra.nn import GRU
        >>> learner = ObjectiveLearner(GRU(2, 3), MSE(), nn.Linear(3, 1))
        >>> batch = SequenceBatch(torch.zeros(6, 4, 2), torch.ones(6, 4, 1))
        >>> first, state = learner(batch, 0, 4, None)
        >>> rest, _ = learner(batch, 4, 6, state)
        >>> whole, _ = learner(batch, 0, 6, None)
        >>> torch.allclose(first + rest, whole)
        True
    """

    def __init__(self, network: nn.Module, objective: Objective, read_out: nn.Module | None = None):
        super().__init__()
        self.network, self.objective, self.read_out = network, objective, read_out

    def forward(self, batch: SequenceBatch, start: int, stop: int, state: State | None) -> tuple[Tensor, State]:
        """The loss of steps start..stop-1 over the weight of the whole batch, and the state after them."""
        whole = start == 0 and stop == batch.steps
        reason = None if whole else self.objective.why_not_cut()
        if reason:
            need = "all steps at once"
            raise UsageError(f"steps {start} to {stop} of {batch.steps} were asked for: {reason}", need=need)
        lengths = batch.lengths
        here: dict[str, Any] = {}
        if lengths is not None:
            here["lengths"] = (lengths - start).clamp(0, stop - start)
        output, state = self.network(batch.input[start:stop], state, **here)
        output = output if self.read_out is None else self.read_out(output)
        # Without lengths all sequences end with the batch: a window must be told so.
        known = torch.full((batch.size,), batch.steps) if lengths is None and not whole else lengths
        parts = batch.window(start, stop)
        total = self.objective(output, **parts, lengths=known, start=None if whole else start)
        weight = self.objective.weight(batch.target, batch.lengths, batch.mask, batch.weights).to(total.sum)
        return total.sum / torch.where(weight > 0, weight, torch.ones_like(weight)), state

    def why_not_streamed(self) -> str | None:
        """None where sequences may be cut in time; else the objective's reason, or the network's."""
        reason = self.objective.why_not_cut()
        if reason is None and getattr(self.network, "bidirectional", False):
            reason = "the network reads sequences in both directions"
        return reason
