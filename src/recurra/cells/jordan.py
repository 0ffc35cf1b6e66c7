"""Jordan's network, which sees its own last outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity
from recurra.errors import UsageError


class JordanState(NamedTuple):
    """The state of Jordan's network.

    Attributes:
        context: the decaying sum of the last outputs, (batch, output_size).
    """

    context: Tensor


class Jordan(Cell):
    """Jordan's network: the hidden units see the input and a decaying sum of the last outputs.

    Equations:
        h_t = f(W_ih x_t + b_ih + W_hh c_{t-1})
        y_t = g(W_out h_t + b_out)
        c_t = mu c_{t-1} + y_t

    With mu = 0 the context is the last output alone. The outputs are bounded by 1 for a logistic g, the context by
    1 / (1 - mu).

    Args:
        input_size: features of x_t (the paper's plan units).
        hidden_size: hidden units.
        bias: whether b_ih and b_out exist.
        output_size: features of y_t; `hidden_size` when absent.
        mu: the share of the context that stays from step to step, 0 <= mu < 1.
        nonlinearity: f, "sigmoid" or "tanh".
        output_nonlinearity: g, "sigmoid", "tanh" or "linear".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), context c and y (batch, output_size); weight_ih (hidden_size, input_size), weight_hh
        (hidden_size, output_size), weight_out (output_size, hidden_size), bias_ih (hidden_size,), bias_out
        (output_size,), all drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, mu is not in [0, 1), or a nonlinearity is none of those named.
        ShapeError: x or the state does not fit.

    Differs from the paper: mu is 0 unless given; the paper's plan is constant during a sequence, here it may change at
    every step; state units have no connections to each other but their own decay.

    Reference:
        M. I. Jordan. Serial order: a parallel distributed processing approach. Technical report 8604, Institute for
        Cognitive Science, University of California, San Diego (1986).

    Example:
        >>> import torch
        >>> cell = Jordan(3, 5, output_size=2, mu=0.5)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, bool((state.context == y).all())
        (torch.Size([4, 2]), True)
    """

    weight_ih: Tensor
    weight_hh: Tensor
    weight_out: Tensor
    bias_ih: Tensor | None
    bias_out: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        output_size: int | None = None,
        mu: float = 0.0,
        nonlinearity: str = "sigmoid",
        output_nonlinearity: str = "sigmoid",
        device: Any = None,
        dtype: Any = None,
    ):
        if output_size is not None:
            check_size(output_size, "output_size", "Jordan")
        super().__init__(input_size, hidden_size, output_size)
        if isinstance(mu, bool) or not isinstance(mu, int | float) or not 0 <= mu < 1:
            raise UsageError(f"mu is {mu!r}", where="Jordan", need="a number from 0 up to, but not, 1")
        self.mu = float(mu)
        self.nonlinearity = check_nonlinearity(nonlinearity, ("sigmoid", "tanh"), "Jordan")
        self.output_nonlinearity = check_nonlinearity(
            output_nonlinearity, ("sigmoid", "tanh", "linear"), "Jordan", "output_nonlinearity"
        )
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, self.output_size),
            weight_out=(self.output_size, hidden_size),
            bias_ih=(hidden_size,),
            bias_out=(self.output_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> JordanState:
        """Zeros."""
        return JordanState(self._zeros(batch_size, self.output_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: JordanState) -> tuple[Tensor, JordanState]:
        """The step from W_ih x + b_ih on."""
        h = NONLINEARITIES[self.nonlinearity](projected + self.recur(state.context, self.weight_hh))
        y = NONLINEARITIES[self.output_nonlinearity](F.linear(h, self.weight_out, self.bias_out))
        return y, JordanState(self.mu * state.context + y)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, output_size={self.output_size}, mu={self.mu}, "
            f"nonlinearity={self.nonlinearity!r}, output_nonlinearity={self.output_nonlinearity!r}"
        )
