"""Stackable recurrent cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState


class STAR(Cell):
    """Stackable recurrent cell: one gate, made so that the gradient keeps its size through many stacked layers.

    Equations:
        n_t = tanh   (W_n x_t + b_n)
        k_t = sigmoid(W_k x_t + U_k h_{t-1} + b_k)
        h_t = tanh((1 - k_t) * h_{t-1} + k_t * n_t),  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (2 hidden_size, input_size) and bias_ih
        (2 hidden_size,) in the order k, n; weight_hh = U_k (hidden_size, hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: not in the equations; the first weights are uniform in +-1/sqrt(hidden_size).

    Reference:
        M. O. Turkoglu, S. D'Aronco, J. D. Wegner, K. Schindler. Gating revisited: deep multi-layer RNNs that can be
        trained. IEEE Transactions on Pattern Analysis and Machine Intelligence (2021), in print 44 (2022) 4081-4092.

    Example:
        >>> import torch
        >>> cell = STAR(3, 5)
        >>> y, state = cell(torch.randn(2, 3), cell.initial_state(2))
        >>> y.shape, bool((y.abs() < 1).all())
        (torch.Size([2, 5]), True)
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
            weight_ih=(2 * hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_k x + b_k and n."""
        gate, new = F.linear(x, self.weight_ih, self.bias_ih).chunk(2, -1)
        return gate, torch.tanh(new)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_k x + b_k and n on."""
        gate, new = projected
        k = torch.sigmoid(gate + self.recur(state.h, self.weight_hh))
        h = torch.tanh(state.h + k * (new - state.h))
        return h, HiddenState(h)
