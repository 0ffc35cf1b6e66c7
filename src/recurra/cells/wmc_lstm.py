"""Long short-term memory with working memory connections."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState


class WMCLSTM(Cell):
    """LSTM with working memory connections: each gate sees all memory cells, through a squashed projection of its own.

    Equations:
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + tanh(W_ci c_{t-1}) + b_i)      input gate
        f_t = sigmoid(W_if x_t + W_hf h_{t-1} + tanh(W_cf c_{t-1}) + b_f)      forget gate
        g_t = tanh   (W_ig x_t + W_hg h_{t-1} + b_g)
        c_t = f_t * c_{t-1} + i_t * g_t
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + tanh(W_co c_t) + b_o)          output gate, which sees the new cells
        h_t = o_t * tanh(c_t),  y_t = h_t.

    However large a memory cell grows, it moves a gate's argument by less than 1; a peephole would move it without
    bound.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (4 hidden_size, input_size), weight_hh
        (4 hidden_size, hidden_size) and bias_ih (4 hidden_size,), in the order i, f, g, o; weight_ch (3 hidden_size,
        hidden_size), in the order i, f, o. All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing that is known.

    Reference:
        F. Landi, L. Baraldi, M. Cornia, R. Cucchiara. Working memory connections for LSTM. Neural Networks 144 (2021)
        334-341.

    Example:
        >>> import torch
        >>> cell = WMCLSTM(3, 5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, cell.weight_ch.shape
        (torch.Size([4, 5]), torch.Size([15, 5]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh", "weight_ch")
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    weight_ch: Tensor

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(4 * hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
            weight_ch=(3 * hidden_size, hidden_size),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for the gates and the cells' input."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from W_ih x + b on."""
        old = 2 * self.hidden_size
        i, f, g, o = (projected + self.recur(state.h, self.weight_hh)).chunk(4, -1)
        for_i, for_f = torch.tanh(self.recur(state.c, self.weight_ch[:old])).chunk(2, -1)
        c = torch.sigmoid(f + for_f) * state.c + torch.sigmoid(i + for_i) * torch.tanh(g)
        h = torch.sigmoid(o + torch.tanh(self.recur(c, self.weight_ch[old:]))) * torch.tanh(c)
        return h, LSTMState(h, c)
