"""Minimal recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class MinimalRNN(Cell):
    """Minimal recurrent network: the state is a weighted mean of what the inputs were mapped to.

    Equations:
        n_t = tanh(W x_t + b)                                        the input's place among the hidden units
        u_t = sigmoid(U_h h_{t-1} + U_n n_t + b_u)                   update gate
        h_t = u_t * h_{t-1} + (1 - u_t) * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b and b_u exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh = U_h
        and weight_nh = U_n (hidden_size, hidden_size), bias_ih = b and bias_hh = b_u (hidden_size,).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper leaves the map from x_t to n_t open and uses one layer with tanh, as here.

    Reference:
        M. Chen. MinimalRNN: toward more interpretable and trainable recurrent neural networks. arXiv 1711.06788 (2017).

    Example:
        >>> import torch
        >>> cell = MinimalRNN(3, 5)
        >>> y, state = cell(100 * torch.randn(2, 3), cell.initial_state(2))
        >>> bool((y.abs() <= 1).all())
        True
    """

    keep_gate: ClassVar[Gate] = Gate("bias_hh", 0, 1)
    weight_ih: Tensor
    weight_hh: Tensor
    weight_nh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            weight_nh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
            bias_hh=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """n, and what it adds to the gate."""
        new = torch.tanh(F.linear(x, self.weight_ih, self.bias_ih))
        return new, F.linear(new, self.weight_nh, self.bias_hh)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from n and its part of the gate on."""
        new, gate = projected
        u = torch.sigmoid(gate + self.recur(state.h, self.weight_hh))
        h = new + u * (state.h - new)
        return h, HiddenState(h)
