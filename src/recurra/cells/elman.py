"""Elman's simple recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class Elman(Cell):
    """Simple recurrent network: the hidden units see the input and their own last values.

    Equations:
        h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh),  y_t = h_t,  f = tanh or ReLU.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_ih and b_hh exist.
        nonlinearity: "tanh" or "relu".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (hidden_size, input_size), weight_hh
        (hidden_size, hidden_size), bias_ih and bias_hh (hidden_size,), drawn uniform in +-1/sqrt(hidden_size): all as
        in torch.nn.RNNCell.

    Raises:
        UsageError: a size is not positive, or the nonlinearity is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the logistic function there is tanh or ReLU here, there are two biases (as in cuDNN), and
    the read-out is left to another module.

    Reference:
        J. L. Elman. Finding structure in time. Cognitive Science 14 (1990) 179-211.

    Example:
        >>> import torch
        >>> cell = Elman(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.h.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if nonlinearity not in ("tanh", "relu"):
            raise UsageError(f"nonlinearity is {nonlinearity!r}", where="Elman", need="'tanh' or 'relu'")
        self.nonlinearity = nonlinearity
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
            bias_hh=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b_ih on."""
        total = projected + self.recur(state.h, self.weight_hh, self.bias_hh)
        h = torch.tanh(total) if self.nonlinearity == "tanh" else torch.relu(total)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity!r}"
