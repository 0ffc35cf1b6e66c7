"""Phased LSTM."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.time_step import check_fraction, check_not_negative, check_positive, step_size
from recurra.errors import UsageError


class PhasedLSTMState(NamedTuple):
    """The state of a Phased LSTM.

    Attributes:
        h: hidden units, (batch, hidden_size).
        c: memory cells, (batch, hidden_size).
        time: the time of the last step, counted from the start, (batch, 1).
    """

    h: Tensor
    c: Tensor
    time: Tensor


class PhasedLSTM(Cell):
    """Phased LSTM: an LSTM whose cells each open for a short part of their own rhythm and keep still in between.

    Equations:
        time_t = time_{t-1} + dt
        phi = ((time_t - shift) mod period) / period                               the phase, from 0 to 1
        k   = 2 phi / open            where phi < open / 2                         the time gate: opening,
              2 - 2 phi / open        where open / 2 <= phi < open                 closing,
              leak phi                elsewhere                                    and shut
        i   = sigmoid(W_ii x_t + W_hi h_{t-1} + p_i * c_{t-1} + b_i)
        f   = sigmoid(W_if x_t + W_hf h_{t-1} + p_f * c_{t-1} + b_f)
        c'  = f * c_{t-1} + i * tanh(W_ig x_t + W_hg h_{t-1} + b_g)
        o   = sigmoid(W_io x_t + W_ho h_{t-1} + p_o * c' + b_o)
        c_t = k * c' + (1 - k) * c_{t-1}
        h_t = k * (o * tanh(c')) + (1 - k) * h_{t-1},  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether the bias exists.
        peepholes: whether p_i, p_f and p_o exist.
        open_ratio: the part of a period in which a cell is open.
        leak: of a shut gate, so that gradients pass; zero or positive.
        periods: the shortest and the longest period at the start; they are drawn between them, evenly in the logarithm.
        dt: the time between steps where none is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h, c and y (batch, hidden_size), time (batch, 1); weight_ih (4 hidden_size, input_size),
        weight_hh (4 hidden_size, hidden_size) and bias_ih (4 hidden_size,), the gates in the order i, f, g, o; peephole
        (3 hidden_size,), in the order i, f, o: drawn uniform in +-1/sqrt(hidden_size); log_period (hidden_size,), so
        that a period stays positive while it is learned, and shift (hidden_size,), drawn uniform from 0 to the period.
        Periods and shifts are in the unit of dt.

    Raises:
        UsageError: a size, dt or a period is not positive, open_ratio is not above 0 and at most 1, or the leak is
            negative.
        ShapeError: x or the state does not fit.

    Differs from the paper: the part of the period in which a cell is open is the same for all cells and not learned, as
    in the paper's experiments (0.05). The paper sets the leak to zero after training; here it stays until `cell.leak =
    0.0` is set, so that a cell gives the same numbers in training and in evaluation. The output gate's peephole sees
    c', the cell before the time gate, on which the paper's equations leave a choice.

    Reference:
        D. Neil, M. Pfeiffer, S.-C. Liu. Phased LSTM: accelerating recurrent network training for long or event-based
        sequences. NIPS (2016) 3882-3890.

    Example:
        >>> import torch
        >>> cell = PhasedLSTM(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2), torch.tensor([0.5, 2.0]))
        >>> state.time
        tensor([[0.5000],
                [2.0000]])
    """

    continuous_time: ClassVar[bool] = True
    clocks: ClassVar[tuple[str, ...]] = ("time",)
    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    peephole: Tensor
    log_period: Tensor
    shift: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        peepholes: bool = True,
        open_ratio: float = 0.05,
        leak: float = 0.001,
        periods: tuple[float, float] = (1.0, 20.0),
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        where = "PhasedLSTM"
        self.peepholes = bool(peepholes)
        self.open_ratio = check_positive(check_fraction(open_ratio, "open_ratio", where), "open_ratio", where)
        self.leak = check_not_negative(leak, "leak", where)
        self.periods = tuple(check_positive(period, "a period", where) for period in periods)
        if len(self.periods) != 2 or self.periods[0] > self.periods[1]:
            need = "two positive numbers, the shortest period and the longest"
            raise UsageError(f"periods is {periods!r}", where=where, need=need)
        self.dt = check_positive(dt, "dt", where)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (4 * hidden_size, input_size),
            "weight_hh": (4 * hidden_size, hidden_size),
            "bias_ih": (4 * hidden_size,),
        }
        if self.peepholes:
            shapes["peephole"] = (3 * hidden_size,)
        shapes.update(log_period=(hidden_size,), shift=(hidden_size,))
        self._weights(bias, device, dtype, **shapes)

    def reset_parameters(self) -> None:
        """Draw all weights anew: periods evenly in the logarithm, shifts within a period, the rest as in the LSTM."""
        super().reset_parameters()
        shortest, longest = self.periods
        nn.init.uniform_(self.log_period, math.log(shortest), math.log(longest))
        nn.init.uniform_(self.shift, 0.0, 1.0)
        with torch.no_grad():
            self.shift.mul_(torch.exp(self.log_period))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> PhasedLSTMState:
        """Zeros, at time zero."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return PhasedLSTMState(zeros, torch.zeros_like(zeros), self._zeros(batch_size, 1, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b for the gates and the cell's input."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def time_gate(self, time: Tensor) -> Tensor:
        """How far each cell is open at a time, (batch, hidden_size) from (batch, 1)."""
        turns = (time - self.shift) * torch.exp(-self.log_period)
        phase, half = turns - torch.floor(turns), self.open_ratio / 2
        closing = torch.where(phase < self.open_ratio, 2 - phase / half, self.leak * phase)
        return torch.where(phase < half, phase / half, closing)

    def advance(
        self, projected: Tensor, state: PhasedLSTMState, dt: Tensor | None = None
    ) -> tuple[Tensor, PhasedLSTMState]:
        """The step from W_ih x + b on."""
        time = state.time + step_size(dt, self.dt)
        i, f, g, o = (projected + self.recur(state.h, self.weight_hh)).chunk(4, -1)
        to_i, to_f, to_o = self.peephole.chunk(3) if self.peepholes else (0.0, 0.0, 0.0)
        i, f = torch.sigmoid(i + to_i * state.c), torch.sigmoid(f + to_f * state.c)
        proposed = f * state.c + i * torch.tanh(g)
        shown = torch.sigmoid(o + to_o * proposed) * torch.tanh(proposed)
        gate = self.time_gate(time)
        h, c = state.h + gate * (shown - state.h), state.c + gate * (proposed - state.c)
        return h, PhasedLSTMState(h, c, time)

    def extra_repr(self) -> str:
        constants = f"peepholes={self.peepholes}, open_ratio={self.open_ratio}, leak={self.leak}"
        return f"{super().extra_repr()}, {constants}"
