"""Addition-subtraction twin-gated recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState


class ATR(Cell):
    """Addition-subtraction twin-gated recurrent unit: both gates are made of the same two products.

    Equations:
        p_t = W x_t + b
        q_t = U h_{t-1}
        i_t = sigmoid(p_t + q_t)      input gate
        f_t = sigmoid(p_t - q_t)      forget gate
        h_t = i_t * p_t + f_t * h_{t-1},  y_t = h_t.

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

    Differs from the paper: the paper writes no bias; b is that of p_t, and bias=False is the paper's cell. Nothing
    bounds h_t, as in the paper.

    Reference:
        B. Zhang, D. Xiong, J. Su, Q. Lin, H. Zhang. Simplifying neural machine translation with addition-subtraction
        twin-gated recurrent networks. EMNLP (2018) 4273-4283.

    Example:
        >>> import torch
        >>> cell = ATR(3, 5, bias=False)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> bool((y == 0).all())
        True
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
        """p = W x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from p on."""
        q = self.recur(state.h, self.weight_hh)
        h = torch.sigmoid(projected + q) * projected + torch.sigmoid(projected - q) * state.h
        return h, HiddenState(h)
