"""The hierarchical multiscale LSTM, whose levels find the boundaries of segments themselves."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.delay_line import check_order
from recurra.errors import UsageError


class HMLSTMState(NamedTuple):
    """The state of a hierarchical multiscale LSTM.

    Attributes:
        h: hidden units, (batch, levels hidden_size), the levels side by side.
        c: memory cells, (batch, levels hidden_size).
        z: 1 where a segment of the level ended at the last step, else 0, (batch, levels - 1).
    """

    h: Tensor
    c: Tensor
    z: Tensor


class HMLSTM(Cell):
    """Hierarchical multiscale LSTM: each level learns where its segments end, and the level above reads only there.

    Equations:
        for the levels l = 1..L, with h_t^0 = x_t, z_t^0 = 1 and z_t^L = 0:
        (f, i, o, g, z~) = (sigmoid, sigmoid, sigmoid, tanh, hard) of
            U_l h_{t-1}^l + z_{t-1}^l V_l h_{t-1}^{l+1} + z_t^{l-1} W_l h_t^{l-1} + b_l
        hard(a) = max(0, min(1, (slope a + 1) / 2)),  z_t^l = 1 where z~ > 0.5, else 0
        UPDATE, z_{t-1}^l = 0 and z_t^{l-1} = 1:   c_t^l = f * c_{t-1}^l + i * g,   h_t^l = o * tanh(c_t^l)
        COPY,   z_{t-1}^l = 0 and z_t^{l-1} = 0:   c_t^l = c_{t-1}^l,               h_t^l = h_{t-1}^l
        FLUSH,  z_{t-1}^l = 1:                     c_t^l = i * g,                   h_t^l = o * tanh(c_t^l)
        y_t = relu(sum_l sigmoid(w_l (h_t^1, ..., h_t^L)) E_l h_t^l)
    The highest level has neither a detector (z~) nor a term in V.

    The gradient takes z for z~ (straight-through), also where z chooses among the three; it is not the derivative of
    the step, and it is better the closer hard comes to a step: the paper raises `slope` from 1 to 5 while training, by
    0.04 an epoch. `cell.slope` may be set at any time.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells of each level, and features of y_t.
        bias: whether the biases exist.
        levels: L, at least 2.
        slope: of the hard sigmoid.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, hidden_size). The rows of a level are those of f, i, o, g (hidden_size each)
        and, but in the highest, one for z~. weight_ih = W_1 (rows of level 1, input_size); weight_hh = U_1 to U_L one
        below the other (rows of all levels, hidden_size); weight_up = W_2 to W_L (rows of levels 2 to L, hidden_size);
        weight_down = V_1 to V_{L-1} (rows of levels 1 to L - 1, hidden_size); bias_ih = b (rows of all levels,);
        weight_gate = w (L, L hidden_size); weight_out = E_1 to E_L side by side (hidden_size, L hidden_size). All are
        drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, levels is below 2, or the slope is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: what the paper calls the output embedding is y, its softmax is left to another module; layer
    normalisation, which some of its experiments use, is left out.

    Reference:
        J. Chung, S. Ahn, Y. Bengio. Hierarchical multiscale recurrent neural networks. ICLR (2017).

    Example:
        >>> import torch
        >>> cell = HMLSTM(3, 5, levels=3)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.h.shape, state.z.shape
        (torch.Size([2, 5]), torch.Size([2, 15]), torch.Size([2, 2]))
    """

    # Boundaries are 0 or 1 and mark time; zoneout's mean of two of them would be neither.
    clocks: ClassVar[tuple[str, ...]] = ("z",)
    weight_ih: Tensor
    weight_hh: Tensor
    weight_up: Tensor
    weight_down: Tensor
    weight_gate: Tensor
    weight_out: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        levels: int = 3,
        slope: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.levels = check_order(levels, "levels", "HMLSTM", 2, "levels")
        if isinstance(slope, bool) or not isinstance(slope, int | float) or not slope > 0:
            raise UsageError(f"slope is {slope!r}", where="HMLSTM", need="a positive number")
        self.slope = float(slope)
        self.rows = [4 * hidden_size + 1] * (levels - 1) + [4 * hidden_size]
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(self.rows[0], input_size),
            weight_hh=(sum(self.rows), hidden_size),
            weight_up=(sum(self.rows[1:]), hidden_size),
            weight_down=(sum(self.rows[:-1]), hidden_size),
            bias_ih=(sum(self.rows),),
            weight_gate=(levels, levels * hidden_size),
            weight_out=(hidden_size, levels * hidden_size),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HMLSTMState:
        """Zeros."""
        units = self.levels * self.hidden_size
        return HMLSTMState(
            self._zeros(batch_size, units, dtype, device),
            self._zeros(batch_size, units, dtype, device),
            self._zeros(batch_size, self.levels - 1, dtype, device),
        )

    def project(self, x: Tensor) -> Tensor:
        """W_1 x + b_1."""
        return F.linear(x, self.weight_ih, None if self.bias_ih is None else self.bias_ih[: self.rows[0]])

    def advance(self, projected: Tensor, state: HMLSTMState) -> tuple[Tensor, HMLSTMState]:
        """The step from W_1 x + b_1 on."""
        n, top = self.hidden_size, self.levels - 1
        own, up, down = (
            self.weight_hh.split(self.rows),
            self.weight_up.split(self.rows[1:]),
            self.weight_down.split(self.rows[:-1]),
        )
        biases = [None] * self.levels if self.bias_ih is None else self.bias_ih.split(self.rows)
        before, memories, ended = state.h.split(n, -1), state.c.split(n, -1), state.z.split(1, -1)
        hidden: list[Tensor] = []
        cells: list[Tensor] = []
        ends: list[Tensor] = []
        for level in range(self.levels):
            total = self.recur(before[level], own[level], biases[level] if level else None)
            if level < top:
                total = total + ended[level] * self.recur(before[level + 1], down[level])
            total = total + (ends[-1] * F.linear(hidden[-1], up[level - 1]) if level else projected)
            f, i, o = torch.sigmoid(total[..., : 3 * n]).chunk(3, -1)
            written = i * torch.tanh(total[..., 3 * n : 4 * n])
            # Sums with factors 0 and 1, and not a choice, so that the straight-through gradient reaches the detectors.
            reads: Any = ends[-1] if level else 1.0
            stays: Any = 1.0 - ended[level] if level < top else 1.0
            copies, updates = stays * (1.0 - reads), stays * reads
            c = copies * memories[level] + updates * (f * memories[level]) + (1.0 - copies) * written
            hidden.append(copies * before[level] + (1.0 - copies) * (o * torch.tanh(c)))
            cells.append(c)
            if level < top:
                ends.append(self._detect(total[..., 4 * n :]))
        h = torch.cat(hidden, -1)
        gates = torch.sigmoid(F.linear(h, self.weight_gate)).repeat_interleave(n, -1)
        y = torch.relu(F.linear(gates * h, self.weight_out))
        return y, HMLSTMState(h, torch.cat(cells, -1), torch.cat(ends, -1))

    def _detect(self, total: Tensor) -> Tensor:
        """The detector's 0 or 1, with the gradient of the hard sigmoid."""
        soft = torch.clamp((self.slope * total + 1.0) / 2.0, 0.0, 1.0)
        return soft + ((soft > 0.5).to(soft.dtype) - soft).detach()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, levels={self.levels}, slope={self.slope}"
