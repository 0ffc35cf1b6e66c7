"""Continuous-time recurrent network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.integrate import integrate
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_positive, per_unit, step_size


class CTRNN(Cell):
    """Continuous-time recurrent network: leaky units with time constants of their own that drive each other.

    Equations:
        tau * dh/dt = -h + W f(h + theta) + V x,  y = h,  f = sigmoid or tanh,
        solved over the time dt with x held, in `substeps` equal steps s = dt / substeps of
        - Euler's method (order 1): h + s F(h), where F is dh/dt above,
        - the exponential Euler method (order 1, exact for W = 0):
          e^(-s/tau) * h + (1 - e^(-s/tau)) * (W f(h + theta) + V x),
        - the Runge-Kutta method of order 4.

    One Euler step of dt = tau is the discrete network h' = W f(h + theta) + V x, and f(h + theta) then follows the
    simple recurrent network.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether theta exists.
        method: "euler", "exponential" or "rk4".
        substeps: equal steps that are taken for each dt.
        time_constant: tau at the start, a positive number or one for each unit.
        nonlinearity: "sigmoid" or "tanh".
        dt: the time between steps where none is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = V (hidden_size, input_size), weight_hh = W
        (hidden_size, hidden_size), bias_hh = theta (hidden_size,), drawn uniform in +-1/sqrt(hidden_size);
        log_time_constant = log tau (hidden_size,), so that tau stays positive while it is learned. tau is in the unit
        of dt.

    Raises:
        UsageError: a size, the number of substeps, dt or a time constant is not positive, or the method or the
            nonlinearity is not one of those named.
        ShapeError: x or the state does not fit.

    Differs from the paper: external input reaches the units through weights V; y is the units' state h, not the rates
    f(h + theta), which a read-out can form.

    Reference:
        K. Funahashi, Y. Nakamura. Approximation of dynamical systems by continuous time recurrent neural networks.
        Neural Networks 6 (1993) 801-806.
        R. D. Beer. On the dynamics of small continuous-time recurrent neural networks. Adaptive Behavior 3 (1995)
        469-509.

    Example:
        >>> import torch
        >>> cell = CTRNN(3, 5, method="rk4", substeps=2)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2), torch.tensor([0.1, 2.5]))
        >>> y.shape
        torch.Size([2, 5])
    """

    continuous_time: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    bias_hh: Tensor | None
    log_time_constant: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        method: str = "euler",
        substeps: int = 1,
        time_constant: float | Sequence[float] = 5.0,
        nonlinearity: str = "sigmoid",
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.method = check_choice(method, "method", ("euler", "exponential", "rk4"), "CTRNN")
        self.substeps = check_size(substeps, "substeps", "CTRNN")
        self.first_time_constant = per_unit(time_constant, hidden_size, "time_constant", "CTRNN")
        self.nonlinearity = check_choice(nonlinearity, "nonlinearity", ("sigmoid", "tanh"), "CTRNN")
        self.dt = check_positive(dt, "dt", "CTRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_hh=(hidden_size,),
            log_time_constant=(hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in +-1/sqrt(hidden_size); time constants go back to those given."""
        super().reset_parameters()
        logarithms = [math.log(tau) for tau in self.first_time_constant]
        with torch.no_grad():
            self.log_time_constant.copy_(torch.tensor(logarithms, dtype=self.log_time_constant.dtype))

    @property
    def time_constant(self) -> Tensor:
        """The units' time constants, (hidden_size,)."""
        return torch.exp(self.log_time_constant)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """V x."""
        return F.linear(x, self.weight_ih)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The step from V x on."""
        activation = torch.sigmoid if self.nonlinearity == "sigmoid" else torch.tanh
        time, speed = step_size(dt, self.dt), torch.exp(-self.log_time_constant)

        def target(h: Tensor) -> Tensor:
            shifted = h if self.bias_hh is None else h + self.bias_hh
            return projected + self.recur(activation(shifted), self.weight_hh)

        h = state.h
        if self.method == "exponential":
            gone = -torch.expm1(-(time / self.substeps) * speed)
            for _ in range(self.substeps):
                h = h + gone * (target(h) - h)
        else:
            h = integrate(lambda h: speed * (target(h) - h), h, time, self.method, self.substeps)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, method={self.method!r}, substeps={self.substeps}, dt={self.dt}"
