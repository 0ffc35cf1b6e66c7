"""Long short-term memory whose input gate is the forget gate's complement."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState


class CoupledLSTM(Cell):
    """Long short-term memory with coupled input and forget gates (CIFG): a cell forgets as much as it takes in.

    Equations:
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + p_i * c_{t-1} + b_i)      input gate
        f_t = 1 - i_t                                                     forget gate
        c_t = f_t * c_{t-1} + i_t * tanh(W_ig x_t + W_hg h_{t-1} + b_g)
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + p_o * c_t + b_o)          output gate
        h_t = o_t * tanh(c_t),  y_t = h_t;  p_i and p_o only with peepholes=True.

    A memory cell that begins in [-1, 1] stays there.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        peepholes: whether the gates see the memory cells.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (3 hidden_size, input_size), weight_hh
        (3 hidden_size, hidden_size) and bias_ih (3 hidden_size,), in the order i, g, o; peephole (2 hidden_size,), in
        the order i, o. All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the peepholes, which its variant of this name has, are there on demand.

    Reference:
        K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink, J. Schmidhuber. LSTM: a search space odyssey. IEEE
        Transactions on Neural Networks and Learning Systems 28 (2017) 2222-2232.

    Example:
        >>> import torch
        >>> cell = CoupledLSTM(3, 5, peepholes=True)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, cell.peephole.shape
        (torch.Size([4, 5]), torch.Size([10]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 3, sign=-1)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    peephole: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        peepholes: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.peepholes = bool(peepholes)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (3 * hidden_size, input_size),
            "weight_hh": (3 * hidden_size, hidden_size),
            "bias_ih": (3 * hidden_size,),
        }
        if peepholes:
            shapes["peephole"] = (2 * hidden_size,)
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for the gates and the cells' input."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from W_ih x + b on."""
        i, g, o = (projected + self.recur(state.h, self.weight_hh)).chunk(3, -1)
        if self.peepholes:
            i = i + self.peephole[: self.hidden_size] * state.c
        c = state.c + torch.sigmoid(i) * (torch.tanh(g) - state.c)
        if self.peepholes:
            o = o + self.peephole[self.hidden_size :] * c
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", peepholes=True" if self.peepholes else "")
