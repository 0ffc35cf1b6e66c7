"""Simple gated unit and deep simple gated unit."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class SGU(Cell):
    """Simple gated unit: the input acts on the hidden units by multiplication, and one gate takes up the result.

    Equations:
        g_t = tanh(U_g ((W_g x_t + b_g) * h_{t-1}))
        n_t = softplus(g_t * h_{t-1})
        z_t = hard_sigmoid(W_z x_t + U_z h_{t-1} + b_z),  hard_sigmoid(a) = min(max(0.2 a + 0.5, 0), 1)
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_z and b_g exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); blocks in the order z, g: weight_ih (2 hidden_size,
        input_size), weight_hh (2 hidden_size, hidden_size), bias_ih (2 hidden_size,).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing known; the slope 0.2 of the hard sigmoid is that of Theano and of Keras at the
    paper's time. The softplus does not bound the state.

    Reference:
        Y. Gao, D. Glowacka. Deep gate recurrent neural network. Asian Conference on Machine Learning (2016) 350-365.

    Example:
        >>> import torch
        >>> cell = SGU(3, 5)
        >>> y, state = cell(torch.randn(2, 3), cell.initial_state(2))
        >>> y.shape, bool((y >= 0).all())
        (torch.Size([2, 5]), True)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2, sign=-1)
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
        """W x + b for the gate and for the factor of the hidden units."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        h = state.h
        gate, factor = projected.chunk(2, -1)
        for_gate, for_candidate = self.weight_hh.chunk(2)
        candidate = F.softplus(torch.tanh(self.recur(factor * h, for_candidate)) * h)
        h = h + hard_sigmoid(gate + self.recur(h, for_gate)) * (candidate - h)
        return h, HiddenState(h)


class DSGU(Cell):
    """Deep simple gated unit: a simple gated unit whose new value goes through one more layer and stays in (0, 1).

    Equations:
        g_t = tanh(U_g ((W_g x_t + b_g) * h_{t-1}))
        n_t = sigmoid(U_n (g_t * h_{t-1}))
        z_t = hard_sigmoid(W_z x_t + U_z h_{t-1} + b_z),  hard_sigmoid(a) = min(max(0.2 a + 0.5, 0), 1)
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_z and b_g exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (2 hidden_size, input_size) and bias_ih
        (2 hidden_size,) in the order z, g; weight_hh (3 hidden_size, hidden_size) in the order z, g, n.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing known; the slope 0.2 of the hard sigmoid is that of Theano and of Keras at the
    paper's time.

    Reference:
        Y. Gao, D. Glowacka. Deep gate recurrent neural network. Asian Conference on Machine Learning (2016) 350-365.

    Example:
        >>> import torch
        >>> cell = DSGU(3, 5)
        >>> y, state = cell(torch.randn(2, 3), cell.initial_state(2))
        >>> y.shape, bool((0 <= y).all() and (y <= 1).all())
        (torch.Size([2, 5]), True)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2, sign=-1)
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
            weight_hh=(3 * hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for the gate and for the factor of the hidden units."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        h = state.h
        gate, factor = projected.chunk(2, -1)
        for_gate, inner, outer = self.weight_hh.chunk(3)
        candidate = torch.sigmoid(self.recur(torch.tanh(self.recur(factor * h, inner)) * h, outer))
        h = h + hard_sigmoid(gate + self.recur(h, for_gate)) * (candidate - h)
        return h, HiddenState(h)


def hard_sigmoid(a: Tensor) -> Tensor:
    """min(max(0.2 a + 0.5, 0), 1); the slope of `torch.nn.functional.hardsigmoid` is 1/6 instead."""
    return (0.2 * a + 0.5).clamp(0.0, 1.0)
