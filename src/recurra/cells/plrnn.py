"""Piecewise-linear recurrent networks, plain and dendritic."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import HiddenState


class PLRNN(Cell):
    """Piecewise-linear recurrent network: linear memories, coupled by rectified units.

    Equations:
        z_t = A z_{t-1} + W relu(z_{t-1}) + C x_t + h,  y_t = z_t;  A is diagonal, W is 0 on its diagonal.

    Within each of the regions in which the signs of z stay the same the network is linear, so that its fixed points,
    cycles and their stability can be computed.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether h exists.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), z (the state's part h) and y (batch, hidden_size); weight_ih = C (hidden_size,
        input_size), weight_hh = W (hidden_size, hidden_size), of which the diagonal is not used, weight_self = A
        (hidden_size,), bias_ih = h (hidden_size,). W, C and h are drawn uniform in +-1/sqrt(hidden_size), A uniform in
        [0.5, 0.9].

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: there it is a state-space model with Gaussian noise, estimated by expectation maximisation;
    here it is its deterministic part. The first of the papers gives the rectified units thresholds of their own, the
    second does not; first values of the weights are this library's.

    Reference:
        D. Durstewitz. A state space approach for piecewise-linear recurrent neural networks for identifying
        computational dynamics from neural measurements. PLOS Computational Biology 13 (2017) e1005542.
        G. Koppe, H. Toutounji, P. Kirsch, S. Lis, D. Durstewitz. Identifying nonlinear dynamical systems via generative
        recurrent neural networks with applications to fMRI. PLOS Computational Biology 15 (2019) e1007263.

    Example:
        >>> cell = PLRNN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    weight_ih: Tensor
    weight_hh: Tensor
    weight_self: Tensor
    bias_ih: Tensor | None
    coupled: Tensor

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            weight_self=(hidden_size,),
            bias_ih=(hidden_size,),
        )
        self.register_buffer("coupled", off_diagonal(hidden_size, device, dtype))

    def reset_parameters(self) -> None:
        """Draw all weights anew: A uniform in [0.5, 0.9], the others uniform in +-1/sqrt(hidden_size)."""
        super().reset_parameters()
        nn.init.uniform_(self.weight_self, 0.5, 0.9)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """C x + h."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from C x + h on."""
        z = self.weight_self * state.h + self.recur(torch.relu(state.h), self.weight_hh * self.coupled) + projected
        return z, HiddenState(z)


class DendriticPLRNN(Cell):
    """Dendritic piecewise-linear recurrent network: each unit acts on the others through several rectified branches.

    Equations:
        phi(z) = alpha_1 relu(z - h_1) + ... + alpha_B relu(z - h_B), each h_b a vector of thresholds
        z_t = A z_{t-1} + W phi(z_{t-1}) + C x_t + h,  y_t = z_t;  A is diagonal, W is 0 on its diagonal.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether h exists.
        branches: B.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), z (the state's part h) and y (batch, hidden_size); weight_ih = C (hidden_size,
        input_size), weight_hh = W (hidden_size, hidden_size), of which the diagonal is not used, weight_self = A
        (hidden_size,), slopes = alpha (branches,), thresholds = h_b (branches, hidden_size), bias_ih = h
        (hidden_size,). W, C and h are drawn uniform in +-1/sqrt(hidden_size), A uniform in [0.5, 0.9], alpha uniform in
        +-1/sqrt(branches), the thresholds normal.

    Raises:
        UsageError: a size or the number of branches is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: there it is trained with teacher forcing or variational inference, which are left to the
    trainer; the thresholds begin at random values instead of values taken from the data.

    Reference:
        M. Brenner, F. Hess, J. M. Mikhaeil, L. F. Bereska, Z. Monfared, P.-C. Kuo, D. Durstewitz. Tractable dendritic
        RNNs for reconstructing nonlinear dynamical systems. ICML (2022) 2292-2320.

    Example:
        >>> cell = DendriticPLRNN(3, 5, branches=2)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, cell.thresholds.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    weight_ih: Tensor
    weight_hh: Tensor
    weight_self: Tensor
    slopes: Tensor
    thresholds: Tensor
    bias_ih: Tensor | None
    coupled: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        branches: int = 5,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.branches = check_size(branches, "branches", "DendriticPLRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            weight_self=(hidden_size,),
            slopes=(branches,),
            thresholds=(branches, hidden_size),
            bias_ih=(hidden_size,),
        )
        self.register_buffer("coupled", off_diagonal(hidden_size, device, dtype))

    def reset_parameters(self) -> None:
        """Draw all weights anew, as the class says."""
        super().reset_parameters()
        nn.init.uniform_(self.weight_self, 0.5, 0.9)
        nn.init.uniform_(self.slopes, -1.0 / math.sqrt(self.branches), 1.0 / math.sqrt(self.branches))
        nn.init.normal_(self.thresholds)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """C x + h."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from C x + h on."""
        rectified = torch.relu(state.h.unsqueeze(-2) - self.thresholds)
        phi = (self.slopes.unsqueeze(-1) * rectified).sum(-2)
        z = self.weight_self * state.h + self.recur(phi, self.weight_hh * self.coupled) + projected
        return z, HiddenState(z)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, branches={self.branches}"


def off_diagonal(size: int, device: Any, dtype: Any) -> Tensor:
    """1 everywhere but on the diagonal."""
    return torch.ones(size, size, device=device, dtype=dtype) - torch.eye(size, device=device, dtype=dtype)
