"""Long short-term memory whose gates see the memory cells."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState
from recurra.errors import UsageError


class PeepholeLSTM(Cell):
    """Long short-term memory with peepholes: each gate also sees its own memory cell, even while the output is shut.

    Equations:
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + p_i * c_{t-1} + b_i)      input gate
        f_t = sigmoid(W_if x_t + W_hf h_{t-1} + p_f * c_{t-1} + b_f)      forget gate
        c_t = f_t * c_{t-1} + i_t * s(W_ig x_t + W_hg h_{t-1} + b_g)
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + p_o * c_t + b_o)          output gate, which sees the new memory cell
        h_t = o_t * s(c_t),  y_t = h_t,  s = tanh or the identity.

    With the identity a memory cell can count without bound: it goes up by one a step, and a gate opens at the count
    that its peephole and its bias set.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the bias exists.
        squash: "tanh" or "identity", for s.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (4 hidden_size, input_size), weight_hh (4
        hidden_size, hidden_size) and bias_ih (4 hidden_size,), the gates in the order i, f, g, o; peephole (3
        hidden_size,), in the order i, f, o. All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or squash is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: a memory block holds one cell, so that a peephole is one weight; there is one bias a gate;
    the squashing functions are tanh unless squash="identity", which is what the paper's experiments use; and the
    gradient is never cut, where the paper cuts it at the gates.

    Reference:
        F. A. Gers, J. Schmidhuber. Recurrent nets that time and count. IJCNN (2000) vol. 3, 189-194.
        F. A. Gers, N. N. Schraudolph, J. Schmidhuber. Learning precise timing with LSTM recurrent networks. Journal of
        Machine Learning Research 3 (2002) 115-143.

    Example:
        >>> import torch
        >>> cell = PeepholeLSTM(3, 5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.c.shape, cell.peephole.shape
        (torch.Size([4, 5]), torch.Size([4, 5]), torch.Size([15]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    peephole: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        squash: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if squash not in ("tanh", "identity"):
            raise UsageError(f"squash is {squash!r}", where="PeepholeLSTM", need="'tanh' or 'identity'")
        self.squash = squash
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(4 * hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
            peephole=(3 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for the gates and the cell's input."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from W_ih x + b on."""
        i, f, g, o = (projected + self.recur(state.h, self.weight_hh)).chunk(4, -1)
        to_i, to_f, to_o = self.peephole.chunk(3)
        i, f = torch.sigmoid(i + to_i * state.c), torch.sigmoid(f + to_f * state.c)
        c = f * state.c + i * self._squashed(g)
        h = torch.sigmoid(o + to_o * c) * self._squashed(c)
        return h, LSTMState(h, c)

    def _squashed(self, value: Tensor) -> Tensor:
        return torch.tanh(value) if self.squash == "tanh" else value

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.squash == "tanh" else f", squash={self.squash!r}")
