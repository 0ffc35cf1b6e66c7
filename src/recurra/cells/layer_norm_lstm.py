"""Long short-term memory with layer normalisation."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState


class LayerNormLSTM(Cell):
    """Long short-term memory with layer normalisation of both products and of what the output gate reads.

    Equations:
        N(a; v, b) = v * (a - mean(a)) / sqrt(var(a) + eps) + b, mean and variance over the whole vector a
        (i, f, g, o) = N(W_ih x_t; v_ih, b_ih) + N(W_hh h_{t-1}; v_hh, b_hh), all four gates normalised as one vector
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(N(c_t; v_c, b_c)),  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether b_ih, b_hh and b_c exist.
        eps: added to the variances.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (4 hidden_size, input_size), weight_hh
        (4 hidden_size, hidden_size), both drawn uniform in +-1/sqrt(hidden_size); gain_ih = v_ih, gain_hh = v_hh
        (4 hidden_size,) and gain_c = v_c (hidden_size,), all 1 at first; bias_ih, bias_hh (4 hidden_size,) and bias_c
        (hidden_size,), all 0 at first. The gates stand in the order i, f, g, o.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: b_ih here is the sum of two vectors there (a normalisation's shift and the gates' bias,
    which are only ever added); eps is not in the paper's equations.

    Reference:
        J. L. Ba, J. R. Kiros, G. E. Hinton. Layer normalization. arXiv:1607.06450 (2016), supplementary material.

    Example:
        >>> import torch
        >>> cell = LayerNormLSTM(3, 5)
        >>> y, state = cell(torch.randn(4, 3), cell.initial_state(4))
        >>> y.shape, state.c.shape
        (torch.Size([4, 5]), torch.Size([4, 5]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_hh", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_hh", 0, 4)
    weight_ih: Tensor
    weight_hh: Tensor
    gain_ih: Tensor
    gain_hh: Tensor
    gain_c: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    bias_c: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        eps: float = 1e-5,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.eps = eps
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(4 * hidden_size, hidden_size),
            gain_ih=(4 * hidden_size,),
            gain_hh=(4 * hidden_size,),
            gain_c=(hidden_size,),
            bias_ih=(4 * hidden_size,),
            bias_hh=(4 * hidden_size,),
            bias_c=(hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw the matrices anew, uniform in +-1/sqrt(hidden_size); gains become 1 and biases 0."""
        reset_normalised(self)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> Tensor:
        """The normalised W_ih x."""
        return normalised(F.linear(x, self.weight_ih), self.gain_ih, self.bias_ih, self.eps)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from the normalised W_ih x on."""
        recurrent = normalised(self.recur(state.h, self.weight_hh), self.gain_hh, self.bias_hh, self.eps)
        i, f, g, o = (projected + recurrent).chunk(4, -1)
        c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(normalised(c, self.gain_c, self.bias_c, self.eps))
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.eps == 1e-5 else f", eps={self.eps}")


def normalised(a: Tensor, gain: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """Layer normalisation over the last dimension."""
    # Plain operations, not the fused one: derivatives of every order and mode go through them.
    centred = a - a.mean(-1, keepdim=True)
    scaled = gain * (centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps))
    return scaled if bias is None else scaled + bias


def reset_normalised(cell: Cell) -> None:
    """Matrices uniform in +-1/sqrt(hidden_size), gains 1, biases 0."""
    bound = 1.0 / math.sqrt(cell.hidden_size)
    for name, weight in cell.named_parameters(recurse=False):
        if name.startswith("weight"):
            nn.init.uniform_(weight, -bound, bound)
        else:
            nn.init.constant_(weight, 1.0 if name.startswith("gain") else 0.0)
