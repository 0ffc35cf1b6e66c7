"""Quasi-recurrent neural network: convolutions over time, and a pooling that carries a state."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate, check_size
from recurra.cells.input_window import all_pasts, lagged, next_past
from recurra.cells.linear_scan import linear_scan
from recurra.errors import UsageError

POOLINGS = {"f": 2, "fo": 3, "ifo": 4}
"""Each pooling and the number of its gates, the candidate among them."""


class QRNNState(NamedTuple):
    """The state of a quasi-recurrent network.

    Attributes:
        c: the pooled units, (batch, hidden_size).
        past: the last inputs, oldest first, (batch, window - 1, input_size).
    """

    c: Tensor
    past: Tensor


class QRNN(Cell):
    """Quasi-recurrent neural network: gates from a window of inputs, and a state that is only pooled over time.

    Equations:
        z_t = tanh   (W_z [x_{t-k+1} ... x_t] + b_z)
        f_t = sigmoid(W_f [x_{t-k+1} ... x_t] + b_f)      and o_t, i_t in the same way; k is the window
        c_t = f_t * c_{t-1} + (1 - f_t) * z_t             pooling f and fo
        c_t = f_t * c_{t-1} + i_t * z_t                   pooling ifo
        y_t = c_t with pooling f, o_t * c_t with fo and ifo.

    Args:
        input_size: features of x_t.
        hidden_size: pooled units.
        bias: whether the biases exist.
        window: how many inputs a gate sees, the present one among them.
        pooling: "f", "fo" or "ifo".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c and y (batch, hidden_size); weight_ih (gates hidden_size, input_size) acts on x_t,
        weight_past (gates hidden_size, (window - 1) input_size) on the inputs before it, oldest first, bias_ih (gates
        hidden_size,); the gates in the order z, f, o, i. All drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size or the window is not positive, or the pooling is none of the three.
        ShapeError: x or the state does not fit.

    Differs from the paper: the gates have biases, which its equations leave out; inputs before the first one are 0. Its
    zoneout is a matter of the layer here, and acts on all of the state that it is given for.

    Reference:
        J. Bradbury, S. Merity, C. Xiong, R. Socher. Quasi-recurrent neural networks. ICLR (2017).

    Example:
        >>> cell = QRNN(3, 5, window=3)
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2))
        >>> y.shape, state.past.shape
        (torch.Size([2, 5]), torch.Size([2, 2, 3]))
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    weight_past: Tensor | None
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        window: int = 2,
        pooling: str = "fo",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if pooling not in POOLINGS:
            raise UsageError(f"pooling is {pooling!r}", where="QRNN", need="'f', 'fo' or 'ifo'")
        self.window, self.pooling = check_size(window, "window", "QRNN"), pooling
        gates = POOLINGS[pooling]
        # Where the gates stand depends on how many there are.
        self.keep_gate = Gate("bias_ih", 1, gates)  # type: ignore[misc]
        if pooling == "ifo":
            self.write_gate = Gate("bias_ih", 3, gates)  # type: ignore[misc]
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates * hidden_size, input_size)}
        if window > 1:
            shapes["weight_past"] = (gates * hidden_size, (window - 1) * input_size)
        else:
            self.register_parameter("weight_past", None)
        self._weights(bias, device, dtype, **shapes, bias_ih=(gates * hidden_size,))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> QRNNState:
        """Zeros."""
        lags = self.window - 1
        past = self._zeros(batch_size, lags * self.input_size, dtype, device)
        c = self._zeros(batch_size, self.hidden_size, dtype, device)
        return QRNNState(c, past.unflatten(1, (lags, self.input_size)))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the present input adds to the gates, and the input itself, which later steps ask for."""
        return F.linear(x, self.weight_ih, self.bias_ih), x

    def advance(self, projected: tuple[Tensor, Tensor], state: QRNNState) -> tuple[Tensor, QRNNState]:
        """The inputs before this one, and the pooling."""
        total, x = projected
        if self.weight_past is not None:
            total = total + F.linear(state.past.flatten(1), self.weight_past)
        keep, added, o = self._gates(total)
        c = keep * state.c + added
        return c if o is None else o * c, QRNNState(c, next_past(x, state.past))

    def scan(self, x: Tensor, state: QRNNState) -> tuple[Tensor, QRNNState]:
        """All time steps at once."""
        total, _ = self.project(x)
        if self.weight_past is not None:
            total = total + F.linear(torch.cat(lagged(x, state.past), -1), self.weight_past)
        keep, added, o = self._gates(total)
        c = linear_scan(keep, added, state.c)
        return c if o is None else o * c, QRNNState(c, all_pasts(x, state.past))

    def _gates(self, total: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The factor of the last state, what is added to it, and the output gate."""
        z, f, *others = total.chunk(POOLINGS[self.pooling], -1)
        write = torch.sigmoid(others[1]) if self.pooling == "ifo" else torch.sigmoid(-f)
        return torch.sigmoid(f), write * torch.tanh(z), torch.sigmoid(others[0]) if others else None

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, window={self.window}, pooling={self.pooling!r}"
