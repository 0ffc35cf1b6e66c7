"""Update gate recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class UGRNN(Cell):
    """Update gate network: a simple recurrent network with one gate, between the last value and the new one.

    Equations:
        n_t = tanh   (W_in x_t + W_hn h_{t-1} + b_n)
        g_t = sigmoid(W_ig x_t + W_hg h_{t-1} + b_g)      the gate
        h_t = g_t * h_{t-1} + (1 - g_t) * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size). weight_ih (2 hidden_size, input_size), weight_hh
        (2 hidden_size, hidden_size) and bias_ih (2 hidden_size,), in the order n, g; all are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: tanh, where the paper leaves the choice between tanh and ReLU to tuning; no constant is
    added to the gate's bias, which the paper tunes too (the layers' `forget_bias`).

    Reference:
        J. Collins, J. Sohl-Dickstein, D. Sussillo. Capacity and trainability in recurrent neural networks. ICLR (2017).

    Example:
        >>> import torch
        >>> cell = UGRNN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 2)
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
            weight_hh=(2 * hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for the candidate and the gate."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b on."""
        n, g = (projected + self.recur(state.h, self.weight_hh)).chunk(2, -1)
        n = torch.tanh(n)
        h = n + torch.sigmoid(g) * (state.h - n)
        return h, HiddenState(h)
