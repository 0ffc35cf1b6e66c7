"""Generating one token after the other from any step function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import check_size
from recurra.cells.state import state_tensors
from recurra.errors import TrainingError, UsageError
from recurra.types import State

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""`step(tokens, state)` returns `(log_probs, state)`: tokens (rows,), log_probs (rows, vocabulary)."""


class Generated(NamedTuple):
    """Generated sequences.

    Attributes:
        tokens: (batch, time); the end token is the last one, padding follows it.
        lengths: tokens of each sequence, the end token among them, (batch,).
        log_probs: log-probability of each sequence, (batch,).
        alignments: (batch, time, memory_time) where they were asked for, else None.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor
    alignments: Tensor | None


def greedy(log_probs: Tensor) -> Tensor:
    """The most probable token of each row."""
    return log_probs.argmax(-1)


@dataclass(frozen=True)
class Sampler:
    """Draws tokens by their probabilities, sharpened or cut where wanted.

    Equations:
        p ~ exp(log_probs / temperature), of these the `top_k` most probable, of these the fewest most probable ones
        that together have at least `top_p`.

    Args:
        temperature: below 1 sharper, above 1 flatter.
        top_k: how many tokens may be drawn; all when absent.
        top_p: the probability that the tokens which may be drawn have together; all when absent.
        generator: torch's source of chance; its common one when absent.

    Raises:
        UsageError: an argument is out of range.

    Reference:
        A. Fan, M. Lewis, Y. Dauphin. Hierarchical neural story generation. ACL (2018) 889-898 (top-k).
        A. Holtzman, J. Buys, L. Du, M. Forbes, Y. Choi. The curious case of neural text degeneration. ICLR (2020)
        (top-p).

    Example:
        >>> import torch
        >>> Sampler(top_k=1)(torch.log(torch.tensor([[0.2, 0.5, 0.3]])))
        tensor([1])
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            need = "a positive number"
            raise UsageError(
                f"temperature is {self.temperature!r}", where="Sampler", need=need, cure="`greedy` for the limit of 0"
            )
        if self.top_k is not None:
            check_size(self.top_k, "top_k", "Sampler")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p!r}", where="Sampler", need="a number above 0, at most 1")

    def __call__(self, log_probs: Tensor) -> Tensor:
        """One token for each row of (rows, vocabulary)."""
        return torch.multinomial(self.probabilities(log_probs), 1, generator=self.generator).squeeze(-1)

    def probabilities(self, log_probs: Tensor) -> Tensor:
        """The probabilities from which it draws, (rows, vocabulary)."""
        scores, tokens = (log_probs / self.temperature).sort(-1, descending=True)
        keep = torch.ones_like(scores, dtype=torch.bool)
        if self.top_k is not None:
            keep = keep & (torch.arange(scores.shape[-1], device=scores.device) < self.top_k)
        if self.top_p is not None:
            kept = torch.softmax(scores.masked_fill(~keep, -torch.inf), -1)
            # A token stays when those before it do not have enough together; the first one always stays.
            keep = keep & (kept.cumsum(-1) - kept < self.top_p)
        kept = torch.softmax(scores.masked_fill(~keep, -torch.inf), -1)
        return torch.zeros_like(kept).scatter(-1, tokens, kept)


@torch.no_grad()
def generate(
    step: Step,
    state: State,
    *,
    begin: int | Tensor,
    end: int,
    max_steps: int,
    padding: int | None = None,
    choose: Callable[[Tensor], Tensor] = greedy,
    alignment: Callable[[State], Tensor] | None = None,
) -> Generated:
    """Generate sequences, one token after the other, from any step function.

    Args:
        step: takes tokens (batch,) and a state, returns log-probabilities (batch, vocabulary) and the next state.
        state: the first state, tensors (batch, ...) nested as one likes.
        begin: the token before the first one; one for all, or (batch,).
        end: the token that ends a sequence.
        max_steps: tokens at most; a sequence that has no end token by then is cut.
        padding: what follows the end token; the end token when absent.
        choose: takes log-probabilities (batch, vocabulary), returns tokens (batch,): `greedy`, or a `Sampler`.
        alignment: takes a state, returns where it attended, (batch, memory_time); then alignments are returned.

    Raises:
        UsageError: max_steps is not a positive whole number, or the batch cannot be told.
        TrainingError: the step gives NaN.

    Example:
        >>> import torch
        >>> table = torch.log_softmax(torch.tensor([[0.0, 9, 0], [0, 0, 9], [0, 0, 0]]), -1)
        >>> step = lambda tokens, state: (table[tokens], state)
        >>> generate(step, (), begin=torch.tensor([0]), end=2, max_steps=5).tokens
        tensor([[1, 2]])
    """
    check_size(max_steps, "max_steps", "generate")
    tokens = first_tokens(begin, state, "generate")
    padding = end if padding is None else padding
    running = torch.ones_like(tokens, dtype=torch.bool)
    total: Tensor | None = None
    lengths = torch.zeros_like(tokens)
    outputs, alignments = [], []
    for _ in range(max_steps):
        log_probs, state = step(tokens, state)
        check_log_probs(log_probs, running, "generate")
        chosen = choose(log_probs)
        gained = log_probs.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        gained = torch.where(running, gained, torch.zeros_like(gained))
        total = gained if total is None else total + gained
        outputs.append(torch.where(running, chosen, padding))
        lengths = lengths + running
        if alignment is not None:
            weights = alignment(state)
            alignments.append(torch.where(running.unsqueeze(-1), weights, torch.zeros_like(weights)))
        running = running & (chosen != end)
        if not bool(running.any()):
            break
        # A sequence that has ended goes on reading its end token; nothing of it is kept.
        tokens = torch.where(running, chosen, end)
    assert total is not None
    return Generated(torch.stack(outputs, 1), lengths, total, torch.stack(alignments, 1) if alignments else None)


def first_tokens(begin: int | Tensor, state: State, where: str) -> Tensor:
    """The begin token for each sequence; how many there are, the tokens or the state tell."""
    if isinstance(begin, Tensor):
        return begin
    parts = state_tensors(state)
    if not parts:
        need = "a tensor (batch,) of tokens, since a state without tensors does not tell the batch"
        raise UsageError(f"begin is {begin!r}", where=where, need=need)
    return torch.full((parts[0].shape[0],), begin, dtype=torch.long, device=parts[0].device)


def check_log_probs(log_probs: Tensor, alive: Tensor, where: str) -> None:
    """Refuse NaN in the rows that count: every comparison with it would silently go wrong."""
    if bool((log_probs.isnan().any(-1) & alive.reshape(-1)).any()):
        raise TrainingError(
            "the step gave NaN instead of log-probabilities",
            where=where,
            need="numbers",
            cure="look for NaN in the inputs and in the weights",
        )
