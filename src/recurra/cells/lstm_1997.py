"""Long short-term memory as it was in 1997, without a forget gate."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState


class LSTM1997(Cell):
    """Long short-term memory without a forget gate: a memory cell adds up what its input gate lets in, and keeps it.

    Equations:
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + b_i)      input gate
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + b_o)      output gate
        c_t = c_{t-1} + i_t * g(W_ig x_t + W_hg h_{t-1} + b_g),  g(a) = 4 sigmoid(a) - 2, in (-2, 2)
        h_t = o_t * s(c_t),  s(a) = 2 sigmoid(a) - 1, in (-1, 1);  y_t = h_t.

    The derivative of c_t by c_{t-1}, with h_{t-1} held, is 1: an error flows back through a memory cell over any number
    of steps as it is (the constant error carousel).

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        truncated: whether the gradient is cut where h_{t-1} enters the gates and the cells' input, as in the paper.
            Then an error reaches earlier steps through the memory cells alone. The outputs are the same.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (3 hidden_size, input_size), weight_hh
        (3 hidden_size, hidden_size) and bias_ih (3 hidden_size,), in the order i, g, o; all are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: a memory block holds one cell; the gates see the cells' outputs and not each other; the
    gradient is whole unless truncated=True, which is what the paper trains with; no bias begins at a negative value.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780.

    Example:
        >>> import torch
        >>> cell = LSTM1997(3, 5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.c.shape, bool((y.abs() < 1).all())
        (torch.Size([4, 5]), torch.Size([4, 5]), True)
    """

    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 3)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        truncated: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.truncated = bool(truncated)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(3 * hidden_size, hidden_size),
            bias_ih=(3 * hidden_size,),
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
        last = state.h.detach() if self.truncated else state.h
        i, g, o = (projected + self.recur(last, self.weight_hh)).chunk(3, -1)
        # 2 sigmoid(a) - 1 is tanh(a / 2).
        c = state.c + torch.sigmoid(i) * (2.0 * torch.tanh(0.5 * g))
        h = torch.sigmoid(o) * torch.tanh(0.5 * c)
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", truncated=True" if self.truncated else "")
