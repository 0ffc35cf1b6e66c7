"""A multi-dimensional memory cell that stays bounded: the leaky low-pass cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import check_size
from recurra.cells.join import JoinCell
from recurra.cells.lstm import LSTMState


class MDLeakyLP(JoinCell):
    """Multi-dimensional LeakyLP cell: memory is a weighted mean of what it was and what comes in, so it stays bounded.

    Equations:
        a_m = W_m x + sum_k U_m,k h_k + b_m                   for each gate m
        l   = softmax(a_l,1, ..., a_l,D-1, 0)                 how much each dimension counts
        c_- = sum_k l_k * c_k                                 the memory that comes in from all dimensions
        f   = sigmoid(a_f)                                    forget gate
        c   = (1 - f) * tanh(a_g) + f * c_-
        h   = tanh(sigmoid(a_o) * c + sigmoid(a_q) * c_-);  y = h,
        where h_k and c_k are those of the point one step back along dimension k, and zero beyond the edge.

    The sum over dimensions in the MDLSTM's memory may grow with the number of paths to a point; here |c| <= 1 always.

    Args:
        input_size: features of x.
        hidden_size: memory cells of a point.
        dimensions: D, of the grid.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size); h, c and y (batch, hidden_size); the neighbours' h and c (batch, dimensions,
        hidden_size); weight_ih ((3 + dimensions) hidden_size, input_size), weight_hh ((3 + dimensions) hidden_size,
        dimensions * hidden_size), columns dimension by dimension, bias_ih ((3 + dimensions) hidden_size,), rows in the
        order l_1, ..., l_(D-1), f, g, o, q.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x, the neighbours' states or present does not fit.

    Differs from the paper: no peephole connections. The softmax is our form for any number of dimensions: in two it is
    one logistic gate and its complement, in one there is no such gate.

    Reference:
        G. Leifert, T. Strauss, T. Gruening, W. Wustlich, R. Labahn. Cells in multidimensional recurrent neural
        networks. Journal of Machine Learning Research 17 (2016) 97, 1-37.

    Example:
        >>> import torch
        >>> from recurra.sweep import sweep
        >>> sweep(MDLeakyLP(3, 5, dimensions=2), torch.zeros(4, 6, 2, 3)).y.shape
        torch.Size([4, 6, 2, 5])
    """

    weight_ih: Tensor
    weight_hh: Tensor
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
        sums = projected + F.linear(states.h.flatten(1), self.weight_hh)
        *shares, f, g, o, q = sums.chunk(3 + states.c.shape[1], -1)
        share = torch.softmax(torch.stack([*shares, torch.zeros_like(f)], 1), 1)
        before = (share * states.c).sum(1)
        keep = torch.sigmoid(f)
        c = (1.0 - keep) * torch.tanh(g) + keep * before
        h = torch.tanh(torch.sigmoid(o) * c + torch.sigmoid(q) * before)
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dimensions={self.slots}"
