"""The fully recurrent network, some of whose units are its outputs."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class FullyRecurrent(Cell):
    """Fully recurrent network: every unit sees all inputs and all units, and the first units are the outputs.

    Equations:
        h_t = f(W_ih x_t + W_hh h_{t-1} + b),  y_t = the first output_size units of h_t.

    The other units are hidden: no target is ever set for them.

    Args:
        input_size: features of x_t.
        hidden_size: units in all, visible and hidden.
        bias: whether b exists.
        output_size: visible units, from 1 to hidden_size; all of them when absent.
        nonlinearity: f, "sigmoid" or "tanh".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h (batch, hidden_size), y (batch, output_size); weight_ih (hidden_size, input_size),
        weight_hh (hidden_size, hidden_size), bias_ih = b (hidden_size,), all drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, output_size is above hidden_size, or the nonlinearity is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper counts the units' values after x_t was read as those of time t + 1, here they are
    those of t; its one weight matrix is in two parts, and its input line that is always 1 is the bias.

    Reference:
        R. J. Williams, D. Zipser. A learning algorithm for continually running fully recurrent neural networks. Neural
        Computation 1 (1989) 270-280.

    Example:
        >>> import torch
        >>> cell = FullyRecurrent(3, 5, output_size=2)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.h.shape
        (torch.Size([4, 2]), torch.Size([4, 5]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        output_size: int | None = None,
        nonlinearity: str = "sigmoid",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, output_size)
        whole = isinstance(self.output_size, int) and not isinstance(self.output_size, bool)
        if not whole or not 1 <= self.output_size <= hidden_size:
            raise UsageError(
                f"output_size is {output_size!r}",
                where="FullyRecurrent",
                need=f"a whole number from 1 to {hidden_size}, as the outputs are units among the hidden_size",
            )
        self.nonlinearity = check_nonlinearity(nonlinearity, ("sigmoid", "tanh"), "FullyRecurrent")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b on."""
        h = NONLINEARITIES[self.nonlinearity](projected + self.recur(state.h, self.weight_hh))
        return h[..., : self.output_size], HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, output_size={self.output_size}, nonlinearity={self.nonlinearity!r}"
