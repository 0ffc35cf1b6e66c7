"""Leaky integrator network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_not_negative, check_positive, per_unit, step_size


class LeakyRNN(Cell):
    """Leaky integrator network: hidden units that lose a part of themselves and take up a part of what drives them.

    Equations:
        h_t = (1 - leak rate dt) * h_{t-1} + rate dt * f(W x_t + U h_{t-1} + b),  y_t = h_t,  f = tanh or ReLU.

    This is an Euler step of (1/rate) dh/dt = -leak h + f(W x + U h + b). With leak = 1 and dt = 1 it is the form common
    for echo state networks, with the leaking rate `rate`; with rate = 1 also, it is the simple recurrent network.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        rate: how much is taken up in a step of dt = 1, above 0 and at most 1: the inverse of the unit's time constant;
            a number, or one for each unit.
        leak: how much faster or slower the unit leaks than it takes up; zero makes it a pure integrator.
        learn_rate: whether `rate` is learned; it then stays between 0 and 1, both left out.
        nonlinearity: "tanh" or "relu".
        dt: the step; the time between steps replaces it where it is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh = U
        (hidden_size, hidden_size), bias_ih = b (hidden_size,), drawn uniform in +-1/sqrt(hidden_size); rate
        (hidden_size,), a buffer, or rate_logit (hidden_size,), a weight, with rate = sigmoid(rate_logit). rate is in
        the inverse of the unit of dt.

    Raises:
        UsageError: a size or dt is not positive, a rate is not above 0 and at most 1 (or not below 1 when learned), the
            leak is negative, or the nonlinearity is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: no feedback from an output, which is left to other modules; rates may differ from unit to
    unit and may be learned by gradient through time.

    Reference:
        H. Jaeger, M. Lukosevicius, D. Popovici, U. Siewert. Optimization and applications of echo state networks with
        leaky-integrator neurons. Neural Networks 20 (2007) 335-352.

    Example:
        >>> import torch
        >>> cell = LeakyRNN(1, 1, rate=0.25)
        >>> weights = {"weight_ih": torch.zeros(1, 1), "weight_hh": torch.zeros(1, 1), "bias_ih": torch.zeros(1)}
        >>> _ = cell.load_state_dict(weights, strict=False)
        >>> cell(torch.zeros(1, 1), cell.initial_state(1)._replace(h=torch.ones(1, 1)))[0].item()
        0.75
    """

    continuous_time: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    rate: Tensor
    rate_logit: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        rate: float | Sequence[float] = 0.5,
        leak: float = 1.0,
        learn_rate: bool = False,
        nonlinearity: str = "tanh",
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.first_rate = per_unit(rate, hidden_size, "rate", "LeakyRNN", limit=1.0)
        self.leak = check_not_negative(leak, "leak", "LeakyRNN")
        self.learn_rate = bool(learn_rate)
        self.nonlinearity = check_choice(nonlinearity, "nonlinearity", ("tanh", "relu"), "LeakyRNN")
        self.dt = check_positive(dt, "dt", "LeakyRNN")
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (hidden_size, input_size),
            "weight_hh": (hidden_size, hidden_size),
            "bias_ih": (hidden_size,),
        }
        if self.learn_rate:
            per_unit(rate, hidden_size, "rate", "LeakyRNN with learn_rate", limit=math.nextafter(1.0, 0.0))
            shapes["rate_logit"] = (hidden_size,)
        self._weights(bias, device, dtype, **shapes)
        if not self.learn_rate:
            made = torch.tensor(self.first_rate, dtype=self.weight_ih.dtype, device=self.weight_ih.device)
            self.register_buffer("rate", made)

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in +-1/sqrt(hidden_size); learned rates go back to the rates given."""
        super().reset_parameters()
        if self.learn_rate:
            logits = [math.log(rate / (1 - rate)) for rate in self.first_rate]
            with torch.no_grad():
                self.rate_logit.copy_(torch.tensor(logits, dtype=self.rate_logit.dtype))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        total = projected + self.recur(state.h, self.weight_hh)
        driven = torch.tanh(total) if self.nonlinearity == "tanh" else torch.relu(total)
        share = step_size(dt, self.dt) * (torch.sigmoid(self.rate_logit) if self.learn_rate else self.rate)
        h = state.h + share * (driven - self.leak * state.h)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, leak={self.leak}, learn_rate={self.learn_rate}"
