"""Liquid time-constant network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_positive, per_unit, step_size


class LTC(Cell):
    """Liquid time-constant network: leaky units whose time constants follow from the input and the other units.

    Equations:
        dh/dt = -(1/tau + f) * h + f * A,  f = sigmoid(W h + V x + b),  y = h,
        solved over the time dt with x held, in `substeps` equal steps s = dt / substeps of the fused solver
        h <- (h + s f(h, x) * A) / (1 + s (1/tau + f(h, x))).

    The effective time constant tau / (1 + tau f) stays between tau / (1 + tau) and tau, and a unit that is between
    min(0, A) and max(0, A) stays there, whatever the step and the weights are.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether b exists.
        substeps: equal steps of the solver for each dt.
        time_constant: tau at the start, a positive number or one for each unit.
        dt: the time between steps where none is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = V (hidden_size, input_size), weight_hh = W
        (hidden_size, hidden_size), bias_ih = b (hidden_size,), drawn uniform in +-1/sqrt(hidden_size); reversal = A
        (hidden_size,), drawn uniform in [-1, 1]; log_time_constant = log tau (hidden_size,), so that tau stays positive
        while it is learned. tau is in the unit of dt.

    Raises:
        UsageError: a size, the number of substeps, dt or a time constant is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: f is the logistic function of one layer (the paper leaves the network f open; the bounds
    above need f between 0 and 1). The authors' program gives each synapse an f and an A of its own; here, as in the
    paper's equations, each unit has one.

    Reference:
        R. Hasani, M. Lechner, A. Amini, D. Rus, R. Grosu. Liquid time-constant networks. AAAI 35 (2021) 7657-7666.

    Example:
        >>> import torch
        >>> cell = LTC(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2), torch.tensor([0.1, 100.0]))
        >>> bool((y.abs() <= cell.reversal.abs()).all())
        True
    """

    continuous_time: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    reversal: Tensor
    log_time_constant: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        substeps: int = 6,
        time_constant: float | Sequence[float] = 1.0,
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.substeps = check_size(substeps, "substeps", "LTC")
        self.first_time_constant = per_unit(time_constant, hidden_size, "time_constant", "LTC")
        self.dt = check_positive(dt, "dt", "LTC")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
            reversal=(hidden_size,),
            log_time_constant=(hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew: uniform in +-1/sqrt(hidden_size), A in [-1, 1]; tau goes back to what was given."""
        super().reset_parameters()
        nn.init.uniform_(self.reversal, -1.0, 1.0)
        logarithms = [math.log(tau) for tau in self.first_time_constant]
        with torch.no_grad():
            self.log_time_constant.copy_(torch.tensor(logarithms, dtype=self.log_time_constant.dtype))

    @property
    def time_constant(self) -> Tensor:
        """The units' time constants where f is zero, (hidden_size,)."""
        return torch.exp(self.log_time_constant)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """V x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The step from V x + b on."""
        step, leak = step_size(dt, self.dt) / self.substeps, torch.exp(-self.log_time_constant)
        h = state.h
        for _ in range(self.substeps):
            f = torch.sigmoid(projected + self.recur(h, self.weight_hh))
            h = (h + step * f * self.reversal) / (1 + step * (leak + f))
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, substeps={self.substeps}, dt={self.dt}"
