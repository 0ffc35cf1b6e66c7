"""NARX networks: delay lines of the inputs and of the outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.delay_line import check_order, shift
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity


class NARXState(NamedTuple):
    """The state of a NARX network: its delay lines, newest first.

    Attributes:
        outputs: y_{t-1}, ..., y_{t-output_delays}, (batch, output_delays output_size).
        inputs: x_{t-1}, ..., x_{t-input_delays}, (batch, input_delays input_size).
    """

    outputs: Tensor
    inputs: Tensor


class NARX(Cell):
    """NARX network (nonlinear autoregressive with exogenous inputs): one hidden layer over delayed inputs and outputs.

    Equations:
        h_t = tanh(W_0 x_t + sum_{d=1..D} W_d x_{t-d} + sum_{k=1..K} U_k y_{t-k} + b)
        y_t = g(V h_t + c),  D = input_delays, K = output_delays.

    The output K steps back reaches the present in one step, so that a gradient has a path K times shorter than in a
    network that remembers one step only.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b and c exist.
        input_delays: D, how many inputs before x_t are seen; 0 is allowed.
        output_delays: K, how many of the last outputs are seen.
        output_size: features of y_t; `hidden_size` when absent.
        output_nonlinearity: g, "linear" or "tanh".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, output_size); weight_ih = W_0 (hidden_size, input_size), weight_taps = W_1 to
        W_D side by side (hidden_size, D input_size), absent for D = 0, weight_hh = U_1 to U_K side by side
        (hidden_size, K output_size), weight_out = V (output_size, hidden_size), bias_ih = b (hidden_size,), bias_out =
        c (output_size,), all drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, a number of delays is negative (or output_delays 0), or output_nonlinearity
            is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the present input x_t is seen beside the delayed ones (the paper's u(t - D) to u(t)), and
    several inputs and outputs are allowed. The outputs fed back are the network's own (the parallel form), also while
    training.

    Reference:
        T. Lin, B. G. Horne, P. Tino, C. L. Giles. Learning long-term dependencies in NARX recurrent neural networks.
        IEEE Transactions on Neural Networks 7 (1996) 1329-1338.
        H. T. Siegelmann, B. G. Horne, C. L. Giles. Computational capabilities of recurrent NARX neural networks. IEEE
        Transactions on Systems, Man, and Cybernetics B 27 (1997) 208-215.

    Example:
        >>> import torch
        >>> cell = NARX(3, 5, input_delays=2, output_delays=4, output_size=1)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.outputs.shape, state.inputs.shape
        (torch.Size([2, 1]), torch.Size([2, 4]), torch.Size([2, 6]))
    """

    weight_ih: Tensor
    weight_taps: Tensor
    weight_hh: Tensor
    weight_out: Tensor
    bias_ih: Tensor | None
    bias_out: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        input_delays: int = 2,
        output_delays: int = 2,
        output_size: int | None = None,
        output_nonlinearity: str = "linear",
        device: Any = None,
        dtype: Any = None,
    ):
        if output_size is not None:
            check_size(output_size, "output_size", "NARX")
        super().__init__(input_size, hidden_size, output_size)
        self.input_delays = check_order(input_delays, "input_delays", "NARX", least=0)
        self.output_delays = check_order(output_delays, "output_delays", "NARX")
        self.output_nonlinearity = check_nonlinearity(
            output_nonlinearity, ("linear", "tanh"), "NARX", "output_nonlinearity"
        )
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (hidden_size, input_size),
            "weight_taps": (hidden_size, input_delays * input_size),
            "weight_hh": (hidden_size, output_delays * self.output_size),
            "weight_out": (self.output_size, hidden_size),
            "bias_ih": (hidden_size,),
            "bias_out": (self.output_size,),
        }
        if not input_delays:
            del shapes["weight_taps"]
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> NARXState:
        """Zeros."""
        return NARXState(
            self._zeros(batch_size, self.output_delays * self.output_size, dtype, device),
            self._zeros(batch_size, self.input_delays * self.input_size, dtype, device),
        )

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """W_0 x + b, and x for the delay line."""
        return F.linear(x, self.weight_ih, self.bias_ih), x

    def advance(self, projected: tuple[Tensor, Tensor], state: NARXState) -> tuple[Tensor, NARXState]:
        """The step from W_0 x + b on."""
        total, x = projected
        total = total + self.recur(state.outputs, self.weight_hh)
        if self.input_delays:
            total = total + F.linear(state.inputs, self.weight_taps)
        h = NONLINEARITIES["tanh"](total)
        y = NONLINEARITIES[self.output_nonlinearity](F.linear(h, self.weight_out, self.bias_out))
        return y, NARXState(shift(state.outputs, y), shift(state.inputs, x))

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, input_delays={self.input_delays}, output_delays={self.output_delays}, "
            f"output_size={self.output_size}, output_nonlinearity={self.output_nonlinearity!r}"
        )
