"""Time subsampling: a layer that reads every k-th step, or stacks of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_input, check_number_format, check_size
from recurra.nn.recurrent import Recurrent
from recurra.unroll import check_lengths, within_lengths


def stack_and_skip(
    x: Tensor, lengths: Tensor | Sequence[int] | None = None, *, every: int, stack: int = 1
) -> tuple[Tensor, Tensor]:
    """Join `stack` neighbouring steps into one, at every `every`-th step.

    Equations:
        z_i = [x_{i every}; x_{i every + 1}; ...; x_{i every + stack - 1}] for i every < length, with zeros for steps at
        or past the length; the new length is ceil(length / every).

    Args:
        x: the sequences.
        lengths: the number of steps of each sequence; all of x when absent.
        every: steps from one stack to the next.
        stack: steps in a stack; 1 keeps every `every`-th step and drops the others.

    Shapes:
        x (time, batch, features), z (ceil(time / every), batch, stack * features), lengths (batch,).

    Returns:
        `(z, lengths)`; what stands in the padding of x, NaN included, reaches no value and no gradient.

    Raises:
        UsageError: every or stack is not a positive whole number, or a length is out of range.
        ShapeError: x or lengths does not fit.

    Reference:
        H. Sak, A. Senior, K. Rao, F. Beaufays. Fast and accurate recurrent neural network acoustic models for speech
        recognition. Interspeech (2015) 1468-1472.

    Example:
        >>> import torch
        >>> x = torch.arange(1.0, 6).reshape(5, 1, 1)
        >>> z, lengths = stack_and_skip(x, [5], every=2, stack=3)
        >>> z[:, 0].tolist(), lengths.tolist()
        ([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [5.0, 0.0, 0.0]], [3])
    """
    check_size(every, "every", "stack_and_skip")
    check_size(stack, "stack", "stack_and_skip")
    check_input(x, ("time", "batch"), x.shape[-1] if isinstance(x, Tensor) and x.dim() else 1, where="stack_and_skip")
    steps, batch, features = x.shape
    if lengths is None:
        lengths = torch.full((batch,), steps, dtype=torch.long, device=x.device)
    else:
        lengths = check_lengths(lengths, x, where="stack_and_skip")
        x = torch.where(within_lengths(lengths, steps).unsqueeze(-1), x, torch.zeros_like(x))
    count = -(-steps // every)
    if count == 0:
        return x.new_zeros(0, batch, stack * features), lengths
    wanted = (count - 1) * every + stack
    x = F.pad(x, (0, 0, 0, 0, 0, max(0, wanted - steps)))[:wanted]
    z = x.unfold(0, stack, every).movedim(-1, 2).reshape(count, batch, stack * features)
    return z, torch.div(lengths + every - 1, every, rounding_mode="floor")


class Skip(nn.Module):
    """A recurrent layer that reads every k-th step, or stacks of neighbouring steps, and so takes fewer steps.

    Equations:
        (z, lengths') = stack_and_skip(x, lengths),  y = Recurrent(z, lengths').

    Args:
        cell: a registered name or a class derived from `Cell`.
        input_size: features of x.
        hidden_size: hidden units of each cell.
        num_layers: stacked layers.
        every: steps from one step of the layer to the next.
        stack: neighbouring steps that are joined into one; 1 drops the steps between. Stacks overlap where it is larger
            than `every`.
        batch_first: whether x and y are (batch, time, features) instead of (time, batch, features).
        recurrent: further arguments of `Recurrent` (bidirectional, dropout, backend, the cell's own ...).

    Shapes:
        x (time, batch, input_size), y (ceil(time / every), batch, output_size), lengths (batch,).

    Raises:
        UsageError: an argument is out of range or unknown to the cell.
        ShapeError: x or lengths does not fit.

    Differs from the paper: each stack begins at its own step and reaches forward in time; at the end of a sequence it
    is filled with zeros.

    Reference:
        H. Sak, A. Senior, K. Rao, F. Beaufays. Fast and accurate recurrent neural network acoustic models for speech
        recognition. Interspeech (2015) 1468-1472.

    Example:
        >>> import torch
        >>> layer = Skip("lstm", 40, 16, every=3, stack=8)
        >>> y, lengths = layer(torch.zeros(100, 2, 40), lengths=[100, 50])
        >>> y.shape, lengths
        (torch.Size([34, 2, 16]), tensor([34, 17]))
    """

    def __init__(
        self,
        cell: str | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        every: int = 1,
        stack: int = 1,
        batch_first: bool = False,
        **recurrent: Any,
    ):
        super().__init__()
        self.input_size = check_size(input_size, "input_size", "Skip")
        self.every, self.stack = check_size(every, "every", "Skip"), check_size(stack, "stack", "Skip")
        self.batch_first = bool(batch_first)
        self.layer = Recurrent(cell, stack * input_size, hidden_size, num_layers, **recurrent)

    @property
    def output_size(self) -> int:
        """Features of y."""
        return self.layer.output_size

    def forward(self, x: Tensor, *, lengths: Tensor | Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """`(y, lengths)`: the outputs at the steps that are read, and how many these are of each sequence."""
        names = ("batch", "time") if self.batch_first else ("time", "batch")
        check_input(x, names, self.input_size, where="Skip")
        check_number_format(x, self, where="Skip")
        z, lengths = stack_and_skip(
            x.transpose(0, 1) if self.batch_first else x, lengths, every=self.every, stack=self.stack
        )
        y, _ = self.layer(z, lengths=lengths)
        return (y.transpose(0, 1) if self.batch_first else y), lengths

    def extra_repr(self) -> str:
        return f"every={self.every}, stack={self.stack}, batch_first={self.batch_first}"
