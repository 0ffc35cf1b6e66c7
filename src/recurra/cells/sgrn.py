"""Simple gated recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState


class SGRN(Cell):
    """Simple gated recurrent network: one gate, made of the very products that carry the input and the state.

    Equations:
        f_t = sigmoid(W x_t + U h_{t-1} + b)
        h_t = tanh((1 - f_t) * (W x_t) + f_t * h_{t-1}),  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh = U
        (hidden_size, hidden_size), bias_ih = b (hidden_size,).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing known; the first weights are uniform in +-1/sqrt(hidden_size).

    Reference:
        X. Zu, K. Wei. A simple gated recurrent network for detection of power quality disturbances. IET Generation,
        Transmission and Distribution 15 (2021) 751-761.

    Example:
        >>> import torch
        >>> cell = SGRN(3, 5)
        >>> y, state = cell(torch.randn(2, 3), cell.initial_state(2))
        >>> y.shape, sum(weight.numel() for weight in cell.parameters())
        (torch.Size([2, 5]), 45)
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x."""
        return F.linear(x, self.weight_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x on."""
        f = torch.sigmoid(projected + self.recur(state.h, self.weight_hh, self.bias_ih))
        h = torch.tanh(projected + f * (state.h - projected))
        return h, HiddenState(h)
