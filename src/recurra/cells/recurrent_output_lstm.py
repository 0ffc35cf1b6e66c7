"""Long short-term memory with a recurrent output layer."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate, check_size
from recurra.errors import UsageError


class RecurrentOutputState(NamedTuple):
    """The state of an LSTM with a recurrent output layer.

    Attributes:
        h: hidden units, (batch, hidden_size).
        c: memory cells, (batch, hidden_size).
        y: the last output, (batch, output_size).
    """

    h: Tensor
    c: Tensor
    y: Tensor


class RecurrentOutputLSTM(Cell):
    """Long short-term memory with a recurrent output layer: each output also sees the last one, so that outputs flow.

    Equations:
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + b_i)      input gate
        f_t = sigmoid(W_if x_t + W_hf h_{t-1} + b_f)      forget gate
        g_t = tanh   (W_ig x_t + W_hg h_{t-1} + b_g)
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + b_o)      output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)
        y_t = s(W_hy h_t + W_yy y_{t-1} + b_y),  s = the identity or tanh.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        output_size: features of y_t; hidden_size when absent.
        squash: "identity" or "tanh", for s.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c and h (batch, hidden_size), y (batch, output_size). weight_ih (4 hidden_size,
        input_size), weight_hh (4 hidden_size, hidden_size) and bias_ih (4 hidden_size,), the gates in the order i, f,
        g, o; weight_hy (output_size, hidden_size), weight_yy (output_size, output_size), bias_y (output_size,). All are
        drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or squash is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the gates have no peepholes; further LSTM layers below are put there by stacking.

    Reference:
        H. Zen, H. Sak. Unidirectional long short-term memory recurrent neural network with recurrent output layer for
        low-latency speech synthesis. ICASSP (2015) 4470-4474.

    Example:
        >>> import torch
        >>> cell = RecurrentOutputLSTM(3, 5, output_size=2)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.h.shape, bool((state.y == y).all())
        (torch.Size([4, 2]), torch.Size([4, 5]), True)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh", "weight_yy")
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    weight_hy: Tensor
    weight_yy: Tensor
    bias_y: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        output_size: int | None = None,
        squash: str = "identity",
        device: Any = None,
        dtype: Any = None,
    ):
        if output_size is not None:
            check_size(output_size, "output_size", "RecurrentOutputLSTM")
        super().__init__(input_size, hidden_size, output_size)
        if squash not in ("identity", "tanh"):
            raise UsageError(f"squash is {squash!r}", where="RecurrentOutputLSTM", need="'identity' or 'tanh'")
        self.squash = squash
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(4 * hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
            weight_hy=(self.output_size, hidden_size),
            weight_yy=(self.output_size, self.output_size),
            bias_y=(self.output_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> RecurrentOutputState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return RecurrentOutputState(zeros, zeros.clone(), self._zeros(batch_size, self.output_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for all four gates."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: RecurrentOutputState) -> tuple[Tensor, RecurrentOutputState]:
        """The step from W_ih x + b on."""
        i, f, g, o = (projected + self.recur(state.h, self.weight_hh)).chunk(4, -1)
        c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        y = F.linear(h, self.weight_hy, self.bias_y) + self.recur(state.y, self.weight_yy)
        y = torch.tanh(y) if self.squash == "tanh" else y
        return y, RecurrentOutputState(h, c, y)

    def extra_repr(self) -> str:
        size = "" if self.output_size == self.hidden_size else f", output_size={self.output_size}"
        return super().extra_repr() + size + ("" if self.squash == "identity" else f", squash={self.squash!r}")
