"""The multiplicative recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import HiddenState


class MultiplicativeRNN(Cell):
    """Multiplicative RNN: the input chooses the recurrent matrix, from a family that is a product of three factors.

    Equations:
        f_t = (W_fx x_t) * (W_fh h_{t-1})
        h_t = tanh(W_hf f_t + W_ih x_t + b),  y_t = h_t;
    that is, the recurrent matrix at x_t is W_hf diag(W_fx x_t) W_fh.

    With input_size * hidden_size factors every second-order network (w_ijk s_j x_k) can be written so; with fewer the
    inputs share what their matrices have in common.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        factor_size: factors, the length of f_t; `hidden_size` when absent.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (hidden_size, input_size), weight_fx
        (factor_size, input_size), weight_fh (factor_size, hidden_size), weight_hf (hidden_size, factor_size), bias_ih
        = b (hidden_size,), all drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the read-out is left to another module.

    Reference:
        I. Sutskever, J. Martens, G. Hinton. Generating text with recurrent neural networks. ICML (2011) 1017-1024.

    Example:
        >>> import torch
        >>> cell = MultiplicativeRNN(3, 5, factor_size=7)
        >>> cell(torch.zeros(2, 3), cell.initial_state(2))[0].shape, cell.weight_fh.shape
        (torch.Size([2, 5]), torch.Size([7, 5]))
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_fh", "weight_hf")
    weight_ih: Tensor
    weight_fx: Tensor
    weight_fh: Tensor
    weight_hf: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        factor_size: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        factors = hidden_size if factor_size is None else factor_size
        self.factor_size = check_size(factors, "factor_size", "MultiplicativeRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_fx=(factors, input_size),
            weight_fh=(factors, hidden_size),
            weight_hf=(hidden_size, factors),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_ih x + b, and W_fx x."""
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(x, self.weight_fx)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b and W_fx x on."""
        from_input, chosen = projected
        factors = chosen * self.recur(state.h, self.weight_fh)
        h = torch.tanh(from_input + F.linear(factors, self.weight_hf))
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        extra = "" if self.factor_size == self.hidden_size else f", factor_size={self.factor_size}"
        return super().extra_repr() + extra
