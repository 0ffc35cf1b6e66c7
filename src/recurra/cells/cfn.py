"""Chaos-free network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState


class CFN(Cell):
    """Chaos-free network: two gates weigh the old state and the input, and without input the state fades to zero.

    Equations:
        theta_t = sigmoid(V_theta x_t + U_theta h_{t-1} + b_theta)      horizontal (forget) gate
        eta_t   = sigmoid(V_eta x_t + U_eta h_{t-1} + b_eta)            vertical (input) gate
        h_t = theta_t * tanh(h_{t-1}) + eta_t * tanh(W x_t),  y_t = h_t.

    The state is only ever multiplied by numbers below one, so that zero attracts every orbit where W x_t = 0, whatever
    the weights; no unit of the state moves another but through the gates.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_theta and b_eta exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (3 hidden_size, input_size) in the order theta,
        eta, W; weight_hh (2 hidden_size, hidden_size) and bias_ih (2 hidden_size,) in the order theta, eta.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: not in the equations; the first weights are uniform in +-1/sqrt(hidden_size).

    Reference:
        T. Laurent, J. von Brecht. A recurrent neural network without chaos. ICLR (2017).

    Example:
        >>> import torch
        >>> cell = CFN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2)._replace(h=torch.ones(2, 5)))
        >>> bool((0 < y).all() and (y < 1).all())
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
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(2 * hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """V x for both gates, and tanh(W x)."""
        total = F.linear(x, self.weight_ih)
        n = self.hidden_size
        return total[..., : 2 * n], torch.tanh(total[..., 2 * n :])

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from V x and tanh(W x) on."""
        gates, new = projected
        theta, eta = torch.sigmoid(gates + self.recur(state.h, self.weight_hh, self.bias_ih)).chunk(2, -1)
        h = theta * torch.tanh(state.h) + eta * new
        return h, HiddenState(h)
