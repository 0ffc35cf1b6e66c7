"""The recurrent cell that neural architecture search found."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.lstm import LSTMState


class NASCell(Cell):
    """The cell that architecture search found for language modelling: a tree over eight products, and a memory cell.

    Equations:
        with a_k = W_ik x_t and b_k = W_hk h_{t-1} + b_hk for k = 0 ... 7,
        u = tanh(sigmoid(a_0 + b_0) * relu(a_1 + b_1))
        v = tanh(sigmoid(a_2 + b_2) + relu(a_3 * b_3))
        w = tanh(tanh(a_4 + b_4) * sigmoid(a_5 + b_5))
        z = sigmoid(tanh(a_6 + b_6) + sigmoid(a_7 + b_7))
        c_t = tanh(u + c_{t-1}) * v
        h_t = tanh(c_t * tanh(w + z)),  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_h exists.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (8 hidden_size, input_size), weight_hh
        (8 hidden_size, hidden_size), bias_hh (8 hidden_size,), in the order 0 ... 7. All are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper draws the tree, and has no biases in it; where they stand (with h, which matters
    for the product a_3 * b_3 alone) is as in the program that its authors published in TensorFlow. No projection.

    Reference:
        B. Zoph, Q. V. Le. Neural architecture search with reinforcement learning. ICLR (2017).

    Example:
        >>> import torch
        >>> cell = NASCell(3, 5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.c.shape
        (torch.Size([4, 5]), torch.Size([4, 5]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_hh: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(8 * hidden_size, input_size),
            weight_hh=(8 * hidden_size, hidden_size),
            bias_hh=(8 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> Tensor:
        """W_ih x."""
        return F.linear(x, self.weight_ih)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from W_ih x on."""
        recurrent = self.recur(state.h, self.weight_hh, self.bias_hh)
        a, b = projected.chunk(8, -1), recurrent.chunk(8, -1)
        u = torch.tanh(torch.sigmoid(a[0] + b[0]) * torch.relu(a[1] + b[1]))
        v = torch.tanh(torch.sigmoid(a[2] + b[2]) + torch.relu(a[3] * b[3]))
        w = torch.tanh(torch.tanh(a[4] + b[4]) * torch.sigmoid(a[5] + b[5]))
        z = torch.sigmoid(torch.tanh(a[6] + b[6]) + torch.sigmoid(a[7] + b[7]))
        c = torch.tanh(u + state.c) * v
        h = torch.tanh(c * torch.tanh(w + z))
        return h, LSTMState(h, c)
