"""The differentiable pushdown automaton of Sun, Giles and Das."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_size
from recurra.cells.external.controller import filled
from recurra.cells.external.strengths import before_first, pushed, read_off, taken
from recurra.errors import UsageError


class PushdownState(NamedTuple):
    """The state of a pushdown automaton.

    Attributes:
        h: state units, (batch, hidden_size).
        values: the symbols on the stack, the top first, (batch, slots, input_size).
        strengths: their lengths, from 0 to 1, (batch, slots).
        reads: how much of each symbol stands within the first unit of length, (batch, input_size).
    """

    h: Tensor
    values: Tensor
    strengths: Tensor
    reads: Tensor


class PushdownAutomaton(Cell):
    """Neural network pushdown automaton: third-order state units and a stack of symbols with continuous lengths.

    Equations:
        S_i(t) = g( sum over j, k, l of W_ijkl S_j(t-1) R_k(t-1) x_l(t) + b_i ),   g(a) = 1 / (1 + exp(-a))
        A(t) = 2 g( sum over j, k, l of V_jkl S_j(t-1) R_k(t-1) x_l(t) + c ) - 1
        A > 0 pushes x(t) with length A;  A < 0 pops a length of -A from the top
        R_k(t) = how much of symbol k stands within the top unit of length;  y_t = S(t);
        with read_empty=True R has one more component, 1 - sum over k of R_k: how much of that unit is empty.

    No weight's shape depends on the number of slots: `cell.slots = 256` gives a trained automaton a deeper stack, for
    all states begun from then on.

    Args:
        input_size: symbols, one feature each.
        hidden_size: state units.
        bias: whether b and c exist.
        slots: entries of the stack; the lowest falls off.
        read_empty: whether emptiness is read too.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), one-hot as a rule; h and y (batch, hidden_size); the rest of the state as in
        `PushdownState`. weight_hh (symbols readings (hidden_size + 1), hidden_size) with symbols = input_size and
        readings = input_size (+ 1 with read_empty): W_ijkl stands in row (l readings + k) (hidden_size + 1) + i, column
        j, and V_jkl in the place i = hidden_size; bias_ih = (b, c) (hidden_size + 1,). All are drawn uniform in
        +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or bias and read_empty are both False: all products vanish on an empty
            stack, so that nothing would ever be pushed.
        ShapeError: x or the state does not fit.

    Differs from the paper: read_empty=True, without which all products vanish on an empty stack and nothing but the
    biases acts; the stack keeps a fixed number of entries, an action takes one whether it pushes or not (with length 0
    where it pops), and the lowest falls off. The state units are the output; the paper's read one of them.

    Reference:
        G. Z. Sun, C. L. Giles, H. H. Chen, Y. C. Lee. The neural network pushdown automaton: model, stack and learning
        simulations. Technical report UMIACS-TR-93-77, University of Maryland (1993).
        S. Das, C. L. Giles, G. Z. Sun. Learning context-free grammars: capabilities and limitations of a recurrent
        neural network with an external stack memory. Annual conference of the cognitive science society (1992)
        791-795.

    Example:
        >>> import torch
        >>> cell = PushdownAutomaton(2, 3, slots=8)
        >>> y, state = cell(torch.tensor([[0.0, 1.0]]), cell.initial_state(1))
        >>> y.shape, state.values.shape, cell.initial_state(1).h
        (torch.Size([1, 3]), torch.Size([1, 8, 2]), tensor([[1., 0., 0.]]))
    """

    external_memory: ClassVar[bool] = True
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        slots: int = 64,
        read_empty: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.slots = slots
        self.read_empty = bool(read_empty)
        if not bias and not self.read_empty:
            raise UsageError(
                "bias and read_empty are both False",
                where="PushdownAutomaton",
                need="one of them, as all products vanish on an empty stack and nothing would ever be pushed",
            )
        self.readings = input_size + (1 if self.read_empty else 0)
        rows = input_size * self.readings * (hidden_size + 1)
        self._weights(bias, device, dtype, weight_hh=(rows, hidden_size), bias_ih=(hidden_size + 1,))

    @property
    def slots(self) -> int:
        """Entries of the stack of states begun from now on."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots = check_size(slots, "slots", "PushdownAutomaton")

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> PushdownState:
        """1 in the first state unit, 0 in the others, and an empty stack."""
        h = filled(self, (batch_size, self.hidden_size), 0.0, dtype, device)
        return PushdownState(
            torch.cat([torch.ones_like(h[:, :1]), h[:, 1:]], 1),
            filled(self, (batch_size, self.slots, self.input_size), 0.0, dtype, device),
            filled(self, (batch_size, self.slots), 0.0, dtype, device),
            filled(self, (batch_size, self.input_size), 0.0, dtype, device),
        )

    def advance(self, projected: Tensor, state: PushdownState) -> tuple[Tensor, PushdownState]:
        """The step from x on: the units, the action on the stack, the reading."""
        x, read = projected, state.reads
        if self.read_empty:
            read = torch.cat([read, 1.0 - read.sum(-1, keepdim=True)], -1)
        products = self.recur(state.h, self.weight_hh).unflatten(-1, (self.input_size, self.readings, -1))
        pairs = x.unsqueeze(-1) * read.unsqueeze(-2)
        total = (pairs.unsqueeze(-1) * products).sum((-3, -2))
        if self.bias_ih is not None:
            total = total + self.bias_ih
        h, action = torch.sigmoid(total[..., :-1]), 2.0 * torch.sigmoid(total[..., -1:]) - 1.0
        left = taken(state.strengths, torch.relu(-action), before_first(state.strengths))
        strengths = pushed(left, torch.relu(action).squeeze(-1))
        values = pushed(state.values, x)
        return h, PushdownState(h, values, strengths, read_off(values, strengths, before_first(strengths)))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, slots={self.slots}, read_empty={self.read_empty}"
