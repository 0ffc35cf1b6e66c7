"""Residual long short-term memory."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState


class ResLSTM(Cell):
    """Residual LSTM: a peephole LSTM with projection, whose output gate also lets the layer's input through.

    Equations:
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + p_i * c_{t-1} + b_i)      input gate
        f_t = sigmoid(W_if x_t + W_hf h_{t-1} + p_f * c_{t-1} + b_f)      forget gate
        c_t = f_t * c_{t-1} + i_t * tanh(W_ig x_t + W_hg h_{t-1} + b_g)
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + p_o * c_t + b_o)          output gate, as wide as h_t
        h_t = o_t * (W_hr tanh(c_t) + S x_t),  y_t = h_t,
        with S the identity where x_t and h_t have one size, and else a matrix.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (4 hidden_size, input_size), weight_hh
        (4 hidden_size, hidden_size) and bias_ih (4 hidden_size,), in the order i, f, g, o; peephole (3 hidden_size,),
        in the order i, f, o; weight_hr (hidden_size, hidden_size); weight_shortcut = S (hidden_size, input_size), which
        is absent where it is the identity. All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: h_t has as many units as there are memory cells, so that W_hr is square and the output gate
    has one peephole a cell like the others; the paper projects to fewer units.

    Reference:
        J. Kim, M. El-Khamy, J. Lee. Residual LSTM: design of a deep recurrent architecture for distant speech
        recognition. Interspeech (2017) 1591-1595.

    Example:
        >>> import torch
        >>> cell = ResLSTM(3, 5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, cell.weight_shortcut.shape, ResLSTM(5, 5).weight_shortcut
        (torch.Size([4, 5]), torch.Size([5, 3]), None)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    peephole: Tensor
    weight_hr: Tensor
    weight_shortcut: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (4 * hidden_size, input_size),
            "weight_hh": (4 * hidden_size, hidden_size),
            "bias_ih": (4 * hidden_size,),
            "peephole": (3 * hidden_size,),
            "weight_hr": (hidden_size, hidden_size),
        }
        if input_size == hidden_size:
            self.register_parameter("weight_shortcut", None)
        else:
            shapes["weight_shortcut"] = (hidden_size, input_size)
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_ih x + b for the gates and the cells' input, and S x."""
        shortcut = x if self.weight_shortcut is None else F.linear(x, self.weight_shortcut)
        return F.linear(x, self.weight_ih, self.bias_ih), shortcut

    def advance(self, projected: tuple[Tensor, Tensor], state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from the products of x on."""
        for_gates, shortcut = projected
        i, f, g, o = (for_gates + self.recur(state.h, self.weight_hh)).chunk(4, -1)
        to_i, to_f, to_o = self.peephole.chunk(3)
        c = torch.sigmoid(f + to_f * state.c) * state.c + torch.sigmoid(i + to_i * state.c) * torch.tanh(g)
        h = torch.sigmoid(o + to_o * c) * (F.linear(torch.tanh(c), self.weight_hr) + shortcut)
        return h, LSTMState(h, c)
