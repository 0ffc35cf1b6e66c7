"""The neural stack, queue and deque of Grefenstette et al."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_size
from recurra.cells.external.controller import Emitter, controller_name, filled, make_controller, recurrent_names
from recurra.cells.external.strengths import before_first, before_last, pushed, read_off, taken
from recurra.errors import UsageError
from recurra.types import State

ENDS = {"stack": 1, "queue": 1, "deque": 2}


class NeuralStackState(NamedTuple):
    """The state of a neural stack, queue or deque.

    Attributes:
        controller: the controller's state, as its class has it.
        values: what was pushed, (batch, slots, width), the last row first; of a deque from the top to the bottom.
        strengths: how far each row is there, (batch, slots).
        reads: what was read last, (batch, width), or (batch, 2 width) of a deque, the top first.
    """

    controller: State
    values: Tensor
    strengths: Tensor
    reads: Tensor


class NeuralStack(Cell):
    """Neural stack, queue or deque: rows of any strength from 0 to 1 are pushed, popped and read.

    Equations:
        h_t = controller(x_t, r_{t-1});
        d_t = sigmoid(W_d h_t + b_d), u_t = sigmoid(W_u h_t + b_u), v_t = tanh(W_v h_t + b_v), y_t = tanh(W_o h_t + b_o)
        stack: with the rows in the order of their pushing, and all sums over the rows pushed after i,
        s_t(i) = max(0, s_{t-1}(i) - max(0, u_t - sum of s_{t-1}(j)))          popped
        s_t(t) = d_t, V_t(t) = v_t                                             then pushed
        r_t = sum over i of min(s_t(i), max(0, 1 - sum of s_t(j))) V_t(i)      then read
        queue: the same with the sums over the rows pushed before i;
        deque: d, u and v for the top and for the bottom, each pops and reads from its end, the top pops first, and both
        push; r_t = (r_t of the top, r_t of the bottom).

    No weight's shape depends on the number of slots: `cell.slots = 256` gives a trained cell more of them, for all
    states begun from then on.

    Args:
        input_size: features of x_t.
        hidden_size: the controller's hidden units, and the features of y_t.
        bias: whether the biases exist.
        kind: "stack", "queue" or "deque".
        slots: rows; for a deque an even number, half of them for each end.
        width: numbers in a row.
        controller: which cell: a registered name, or a class made as kind(input_size, hidden_size, device=...,
            dtype=...), and with bias=False where that is given. One in continuous time steps by its own default time.
        pop_bias: where b_u begins: below 0 little is popped at first.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, hidden_size); the state as in `NeuralStackState`. controller.* are the
        controller's weights, which reads (x_t, r_{t-1}); memory.map.weight and memory.map.bias have the rows d, u
        (ends) and v (ends width), with ends = 2 for a deque, else 1, and output.weight and output.bias are W_o and
        b_o; all are drawn uniform in +-1/sqrt(controller's output_size), but b_u.

    Raises:
        UsageError: a size is not positive, kind is none of the three, a deque's slots are odd, or the controller is not
            a cell for sequences.
        ShapeError: x or the state does not fit.

    Differs from the paper: there the memory grows by a row a step (a deque's by two); here the number of rows is fixed
    and the one pushed first falls off (of a deque the ones pushed first at either end), so that the numbers are the
    paper's for the first `slots` steps (a deque's for `slots / 2`), and after that as long as what falls off has no
    strength left.

    Reference:
        E. Grefenstette, K. M. Hermann, M. Suleyman, P. Blunsom. Learning to transduce with unbounded memory. NIPS 28
        (2015) 1828-1836.

    Example:
        >>> import torch
        >>> cell = NeuralStack(3, 5, kind="deque", slots=8, width=4)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.values.shape, state.reads.shape
        (torch.Size([2, 5]), torch.Size([2, 8, 4]), torch.Size([2, 8]))
    """

    external_memory: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        kind: str = "stack",
        slots: int = 64,
        width: int = 16,
        controller: str | type[Cell] = "lstm",
        pop_bias: float = -1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if kind not in ENDS:
            raise UsageError(f"kind is {kind!r}", where="NeuralStack", need="one of " + ", ".join(map(repr, ENDS)))
        self.kind, self.ends, self.pop_bias = kind, ENDS[kind], float(pop_bias)
        self.slots = slots
        self.width = check_size(width, "width", "NeuralStack")
        self.named = controller_name(controller)
        read = input_size + self.ends * width
        self.controller = make_controller(controller, read, hidden_size, bias, "NeuralStack", device, dtype)
        features = self.controller.output_size
        sizes = {"push": self.ends, "pop": self.ends, "value": self.ends * width}
        self.memory = Emitter(features, sizes, bias, device, dtype)
        self.output = nn.Linear(features, hidden_size, bias, device, dtype)
        self.recurrent_weights = recurrent_names(self.controller)  # type: ignore[misc]
        self._bias_pop()

    @property
    def slots(self) -> int:
        """Rows of states begun from now on."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        if check_size(slots, "slots", "NeuralStack") % self.ends:
            raise UsageError(f"slots is {slots}", where="NeuralStack", need="an even number, half for each end")
        self._slots = slots

    def reset_parameters(self) -> None:
        """Draw the weights of all parts anew."""
        self.controller.reset_parameters()
        self.memory.reset_parameters()
        self.output.reset_parameters()
        self._bias_pop()

    def _bias_pop(self) -> None:
        if self.memory.map.bias is not None:
            with torch.no_grad():
                self.memory.map.bias[self.memory.block("pop")] = self.pop_bias

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> NeuralStackState:
        """Empty: zeros."""
        return NeuralStackState(
            self.controller.initial_state(batch_size, dtype=dtype, device=device),
            filled(self, (batch_size, self.slots, self.width), 0.0, dtype, device),
            filled(self, (batch_size, self.slots), 0.0, dtype, device),
            filled(self, (batch_size, self.ends * self.width), 0.0, dtype, device),
        )

    def advance(self, projected: Tensor, state: NeuralStackState) -> tuple[Tensor, NeuralStackState]:
        """The step from x on: the controller, popping, pushing, reading."""
        controller = self.controller
        read = torch.cat([projected, state.reads], -1)
        h, inner = controller.advance(controller.project(read), state.controller)
        parts = self.memory(h)
        push, pop = torch.sigmoid(parts["push"]), torch.sigmoid(parts["pop"])
        value = torch.tanh(parts["value"]).unflatten(-1, (self.ends, self.width))
        step = self._at_both_ends if self.ends == 2 else self._at_one_end
        values, strengths, reads = step(state, push, pop, value)
        return torch.tanh(self.output(h)), NeuralStackState(inner, values, strengths, reads)

    def _at_one_end(
        self, state: NeuralStackState, push: Tensor, pop: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        # The last row pushed stands first: a stack counts from the first row, a queue from the last.
        before = before_first if self.kind == "stack" else before_last
        left = taken(state.strengths, pop, before(state.strengths))
        strengths = pushed(left, push.squeeze(-1))
        values = pushed(state.values, value.squeeze(-2))
        return values, strengths, read_off(values, strengths, before(strengths))

    def _at_both_ends(
        self, state: NeuralStackState, push: Tensor, pop: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        left = taken(state.strengths, pop[..., :1], before_first(state.strengths))
        left = taken(left, pop[..., 1:], before_last(left))
        half = left.shape[1] // 2
        strengths = torch.cat([push[..., :1], left[:, : half - 1], left[:, half + 1 :], push[..., 1:]], 1)
        rows = state.values
        values = torch.cat([value[..., :1, :], rows[:, : half - 1], rows[:, half + 1 :], value[..., 1:, :]], 1)
        top = read_off(values, strengths, before_first(strengths))
        return values, strengths, torch.cat([top, read_off(values, strengths, before_last(strengths))], -1)

    def extra_repr(self) -> str:
        sizes = f"kind={self.kind!r}, slots={self.slots}, width={self.width}"
        return f"{super().extra_repr()}, {sizes}, controller={self.named}"
