"""Recurrent network whose hidden units follow a learned differential equation between observations."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.gru import GRU
from recurra.cells.integrate import integrate
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_positive, step_size


class ODERNN(Cell):
    """ODE-RNN: the hidden units follow a learned differential equation up to an observation, then a GRU reads it.

    Equations:
        h'  = the solution after the time dt of  dh/dt = W_2 tanh(W_1 h + b_1) + b_2,  from h_{t-1}
        h_t = GRU(x_t, h'),  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        ode_units: units of the differential equation's inner layer; as many as hidden units when absent.
        method: "euler", "rk2" or "rk4".
        substeps: equal steps of the solver for each dt.
        dt: the time between steps where none is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ode_in = W_1 (ode_units, hidden_size), bias_ode_in =
        b_1 (ode_units,), weight_ode_out = W_2 (hidden_size, ode_units), bias_ode_out = b_2 (hidden_size,), drawn
        uniform in +-1/sqrt(hidden_size); update, the GRU, has names and shapes of its own. The rates dh/dt are in the
        inverse of the unit of dt.

    Raises:
        UsageError: a size, the number of substeps or dt is not positive, or the method is not one of those named.
        ShapeError: x or the state does not fit.

    Differs from the paper: the solver takes a fixed number of steps; the inner network has one layer of tanh (the paper
    varies its layers and units from problem to problem).

    Reference:
        Y. Rubanova, R. T. Q. Chen, D. Duvenaud. Latent ordinary differential equations for irregularly-sampled time
        series. NeurIPS (2019) 5321-5331.

    Example:
        >>> import torch
        >>> cell = ODERNN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2), torch.tensor([0.1, 2.5]))
        >>> y.shape
        torch.Size([2, 5])
    """

    continuous_time: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ("update.weight_hh", "weight_ode_in")
    weight_ode_in: Tensor
    bias_ode_in: Tensor | None
    weight_ode_out: Tensor
    bias_ode_out: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        ode_units: int | None = None,
        method: str = "euler",
        substeps: int = 4,
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.ode_units = hidden_size if ode_units is None else check_size(ode_units, "ode_units", "ODERNN")
        self.method = check_choice(method, "method", ("euler", "rk2", "rk4"), "ODERNN")
        self.substeps = check_size(substeps, "substeps", "ODERNN")
        self.dt = check_positive(dt, "dt", "ODERNN")
        self.update = GRU(input_size, hidden_size, bias, device=device, dtype=dtype)
        self._weights(
            bias,
            device,
            dtype,
            weight_ode_in=(self.ode_units, hidden_size),
            bias_ode_in=(self.ode_units,),
            weight_ode_out=(hidden_size, self.ode_units),
            bias_ode_out=(hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, those of the GRU too."""
        super().reset_parameters()
        self.update.reset_parameters()

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """What the GRU makes of x alone."""
        return self.update.project(x)

    def rate(self, h: Tensor) -> Tensor:
        """dh/dt between observations."""
        inner = torch.tanh(self.recur(h, self.weight_ode_in, self.bias_ode_in))
        return F.linear(inner, self.weight_ode_out, self.bias_ode_out)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The way to the observation, and the GRU's step."""
        h = integrate(self.rate, state.h, step_size(dt, self.dt), self.method, self.substeps)
        return self.update.advance(projected, HiddenState(h))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ode_units={self.ode_units}, method={self.method!r}, substeps={self.substeps}"
