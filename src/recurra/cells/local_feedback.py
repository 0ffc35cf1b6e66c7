"""Locally recurrent layers whose units feed back to themselves alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.delay_line import check_order, shift
from recurra.errors import UsageError


class LocalFeedbackState(NamedTuple):
    """The state of a locally recurrent layer: what its units feed back.

    Attributes:
        memory: activations before tanh, or outputs, of the last steps, newest first, (batch, order hidden_size).
    """

    memory: Tensor


class LocalFeedback(Cell):
    """Locally recurrent layer: each unit feeds its own last activations, or its own last outputs, back to itself.

    Equations:
        s_t = W x_t + b + sum_{k=1..K} u_k * m_{t-k}
        y_t = tanh(s_t),  K = order;
        m_t = s_t with feedback="activation" (a linear filter before tanh), m_t = y_t with feedback="output".

    These are two of the three families of locally recurrent networks; in the third the synapses have the memory
    (`IIR`). With activation feedback and K = 1 a unit forgets as u^t whatever it reads. With output feedback a unit
    with u > 1 has two stable points and can latch a bit.

    Args:
        input_size: features of x_t.
        hidden_size: units.
        bias: whether b exists.
        feedback: "activation" or "output".
        order: K, how many steps back a unit sees itself.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh = u_1 to u_K
        one after the other (K hidden_size,), bias_ih = b (hidden_size,), all drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size or the order is not positive, or feedback is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the inputs have no delay lines of their own (put an `FIR` layer below), and the output
    feedback of Tsoi and Back may run through a filter with poles, here it is a moving average.

    Reference:
        P. Frasconi, M. Gori, G. Soda. Local feedback multilayered networks. Neural Computation 4 (1992) 120-130.
        A. C. Tsoi, A. D. Back. Locally recurrent globally feedforward networks: a critical review of architectures.
        IEEE Transactions on Neural Networks 5 (1994) 229-239.

    Example:
        >>> import torch
        >>> cell = LocalFeedback(3, 5, feedback="output", order=2)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> bool((state.memory[:, :5] == y).all()), state.memory.shape
        (True, torch.Size([2, 10]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        feedback: str = "activation",
        order: int = 1,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if feedback not in ("activation", "output"):
            raise UsageError(f"feedback is {feedback!r}", where="LocalFeedback", need="'activation' or 'output'")
        self.feedback = feedback
        self.order = check_order(order, "order", "LocalFeedback")
        self.elementwise = order == 1  # type: ignore[misc]
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(order * hidden_size,),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LocalFeedbackState:
        """Zeros."""
        return LocalFeedbackState(self._zeros(batch_size, self.order * self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LocalFeedbackState) -> tuple[Tensor, LocalFeedbackState]:
        """The step from W x + b on."""
        fed_back = self.recur(state.memory, self.weight_hh).unflatten(-1, (self.order, self.hidden_size))
        s = projected + fed_back.sum(-2)
        y = torch.tanh(s)
        return y, LocalFeedbackState(shift(state.memory, s if self.feedback == "activation" else y))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, feedback={self.feedback!r}, order={self.order}"
