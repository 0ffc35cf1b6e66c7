"""Light recurrent unit: one gate, and a candidate that does not see the state."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class LightRU(Cell):
    """Light recurrent unit: one gate decides how far each hidden unit moves to a value that follows from x_t alone.

    Equations:
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
        n_t = tanh(W x_t)
        h_t = (1 - f_t) * h_{t-1} + f_t * n_t,  y_t = h_t.

    So h_t is a weighted mean of the n of all steps and the first state.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_f exists.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (2 hidden_size, input_size) in the order f, n,
        weight_hh = U_f (hidden_size, hidden_size), bias_ih = b_f (hidden_size,).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: this is the unit alone; the paper also stacks units in a Stack Recurrent Cell that changes
    the activation function between them, which is left out.

    Reference:
        H. Ye, Y. Zhang, H. Liu, X. Li, J. Chang, H. Zheng. Light recurrent unit: towards an interpretable recurrent
        neural network for modeling long-range dependency. Electronics 13 (2024) 3204.

    Example:
        >>> import torch
        >>> cell = LightRU(3, 5)
        >>> y, state = cell(100 * torch.randn(2, 3), cell.initial_state(2))
        >>> bool((y.abs() <= 1).all())
        True
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 1, sign=-1)
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
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_f x and the candidate tanh(W x)."""
        gate, candidate = F.linear(x, self.weight_ih).chunk(2, -1)
        return gate, torch.tanh(candidate)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_f x and the candidate on."""
        gate, candidate = projected
        f = torch.sigmoid(gate + self.recur(state.h, self.weight_hh, self.bias_ih))
        h = state.h + f * (candidate - state.h)
        return h, HiddenState(h)
