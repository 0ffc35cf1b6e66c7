"""Minion recurrent units: gated recurrent units whose gates give way to constants."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class MiRU(Cell):
    """Minion recurrent unit: a gated recurrent unit with a constant update, and in part a constant reset too.

    Equations:
        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)      MiRU1
        r_t = beta                                      MiRU2
        n_t = tanh(W x_t + U (r_t * h_{t-1}) + b)
        h_t = lambda * h_{t-1} + (1 - lambda) * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        variant: 1 keeps the reset gate, 2 has none.
        update_coefficient: lambda, the share of the last value that stays, from 0 to 1.
        reset_coefficient: beta, the share of the last value that the candidate sees, from 0 to 1; of no use in MiRU1.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); MiRU1: weight_ih (2 hidden_size, input_size), weight_hh
        (2 hidden_size, hidden_size) and bias_ih (2 hidden_size,) in the order r, n; MiRU2: the block of n alone.

    Raises:
        UsageError: a size is not positive, the variant is neither of the two, or a coefficient is not from 0 to 1.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing known; both coefficients are constants, 0.5 unless given, and are not trained.

    Reference:
        A. M. Zyarah, D. Kudithipudi. Minion gated recurrent unit for continual learning. Neurocomputing 673 (2026)
        132847; arXiv 2503.06175 (2025).

    Example:
        >>> import torch
        >>> [sum(w.numel() for w in MiRU(3, 5, variant=v).parameters()) for v in (1, 2)]
        [90, 45]
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        variant: int = 1,
        update_coefficient: float = 0.5,
        reset_coefficient: float = 0.5,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if isinstance(variant, bool) or variant not in (1, 2):
            raise UsageError(f"variant is {variant!r}", where="MiRU", need="1 or 2")
        self.variant = variant
        self.update_coefficient = _check_share(update_coefficient, "update_coefficient")
        self.reset_coefficient = _check_share(reset_coefficient, "reset_coefficient")
        blocks = 2 if variant == 1 else 1
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(blocks * hidden_size, input_size),
            weight_hh=(blocks * hidden_size, hidden_size),
            bias_ih=(blocks * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for the candidate, in MiRU1 after the same for the reset gate."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        h, n = state.h, self.hidden_size
        if self.variant == 1:
            seen = torch.sigmoid(projected[..., :n] + self.recur(h, self.weight_hh[:n])) * h
        else:
            seen = self.reset_coefficient * h
        candidate = torch.tanh(projected[..., -n:] + self.recur(seen, self.weight_hh[-n:]))
        h = self.update_coefficient * h + (1.0 - self.update_coefficient) * candidate
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        shown = f"{super().extra_repr()}, variant={self.variant}, update_coefficient={self.update_coefficient}"
        return shown + (f", reset_coefficient={self.reset_coefficient}" if self.variant == 2 else "")


def _check_share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or not 0 <= value <= 1:
        raise UsageError(f"{name} is {value!r}", where="MiRU", need="a number from 0 to 1")
    return float(value)
