"""How near a rule's gradients are to the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import UsageError
from recurra.types import Batch, GradientRule


@dataclass(frozen=True)
class WindowCheck:
    """A rule's gradient of one window beside the true one.

    Attributes:
        window: its number, from 0.
        steps: its time steps.
        cosine: of the angle between the mean gradient and the true one; NaN where one of them is zero.
        bias: length of (mean gradient - true gradient) over the true one's length.
        variance: mean squared distance of a gradient from their mean, over the true one's squared length.
        zero: weights whose gradient is zero throughout, while the true one is not.
    """

    window: int
    steps: int
    cosine: float
    bias: float
    variance: float
    zero: tuple[str, ...]


@dataclass(frozen=True)
class RuleCheck:
    """What `check_rule` found; `str()` shows it as a table, `plot()` as a figure.

    Attributes:
        rule: the rule, as it is written.
        repeats: how often each gradient was drawn.
        windows: one row a window.
        total: the same for the sum over all windows.
    """

    rule: str
    repeats: int
    windows: list[WindowCheck]
    total: WindowCheck

    def rows(self) -> list[dict[str, Any]]:
        """The windows' rows as plain facts."""
        return [vars(row) for row in self.windows]

    def plot(self, axes: Any = None) -> Any:
        """Draw cosine, bias and variance by window with matplotlib.

        Args:
            axes: three axes, for cosine, bias and variance; on a new figure when absent.

        Returns:
            the three axes, a list.
        """
        from recurra.learn.rules.check_plot import plot_check

        return plot_check(self, axes)

    def __str__(self) -> str:
        head = ["window", "steps", "cosine", "bias", "variance", "zero by mistake"]
        lines = [head]
        for row in [*self.windows, self.total]:
            name = "all" if row is self.total else str(row.window)
            numbers = [f"{row.cosine:.6f}", f"{row.bias:.2e}", f"{row.variance:.2e}"]
            lines.append([name, str(row.steps), *numbers, ", ".join(row.zero) or "-"])
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        text = ["  ".join(part.rjust(width) for part, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([f"{self.rule} beside back-propagation through time, {self.repeats} draw(s)", *text])


def check_rule(rule: GradientRule, learner: nn.Module, batches: Sequence[Batch], repeats: int = 1) -> RuleCheck:
    """Compare a rule's gradients with those of back-propagation through time, window by window.

    Equations:
        for each window with the true gradient g and drawn gradients g_1..g_R of mean m:
        cosine = m.g / (|m| |g|),  bias = |m - g| / |g|,  variance = mean_r |g_r - m|^2 / |g|^2.

    With an online rule the batches are consecutive windows of one stream, and the true gradient of a window's loss goes
    back through all windows before it: a comparison within one window would not see what is carried over. Rules that
    begin anew with each batch are compared on each batch by itself. Weights and `.grad` stay as they are; dropout
    should be off (`learner.eval()`), as each pass would draw its own.

    Args:
        rule: any gradient rule.
        learner: the network with its loss.
        batches: the windows, at least one.
        repeats: draws, for rules with random numbers (they take them from torch's global generator).

    Raises:
        UsageError: there is no window, repeats is not positive, or the rule cannot serve the learner.

    Example:
        >>> import torch
        >>> class Decay(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = torch.nn.Parameter(torch.tensor(0.5))
        ...     def forward(self, batch, start, stop, state):
        ...         h = torch.ones(1, 1) if state is None else state
        ...         loss = torch.zeros(())
        ...         for _ in range(start, stop):
        ...             h = self.w * h
        ...             loss = loss + h.sum()
        ...         return loss, h
        >>> class Window:
        ...     steps, size = 3, 1
        >>> from recurra.learn.rules import RTRL
        >>> check_rule(RTRL(), Decay(), [Window(), Window()]).total.bias < 1e-6
        True
    """
    if not batches or repeats < 1:
        raise UsageError(
            f"there are {len(batches)} windows and {repeats} repeats", where="check_rule", need="at least one of each"
        )
    reason = rule.supports(learner)
    if reason:
        raise UsageError(f"the rule {rule.name} cannot serve this network: {reason}", where="check_rule")
    kept = [weight.grad for weight in learner.parameters()]
    try:
        drawn = torch.stack([_drawn(rule, learner, batches) for _ in range(repeats)])
    finally:
        for weight, gradient in zip(learner.parameters(), kept, strict=True):
            weight.grad = gradient
    truth = _true(learner, batches, rule.online)
    names = [(name, weight.numel()) for name, weight in learner.named_parameters()]
    rows = [_compare(k, batch.steps, drawn[:, k], truth[k], names) for k, batch in enumerate(batches)]
    steps = sum(batch.steps for batch in batches)
    return RuleCheck(repr(rule), repeats, rows, _compare(len(rows), steps, drawn.sum(1), truth.sum(0), names))


def _drawn(rule: GradientRule, learner: nn.Module, batches: Sequence[Batch]) -> Tensor:
    """The rule's gradients, (windows, weights)."""
    memory, rows = rule.init(learner), []
    for batch in batches:
        learner.zero_grad()
        memory = rule.step(learner, batch, memory if rule.online else rule.reset(memory))[1]
        memory = rule.flush(learner, memory)
        parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in learner.parameters()]
        rows.append(torch.cat([part.detach().reshape(-1) for part in parts]))
    return torch.stack(rows)


def _true(learner: nn.Module, batches: Sequence[Batch], stream: bool) -> Tensor:
    """The gradients of the windows' losses, back through all windows before where they are one stream."""
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    state, rows = None, []
    for batch in batches:
        loss, after = learner(batch, 0, batch.steps, state if stream else None)
        state = after
        found: Sequence[Tensor | None] = [None] * len(weights)
        if loss.requires_grad:
            found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
        by_id = {id(w): g for w, g in zip(weights, found, strict=True) if g is not None}
        rows.append(torch.cat([by_id.get(id(w), torch.zeros_like(w)).reshape(-1) for w in learner.parameters()]))
    return torch.stack(rows)


def _compare(window: int, steps: int, drawn: Tensor, truth: Tensor, names: list[tuple[str, int]]) -> WindowCheck:
    mean, length = drawn.mean(0), truth.norm()
    cosine = float(mean @ truth / (mean.norm() * length))
    variance = float((drawn - mean).square().sum(1).mean() / length**2)
    zero, at = [], 0
    for name, count in names:
        if bool(truth[at : at + count].any()) and not bool(drawn[:, at : at + count].any()):
            zero.append(name)
        at += count
    return WindowCheck(window, steps, cosine, float((mean - truth).norm() / length), variance, tuple(zero))
