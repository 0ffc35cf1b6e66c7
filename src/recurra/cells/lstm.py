"""Long short-term memory with a forget gate."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.errors import UsageError


class LSTMState(NamedTuple):
    """The state of an LSTM.

    Attributes:
        h: hidden units, (batch, hidden_size), or (batch, proj_size) with a projection.
        c: memory cells, (batch, hidden_size).
    """

    h: Tensor
    c: Tensor


class LSTM(Cell):
    """Long short-term memory: memory cells that are written, kept and read through gates.

    Equations:
        i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)      input gate
        f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)      forget gate
        g_t = tanh   (W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)      what may be written
        o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)      output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t), or W_hr (o_t * tanh(c_t)) with a projection;  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        proj_size: when positive, h_t is projected to this many units (Sak et al. 2014); smaller than hidden_size.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c (batch, hidden_size), h and y (batch, output_size), where output_size is proj_size when
        that is positive, else hidden_size. weight_ih (4 hidden_size, input_size), weight_hh (4 hidden_size,
        output_size), bias_ih and bias_hh (4 hidden_size,), the gates in the order i, f, g, o; weight_hr (proj_size,
        hidden_size). Names, shapes and first values as in torch.nn.LSTM.

    Raises:
        UsageError: a size is not positive, or proj_size is not smaller than hidden_size.
        ShapeError: x or the state does not fit.

    Differs from the paper: no peephole connections, tanh as squashing functions, two biases (as in cuDNN), and the
    gradient is never cut.

    Reference:
        S. Hochreiter, J. Schmidhuber. Long short-term memory. Neural Computation 9 (1997) 1735-1780.
        F. A. Gers, J. Schmidhuber, F. Cummins. Learning to forget. Neural Computation 12 (2000) 2451-2471.
        H. Sak, A. Senior, F. Beaufays. Long short-term memory recurrent neural network architectures for large scale
        acoustic modeling. Interspeech (2014) 338-342.

    Example:
        >>> import torch
        >>> cell = LSTM(3, 5, proj_size=2)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.h.shape, state.c.shape
        (torch.Size([4, 2]), torch.Size([4, 2]), torch.Size([4, 5]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_hh", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_hh", 0, 4)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, proj_size or None)
        if isinstance(proj_size, bool) or not isinstance(proj_size, int) or not 0 <= proj_size < hidden_size:
            raise UsageError(
                f"proj_size is {proj_size!r}",
                where="LSTM",
                need=f"a whole number from 0 (none) to {hidden_size - 1}, smaller than hidden_size",
            )
        self.proj_size = proj_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (4 * hidden_size, input_size),
            "weight_hh": (4 * hidden_size, self.output_size),
            "bias_ih": (4 * hidden_size,),
            "bias_hh": (4 * hidden_size,),
        }
        if proj_size:
            shapes["weight_hr"] = (proj_size, hidden_size)
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros."""
        return LSTMState(
            self._zeros(batch_size, self.output_size, dtype, device),
            self._zeros(batch_size, self.hidden_size, dtype, device),
        )

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih for all four gates."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from W_ih x + b_ih on."""
        gates = projected + self.recur(state.h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.proj_size:
            h = F.linear(h, self.weight_hr)
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", proj_size={self.proj_size}" if self.proj_size else "")
