"""Selective-update recurrent network: switches that follow the clock decide which units move."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_size
from recurra.cells.elman import Elman
from recurra.cells.gru import GRU
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class SuRNNState(NamedTuple):
    """The state of a selective-update network.

    Attributes:
        h: hidden units, (batch, hidden_size).
        time: steps read so far, (batch, 1).
    """

    h: Tensor
    time: Tensor


class SuRNN(Cell):
    """Selective-update recurrent network: each unit moves at steps of its own rhythm and keeps its value exactly else.

    Equations:
        a_ti = b_i + sum over k of alpha_ik sin(omega_k t + phi_ik),  k = 1 ... K
        g_t = 1 where a_t > 0, else 0
        h_t = h_{t-1} + g_t * (f(h_{t-1}, x_t) - h_{t-1}),  y_t = h_t;  t = 1 at the first step read.
        f is one step of a simple recurrent network or of a gated recurrent unit.

    The step function of the switches has no derivative of use; backwards it counts as sigmoid(slope a_t), whose
    derivative it takes, so that rhythms are learned. Gradients of all else are exact.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases of f exist.
        base: f, "elman" or "gru".
        harmonics: K.
        slope: how steep the switches' stand-in is.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); inner, the cell f with its own weights; offset = b
        (hidden_size,), amplitude = alpha and phase = phi (hidden_size, harmonics), frequency = omega (harmonics,).
        At the start b is 0, alpha 1, phi uniform in [0, 2 pi), and the periods 2 pi / omega_k are 4, 8, 16 ... steps.

    Raises:
        UsageError: a size or the number of harmonics is not positive, the base is neither of the two, or the slope is
            not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the stand-in for the switches' derivative and the first values of the rhythms are this
    library's; the equations above leave them open.

    Reference:
        B. Yin, S. Wang, H. Tan, S. Bohte, F. Corradi, G. Li. Efficient sparse selective-update RNNs for long-range
        sequence modeling. arXiv:2603.02226 (2026).

    Example:
        >>> cell = SuRNN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.time.flatten()
        (torch.Size([2, 5]), tensor([1., 1.]))
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ("inner.weight_hh",)
    clocks: ClassVar[tuple[str, ...]] = ("time",)
    offset: Tensor
    amplitude: Tensor
    phase: Tensor
    frequency: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        base: str = "elman",
        harmonics: int = 1,
        slope: float = 4.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if base not in ("elman", "gru"):
            raise UsageError(f"base is {base!r}", where="SuRNN", need="'elman' or 'gru'")
        if isinstance(slope, bool) or not isinstance(slope, int | float) or not 0 < slope < math.inf:
            raise UsageError(f"slope is {slope!r}", where="SuRNN", need="a positive number")
        self.base, self.harmonics, self.slope = base, check_size(harmonics, "harmonics", "SuRNN"), float(slope)
        kind = Elman if base == "elman" else GRU
        self.inner: Cell = kind(input_size, hidden_size, bias, device=device, dtype=dtype)
        self._weights(
            True,
            device,
            dtype,
            offset=(hidden_size,),
            amplitude=(hidden_size, harmonics),
            phase=(hidden_size, harmonics),
            frequency=(harmonics,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, as the class says."""
        self.inner.reset_parameters()
        nn.init.zeros_(self.offset)
        nn.init.ones_(self.amplitude)
        nn.init.uniform_(self.phase, 0.0, 2.0 * math.pi)
        with torch.no_grad():
            places = torch.arange(self.harmonics, device=self.frequency.device, dtype=self.frequency.dtype)
            self.frequency.copy_(0.5 * math.pi / 2.0**places)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> SuRNNState:
        """Zeros."""
        h = self._zeros(batch_size, self.hidden_size, dtype, device)
        return SuRNNState(h, self._zeros(batch_size, 1, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """What f needs of the input."""
        return self.inner.project(x)

    def advance(self, projected: Tensor, state: SuRNNState) -> tuple[Tensor, SuRNNState]:
        """f, and the switches."""
        time = state.time + 1.0
        rhythm = torch.sin(self.frequency * time.unsqueeze(-1) + self.phase)
        total = self.offset + (self.amplitude * rhythm).sum(-1)
        smooth = torch.sigmoid(self.slope * total)
        # The difference is exactly 0, so that a unit at rest keeps its value to the last bit; its gradient is not.
        switch = (total > 0).to(total.dtype) + (smooth - smooth.detach())
        new, _ = self.inner.advance(projected, HiddenState(state.h))
        h = state.h + switch * (new - state.h)
        return h, SuRNNState(h, time)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, base={self.base!r}, harmonics={self.harmonics}"
