"""Undamped independent controlled oscillatory recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.time_step import check_not_negative, check_positive, step_size


class UnICORNNState(NamedTuple):
    """The state of a network of independent oscillators.

    Attributes:
        h: positions (y in the paper), (batch, hidden_size).
        z: velocities, (batch, hidden_size).
    """

    h: Tensor
    z: Tensor


class UnICORNN(Cell):
    """Undamped independent controlled oscillators, stepped so that no volume of states is lost or gained.

    Equations:
        with the step s = dt sigmoid(c), one for each unit:
        z_n = z_{n-1} - s * (tanh(w * h_{n-1} + V x_n + b) + alpha h_{n-1})
        h_n = h_{n-1} + s * z_n,  y_n = h_n.

    This is the symplectic Euler method for a Hamiltonian system: the step's Jacobian has determinant 1, and the step
    can be undone exactly (`back`). Without input a unit with w > 0 stays bounded where
    s^2 (alpha + w) < 4; with w < -alpha it is driven away from zero.

    Args:
        input_size: features of x_n.
        hidden_size: oscillators.
        bias: whether b exists.
        dt: the longest step; the time between steps replaces it where it is given.
        alpha: the stiffness that all oscillators share.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h, z and y (batch, hidden_size); weight_ih = V (hidden_size, input_size), weight_hh = w
        and time_scale = c (hidden_size,), bias_ih = b (hidden_size,). dt has the unit of time that alpha (1/time^2) is
        given in. As in the authors' program w is drawn uniform in [0, 1], c in [-0.1, 0.1], V by He's rule for a
        leaky ReLU of slope 8, and b is zero.

    Raises:
        UsageError: a size or dt is not positive, or alpha is negative.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper's network is a stack of such layers; one cell is one layer, and stacking is left
    to the layers of this library. dt and alpha are chosen anew for every problem there; the defaults are those of
    the authors' published program for permuted digits read pixel by pixel.

    Reference:
        T. K. Rusch, S. Mishra. UnICORNN: a recurrent model for learning very long time dependencies. ICML, PMLR 139
        (2021) 9168-9178.

    Example:
        >>> import torch
        >>> cell, x = UnICORNN(3, 5, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)
        >>> start = cell.initial_state(2)
        >>> _, state = cell(x, start)
        >>> bool(torch.allclose(cell.back(x, state).z, start.z))
        True
    """

    elementwise: ClassVar[bool] = True
    continuous_time: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    time_scale: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dt: float = 0.19,
        alpha: float = 30.65,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.dt = check_positive(dt, "dt", "UnICORNN")
        self.alpha = check_not_negative(alpha, "alpha", "UnICORNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size,),
            time_scale=(hidden_size,),
            bias_ih=(hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew: w in [0, 1], c in [-0.1, 0.1], V by He's rule with slope 8, b zero."""
        nn.init.kaiming_uniform_(self.weight_ih, a=8)
        nn.init.uniform_(self.weight_hh, 0.0, 1.0)
        nn.init.uniform_(self.time_scale, -0.1, 0.1)
        if self.bias_ih is not None:
            nn.init.zeros_(self.bias_ih)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> UnICORNNState:
        """At rest: zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return UnICORNNState(zeros, torch.zeros_like(zeros))

    def project(self, x: Tensor) -> Tensor:
        """V x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(
        self, projected: Tensor, state: UnICORNNState, dt: Tensor | None = None
    ) -> tuple[Tensor, UnICORNNState]:
        """The step from V x + b on."""
        step = step_size(dt, self.dt) * torch.sigmoid(self.time_scale)
        z = state.z - step * self._pull(projected, state.h)
        h = state.h + step * z
        return h, UnICORNNState(h, z)

    def back(self, x: Tensor, state: UnICORNNState, dt: Tensor | None = None) -> UnICORNNState:
        """The state before a step, from the state after it: the step undone; x (batch, input_size), dt (batch, 1)."""
        step = step_size(dt, self.dt) * torch.sigmoid(self.time_scale)
        h = state.h - step * state.z
        z = state.z + step * self._pull(self.project(x), h)
        return UnICORNNState(h, z)

    def _pull(self, projected: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(projected + self.recur(h, self.weight_hh)) + self.alpha * h

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dt={self.dt}, alpha={self.alpha}"
