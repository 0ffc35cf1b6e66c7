"""Strongly-typed recurrent networks: no matrix ever acts on the state."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.linear_scan import linear_scan
from recurra.cells.state import HiddenState


class TypedState(NamedTuple):
    """The state of the strongly-typed GRU and LSTM.

    Attributes:
        h: hidden units of the GRU, memory cells of the LSTM, (batch, hidden_size).
        x: the last input, (batch, input_size).
    """

    h: Tensor
    x: Tensor


class TRNN(Cell):
    """Strongly-typed recurrent network: a running average of what the input says, at a pace that the input sets.

    Equations:
        z_t = W x_t
        f_t = sigmoid(V x_t + b)
        h_t = f_t * h_{t-1} + (1 - f_t) * z_t,  y_t = h_t.

    So h_t is a weighted average of z_1 ... z_t (and of the first state), and each unit keeps the meaning, and the unit
    of measurement, that W gives it.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W, V (2 hidden_size, input_size), bias_ih = b
        (hidden_size,), drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: nothing but the first values of the weights, which it leaves open.

    Reference:
        D. Balduzzi, M. Ghifary. Strongly-typed recurrent neural networks. ICML (2016) 1292-1300.

    Example:
        >>> cell = TRNN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 1)
    weight_ih: Tensor
    bias_ih: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(bias, device, dtype, weight_ih=(2 * hidden_size, input_size), bias_ih=(hidden_size,))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f and (1 - f) * z."""
        new, gate = F.linear(x, self.weight_ih).chunk(2, -1)
        gate = gate if self.bias_ih is None else gate + self.bias_ih
        return torch.sigmoid(gate), torch.sigmoid(-gate) * new

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The running average."""
        keep, added = projected
        h = keep * state.h + added
        return h, HiddenState(h)

    def scan(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """All time steps at once."""
        h = linear_scan(*self.project(x), state.h)
        return h, HiddenState(h)


class TGRU(Cell):
    """Strongly-typed gated recurrent unit: what is kept and what is added follow from the last two inputs alone.

    Equations:
        z_t = W_z x_t + V_z x_{t-1} + b_z
        f_t = sigmoid(W_f x_t + V_f x_{t-1} + b_f)
        o_t = tanh(W_o x_t + V_o x_{t-1} + b_o)
        h_t = f_t * h_{t-1} + z_t * o_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W and weight_past = V (3 hidden_size,
        input_size), bias_ih = b (3 hidden_size,), the parts in the order z, f, o, all drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the squashing function of o is tanh, and the input before the first one is 0.

    Reference:
        D. Balduzzi, M. Ghifary. Strongly-typed recurrent neural networks. ICML (2016) 1292-1300.

    Example:
        >>> cell = TGRU(3, 5)
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2))
        >>> y.shape, state.x.shape
        (torch.Size([2, 5]), torch.Size([2, 3]))
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    weight_past: Tensor
    bias_ih: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        rows = 3 * hidden_size
        self._weights(
            bias, device, dtype, weight_ih=(rows, input_size), weight_past=(rows, input_size), bias_ih=(rows,)
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> TypedState:
        """Zeros."""
        h = self._zeros(batch_size, self.hidden_size, dtype, device)
        return TypedState(h, self._zeros(batch_size, self.input_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W x + b, and x itself, which the next step asks for."""
        return F.linear(x, self.weight_ih, self.bias_ih), x

    def advance(self, projected: tuple[Tensor, Tensor], state: TypedState) -> tuple[Tensor, TypedState]:
        """The step from W x + b on."""
        from_x, x = projected
        keep, added = self._parts(from_x, state.x)
        h = keep * state.h + added
        return h, TypedState(h, x)

    def scan(self, x: Tensor, state: TypedState) -> tuple[Tensor, TypedState]:
        """All time steps at once."""
        last = torch.cat([state.x.unsqueeze(0), x[:-1]])
        keep, added = self._parts(self.project(x)[0], last)
        h = linear_scan(keep, added, state.h)
        return h, TypedState(h, x)

    def _parts(self, from_x: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """f and z * o, from W x_t + b and x_{t-1}."""
        z, f, o = (from_x + F.linear(last, self.weight_past)).chunk(3, -1)
        return torch.sigmoid(f), z * torch.tanh(o)


class TLSTM(Cell):
    """Strongly-typed long short-term memory: memory cells as running averages, read through a gate of the inputs.

    Equations:
        z_t = W_z x_t + V_z x_{t-1} + b_z
        f_t = sigmoid(W_f x_t + V_f x_{t-1} + b_f)
        o_t = tanh(W_o x_t + V_o x_{t-1} + b_o)
        c_t = f_t * c_{t-1} + (1 - f_t) * z_t
        y_t = c_t * o_t.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c (the state's part h) and y (batch, hidden_size); weight_ih = W and weight_past = V
        (3 hidden_size, input_size), bias_ih = b (3 hidden_size,), the parts in the order z, f, o, all drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the squashing function of o is tanh, and the input before the first one is 0.

    Reference:
        D. Balduzzi, M. Ghifary. Strongly-typed recurrent neural networks. ICML (2016) 1292-1300.

    Example:
        >>> cell = TLSTM(3, 5)
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2))
        >>> y.shape, state.h.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 3)
    weight_ih: Tensor
    weight_past: Tensor
    bias_ih: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        rows = 3 * hidden_size
        self._weights(
            bias, device, dtype, weight_ih=(rows, input_size), weight_past=(rows, input_size), bias_ih=(rows,)
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> TypedState:
        """Zeros."""
        h = self._zeros(batch_size, self.hidden_size, dtype, device)
        return TypedState(h, self._zeros(batch_size, self.input_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W x + b, and x itself, which the next step asks for."""
        return F.linear(x, self.weight_ih, self.bias_ih), x

    def advance(self, projected: tuple[Tensor, Tensor], state: TypedState) -> tuple[Tensor, TypedState]:
        """The step from W x + b on."""
        from_x, x = projected
        keep, added, o = self._parts(from_x, state.x)
        h = keep * state.h + added
        return h * o, TypedState(h, x)

    def scan(self, x: Tensor, state: TypedState) -> tuple[Tensor, TypedState]:
        """All time steps at once."""
        last = torch.cat([state.x.unsqueeze(0), x[:-1]])
        keep, added, o = self._parts(self.project(x)[0], last)
        h = linear_scan(keep, added, state.h)
        return h * o, TypedState(h, x)

    def _parts(self, from_x: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f, what is added and o, from W x_t + b and x_{t-1}."""
        z, f, o = (from_x + F.linear(last, self.weight_past)).chunk(3, -1)
        return torch.sigmoid(f), torch.sigmoid(-f) * z, torch.tanh(o)
