"""Long expressive memory."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.time_step import check_positive, step_size


class LEMState(NamedTuple):
    """The state of a long expressive memory.

    Attributes:
        h: hidden units (y in the paper), (batch, hidden_size).
        z: memory units, which drive the hidden ones, (batch, hidden_size).
    """

    h: Tensor
    z: Tensor


class LEM(Cell):
    """Long expressive memory: two coupled systems whose units each learn their own time scale from input and state.

    Equations:
        s_n = dt sigmoid(W_1 h_{n-1} + V_1 x_n + b_1)      time step of the memory units
        r_n = dt sigmoid(W_2 h_{n-1} + V_2 x_n + b_2)      time step of the hidden units
        z_n = (1 - s_n) * z_{n-1} + s_n * tanh(W_z h_{n-1} + V_z x_n + b_z)
        h_n = (1 - r_n) * h_{n-1} + r_n * tanh(W_h z_n + V_h x_n + b_h),  y_n = h_n.

    For dt <= 1 each step is an average, so that no unit leaves [-1, 1].

    Args:
        input_size: features of x_n.
        hidden_size: hidden units, and memory units.
        bias: whether the biases exist.
        dt: the longest time step; the time between steps replaces it where it is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h, z and y (batch, hidden_size); weight_ih (4 hidden_size, input_size) and bias_ih
        (4 hidden_size,) in the order 1, 2, z, h; weight_hh (3 hidden_size, hidden_size) in the order 1, 2, z;
        weight_memory = W_h (hidden_size, hidden_size). dt is in units of the system's own time. All weights are drawn
        uniform in +-1/sqrt(hidden_size), as in the authors' program.

    Raises:
        UsageError: a size or dt is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: a dt that is given for a step stands in the place of the paper's constant.

    Reference:
        T. K. Rusch, S. Mishra, N. B. Erichson, M. W. Mahoney. Long expressive memory for sequence modeling. ICLR
        (2022).

    Example:
        >>> import torch
        >>> cell = LEM(3, 5)
        >>> y, state = cell(100 * torch.ones(2, 3), cell.initial_state(2))
        >>> bool((y.abs() <= 1).all()), state.z.shape
        (True, torch.Size([2, 5]))
    """

    continuous_time: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh", "weight_memory")
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4, -1)
    weight_ih: Tensor
    weight_hh: Tensor
    weight_memory: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.dt = check_positive(dt, "dt", "LEM")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(3 * hidden_size, hidden_size),
            weight_memory=(hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LEMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LEMState(zeros, torch.zeros_like(zeros))

    def project(self, x: Tensor) -> Tensor:
        """V x + b for both time steps and both systems."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LEMState, dt: Tensor | None = None) -> tuple[Tensor, LEMState]:
        """The step from V x + b on."""
        n, longest = self.hidden_size, step_size(dt, self.dt)
        first = projected[..., : 3 * n] + self.recur(state.h, self.weight_hh)
        memory_step, hidden_step = (longest * torch.sigmoid(first[..., : 2 * n])).chunk(2, -1)
        z = state.z + memory_step * (torch.tanh(first[..., 2 * n :]) - state.z)
        target = torch.tanh(projected[..., 3 * n :] + self.recur(z, self.weight_memory))
        h = state.h + hidden_step * (target - state.h)
        return h, LEMState(h, z)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", dt={self.dt}" if self.dt != 1.0 else "")
