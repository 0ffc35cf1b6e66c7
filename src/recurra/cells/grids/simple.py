"""The multi-dimensional recurrent network."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import check_size
from recurra.cells.join import JoinCell
from recurra.cells.state import HiddenState
from recurra.cells.trees.nonlinearity import NONLINEARITIES, check_nonlinearity


class MDRNN(JoinCell):
    """Multi-dimensional recurrent network: hidden units see the input and their values one step back along each axis.

    Equations:
        h_p = f(W_ih x_p + b_ih + sum_d W_hh,d h_{p - e_d}),  y_p = h_p,  f = tanh, logistic function or ReLU;
        p is a point of the grid, e_d one step along dimension d, and beyond the edge h = 0.

    Args:
        input_size: features of x_p.
        hidden_size: hidden units of a point.
        dimensions: of the grid.
        bias: whether b_ih exists.
        nonlinearity: "tanh", "sigmoid" or "relu".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size), the neighbours' h (batch, dimensions, hidden_size);
        weight_ih (hidden_size, input_size), bias_ih (hidden_size,), weight_hh (hidden_size, dimensions * hidden_size),
        columns dimension by dimension.

    Raises:
        UsageError: a size is not positive, or the nonlinearity is none of the three.
        ShapeError: x, the neighbours' states or present does not fit.

    Differs from the paper: the nonlinearity may be chosen, and the read-out is left to another module.

    Reference:
        A. Graves, S. Fernandez, J. Schmidhuber. Multi-dimensional recurrent neural networks. International Conference
        on Artificial Neural Networks (2007) 549-558.

    Example:
        >>> import torch
        >>> from recurra.sweep import sweep
        >>> sweep(MDRNN(3, 5, dimensions=2), torch.zeros(4, 6, 2, 3)).y.shape
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
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, check_size(dimensions, "dimensions", type(self).__name__))
        self.nonlinearity = check_nonlinearity(nonlinearity, "MDRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, dimensions * hidden_size),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros, which stand beyond the edge."""
        return HiddenState(self._zeros(batch_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, states: HiddenState, present: Tensor) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b_ih on."""
        h = NONLINEARITIES[self.nonlinearity](projected + F.linear(states.h.flatten(1), self.weight_hh))
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dimensions={self.slots}, nonlinearity={self.nonlinearity!r}"
