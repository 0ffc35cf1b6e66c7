"""Long short-term memory with the forget gate alone."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class JANET(Cell):
    """Just another network (JANET): an LSTM that has kept its forget gate and nothing else.

    Equations:
        s_t = W_if x_t + W_hf h_{t-1} + b_f
        g_t = tanh(W_ig x_t + W_hg h_{t-1} + b_g)
        h_t = sigmoid(s_t) * h_{t-1} + (1 - sigmoid(s_t - beta)) * g_t,  y_t = h_t.

    With beta > 0 a unit takes in more than it forgets.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units, which are the memory cells too.
        bias: whether the biases exist.
        beta: how far the input's share is pushed up; a number.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size). weight_ih (2 hidden_size, input_size), weight_hh
        (2 hidden_size, hidden_size) and bias_ih (2 hidden_size,), in the order f, g; all are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or beta is not a number.
        ShapeError: x or the state does not fit.

    Differs from the paper: b_f does not begin at log(u), u uniform in [1, the longest lag - 1], as the longest lag is
    not known here: the layers' `chrono` argument draws it so.

    Reference:
        J. van der Westhuizen, J. Lasenby. The unreasonable effectiveness of the forget gate. arXiv:1804.04849 (2018).

    Example:
        >>> import torch
        >>> cell = JANET(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        beta: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if isinstance(beta, bool) or not isinstance(beta, int | float):
            raise UsageError(f"beta is {beta!r}", where="JANET", need="a number, 1.0 in the paper")
        self.beta = float(beta)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(2 * hidden_size, input_size),
            weight_hh=(2 * hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for the gate and the candidate."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b on."""
        s, g = (projected + self.recur(state.h, self.weight_hh)).chunk(2, -1)
        # 1 - sigmoid(a) is sigmoid(-a), which loses no digits where the gate is open.
        h = torch.sigmoid(s) * state.h + torch.sigmoid(self.beta - s) * torch.tanh(g)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.beta == 1.0 else f", beta={self.beta}")
