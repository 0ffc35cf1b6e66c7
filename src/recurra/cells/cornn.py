"""Coupled oscillatory recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.time_step import check_choice, check_not_negative, check_positive, step_size


class CoRNNState(NamedTuple):
    """The state of a network of oscillators.

    Attributes:
        h: positions (y in the paper), (batch, hidden_size).
        z: velocities, (batch, hidden_size).
    """

    h: Tensor
    z: Tensor


class CoRNN(Cell):
    """Coupled oscillatory recurrent network: hidden units are damped oscillators that drive each other.

    Equations:
        the system  h'' = tanh(W h + W_z h' + V x + b) - gamma h - epsilon h',  in steps of dt:
        z_n = z_{n-1} + dt (tanh(W h_{n-1} + W_z z_{n-1} + V x_n + b) - gamma h_{n-1} - epsilon z*)
        h_n = h_{n-1} + dt z_n,  y_n = h_n
        with z* = z_{n-1} (explicit damping) or z* = z_n (implicit damping, solved for z_n in closed form).

    With implicit damping and epsilon >= (1 + gamma dt) / 2 the energy gamma |h|^2 + |z|^2 grows by at most
    hidden_size dt a step, whatever the weights and the input are.

    Args:
        input_size: features of x_n.
        hidden_size: oscillators.
        bias: whether b exists.
        dt: the step; the time between steps replaces it where it is given.
        gamma: the oscillators' stiffness.
        epsilon: the oscillators' damping.
        damping: "explicit" or "implicit".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h, z and y (batch, hidden_size); weight_ih = V (hidden_size, input_size), weight_hh = W
        and weight_velocity = W_z (hidden_size, hidden_size), bias_ih = b (hidden_size,). dt has the unit of time that
        gamma (1/time^2) and epsilon (1/time) are given in. All weights are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size, dt or a constant is not positive, or the damping is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: gamma, epsilon and dt are chosen anew for every problem there; the defaults here are
    those of the authors' published program for digits read pixel by pixel. The paper allows both kinds of damping; the
    default, explicit, is that of the same program.

    Reference:
        T. K. Rusch, S. Mishra. Coupled oscillatory recurrent neural network (coRNN): an accurate and (gradient) stable
        architecture for learning long time dependencies. ICLR (2021).

    Example:
        >>> import torch
        >>> cell = CoRNN(3, 5)
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2))
        >>> bool((y == cell.dt * state.z).all())
        True
    """

    continuous_time: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh", "weight_velocity")
    weight_ih: Tensor
    weight_hh: Tensor
    weight_velocity: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
        damping: str = "explicit",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.dt = check_positive(dt, "dt", "CoRNN")
        self.gamma = check_positive(gamma, "gamma", "CoRNN")
        self.epsilon = check_not_negative(epsilon, "epsilon", "CoRNN")
        self.damping = check_choice(damping, "damping", ("explicit", "implicit"), "CoRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            weight_velocity=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> CoRNNState:
        """At rest: zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return CoRNNState(zeros, torch.zeros_like(zeros))

    def project(self, x: Tensor) -> Tensor:
        """V x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: CoRNNState, dt: Tensor | None = None) -> tuple[Tensor, CoRNNState]:
        """The step from V x + b on."""
        step = step_size(dt, self.dt)
        coupling = self.recur(state.h, self.weight_hh) + self.recur(state.z, self.weight_velocity)
        force = torch.tanh(projected + coupling) - self.gamma * state.h
        if self.damping == "explicit":
            z = state.z + step * (force - self.epsilon * state.z)
        else:
            z = (state.z + step * force) / (1 + step * self.epsilon)
        h = state.h + step * z
        return h, CoRNNState(h, z)

    def extra_repr(self) -> str:
        constants = f"dt={self.dt}, gamma={self.gamma}, epsilon={self.epsilon}, damping={self.damping!r}"
        return f"{super().extra_repr()}, {constants}"
