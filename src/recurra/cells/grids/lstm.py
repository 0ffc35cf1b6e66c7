"""Multi-dimensional long short-term memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import check_size
from recurra.cells.join import JoinCell
from recurra.cells.lstm import LSTMState


class MDLSTM(JoinCell):
    """Multi-dimensional long short-term memory: one forget gate a dimension, and peephole connections.

    Equations:
        i   = sigmoid(W_i x + sum_k U_i,k h_k + p_i * sum_k c_k + b_i)    input gate
        f_d = sigmoid(W_f,d x + sum_k U_f,d,k h_k + p_f,d * c_d + b_f,d)  forget gate of dimension d
        g   = tanh   (W_g x + sum_k U_g,k h_k + b_g)                      what may be written
        c   = i * g + sum_d f_d * c_d
        o   = sigmoid(W_o x + sum_k U_o,k h_k + p_o * c + b_o)            output gate
        h   = o * tanh(c);  y = h,
        where h_k and c_k are those of the point one step back along dimension k, and zero beyond the edge.

    The input gate's peepholes are the same for all dimensions, each forget gate sees the memory of its own dimension,
    and the output gate sees the new memory. With one dimension this is the peephole LSTM.

    Args:
        input_size: features of x.
        hidden_size: memory cells of a point.
        dimensions: of the grid.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size); h, c and y (batch, hidden_size); the neighbours' h and c (batch, dimensions,
        hidden_size); weight_ih ((3 + dimensions) hidden_size, input_size), weight_hh ((3 + dimensions) hidden_size,
        dimensions * hidden_size), columns dimension by dimension, bias_ih ((3 + dimensions) hidden_size,), the gates in
        the order i, f_1, ..., f_D, g, o; weight_ch ((2 + dimensions) hidden_size,), the peepholes p in the order i,
        f_1, ..., f_D, o.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x, the neighbours' states or present does not fit.

    Differs from the paper: one memory cell a block.

    Reference:
        A. Graves, S. Fernandez, J. Schmidhuber. Multi-dimensional recurrent neural networks. International Conference
        on Artificial Neural Networks (2007) 549-558.

    Example:
        >>> import torch
        >>> from recurra.sweep import sweep
        >>> sweep(MDLSTM(3, 5, dimensions=2), torch.zeros(4, 6, 2, 3)).y.shape
        torch.Size([4, 6, 2, 5])
    """

    weight_ih: Tensor
    weight_hh: Tensor
    weight_ch: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        dimensions: int = 2,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, check_size(dimensions, "dimensions", type(self).__name__))
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=((3 + dimensions) * hidden_size, input_size),
            weight_hh=((3 + dimensions) * hidden_size, dimensions * hidden_size),
            weight_ch=((2 + dimensions) * hidden_size,),
            bias_ih=((3 + dimensions) * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros, which stand beyond the edge."""
        return LSTMState(self._zeros(batch_size, dtype, device), self._zeros(batch_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for all gates."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, states: LSTMState, present: Tensor) -> tuple[Tensor, LSTMState]:
        """The step from W x + b on."""
        dimensions = states.c.shape[1]
        sums = projected + F.linear(states.h.flatten(1), self.weight_hh)
        i, *f, g, o = sums.chunk(3 + dimensions, -1)
        p_i, *p_f, p_o = self.weight_ch.chunk(2 + dimensions)
        keep = torch.sigmoid(torch.stack(f, 1) + torch.stack(p_f) * states.c)
        c = torch.sigmoid(i + p_i * states.c.sum(1)) * torch.tanh(g) + (keep * states.c).sum(1)
        h = torch.sigmoid(o + p_o * c) * torch.tanh(c)
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dimensions={self.slots}"
