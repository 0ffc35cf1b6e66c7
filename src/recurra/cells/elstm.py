"""Long short-term memory with element-wise recurrence."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate


class ElementwiseLSTMState(NamedTuple):
    """The state of an LSTM with element-wise recurrence.

    Attributes:
        c: memory cells, (batch, hidden_size).
    """

    c: Tensor


class ELSTM(Cell):
    """LSTM with element-wise recurrence (eLSTM): each memory cell sees the input and its own last value only.

    Equations:
        f_t = sigmoid(W_if x_t + w_f * c_{t-1} + b_f)      forget gate
        z_t = tanh   (W_iz x_t + w_z * c_{t-1} + b_z)
        c_t = f_t * c_{t-1} + (1 - f_t) * z_t
        o_t = sigmoid(W_io x_t + W_co c_t + b_o)           output gate, which sees all new memory cells
        y_t = o_t * c_t.

    No y_t and no o_t comes back into the recurrence, so that the sensitivities of real-time recurrent learning need no
    more memory than the weights themselves.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c and y (batch, hidden_size). weight_ih (3 hidden_size, input_size) and bias_ih
        (3 hidden_size,), in the order f, z, o; weight_hh (2 hidden_size,), that is w_f and w_z; weight_co (hidden_size,
        hidden_size). All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing that is known.

    Reference:
        K. Irie, A. Gopalakrishnan, J. Schmidhuber. Exploring the promise and limits of real-time recurrent learning.
        ICLR (2024), arXiv:2305.19044.

    Example:
        >>> import torch
        >>> cell = ELSTM(3, 5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.c.shape, cell.weight_hh.shape
        (torch.Size([4, 5]), torch.Size([4, 5]), torch.Size([10]))
    """

    elementwise: ClassVar[bool] = True
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 3)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    weight_co: Tensor

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(2 * hidden_size,),
            bias_ih=(3 * hidden_size,),
            weight_co=(hidden_size, hidden_size),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> ElementwiseLSTMState:
        """Zeros."""
        return ElementwiseLSTMState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for the gates and the cells' input."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: ElementwiseLSTMState) -> tuple[Tensor, ElementwiseLSTMState]:
        """The step from W_ih x + b on."""
        to_f, to_z = self.weight_hh.chunk(2)
        f, z, o = projected.chunk(3, -1)
        z = torch.tanh(z + self.recur(state.c, to_z))
        c = z + torch.sigmoid(f + self.recur(state.c, to_f)) * (state.c - z)
        # Not `recur`: this product leads out of the recurrence.
        return torch.sigmoid(o + F.linear(c, self.weight_co)) * c, ElementwiseLSTMState(c)
