"""Bistable recurrent cells: hidden units that can latch a value, alone or modulated by one another."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class BRC(Cell):
    """Bistable recurrent cell: each hidden unit feeds itself back, at times so strongly that it latches.

    Equations:
        a_t = 1 + tanh(U_a x_t + w_a * h_{t-1} + b_a)      feedback, in (0, 2)
        c_t = sigmoid (U_c x_t + w_c * h_{t-1} + b_c)      update gate
        h_t = c_t * h_{t-1} + (1 - c_t) * tanh(U x_t + a_t * h_{t-1}),  y_t = h_t.

    Without input a unit has one fixed point, zero, while a_t <= 1, and three when a_t > 1: zero, then unstable, and two
    stable ones, +-h with h = tanh(a h).

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_a and b_c exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (3 hidden_size, input_size) in the order a, c,
        candidate; weight_hh (2 hidden_size,) = w_a, w_c; bias_ih (2 hidden_size,) = b_a, b_c.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper's equations have no biases; the two are those of the authors' program, and
    bias=False gives the equations as printed.

    Reference:
        N. Vecoven, D. Ernst, G. Drion. A bio-inspired bistable recurrent cell allows for long-lasting memory. PLOS ONE
        16 (2021) e0252676.

    Example:
        >>> import torch
        >>> cell = BRC(1, 1)
        >>> weights = {"weight_ih": torch.zeros(3, 1), "weight_hh": torch.zeros(2), "bias_ih": torch.tensor([0.6, 0.0])}
        >>> _ = cell.load_state_dict(weights)
        >>> state = cell.initial_state(2)._replace(h=torch.tensor([[0.01], [-0.9]]))
        >>> for _ in range(200):
        ...     y, state = cell(torch.zeros(2, 1), state)
        >>> [round(value, 3) for value in y.flatten().tolist()]
        [0.872, -0.872]
    """

    elementwise: ClassVar[bool] = True
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 2)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(2 * hidden_size,),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """What x adds to a, to c and to the candidate."""
        return F.linear(x, self.weight_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from what x adds on."""
        w_a, w_c = self.weight_hh.chunk(2)
        b_a, b_c = (None, None) if self.bias_ih is None else self.bias_ih.chunk(2)
        h = bistable_step(projected, self.recur(state.h, w_a, b_a), self.recur(state.h, w_c, b_c), state.h)
        return h, HiddenState(h)


class NBRC(Cell):
    """Recurrently neuromodulated bistable cell: the hidden units set each other's feedback and update gate.

    Equations:
        a_t = 1 + tanh(U_a x_t + W_a h_{t-1} + b_a)      feedback, in (0, 2)
        c_t = sigmoid (U_c x_t + W_c h_{t-1} + b_c)      update gate
        h_t = c_t * h_{t-1} + (1 - c_t) * tanh(U x_t + a_t * h_{t-1}),  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_a and b_c exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (3 hidden_size, input_size) in the order a, c,
        candidate; weight_hh (2 hidden_size, hidden_size) = W_a, W_c; bias_ih (2 hidden_size,) = b_a, b_c.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper's equations have no biases; the two are those of the authors' program, and
    bias=False gives the equations as printed.

    Reference:
        N. Vecoven, D. Ernst, G. Drion. A bio-inspired bistable recurrent cell allows for long-lasting memory. PLOS ONE
        16 (2021) e0252676.

    Example:
        >>> import torch
        >>> cell = NBRC(3, 5)
        >>> y, state = cell(torch.randn(2, 3), cell.initial_state(2))
        >>> y.shape, bool((y.abs() <= 1).all())
        (torch.Size([2, 5]), True)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 2)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(2 * hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """What x adds to a, to c and to the candidate."""
        return F.linear(x, self.weight_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from what x adds on."""
        for_a, for_c = self.recur(state.h, self.weight_hh, self.bias_ih).chunk(2, -1)
        h = bistable_step(projected, for_a, for_c, state.h)
        return h, HiddenState(h)


def bistable_step(projected: Tensor, for_a: Tensor, for_c: Tensor, h: Tensor) -> Tensor:
    """The next hidden units from what x adds to a, c and the candidate, and what the hidden units add to a and c."""
    a, c, candidate = projected.chunk(3, -1)
    a, c = 1.0 + torch.tanh(a + for_a), torch.sigmoid(c + for_c)
    candidate = torch.tanh(candidate + a * h)
    return candidate + c * (h - candidate)
