"""Minimal GRU and LSTM: their gates see the input alone."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.linear_scan import linear_scan
from recurra.cells.state import HiddenState


def candidate(new: Tensor, positive: bool) -> Tensor:
    """What the state moves to: the linear map itself, or g of it, which is above zero."""
    # The smaller of x and 0 in the sigmoid: the branch not taken must not spoil a gradient.
    return torch.where(new >= 0, new + 0.5, torch.sigmoid(new.clamp(max=0.0))) if positive else new


class MinGRU(Cell):
    """Minimal gated recurrent unit: a GRU without a reset gate, whose update gate and candidate see the input alone.

    Equations:
        z_t = sigmoid(W_z x_t + b_z)
        n_t = W_n x_t + b_n, or g(W_n x_t + b_n) with positive=True,  g(a) = a + 0.5 for a >= 0, else sigmoid(a)
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        positive: False for the plain form, in which the candidate is the linear map itself; True for the form whose
            candidate is kept above zero, so that it can be computed in logarithms.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (2 hidden_size, input_size), bias_ih
        (2 hidden_size,), in the order z, n, drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: with positive=True the recurrence is computed as it stands, which gives the numbers of the
    paper's computation in logarithms; the first state is 0 in both forms, where that computation begins at g(0) = 0.5.

    Reference:
        L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi. Were RNNs all we needed? arXiv:2410.01201 (2024).

    Example:
        >>> cell = MinGRU(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2, sign=-1)
    weight_ih: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        positive: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.positive = bool(positive)
        self._weights(bias, device, dtype, weight_ih=(2 * hidden_size, input_size), bias_ih=(2 * hidden_size,))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """1 - z and z * n."""
        gate, new = F.linear(x, self.weight_ih, self.bias_ih).chunk(2, -1)
        return torch.sigmoid(-gate), torch.sigmoid(gate) * candidate(new, self.positive)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The move towards the candidate."""
        keep, added = projected
        h = keep * state.h + added
        return h, HiddenState(h)

    def scan(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """All time steps at once."""
        h = linear_scan(*self.project(x), state.h)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", positive=True" if self.positive else "")


class MinLSTM(Cell):
    """Minimal long short-term memory: forget and input gates of the input alone, scaled so that they sum to one.

    Equations:
        f_t = sigmoid(W_f x_t + b_f),  i_t = sigmoid(W_i x_t + b_i)
        n_t = W_n x_t + b_n, or g(W_n x_t + b_n) with positive=True,  g(a) = a + 0.5 for a >= 0, else sigmoid(a)
        h_t = f_t / (f_t + i_t) * h_{t-1} + i_t / (f_t + i_t) * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        positive: False for the plain form, in which the candidate is the linear map itself; True for the form whose
            candidate is kept above zero, so that it can be computed in logarithms.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (3 hidden_size, input_size), bias_ih
        (3 hidden_size,), in the order f, i, n, drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: with positive=True the recurrence is computed as it stands, which gives the numbers of the
    paper's computation in logarithms; the first state is 0 in both forms, where that computation begins at g(0) = 0.5.

    Reference:
        L. Feng, F. Tung, M. O. Ahmed, Y. Bengio, H. Hajimirsadeghi. Were RNNs all we needed? arXiv:2410.01201 (2024).

    Example:
        >>> cell = MinLSTM(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 3)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 1, 3)
    weight_ih: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        positive: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.positive = bool(positive)
        self._weights(bias, device, dtype, weight_ih=(3 * hidden_size, input_size), bias_ih=(3 * hidden_size,))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f / (f + i) and i / (f + i) * n."""
        forget, write, new = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
        # f / (f + i) = sigmoid(log f - log i), which does not divide by two gates that are both shut.
        gate = F.logsigmoid(forget) - F.logsigmoid(write)
        return torch.sigmoid(gate), torch.sigmoid(-gate) * candidate(new, self.positive)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The move towards the candidate."""
        keep, added = projected
        h = keep * state.h + added
        return h, HiddenState(h)

    def scan(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """All time steps at once."""
        h = linear_scan(*self.project(x), state.h)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", positive=True" if self.positive else "")
