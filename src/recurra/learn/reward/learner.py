"""A policy with its loss, in the form that gradient rules take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn

from recurra.cells.state import map_state
from recurra.learn.reward.actions import Actions
from recurra.learn.reward.policy import Policy, PolicyOutput
from recurra.types import State


@dataclass(frozen=True)
class RewardBatch:
    """Sequences of steps to learn from; all (time, batch) unless said otherwise.

    Attributes:
        observation: (time, batch, features).
        action: (time, batch) or (time, batch, size).
        log_probability: of the action, under the policy that drew it.
        value: what that policy expected.
        advantage: how much better than expected the action turned out.
        target: what the value should be.
        weight: 1 for a step that counts, 0 for one that does not.
        reset: whether an episode begins with the step.
        divisor: what the sum of the losses is divided by, ().
        first_state: the state before the first step, batch first; None for the policy's own.
    """

    observation: Tensor
    action: Tensor
    log_probability: Tensor
    value: Tensor
    advantage: Tensor
    target: Tensor
    weight: Tensor
    reset: Tensor
    divisor: Tensor
    first_state: State | None = None

    @property
    def steps(self) -> int:
        """Time steps."""
        return self.observation.shape[0]

    @property
    def size(self) -> int:
        """Sequences."""
        return self.observation.shape[1]

    def to(self, device: torch.device) -> RewardBatch:
        """The batch on another device."""
        return self._changed(lambda part: part.to(device), lambda part: part.to(device), self.divisor.to(device))

    def window(self, start: int, stop: int) -> RewardBatch:
        """Steps start..stop-1."""
        return self._changed(lambda part: part[start:stop], lambda part: part, self.divisor)

    def sequences(self, which: Tensor) -> RewardBatch:
        """Some of the sequences, whole; the divisor becomes the steps of theirs that count."""
        weight = self.weight[:, which].sum()
        return self._changed(lambda part: part[:, which], lambda part: part[which], weight)

    def _changed(
        self, change: Callable[[Tensor], Tensor], change_state: Callable[[Tensor], Tensor], divisor: Tensor
    ) -> RewardBatch:
        names = [each.name for each in fields(self) if each.name not in ("divisor", "first_state")]
        parts = {name: change(getattr(self, name)) for name in names}
        state = None if self.first_state is None else map_state(change_state, self.first_state)
        return replace(self, **parts, divisor=divisor, first_state=state)


StepLoss = Callable[[Actions, RewardBatch, PolicyOutput], Tensor]
"""The loss of each step, (time, batch), from the kind of actions, the steps and what the policy says of them."""


class RewardLearner(nn.Module):
    """A policy and a loss as a learner: its forward is the loss of a span, over the divisor of the whole batch.

    Equations:
        learner(batch, a, b, state) = sum over steps a..b-1 of weight loss / divisor.

    Args:
        policy: who acts.
        loss: of each step.

    Shapes:
        a `RewardBatch`.
    """

    def __init__(self, policy: Policy, loss: StepLoss) -> None:
        super().__init__()
        self.policy, self.loss = policy, loss

    def forward(self, batch: RewardBatch, start: int, stop: int, state: State | None) -> tuple[Tensor, State]:
        """The loss of steps start..stop-1, and the state after them; it begins with the batch's first state."""
        part = batch if start == 0 and stop == batch.steps else batch.window(start, stop)
        state = batch.first_state if state is None else state
        # Without a reset inside, the layer may take a path that knows none.
        reset = part.reset if state is not None else torch.cat([torch.zeros_like(part.reset[:1]), part.reset[1:]])
        output, state = self.policy(part.observation, state, reset=reset if bool(reset.any()) else None)
        return (part.weight * self.loss(self.policy.actions, part, output)).sum() / batch.divisor, state

    def why_not_streamed(self) -> str | None:
        """None: a policy never sees the future."""
        return None
