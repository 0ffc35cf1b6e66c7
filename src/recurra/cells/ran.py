"""Recurrent additive network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.lstm import LSTMState
from recurra.errors import UsageError


class RAN(Cell):
    """Recurrent additive network: memory cells are sums of linearly mapped inputs, whose weights the gates alone set.

    Equations:
        g_t = W_ig x_t                                    the content, linear in x_t
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + b_i)      input gate
        f_t = sigmoid(W_if x_t + W_hf h_{t-1} + b_f)      forget gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = s(c_t),  y_t = h_t,  s = tanh or the identity.

    So c_t is the sum over j <= t of (i_j * f_{j+1} * ... * f_t) * g_j.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the gates' biases exist.
        squash: "tanh" or "identity", for s.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size). weight_ih (3 hidden_size, input_size), in the order i,
        f, g; weight_hh (2 hidden_size, hidden_size) and bias_ih (2 hidden_size,), in the order i, f. All are drawn
        uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or squash is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing that is known.

    Reference:
        K. Lee, O. Levy, L. Zettlemoyer. Recurrent additive networks. arXiv:1705.07393 (2017).

    Example:
        >>> import torch
        >>> cell = RAN(3, 5, squash="identity")
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, bool((state.c == state.h).all())
        (torch.Size([2, 5]), True)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 2)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

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
            raise UsageError(f"squash is {squash!r}", where="RAN", need="'tanh' or 'identity'")
        self.squash = squash
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(2 * hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_ih x + b for the gates, and the content."""
        gates, content = F.linear(x, self.weight_ih).split((2 * self.hidden_size, self.hidden_size), -1)
        return gates if self.bias_ih is None else gates + self.bias_ih, content

    def advance(self, projected: tuple[Tensor, Tensor], state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from the products of x on."""
        gates, content = projected
        i, f = torch.sigmoid(gates + self.recur(state.h, self.weight_hh)).chunk(2, -1)
        c = f * state.c + i * content
        # A copy, so that h and c are two tensors also where they are equal.
        h = torch.tanh(c) if self.squash == "tanh" else c.clone()
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.squash == "tanh" else f", squash={self.squash!r}")
