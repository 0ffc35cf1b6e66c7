"""Independently recurrent network."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity
from recurra.cells.state import HiddenState


class IndRNN(Cell):
    """Independently recurrent network: each hidden unit sees the input and its own last value only.

    Equations:
        h_t = f(W x_t + u * h_{t-1} + b),  y_t = h_t,  f = ReLU or tanh.

    The gradient through n steps is u^n for a unit that stays active, so |u| is its memory: 1 keeps for ever, a unit
    with |u| = 2^(-1/n) halves the gradient in n steps, and above 1 it grows.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        nonlinearity: f, "relu" or "tanh".
        longest: T, the steps of the longest sequence. Given, |u| is to stay within 2^(1/T), the bound that the paper
            recommends: at most twice the gradient comes through T steps. u begins uniform in [0, 2^(1/T)], and
            `constrain()` after each step of the optimiser clips what went past the bound.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh = u
        (hidden_size,), bias_ih = b (hidden_size,). W and b are drawn uniform in +-1/sqrt(hidden_size), u uniform in
        [-1, 1], or in [0, 2^(1/T)] where `longest` = T is given.

    Raises:
        UsageError: a size is not positive, the nonlinearity is neither of the two, or longest is no positive number.
        ShapeError: x or the state does not fit.

    Differs from the paper: without `longest` nothing is bounded, though |u| <= 1 holds at the start; with it, the lower
    bound that the paper puts on u in the last layer alone is left out. Layers that mix the units again are put on top
    by stacking, as in the paper; batch normalisation is left out.

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

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "relu",
        longest: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.nonlinearity = check_nonlinearity(nonlinearity, ("relu", "tanh"), "IndRNN")
        self.longest = None if longest is None else check_size(longest, "longest", "IndRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size,),
            bias_ih=(hidden_size,),
        )

    @property
    def bound(self) -> float | None:
        """2^(1/T), what |u| is to stay within; None without `longest`."""
        return None if self.longest is None else 2.0 ** (1.0 / self.longest)

    def reset_parameters(self) -> None:
        """Draw all weights anew: W and b uniform in +-1/sqrt(hidden_size), u in [-1, 1], or in [0, bound]."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for name, weight in self._parameters.items():
            if weight is None:
                continue
            if name != "weight_hh":
                nn.init.uniform_(weight, -bound, bound)
            elif self.bound is None:
                nn.init.uniform_(weight, -1.0, 1.0)
            else:
                nn.init.uniform_(weight, 0.0, self.bound)

    def constrain(self) -> None:
        """Clip u to +-bound in place, for after a step of the optimiser; without `longest` it does nothing."""
        if self.bound is not None:
            with torch.no_grad():
                self.weight_hh.clamp_(-self.bound, self.bound)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        h = NONLINEARITIES[self.nonlinearity](projected + self.recur(state.h, self.weight_hh))
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        extra = "" if self.nonlinearity == "relu" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + extra + ("" if self.longest is None else f", longest={self.longest}")
