"""Long short-term memory whose input is scaled anew at each step of the sequence."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate, check_size
from recurra.cells.clockwork import count_on


class ExtendedLSTMState(NamedTuple):
    """The state of an extended LSTM.

    Attributes:
        h: hidden units, (batch, hidden_size).
        c: memory cells, (batch, hidden_size).
        step: steps read so far, counted anew after `longest`, (batch, 1).
    """

    h: Tensor
    c: Tensor
    step: Tensor


class ExtendedLSTM(Cell):
    """Extended LSTM (ELSTM): each step of the sequence has learned factors by which its input enters the memory.

    Equations:
        i_t = sigmoid(W_ii x_t + W_hi h_{t-1} + b_i)      input gate
        f_t = sigmoid(W_if x_t + W_hf h_{t-1} + b_f)      forget gate
        g_t = tanh   (W_ig x_t + W_hg h_{t-1} + b_g)
        o_t = sigmoid(W_io x_t + W_ho h_{t-1} + b_o)      output gate
        c_t = f_t * c_{t-1} + s_t * i_t * g_t
        h_t = o_t * tanh(c_t),  y_t = h_t;  s_1 ... s_T are weights, T = longest.

    c_t is the sum over j <= t of (s_j * f_{j+1} * ... * f_t) * i_j * g_j, so that the factor of an early step can make
    up for what the forget gates take from it later. With all factors 1 it is the LSTM.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        longest: T, how many steps have factors of their own: the longest sequence. Step T + 1 takes those of step 1
            again, and so on.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c, h and y (batch, hidden_size), step (batch, 1). weight_ih (4 hidden_size, input_size),
        weight_hh (4 hidden_size, hidden_size) and bias_ih (4 hidden_size,), the gates in the order i, f, g, o, drawn
        uniform in +-1/sqrt(hidden_size), but for b_f, which begins at 1; scale = s (longest, hidden_size), 1 at first.

    Raises:
        UsageError: a size or `longest` is not a positive whole number.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing that is known; which steps share factors in sequences longer than `longest`, the
    factors' and the forget gate's first values are those of the authors' program.

    Reference:
        Y. Su, C.-C. J. Kuo. On extended long short-term memory and dependent bidirectional recurrent neural network.
        Neurocomputing 356 (2019) 151-161.

    Example:
        >>> import torch
        >>> cell = ExtendedLSTM(3, 5, longest=20)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, cell.scale.shape, state.step.flatten()
        (torch.Size([4, 5]), torch.Size([20, 5]), tensor([1., 1., 1., 1.]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    clocks: ClassVar[tuple[str, ...]] = ("step",)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    scale: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        longest: int = 100,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.longest = check_size(longest, "longest", "ExtendedLSTM")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(4 * hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
            scale=(longest, hidden_size),
        )

    def reset_parameters(self) -> None:
        """Draw the matrices and biases anew, uniform in +-1/sqrt(hidden_size); b_f and the factors become 1."""
        super().reset_parameters()
        nn.init.ones_(self.scale)
        if self.bias_ih is not None:
            nn.init.ones_(self.bias_ih.chunk(4)[1])

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> ExtendedLSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return ExtendedLSTMState(zeros, zeros.clone(), self._zeros(batch_size, 1, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for all four gates."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: ExtendedLSTMState) -> tuple[Tensor, ExtendedLSTMState]:
        """The step from W_ih x + b on."""
        i, f, g, o = (projected + self.recur(state.h, self.weight_hh)).chunk(4, -1)
        # The row of this step as a product with 0 and 1: each sequence of a batch has its own count.
        places = torch.arange(self.longest, device=state.step.device, dtype=state.step.dtype)
        scale = (torch.round(state.step) == places).to(self.scale.dtype) @ self.scale
        c = torch.sigmoid(f) * state.c + scale * (torch.sigmoid(i) * torch.tanh(g))
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, ExtendedLSTMState(h, c, count_on(state.step, self.longest))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, longest={self.longest}"
