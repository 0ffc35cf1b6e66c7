"""Intersection recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class IntersectionRNN(Cell):
    """Intersection network (+RNN): one gate between past and new along time, and another one between x and y in depth.

    Equations:
        v_t = x_t where input_size is hidden_size, else W_v x_t + b_v
        p_t = relu   (W_ip v_t + W_hp h_{t-1} + b_p)      a new output
        n_t = tanh   (W_in v_t + W_hn h_{t-1} + b_n)      a new state
        d_t = sigmoid(W_id v_t + W_hd h_{t-1} + b_d)      the gate in depth
        k_t = sigmoid(W_ik v_t + W_hk h_{t-1} + b_k)      the gate along time
        y_t = d_t * v_t + (1 - d_t) * p_t
        h_t = k_t * h_{t-1} + (1 - k_t) * n_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units, and features of y_t.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size). weight_ih and weight_hh (4 hidden_size, hidden_size) and
        bias_ih (4 hidden_size,), in the order p, n, d, k; weight_v (hidden_size, input_size) and bias_v (hidden_size,),
        which are absent where the sizes are equal. All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: no constant is added to the gates' biases, which the paper tunes (the layers' `forget_bias`
    sets that of k).

    Reference:
        J. Collins, J. Sohl-Dickstein, D. Sussillo. Capacity and trainability in recurrent neural networks. ICLR (2017).

    Example:
        >>> import torch
        >>> cell = IntersectionRNN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.h.shape, IntersectionRNN(5, 5).weight_v
        (torch.Size([2, 5]), torch.Size([2, 5]), None)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 3, 4)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    weight_v: Tensor | None
    bias_v: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (4 * hidden_size, hidden_size),
            "weight_hh": (4 * hidden_size, hidden_size),
            "bias_ih": (4 * hidden_size,),
        }
        if input_size == hidden_size:
            self.register_parameter("weight_v", None)
            self.register_parameter("bias_v", None)
        else:
            shapes |= {"weight_v": (hidden_size, input_size), "bias_v": (hidden_size,)}
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_ih v + b, and v itself."""
        v = x if self.weight_v is None else F.linear(x, self.weight_v, self.bias_v)
        return F.linear(v, self.weight_ih, self.bias_ih), v

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from the products of x on."""
        for_gates, v = projected
        p, n, d, k = (for_gates + self.recur(state.h, self.weight_hh)).chunk(4, -1)
        p, n = torch.relu(p), torch.tanh(n)
        y = p + torch.sigmoid(d) * (v - p)
        return y, HiddenState(n + torch.sigmoid(k) * (state.h - n))
