"""Real-gated linear recurrent unit."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.linear_scan import linear_scan
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class RGLRU(Cell):
    """Real-gated linear recurrent unit: real units that decay at a learned pace, which a gate of the input slows down.

    Equations:
        r_t = sigmoid(W_a x_t + b_a)      recurrence gate
        i_t = sigmoid(W_x x_t + b_x)      input gate
        a_t = a^(c r_t),  a = sigmoid(Lambda),  c = 8
        h_t = a_t * h_{t-1} + sqrt(1 - a_t^2) * (i_t * x_t),  y_t = h_t.
        Where input_size is not hidden_size, W x_t stands for x_t in the last line.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_a and b_x exist.
        sharpness: c.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih ((2 or 3) hidden_size, input_size) in the order
        W_a, W_x, W (the last only where it is needed), bias_ih = b_a, b_x (2 hidden_size,), decay = Lambda
        (hidden_size,). At the start weight_ih is normal with variance 1 / input_size, the biases are 0, and a^c is
        uniform in [0.9, 0.999].

    Raises:
        UsageError: a size or the sharpness is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: W for sizes that differ; the paper's own block has a linear layer and a short convolution
    before the unit. There the gates' matrices are block-diagonal in the experiments, here they are full. The authors'
    program leaves sqrt(1 - a_t^2) out at the first step of a text; here it stands at every step, as in the paper.

    Reference:
        S. De, S. L. Smith, A. Fernando, A. Botev et al. Griffin: mixing gated linear recurrences with local attention
        for efficient language models. arXiv:2402.19427 (2024).

    Example:
        >>> cell = RGLRU(5, 5)
        >>> y, state = cell(torch.zeros(2, 5), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2, sign=-1)
    weight_ih: Tensor
    bias_ih: Tensor | None
    decay: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        sharpness: float = 8.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if isinstance(sharpness, bool) or not isinstance(sharpness, int | float) or not 0 < sharpness < math.inf:
            raise UsageError(f"sharpness is {sharpness!r}", where="RGLRU", need="a positive number")
        self.sharpness = float(sharpness)
        rows = (2 if input_size == hidden_size else 3) * hidden_size
        self._weights(
            bias, device, dtype, weight_ih=(rows, input_size), bias_ih=(2 * hidden_size,), decay=(hidden_size,)
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, as the class says."""
        nn.init.normal_(self.weight_ih, std=math.sqrt(1.0 / self.input_size))
        if self.bias_ih is not None:
            nn.init.zeros_(self.bias_ih)
        with torch.no_grad():
            kept = torch.empty_like(self.decay).uniform_(0.9, 0.999)
            log_a = kept.log() / self.sharpness
            # The inverse of the logistic function: log(a / (1 - a)).
            self.decay.copy_(log_a - torch.log(-torch.expm1(log_a)))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """a_t and sqrt(1 - a_t^2) * (i_t * x_t)."""
        n = self.hidden_size
        products = F.linear(x, self.weight_ih)
        gates = products[..., : 2 * n] if self.bias_ih is None else products[..., : 2 * n] + self.bias_ih
        slow, write = torch.sigmoid(gates).chunk(2, -1)
        new = x if self.input_size == n else products[..., 2 * n :]
        log_a = self.sharpness * slow * F.logsigmoid(self.decay)
        # 1 - a^2 by expm1: for a near 1 the difference itself would be lost in rounding. Never quite 0: there the slope
        # of the root is infinite.
        rest = (-torch.expm1(2.0 * log_a)).clamp(min=torch.finfo(log_a.dtype).tiny)
        return torch.exp(log_a), torch.sqrt(rest) * (write * new)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The decay and what is added."""
        keep, added = projected
        h = keep * state.h + added
        return h, HiddenState(h)

    def scan(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """All time steps at once."""
        h = linear_scan(*self.project(x), state.h)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", sharpness={self.sharpness}" if self.sharpness != 8.0 else "")
