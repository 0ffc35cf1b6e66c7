"""Independently recurrent network."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState


class IndRNN(Cell):
    """Independently recurrent network: each hidden unit sees the input and its own last value only.

    Equations:
        h_t = relu(W x_t + u * h_{t-1} + b),  y_t = h_t.

    The gradient through n steps is u^n for a unit that stays active, so |u| is its memory: 1 keeps for ever, a unit
    with |u| = 2^(-1/n) halves the gradient in n steps, and above 1 it grows.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh = u
        (hidden_size,), bias_ih = b (hidden_size,). W and b are drawn uniform in +-1/sqrt(hidden_size), u uniform in
        [-1, 1].

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper also keeps |u| below 2^(1/T) while training on sequences of T steps, so that the
    gradient at most doubles; here |u| <= 1 holds at the start and nothing is clipped afterwards. Layers that mix the
    units again are put on top by stacking, as in the paper; batch normalisation is left out.

    Reference:
        S. Li, W. Li, C. Cook, C. Zhu, Y. Gao. Independently recurrent neural network (IndRNN): building a longer and
        deeper RNN. CVPR (2018) 5457-5466.

    Example:
        >>> import torch
        >>> cell = IndRNN(1, 1)
        >>> weights = {"weight_ih": torch.ones(1, 1), "weight_hh": torch.ones(1) / 2, "bias_ih": torch.zeros(1)}
        >>> _ = cell.load_state_dict(weights)
        >>> y, state = cell(torch.ones(1, 1), cell.initial_state(1))
        >>> cell(torch.ones(1, 1), state)[0].item()
        1.5
    """

    elementwise: ClassVar[bool] = True
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
            weight_hh=(hidden_size,),
            bias_ih=(hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew: W and b uniform in +-1/sqrt(hidden_size), u uniform in [-1, 1]."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for name, weight in self._parameters.items():
            if weight is not None:
                limit = 1.0 if name == "weight_hh" else bound
                nn.init.uniform_(weight, -limit, limit)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        h = torch.relu(projected + self.weight_hh * state.h)
        return h, HiddenState(h)
