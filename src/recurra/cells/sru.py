"""Simple recurrent unit: a light recurrence and a highway connection."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.linear_scan import linear_scan
from recurra.errors import UsageError


class SRUState(NamedTuple):
    """The state of a simple recurrent unit.

    Attributes:
        c: internal units, (batch, hidden_size).
    """

    c: Tensor


class SRU(Cell):
    """Simple recurrent unit: units that average over time each for itself, and a highway past them.

    Equations:
        f_t = sigmoid(W_f x_t + v_f * c_{t-1} + b_f)      forget gate
        r_t = sigmoid(W_r x_t + v_r * c_{t-1} + b_r)      reset gate of the highway
        c_t = f_t * c_{t-1} + (1 - f_t) * (W x_t)
        y_t = r_t * g(c_t) + (1 - r_t) * alpha * x_t,  g the identity or tanh.
        Without peephole v_f = v_r = 0: the recurrence is linear, and all time steps run at once. Where input_size is
        not hidden_size the highway carries W_x x_t. alpha = sqrt(1 + 2 exp(b_r)) as b_r is at the start, or 1.

    Args:
        input_size: features of x_t.
        hidden_size: internal units.
        bias: whether b_f and b_r exist.
        peephole: whether the gates see the last internal units, as in the paper as it was published; without, as in its
            first version.
        activation: g, "identity" or "tanh".
        highway_bias: what b_r is at the start; below 0 the highway prevails.
        rescale: whether x_t on the highway is scaled by alpha, so that deep stacks keep its variance.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c and y (batch, hidden_size); weight_ih ((3 or 4) hidden_size, input_size) in the order
        W, W_f, W_r, W_x (the last only where it is needed), weight_hh = v_f, v_r (2 hidden_size,), bias_ih = b_f, b_r
        (2 hidden_size,). At the start weight_ih is uniform in +-sqrt(3 / input_size), of variance 1 / input_size; b_f
        is 0 and b_r highway_bias. With peephole v_f and v_r are uniform in +-sqrt(3 / 2), and W_f and W_r are scaled by
        sqrt(1 / 2), as in the authors' code.

    Raises:
        UsageError: a size is not positive, or the activation is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: W_x, which the authors' code has too. The paper as published has peephole and rescale and no
    g; its first version has g = tanh and neither of them (`sru_linear`).

    Reference:
        T. Lei, Y. Zhang, S. I. Wang, H. Dai, Y. Artzi. Simple recurrent units for highly parallelizable recurrence.
        EMNLP (2018) 4470-4481.
        First version: T. Lei, Y. Zhang. Training RNNs as fast as CNNs. arXiv:1709.02755v1 (2017).

    Example:
        >>> cell = SRU(5, 5, peephole=False)
        >>> cell.linear, SRU(5, 5).linear
        (True, False)
        >>> y, state = cell(torch.zeros(2, 5), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    elementwise: ClassVar[bool] = True
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        peephole: bool = True,
        activation: str = "identity",
        highway_bias: float = 0.0,
        rescale: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if activation not in ("identity", "tanh"):
            raise UsageError(f"activation is {activation!r}", where="SRU", need="'identity' or 'tanh'")
        self.peephole, self.activation = bool(peephole), activation
        self.highway_bias, self.rescale = float(highway_bias), bool(rescale)
        self.alpha = math.sqrt(1.0 + 2.0 * math.exp(highway_bias)) if rescale else 1.0
        self.linear = not self.peephole
        rows = (3 if input_size == hidden_size else 4) * hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "bias_ih": (2 * hidden_size,)}
        if peephole:
            shapes["weight_hh"] = (2 * hidden_size,)
        else:
            self.recurrent_weights = ()  # type: ignore[misc]
        self._weights(bias, device, dtype, **shapes)

    def reset_parameters(self) -> None:
        """Draw all weights anew, as the class says."""
        n = self.hidden_size
        bound = math.sqrt(3.0 / self.input_size)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        with torch.no_grad():
            if self.peephole:
                self.weight_ih[n : 3 * n] *= math.sqrt(0.5)
                nn.init.uniform_(self.weight_hh, -math.sqrt(1.5), math.sqrt(1.5))
            if self.bias_ih is not None:
                self.bias_ih[:n] = 0.0
                self.bias_ih[n:] = self.highway_bias

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> SRUState:
        """Zeros."""
        return SRUState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """W x; W_f x + b_f and W_r x + b_r; and what the highway carries."""
        n = self.hidden_size
        products = F.linear(x, self.weight_ih)
        gates = products[..., n : 3 * n]
        gates = gates if self.bias_ih is None else gates + self.bias_ih
        past = x if self.input_size == n else products[..., 3 * n :]
        return products[..., :n], gates, self.alpha * past

    def advance(self, projected: tuple[Tensor, Tensor, Tensor], state: SRUState) -> tuple[Tensor, SRUState]:
        """The step from W x on."""
        new, gates, past = projected
        forget, reset = gates.chunk(2, -1)
        if self.peephole:
            for_forget, for_reset = self.weight_hh.chunk(2)
            forget = forget + self.recur(state.c, for_forget)
            reset = reset + self.recur(state.c, for_reset)
        c = torch.sigmoid(forget) * state.c + torch.sigmoid(-forget) * new
        return self._highway(c, reset, past), SRUState(c)

    def scan(self, x: Tensor, state: SRUState) -> tuple[Tensor, SRUState]:
        """All time steps at once, without peephole."""
        if self.peephole:
            return super().scan(x, state)
        new, gates, past = self.project(x)
        forget, reset = gates.chunk(2, -1)
        c = linear_scan(torch.sigmoid(forget), torch.sigmoid(-forget) * new, state.c)
        return self._highway(c, reset, past), SRUState(c)

    def _highway(self, c: Tensor, reset: Tensor, past: Tensor) -> Tensor:
        read = torch.tanh(c) if self.activation == "tanh" else c
        return torch.sigmoid(reset) * read + torch.sigmoid(-reset) * past

    def extra_repr(self) -> str:
        more = super().extra_repr() + ("" if self.peephole else ", peephole=False")
        more += f", activation={self.activation!r}" if self.activation != "identity" else ""
        more += f", highway_bias={self.highway_bias}" if self.highway_bias else ""
        return more + ("" if self.rescale else ", rescale=False")
