"""A layer whose synapses are finite impulse response filters."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.delay_line import check_order, shift


class FIRState(NamedTuple):
    """The state of a layer with FIR synapses: its delay line, newest first.

    Attributes:
        inputs: x_{t-1}, ..., x_{t-order}, (batch, order input_size).
    """

    inputs: Tensor


class FIR(Cell):
    """Layer whose synapses are finite impulse response filters (moving averages of the input).

    Equations:
        y_t = tanh(sum_{d=0..D} W_d x_{t-d} + b),  D = order.

    Nothing is fed back: what entered more than D steps ago has no effect. Unrolled in time the layer is a feed-forward
    one, a one-dimensional convolution over the past with D + 1 taps followed by tanh; layers of this kind, stacked, are
    a finite impulse network (time-delay network).

    Args:
        input_size: features of x_t.
        hidden_size: units.
        bias: whether b exists.
        order: D, how many steps back a synapse reaches.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, hidden_size); weight_ih = W_0 (hidden_size, input_size), weight_taps = W_1 to
        W_D side by side (hidden_size, D input_size), bias_ih = b (hidden_size,), all drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size or the order is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: what stands before the first input is zero, and the filters have no gain of their own, which
    would be one factor more for each.

    Reference:
        A. D. Back, A. C. Tsoi. FIR and IIR synapses, a new neural network architecture for time series modeling. Neural
        Computation 3 (1991) 375-385.

    Example:
        >>> import torch
        >>> cell = FIR(3, 5, order=4)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.inputs.shape
        (torch.Size([2, 5]), torch.Size([2, 12]))
    """

    linear = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    weight_taps: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        order: int = 2,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.order = check_order(order, "order", "FIR")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_taps=(hidden_size, order * input_size),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> FIRState:
        """Zeros."""
        return FIRState(self._zeros(batch_size, self.order * self.input_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_0 x + b, and x for the delay line."""
        return F.linear(x, self.weight_ih, self.bias_ih), x

    def advance(self, projected: tuple[Tensor, Tensor], state: FIRState) -> tuple[Tensor, FIRState]:
        """The step from W_0 x + b on."""
        now, x = projected
        return torch.tanh(now + F.linear(state.inputs, self.weight_taps)), FIRState(shift(state.inputs, x))

    def scan(self, x: Tensor, state: FIRState) -> tuple[Tensor, FIRState]:
        """All time steps at once, as the convolution that the layer is."""
        steps = len(x)
        oldest_first = state.inputs.unflatten(-1, (self.order, self.input_size)).flip(-2).movedim(-2, 0)
        history = torch.cat([oldest_first, x])
        lines = torch.cat([history[d : d + steps + 1] for d in reversed(range(self.order))], -1)
        y = torch.tanh(F.linear(x, self.weight_ih, self.bias_ih) + F.linear(lines[:-1], self.weight_taps))
        return y, FIRState(lines[1:])

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, order={self.order}"
