"""The structurally constrained recurrent network."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.errors import UsageError


class SCRNState(NamedTuple):
    """The state of a structurally constrained recurrent network.

    Attributes:
        h: hidden units, which change quickly, (batch, hidden_size).
        s: context units, which change slowly, (batch, context_size).
    """

    h: Tensor
    s: Tensor


class SCRN(Cell):
    """Structurally constrained recurrent network: beside the hidden units slow, linear ones that hold a longer context.

    Equations:
        s_t = (1 - a) * (B x_t) + a * s_{t-1}
        h_t = sigmoid(P s_t + A x_t + R h_{t-1} + b)
        y_t = (h_t, s_t);
    a = decay, or, with learn_decay=True, one a = sigmoid(q) for each context unit.

    A context unit is an exponential average of B x over about 1 / (1 - a) steps.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        context_size: context units; `hidden_size` when absent.
        decay: a, between 0 and 1; with learn_decay=True where it begins.
        learn_decay: whether each context unit learns its own a.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h (batch, hidden_size), s (batch, context_size), y (batch, hidden_size + context_size);
        weight_ih = A (hidden_size, input_size), weight_hh = R (hidden_size, hidden_size), weight_sx = B (context_size,
        input_size), weight_hs = P (hidden_size, context_size), bias_ih = b (hidden_size,), all drawn uniform in
        +-1/sqrt(hidden_size); decay_logit = q (context_size,), with learn_decay=True alone.

    Raises:
        UsageError: a size is not positive, or decay is not between 0 and 1.
        ShapeError: x or the state does not fit.

    Differs from the paper: it has no bias (bias=False); its output f(U h_t + V s_t) is a linear read-out of y, left to
    another module; the gradient is not cut.

    Reference:
        T. Mikolov, A. Joulin, S. Chopra, M. Mathieu, M. Ranzato. Learning longer memory in recurrent neural networks.
        ICLR workshop (2015).

    Example:
        >>> import torch
        >>> cell = SCRN(3, 5, context_size=2)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.h.shape, state.s.shape
        (torch.Size([4, 7]), torch.Size([4, 5]), torch.Size([4, 2]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    weight_sx: Tensor
    weight_hs: Tensor
    decay_logit: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        context_size: int | None = None,
        decay: float = 0.95,
        learn_decay: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        context = check_size(hidden_size if context_size is None else context_size, "context_size", "SCRN")
        super().__init__(input_size, hidden_size, hidden_size + context)
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 < decay < 1:
            raise UsageError(f"decay is {decay!r}", where="SCRN", need="a number between 0 and 1")
        self.context_size, self.decay, self.learn_decay = context, float(decay), bool(learn_decay)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (hidden_size, input_size),
            "weight_hh": (hidden_size, hidden_size),
            "weight_sx": (context, input_size),
            "weight_hs": (hidden_size, context),
            "bias_ih": (hidden_size,),
        }
        if self.learn_decay:
            shapes["decay_logit"] = (context,)
        self._weights(bias, device, dtype, **shapes)

    def reset_parameters(self) -> None:
        """Draw all weights anew; every learnt decay begins at `decay`."""
        super().reset_parameters()
        if self.learn_decay:
            nn.init.constant_(self.decay_logit, math.log(self.decay / (1.0 - self.decay)))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> SCRNState:
        """Zeros."""
        return SCRNState(
            self._zeros(batch_size, self.hidden_size, dtype, device),
            self._zeros(batch_size, self.context_size, dtype, device),
        )

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A x + b, and B x."""
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(x, self.weight_sx)

    def advance(self, projected: tuple[Tensor, Tensor], state: SCRNState) -> tuple[Tensor, SCRNState]:
        """The step from A x + b and B x on."""
        from_input, context = projected
        decay: Any = torch.sigmoid(self.decay_logit) if self.learn_decay else self.decay
        s = (1.0 - decay) * context + decay * state.s
        h = torch.sigmoid(F.linear(s, self.weight_hs) + from_input + self.recur(state.h, self.weight_hh))
        return torch.cat([h, s], -1), SCRNState(h, s)

    def extra_repr(self) -> str:
        extra = ", learn_decay=True" if self.learn_decay else ""
        return f"{super().extra_repr()}, context_size={self.context_size}, decay={self.decay}{extra}"
