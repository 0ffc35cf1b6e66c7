"""Gated recurrent unit with weighted time-delay feedback."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate, check_size


class TauGRUState(NamedTuple):
    """The state of a unit with a delayed feedback.

    Attributes:
        h: hidden units, (batch, hidden_size).
        past: the hidden units before h, the oldest first, (batch, delay, hidden_size).
    """

    h: Tensor
    past: Tensor


class TauGRU(Cell):
    """tau-GRU: a gated step of a delay differential equation, fed back by hidden units of some steps ago.

    Equations:
        u_n = tanh   (W_1 h_n + U_1 x_n + b_1)                instantaneous part
        g_n = sigmoid(W_3 h_n + U_3 x_n + b_3)                how far the unit moves
        a_n = sigmoid(W_4 h_n + U_4 x_n + b_4)                weight of the feedback
        z_n = tanh   (W_2 h_{n-delay} + U_2 x_n + b_2)        delayed part
        h_{n+1} = (1 - g_n) * h_n + g_n * (u_n + a_n * z_n),  y_n = h_{n+1}.

    Args:
        input_size: features of x_n.
        hidden_size: hidden units.
        bias: whether the biases exist.
        delay: how many steps before h_n the delayed hidden units stand; they are zero before the sequence.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size), past (batch, delay, hidden_size); weight_ih
        (4 hidden_size, input_size) and bias_ih (4 hidden_size,) in the order 1, 3, 4, 2; weight_hh (3 hidden_size,
        hidden_size) in the order 1, 3, 4; weight_delayed = W_2 (hidden_size, hidden_size). All are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size or the delay is not a positive whole number.
        ShapeError: x or the state does not fit.

    Differs from the paper: the delay is counted in steps and chosen for every problem there; the default here is 10.

    Reference:
        N. B. Erichson, S. H. Lim, M. W. Mahoney. Gated recurrent neural networks with weighted time-delay feedback.
        arXiv 2212.00228 (2022).

    Example:
        >>> import torch
        >>> cell = TauGRU(3, 5, delay=2)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.past.shape
        (torch.Size([4, 5]), torch.Size([4, 2, 5]))
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh", "weight_delayed")
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4, -1)
    # Not a clock, but a record of h as it was: zoneout has acted on it when it was h.
    clocks: ClassVar[tuple[str, ...]] = ("past",)
    weight_ih: Tensor
    weight_hh: Tensor
    weight_delayed: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        delay: int = 10,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.delay = check_size(delay, "delay", "TauGRU")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(3 * hidden_size, hidden_size),
            weight_delayed=(hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> TauGRUState:
        """Zeros, and zeros before."""
        past = self._zeros(batch_size, self.delay * self.hidden_size, dtype, device)
        return TauGRUState(
            self._zeros(batch_size, self.hidden_size, dtype, device),
            past.reshape(batch_size, self.delay, self.hidden_size),
        )

    def project(self, x: Tensor) -> Tensor:
        """U x + b for all four parts."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: TauGRUState) -> tuple[Tensor, TauGRUState]:
        """The step from U x + b on."""
        n = self.hidden_size
        total = projected[..., : 3 * n] + self.recur(state.h, self.weight_hh)
        move, weight = torch.sigmoid(total[..., n:]).chunk(2, -1)
        delayed = torch.tanh(projected[..., 3 * n :] + self.recur(state.past[:, 0], self.weight_delayed))
        h = state.h + move * (torch.tanh(total[..., :n]) + weight * delayed - state.h)
        past = torch.cat([state.past[:, 1:], state.h.unsqueeze(1)], 1)
        return h, TauGRUState(h, past)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, delay={self.delay}"
