"""A network without memory in the form of a layer, to stand beside recurrent ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import check_input, check_size


class FeedForward(nn.Module):
    """Layers of tanh units that see the present step alone; called as a recurrent layer is, with an empty state.

    Equations:
        y_t = tanh(W_k ... tanh(W_1 x_t + b_1) ... + b_k).

    Args:
        input_size: features of x_t.
        hidden_sizes: units of each layer, one number or several.

    Shapes:
        x (time, batch, input_size), y (time, batch, units of the last layer); the state is ().

    Raises:
        UsageError: a size is not a positive whole number.
        ShapeError: x does not fit.

    Example:
        >>> y, state = FeedForward(3, (8, 4))(torch.zeros(5, 2, 3))
        >>> y.shape, state
        (torch.Size([5, 2, 4]), ())
    """

    def __init__(self, input_size: int, hidden_sizes: int | Sequence[int] = 64) -> None:
        super().__init__()
        sizes = (hidden_sizes,) if isinstance(hidden_sizes, int) else tuple(hidden_sizes)
        self.input_size = check_size(input_size, "input_size", "FeedForward")
        widths = [input_size, *(check_size(size, "hidden_sizes", "FeedForward") for size in sizes)]
        self.output_size = widths[-1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor, state: Any = None, *, reset: Tensor | None = None) -> tuple[Tensor, tuple[()]]:
        """Every step by itself; there is nothing to reset."""
        check_input(x, ("time", "batch"), self.input_size, where="FeedForward")
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x, ()

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]
