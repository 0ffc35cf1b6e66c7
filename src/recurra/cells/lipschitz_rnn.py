"""Lipschitz recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.integrate import integrate
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_fraction, check_not_negative, check_positive, step_size


class LipschitzRNN(Cell):
    """Lipschitz recurrent network: a linear part of known stability plus a tanh, as a system in continuous time.

    Equations:
        dh/dt = A h + tanh(W h + U x + b),  y = h
        A = (1 - beta) (M_A + M_A^T) + beta (M_A - M_A^T) - gamma I, and W in the same manner from M_W,
        over the time dt by one step of Euler's method or of the midpoint method (Runge-Kutta, order 2).

    beta moves the matrices from symmetric (0) to antisymmetric (1), and gamma moves their eigenvalues to the left: with
    beta = 1 all of them have real part -gamma.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        bias: whether b exists.
        method: "euler" or "rk2".
        dt: the step (epsilon in the paper); the time between steps replaces it where it is given.
        beta: how antisymmetric the matrices are, 0 to 1.
        gamma: the damping, zero or positive.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = U (hidden_size, input_size), weight_linear =
        M_A and weight_hh = M_W (hidden_size, hidden_size), bias_ih = b (hidden_size,). dt is in units of the system's
        own time, gamma in their inverse. As in the authors' program M_A and M_W are drawn normal with standard
        deviation 1/hidden_size, U by Glorot's normal rule, and b is zero.

    Raises:
        UsageError: a size or dt is not positive, beta is not from 0 to 1, gamma is negative, or the method is neither
            of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper allows values of beta and gamma of their own for A and for W; here both share one,
    as in the authors' experiments. The constants are chosen anew for every problem there; the defaults are those of
    their program.

    Reference:
        N. B. Erichson, O. Azencot, A. Queiruga, L. Hodgkinson, M. W. Mahoney. Lipschitz recurrent neural networks. ICLR
        (2021).

    Example:
        >>> import torch
        >>> cell = LipschitzRNN(3, 4, beta=1.0, gamma=0.5, dtype=torch.float64)
        >>> real = torch.linalg.eigvals(cell.matrix(cell.weight_linear)).real
        >>> bool(torch.allclose(real, torch.full_like(real, -0.5)))
        True
    """

    continuous_time: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh", "weight_linear")
    weight_ih: Tensor
    weight_hh: Tensor
    weight_linear: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        method: str = "euler",
        dt: float = 0.01,
        beta: float = 0.8,
        gamma: float = 0.01,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.method = check_choice(method, "method", ("euler", "rk2"), "LipschitzRNN")
        self.dt = check_positive(dt, "dt", "LipschitzRNN")
        self.beta = check_fraction(beta, "beta", "LipschitzRNN")
        self.gamma = check_not_negative(gamma, "gamma", "LipschitzRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            weight_linear=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew: M_A and M_W normal with deviation 1/hidden_size, U by Glorot's normal rule, b zero."""
        nn.init.xavier_normal_(self.weight_ih)
        nn.init.normal_(self.weight_hh, std=1.0 / self.hidden_size)
        nn.init.normal_(self.weight_linear, std=1.0 / self.hidden_size)
        if self.bias_ih is not None:
            nn.init.zeros_(self.bias_ih)

    def matrix(self, weight: Tensor) -> Tensor:
        """(1 - beta) (M + M^T) + beta (M - M^T) - gamma I, from M."""
        diagonal = torch.eye(self.hidden_size, dtype=weight.dtype, device=weight.device)
        return weight + (1 - 2 * self.beta) * weight.T - self.gamma * diagonal

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """U x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The step from U x + b on."""
        linear, recurrent = self.matrix(self.weight_linear), self.matrix(self.weight_hh)

        def derivative(h: Tensor) -> Tensor:
            return self.recur(h, linear) + torch.tanh(projected + self.recur(h, recurrent))

        h = integrate(derivative, state.h, step_size(dt, self.dt), self.method)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        constants = f"method={self.method!r}, dt={self.dt}, beta={self.beta}, gamma={self.gamma}"
        return f"{super().extra_repr()}, {constants}"
