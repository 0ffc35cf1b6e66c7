"""Multiplicative long short-term memory."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState


class MultiplicativeLSTM(Cell):
    """Multiplicative LSTM: an LSTM whose recurrent matrix is another one for each input.

    Equations:
        m_t = (W_mx x_t) * (W_mh h_{t-1})                 what the gates see in place of h_{t-1}
        i_t = sigmoid(W_ii x_t + W_hi m_t + b_i)          input gate
        f_t = sigmoid(W_if x_t + W_hf m_t + b_f)          forget gate
        g_t = tanh   (W_ig x_t + W_hg m_t + b_g)
        o_t = sigmoid(W_io x_t + W_ho m_t + b_o)          output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t),  y_t = h_t.

    At each step it is the LSTM with the recurrent matrix W_h diag(W_mx x_t) W_mh.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells, and units of m_t.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (4 hidden_size, input_size), weight_hh
        (4 hidden_size, hidden_size), which acts on m_t, and bias_ih (4 hidden_size,), the gates in the order i, f, g,
        o; weight_mx (hidden_size, input_size), weight_mh (hidden_size, hidden_size). All are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the gates have biases.

    Reference:
        B. Krause, I. Murray, S. Renals, L. Lu. Multiplicative LSTM for sequence modelling. ICLR workshop (2017),
        arXiv:1609.07959 (2016).

    Example:
        >>> import torch
        >>> cell = MultiplicativeLSTM(3, 5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.c.shape
        (torch.Size([4, 5]), torch.Size([4, 5]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_mh", "weight_hh")
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    weight_mx: Tensor
    weight_mh: Tensor

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(4 * hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
            weight_mx=(hidden_size, input_size),
            weight_mh=(hidden_size, hidden_size),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_ih x + b for all four gates, and W_mx x."""
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(x, self.weight_mx)

    def advance(self, projected: tuple[Tensor, Tensor], state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from the products of x on."""
        for_gates, for_m = projected
        # Dropout has its place before m; m itself, which holds no more than h, goes on whole.
        m = for_m * self.recur(state.h, self.weight_mh)
        i, f, g, o = (for_gates + F.linear(m, self.weight_hh)).chunk(4, -1)
        c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LSTMState(h, c)
