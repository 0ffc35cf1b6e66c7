"""Pole balancing: one or more poles hinged on a cart that is pushed along a track, for thousands of carts at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.errors import ShapeError, UsageError
from recurra.problems.lanes import at_least, at_most, joined, sign, sine_and_cosine, where

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PolePlant:
    """A cart on a track with N poles side by side, each hinged to the cart; the poles act on one another through it.

    Equations, with g = -gravity and the sums over the poles i:
        x''   = (F - mu_c sgn(x') + sum_i f_i) / (M + sum_i e_i)
        th_i'' = -3 / (4 l_i) (x'' cos th_i + g sin th_i + mu_p th_i' / (m_i l_i))
        f_i   = m_i l_i th_i'^2 sin th_i + 3/4 m_i cos th_i (mu_p th_i' / (m_i l_i) + g sin th_i)
        e_i   = m_i (1 - 3/4 cos^2 th_i)
    integrated by the classical Runge-Kutta method of fourth order; the force is held during a control step.

    Args:
        pole_masses: m_i, kg.
        half_lengths: l_i, half of each pole's length, m.
        first_angles: the poles' angles from the vertical at the start, degrees; all else starts at 0.
        failure_angle: a trial ends once a pole leans by more than this, degrees.
        cart_mass: M, kg.
        cart_friction: mu_c, the cart's on its track.
        hinge_friction: mu_p, the same for each pole.
        track: a trial ends once the cart is more than this away from the middle, m.
        largest_force, smallest_force: bounds of |F|, N.
        gravity: m/s^2.
        integration_step, control_step: s; the second is a whole multiple of the first.

    Shapes:
        state (2 + 2 N, carts) float64: rows x, th_1 .. th_N, x', th_1' .. th_N', in metres, radians and seconds;
        force, output (carts,). All methods but `initial` and `energy` take arrays and tensors alike, and any dimensions
        before these.

    Raises:
        UsageError: a size is not positive, or the lists of the poles differ in length.
        ShapeError: a state has another number of rows.

    Differs from the paper: its text speaks of friction but its table of the single pole gives none; SINGLE_POLE has
    that of DOUBLE_POLE. The paper scales the network's inputs to [-1, 1] without saying how: here x by the track, the
    angles by the failure angle, velocities by 2 m/s and 2 rad/s (which they may exceed).

    Reference:
        F. Gomez, J. Schmidhuber, R. Miikkulainen. Accelerated neural evolution through cooperatively coevolved
        synapses. Journal of Machine Learning Research 9 (2008) 937-965, appendix A; the equations are those of
        A. P. Wieland. Evolving neural network controllers for unstable systems. IJCNN (1991) volume 2, 667-673.

    Example:
        >>> state = DOUBLE_POLE.initial(3)
        >>> state.shape
        (6, 3)
        >>> state = DOUBLE_POLE.advance(state, DOUBLE_POLE.force(np.zeros(3)))
        >>> DOUBLE_POLE.upright(state)
        array([ True,  True,  True])
    """

    pole_masses: tuple[float, ...]
    half_lengths: tuple[float, ...]
    first_angles: tuple[float, ...]
    failure_angle: float
    cart_mass: float = 1.0
    cart_friction: float = 0.0005
    hinge_friction: float = 0.000002
    track: float = 2.4
    largest_force: float = 10.0
    smallest_force: float = 10.0 / 256
    gravity: float = 9.8
    integration_step: float = 0.01
    control_step: float = 0.02
    substeps: int = field(init=False)

    def __post_init__(self) -> None:
        poles = len(self.pole_masses)
        if poles == 0 or poles != len(self.half_lengths) or poles != len(self.first_angles):
            lengths = [len(part) for part in (self.pole_masses, self.half_lengths, self.first_angles)]
            given = "{} pole_masses, {} half_lengths, {} first_angles".format(*lengths)
            raise UsageError(given, where="PolePlant", need="one of each for every pole, and at least one pole")
        positive: dict[str, tuple[float, ...]] = {
            "cart_mass": (self.cart_mass,),
            "track": (self.track,),
            "failure_angle": (self.failure_angle,),
        }
        positive |= {"pole_masses": self.pole_masses, "half_lengths": self.half_lengths}
        positive |= {"integration_step": (self.integration_step,), "control_step": (self.control_step,)}
        for name, values in positive.items():
            if not all(value > 0 for value in values):
                raise UsageError(f"{name} is {values}", where="PolePlant", need="positive numbers")
        substeps = round(self.control_step / self.integration_step)
        if substeps < 1 or abs(substeps * self.integration_step - self.control_step) > 1e-9:
            raise UsageError(
                f"control_step is {self.control_step} and integration_step {self.integration_step}",
                where="PolePlant",
                need="the control step a whole multiple of the integration step",
            )
        object.__setattr__(self, "substeps", substeps)

    @property
    def poles(self) -> int:
        """N."""
        return len(self.pole_masses)

    def initial(self, carts: int) -> Floats:
        """The first state of each trial."""
        state = np.zeros((2 + 2 * self.poles, carts))
        state[1 : 1 + self.poles] = np.radians(self.first_angles)[:, None]
        return state

    def force(self, output: Any) -> Any:
        """The push for a network's output in [-1, 1]; never weaker than `smallest_force`, that of 0 included."""
        force = self.largest_force * output
        return where(force < 0, at_most(force, -self.smallest_force), at_least(force, self.smallest_force))

    def derivative(self, state: Any, force: Any) -> Any:
        """The time derivative of every row of the state."""
        rows = 1 + self.poles
        angle, speed, spin = state[..., 1:rows, :], state[..., rows, :], state[..., rows + 1 :, :]
        length_mass, hinge, mass, lever = self._columns if isinstance(state, np.ndarray) else self._tensor_columns
        sine, cosine = sine_and_cosine(angle)
        torque = hinge * spin - self.gravity * sine
        weighted = 0.75 * mass * cosine
        pushes = length_mass * spin * spin * sine + weighted * torque
        weights = mass - weighted * cosine
        pull, moved = force - self.cart_friction * sign(speed), self.cart_mass
        for pole in range(self.poles):
            pull, moved = pull + pushes[..., pole, :], moved + weights[..., pole, :]
        acceleration = (pull / moved)[..., None, :]
        return joined([state[..., rows:, :], acceleration, lever * (acceleration * cosine + torque)])

    def advance(self, state: Any, force: Any) -> Any:
        """The state one control step later."""
        if state.ndim < 2 or state.shape[-2] != 2 + 2 * self.poles:
            need = f"({2 + 2 * self.poles}, carts) for {self.poles} poles"
            raise ShapeError(f"state has shape {tuple(state.shape)}", where="PolePlant.advance", need=need)
        h = self.integration_step
        for _ in range(self.substeps):
            k1 = self.derivative(state, force)
            k2 = self.derivative(state + (0.5 * h) * k1, force)
            k3 = self.derivative(state + (0.5 * h) * k2, force)
            k4 = self.derivative(state + h * k3, force)
            state = state + (h / 6.0) * (k1 + 2.0 * (k2 + k3) + k4)
        return state

    def upright(self, state: Any) -> Any:
        """Whether a trial goes on: the cart on the track and every pole within the failure angle."""
        # NaN compares false, so a state that overflowed has failed.
        bound = math.radians(self.failure_angle)
        stands = abs(state[..., 0, :]) <= self.track
        for pole in range(self.poles):
            stands = stands & (abs(state[..., 1 + pole, :]) <= bound)
        return stands

    def movement(self, state: Any) -> Any:
        """|x| + |x'| + |th_1| + |th_1'|, which the damping fitness sums."""
        rows = 1 + self.poles
        return sum(abs(state[..., row, :]) for row in (1, rows, rows + 1)) + abs(state[..., 0, :])

    def observe(self, state: Any, velocities: bool) -> Any:
        """What the network sees, (inputs, carts): positions, and velocities where asked for, scaled."""
        rows = 2 + 2 * self.poles if velocities else 1 + self.poles
        scales = self._scales if isinstance(state, np.ndarray) else self._tensor_scales
        return state[..., :rows, :] * scales[:rows]

    def energy(self, state: Floats) -> Floats:
        """Kinetic and potential energy, J, the poles being uniform rods."""
        rows = 1 + self.poles
        angle, speed, spin = state[1:rows], state[rows], state[rows + 1 :]
        mass, half = (np.array(values)[:, None] for values in (self.pole_masses, self.half_lengths))
        centre = speed**2 + 2 * speed * half * spin * np.cos(angle) + (half * spin) ** 2
        rods = 0.5 * mass * (centre + half**2 / 3 * spin**2) + mass * self.gravity * half * np.cos(angle)
        return 0.5 * self.cart_mass * speed**2 + rods.sum(0)

    @cached_property
    def _columns(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Each pole's constants in `derivative`, (N, 1)."""
        mass, half = (np.array(values, dtype=np.float64)[:, None] for values in (self.pole_masses, self.half_lengths))
        return mass * half, self.hinge_friction / (mass * half), mass, -0.75 / half

    @cached_property
    def _tensor_columns(self) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(column) for column in self._columns)

    @cached_property
    def _scales(self) -> Floats:
        bounds = [self.track] + [math.radians(self.failure_angle)] * self.poles
        return np.array([1.0 / bound for bound in bounds] + [0.5] * (1 + self.poles))[:, None]

    @cached_property
    def _tensor_scales(self) -> Tensor:
        return torch.from_numpy(self._scales)


SINGLE_POLE = PolePlant(pole_masses=(0.1,), half_lengths=(0.5,), first_angles=(4.0,), failure_angle=12.0)
"""One pole: 1 m long and 0.1 kg, at first 4 degrees from the vertical, failing at 12 degrees."""

DOUBLE_POLE = PolePlant(pole_masses=(0.1, 0.01), half_lengths=(0.5, 0.05), first_angles=(4.0, 0.0), failure_angle=36.0)
"""Two poles, of 1 m and 0.1 m; the long one at first 4 degrees from the vertical, failing at 36 degrees."""
