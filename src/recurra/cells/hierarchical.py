"""The hierarchical recurrent network, whose levels run at their own rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.clockwork import ClockState, check_periods, count_on, is_due, sizes_of_parts
from recurra.errors import UsageError


class HierarchicalRNN(Cell):
    """Hierarchical RNN: a chain of levels, each slower than the one below, which it reads at the end of its periods.

    Equations:
        n = 1, 2, 3, ... counts the steps; level l = 1..L has the period T_l, a multiple of T_{l-1}; h_t^0 = x_t
        h_t^l = tanh(W_l h_t^{l-1} + U_l h_{t-1}^l + V_l h_{t-1}^{l+1} + b_l)      where n mod T_l = 0
        h_t^l = h_{t-1}^l                                                          elsewhere
        y_t = (h_t^1, ..., h_t^L),  without the term in V for the highest level and with top_down=False.

    A path through a level of period T crosses n steps in n / T nonlinear steps, which is what makes long dependencies
    learnable there.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units, split among the levels as evenly as possible (the lowest take what is left over).
        bias: whether b exists.
        periods: T_1, T_2, ..., each a multiple of the one before; 1, 2, 4 when absent, or as many of these as there are
            hidden units.
        top_down: whether a level sees the one above it.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size), the levels side by side, step (batch, 1); weight_ih = W_1
        (units of level 1, input_size); weight_up_l = W_l (units of level l, of l - 1) and weight_down_l = V_l (units of
        level l, of l + 1); weight_hh = U_1 to U_L one below the other (hidden_size, units of level 1), of which the
        columns past a level's own units have no effect; bias_ih = b (hidden_size,). All are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or periods is not as above.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper draws a family of networks with delays and subsampling, of which this is the one
    whose levels are subsampled; all levels have the same kind of unit and feed the output.

    Reference:
        S. El Hihi, Y. Bengio. Hierarchical recurrent neural networks for long-term dependencies. NIPS 8 (1995) 493-499.

    Example:
        >>> import torch
        >>> cell = HierarchicalRNN(3, 6, periods=(1, 4))
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2))
        >>> bool(y[:, :3].any()), bool(y[:, 3:].any())
        (True, False)
    """

    clocks: ClassVar[tuple[str, ...]] = ("step",)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        periods: Sequence[int] | None = None,
        top_down: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        given = (1, 2, 4)[:hidden_size] if periods is None else periods
        self.periods = check_periods(given, hidden_size, "HierarchicalRNN")
        if any(slow % fast for fast, slow in zip(self.periods, self.periods[1:], strict=False)):
            raise UsageError(
                f"periods is {periods!r}", where="HierarchicalRNN", need="each a multiple of the one before: (1, 2, 4)"
            )
        self.top_down = bool(top_down)
        self.sizes = sizes_of_parts(hidden_size, len(self.periods))
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (self.sizes[0], input_size),
            "weight_hh": (hidden_size, self.sizes[0]),
            "bias_ih": (hidden_size,),
        }
        for level in range(2, len(self.sizes) + 1):
            shapes[f"weight_up_{level}"] = (self.sizes[level - 1], self.sizes[level - 2])
            if self.top_down:
                shapes[f"weight_down_{level - 1}"] = (self.sizes[level - 2], self.sizes[level - 1])
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> ClockState:
        """Zeros."""
        return ClockState(
            self._zeros(batch_size, self.hidden_size, dtype, device), self._zeros(batch_size, 1, dtype, device)
        )

    def project(self, x: Tensor) -> Tensor:
        """W_1 x + b_1."""
        return F.linear(x, self.weight_ih, None if self.bias_ih is None else self.bias_ih[: self.sizes[0]])

    def advance(self, projected: Tensor, state: ClockState) -> tuple[Tensor, ClockState]:
        """The step from W_1 x + b_1 on."""
        before = state.h.split(self.sizes, -1)
        own = self.weight_hh.split(self.sizes)
        biases = [None] * len(self.sizes) if self.bias_ih is None else self.bias_ih.split(self.sizes)
        levels: list[Tensor] = []
        for index, (h, period) in enumerate(zip(before, self.periods, strict=True)):
            level = index + 1
            total = (
                projected if not levels else F.linear(levels[-1], getattr(self, f"weight_up_{level}"), biases[index])
            )
            total = total + self.recur(h, own[index][:, : self.sizes[index]])
            if self.top_down and level < len(self.sizes):
                total = total + self.recur(before[level], getattr(self, f"weight_down_{level}"))
            levels.append(torch.where(is_due(state.step + 1, period), torch.tanh(total), h))
        h = torch.cat(levels, -1)
        return h, ClockState(h, count_on(state.step, self.periods[-1]))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, periods={self.periods}" + ("" if self.top_down else ", top_down=False")
