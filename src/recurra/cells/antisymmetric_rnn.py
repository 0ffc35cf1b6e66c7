"""Recurrent networks with an antisymmetric recurrent matrix."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_not_negative, check_positive, step_size


class AntisymmetricRNN(Cell):
    """Antisymmetric recurrent network: Euler steps of a system that neither grows nor forgets.

    Equations:
        A   = W - W^T - gamma I
        h_t = h_{t-1} + dt tanh(A h_{t-1} + V x_t + b),  y_t = h_t
        or, gated:
        z_t = sigmoid(A h_{t-1} + V_z x_t + b_z)
        h_t = h_{t-1} + dt z_t * tanh(A h_{t-1} + V x_t + b).

    The eigenvalues of W - W^T are imaginary, so that the system in continuous time is at the edge of stability; the
    diffusion gamma moves them to real part -gamma, since Euler's steps alone would let the states grow.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b and b_z exist.
        gated: whether there is an input gate z_t, which shares the recurrent matrix.
        dt: the step (epsilon in the paper); the time between steps replaces it where it is given.
        gamma: the diffusion, zero or positive.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = V (hidden_size, input_size) and bias_ih = b
        (hidden_size,), both of twice that length, for (V, V_z) and (b, b_z), when gated; weight_hh = W (hidden_size,
        hidden_size), of which only the antisymmetric part acts. dt is in units of the system's own time, gamma in
        their inverse. W is drawn normal of variance 1/hidden_size, V of variance 1/input_size, b is zero.

    Raises:
        UsageError: a size or dt is not positive, or gamma is negative.
        ShapeError: x or the state does not fit.

    Differs from the paper: dt, gamma and the variance of W are chosen anew for every problem there and have defaults
    here; W is a full matrix whose symmetric part has no effect, where a strict triangle would do.

    Reference:
        B. Chang, M. Chen, E. Haber, E. H. Chi. AntisymmetricRNN: a dynamical system view on recurrent neural networks.
        ICLR (2019).

    Example:
        >>> import torch
        >>> cell = AntisymmetricRNN(3, 4, gamma=0.0, dtype=torch.float64)
        >>> bool((torch.linalg.eigvals(cell.matrix()).real.abs() < 1e-12).all())
        True
    """

    continuous_time: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        gated: bool = False,
        dt: float = 0.01,
        gamma: float = 0.01,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.gated = bool(gated)
        self.dt = check_positive(dt, "dt", "AntisymmetricRNN")
        self.gamma = check_not_negative(gamma, "gamma", "AntisymmetricRNN")
        if self.gated:
            self.keep_gate = Gate("bias_ih", 1, 2, -1)  # type: ignore[misc]
        rows = (2 if self.gated else 1) * hidden_size
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(rows, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(rows,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew: W normal of variance 1/hidden_size, V normal of variance 1/input_size, b zero."""
        nn.init.normal_(self.weight_ih, std=1.0 / math.sqrt(self.input_size))
        nn.init.normal_(self.weight_hh, std=1.0 / math.sqrt(self.hidden_size))
        if self.bias_ih is not None:
            nn.init.zeros_(self.bias_ih)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def matrix(self) -> Tensor:
        """W - W^T - gamma I, what the hidden units go through."""
        diagonal = torch.eye(self.hidden_size, dtype=self.weight_hh.dtype, device=self.weight_hh.device)
        return self.weight_hh - self.weight_hh.T - self.gamma * diagonal

    def project(self, x: Tensor) -> Tensor:
        """V x + b, and V_z x + b_z when gated."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The step from V x + b on."""
        recurrent = self.recur(state.h, self.matrix())
        if self.gated:
            for_units, for_gate = projected.chunk(2, -1)
            change = torch.sigmoid(for_gate + recurrent) * torch.tanh(for_units + recurrent)
        else:
            change = torch.tanh(projected + recurrent)
        h = state.h + step_size(dt, self.dt) * change
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gated={self.gated}, dt={self.dt}, gamma={self.gamma}"
