"""Hopfield's networks as cells: all units at once, in steps or in continuous time."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_size
from recurra.cells.integrate import integrate
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_not_negative, check_positive, step_size
from recurra.memory.spins import sign_or_keep


class HopfieldCell(Cell):
    """A Hopfield network whose units all change at once, under an external field.

    Equations:
        s_t = f(W s_{t-1} + b + x_t),  y_t = s_t;
        temperature 0:  f = sgn, and a unit whose field is 0 stays as it is;
        temperature T:  f(h) = tanh(h / T), the mean of a unit that is drawn at that temperature, in the mean field.

    With symmetric weights and sgn, every run ends in a fixed point or in a cycle of two steps; `relax` takes it there.

    Args:
        units: how many; also the features of x.
        temperature: 0, or positive for a smooth cell that has gradients.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x, s and y (batch, units); weight_hh (units, units) and bias_hh (units,), drawn uniform in +-1/sqrt(units);
        `Hopfield.cell` makes a cell with the weights of a memory.

    Raises:
        UsageError: units is not positive, or the temperature is negative.
        ShapeError: x or the state does not fit.

    Differs from the paper: units of +-1; b is the thresholds with the sign changed.

    Reference:
        W. A. Little. The existence of persistent states in the brain. Mathematical Biosciences 19 (1974) 101-120.
        P. Peretto. Collective properties of neural networks: a statistical physics approach. Biological Cybernetics 50
        (1984) 51-62.

    Example:
        >>> import torch
        >>> cell = HopfieldCell(2)
        >>> with torch.no_grad():
        ...     _ = cell.weight_hh.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]])), cell.bias_hh.zero_()
        >>> y, state = cell(torch.zeros(1, 2), HiddenState(torch.tensor([[1.0, -1.0]])))
        >>> y.tolist()  # and back again at the next step: a cycle of two
        [[-1.0, 1.0]]
    """

    weight_hh: Tensor
    bias_hh: Tensor

    def __init__(self, units: int, temperature: float = 0.0, device: Any = None, dtype: Any = None):
        super().__init__(units, units)
        self.temperature = check_not_negative(temperature, "temperature", "HopfieldCell")
        self._weights(True, device, dtype, weight_hh=(units, units), bias_hh=(units,))

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The whole step; x is the external field."""
        field = projected + self.recur(state.h, self.weight_hh, self.bias_hh)
        s = torch.tanh(field / self.temperature) if self.temperature > 0 else sign_or_keep(field, state.h)
        return s, HiddenState(s)

    def extra_repr(self) -> str:
        return f"{self.hidden_size}, temperature={self.temperature}"


class ContinuousHopfieldCell(Cell):
    """Hopfield's network of graded units in continuous time, under an external field.

    Equations:
        tau du/dt = -u + W y + b + x,  y = tanh(gain u),
        over the time dt with x held, in `substeps` equal steps of Euler's method (order 1), the midpoint method (order
        2) or the Runge-Kutta method (order 4).

    Args:
        units: how many; also the features of x.
        gain: the slope of the units; the larger, the more they are like +-1.
        time_constant: tau, in the unit of dt.
        method: "euler", "rk2" or "rk4".
        substeps: equal steps that are taken for each dt.
        dt: the time between steps where none is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x, u and y (batch, units); weight_hh (units, units) and bias_hh (units,), drawn uniform in +-1/sqrt(units).

    Raises:
        UsageError: a size or a number is not positive, or the method is not one of those named.
        ShapeError: x or the state does not fit.

    Differs from the paper: outputs from -1 to 1; one tau for all units, with resistances of 1; the sigmoid is tanh.

    Reference:
        J. J. Hopfield. Neurons with graded response have collective computational properties like those of two-state
        neurons. Proceedings of the National Academy of Sciences 81 (1984) 3088-3092.

    Example:
        >>> import torch
        >>> cell = ContinuousHopfieldCell(3, gain=2.0)
        >>> y, state = cell(torch.zeros(1, 3), HiddenState(torch.ones(1, 3)), dt=0.5)
        >>> bool((y == torch.tanh(2.0 * state.h)).all())
        True
    """

    continuous_time: ClassVar[bool] = True
    weight_hh: Tensor
    bias_hh: Tensor

    def __init__(
        self,
        units: int,
        gain: float = 1.0,
        time_constant: float = 1.0,
        method: str = "euler",
        substeps: int = 1,
        dt: float = 0.1,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(units, units)
        where = "ContinuousHopfieldCell"
        self.gain = check_positive(gain, "gain", where)
        self.time_constant = check_positive(time_constant, "time_constant", where)
        self.method = check_choice(method, "method", ("euler", "rk2", "rk4"), where)
        self.substeps = check_size(substeps, "substeps", where)
        self.dt = check_positive(dt, "dt", where)
        self._weights(True, device, dtype, weight_hh=(units, units), bias_hh=(units,))

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The whole step; x is the external field."""

        def speed(u: Tensor) -> Tensor:
            target = projected + self.recur(torch.tanh(self.gain * u), self.weight_hh, self.bias_hh)
            return (target - u) / self.time_constant

        u = integrate(speed, state.h, step_size(dt, self.dt), self.method, self.substeps)
        return torch.tanh(self.gain * u), HiddenState(u)

    def extra_repr(self) -> str:
        return f"{self.hidden_size}, gain={self.gain}, method={self.method!r}, dt={self.dt}"
