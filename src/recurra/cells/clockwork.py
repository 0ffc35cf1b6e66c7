"""The clockwork recurrent network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.errors import UsageError


class ClockState(NamedTuple):
    """The state of a network whose units run at several rates.

    Attributes:
        h: hidden units, (batch, hidden_size).
        step: steps read so far, counted anew after the least common multiple of the periods, (batch, 1).
    """

    h: Tensor
    step: Tensor


def sizes_of_parts(units: int, parts: int) -> list[int]:
    """Units split as evenly as possible; the first parts take what is left over."""
    return [units // parts + (part < units % parts) for part in range(parts)]


def check_periods(periods: Any, hidden_size: int, where: str) -> tuple[int, ...]:
    """Whole numbers that grow from part to part, not more of them than units; or a UsageError."""
    need = f"whole numbers that grow, such as (1, 2, 4), at most one for each of the {hidden_size} hidden units"
    given = tuple(periods) if isinstance(periods, Sequence) and not isinstance(periods, str) else None
    if not given or len(given) > hidden_size:
        raise UsageError(f"periods is {periods!r}", where=where, need=need)
    whole = all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in given)
    if not whole or any(later <= sooner for sooner, later in zip(given, given[1:], strict=False)):
        raise UsageError(f"periods is {periods!r}", where=where, need=need)
    return given


def is_due(step: Tensor, period: Tensor | int) -> Tensor:
    """Whether the step is a multiple of the period; rounded, so that no gradient hangs on a clock's exact number."""
    return torch.remainder(torch.round(step), period) == 0


def count_on(step: Tensor, cycle: int) -> Tensor:
    """The next step, counted anew after a cycle, so that it stays exact however long the sequence is."""
    return torch.where(torch.round(step) + 1 >= cycle, step + 1 - cycle, step + 1)


class ClockworkRNN(Cell):
    """Clockwork RNN: modules of hidden units, each updated at its own period, with links from slow modules to fast.

    Equations:
        n = 0, 1, 2, ... counts the steps; module i has the period T_i, T_1 < T_2 < ...
        h_t^i = tanh(W_i x_t + sum_{j >= i} U_ij h_{t-1}^j + b_i)      where n mod T_i = 0
        h_t^i = h_{t-1}^i                                              elsewhere;  y_t = h_t.

    The recurrent matrix is block upper triangular: a module sees itself and the slower ones.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units, split among the modules as evenly as possible (the fastest take what is left over).
        bias: whether b exists.
        periods: T_1, T_2, ..., growing; 1, 2, 4, 8 when absent, or as many of these as there are hidden units.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size), step (batch, 1); weight_ih = W (hidden_size, input_size),
        weight_hh = U (hidden_size, hidden_size), of which what stands below the block diagonal has no effect, bias_ih =
        b (hidden_size,), all drawn uniform in +-1/sqrt(hidden_size). Buffers: unit_periods (hidden_size,) and
        weight_mask (hidden_size, hidden_size).

    Raises:
        UsageError: a size is not positive, or periods is not as above or too long until all coincide.
        ShapeError: x or the state does not fit.

    Differs from the paper: steps are counted from 0, so that all modules read the first input; the products of modules
    at rest are computed and thrown away; the paper's linear or softmax read-out is left to another module, and its
    initialisation (normal, deviation 0.1) is the library's.

    Reference:
        J. Koutnik, K. Greff, F. Gomez, J. Schmidhuber. A clockwork RNN. ICML (2014) 1863-1871.

    Example:
        >>> import torch
        >>> cell = ClockworkRNN(3, 5, periods=(1, 4))
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2))
        >>> later, state = cell(torch.zeros(2, 3), state)
        >>> bool((later[:, 3:] == y[:, 3:]).all()), state.step[0].item()
        (True, 2.0)
    """

    clocks: ClassVar[tuple[str, ...]] = ("step",)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    unit_periods: Tensor
    weight_mask: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        periods: Sequence[int] | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        given = (1, 2, 4, 8)[:hidden_size] if periods is None else periods
        self.periods = check_periods(given, hidden_size, "ClockworkRNN")
        self.cycle = math.lcm(*self.periods)
        if self.cycle > 2**24:
            raise UsageError(
                f"periods is {periods!r}, with the least common multiple {self.cycle}",
                where="ClockworkRNN",
                need="one of at most 16777216, up to which the clock is exact in float32",
            )
        sizes = sizes_of_parts(hidden_size, len(self.periods))
        kind = dtype or torch.get_default_dtype()
        unit_periods = [float(period) for period, size in zip(self.periods, sizes, strict=True) for _ in range(size)]
        clock = torch.tensor(unit_periods, device=device, dtype=kind)
        self.register_buffer("unit_periods", clock)
        self.register_buffer("weight_mask", (clock.unsqueeze(1) <= clock).to(kind))
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> ClockState:
        """Zeros."""
        return ClockState(
            self._zeros(batch_size, self.hidden_size, dtype, device), self._zeros(batch_size, 1, dtype, device)
        )

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: ClockState) -> tuple[Tensor, ClockState]:
        """The step from W x + b on."""
        updated = torch.tanh(projected + self.recur(state.h, self.weight_hh * self.weight_mask))
        h = torch.where(is_due(state.step, self.unit_periods), updated, state.h)
        return h, ClockState(h, count_on(state.step, self.cycle))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, periods={self.periods}"
