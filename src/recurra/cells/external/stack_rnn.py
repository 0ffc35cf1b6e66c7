"""The stack-augmented recurrent network of Joulin and Mikolov."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_size
from recurra.cells.external.controller import Emitter, controller_name, filled, make_controller, recurrent_names
from recurra.errors import UsageError
from recurra.types import State


class StackRNNState(NamedTuple):
    """The state of a stack-augmented network.

    Attributes:
        controller: the controller's state, as its class has it.
        values: the stacks, the top row first, (batch, stacks, slots, width).
    """

    controller: State
    values: Tensor


class StackRNN(Cell):
    """Stack-augmented recurrent network: every stack is at each step pushed, popped or left, each to some share.

    Equations:
        h_t = controller(x_t, the first k rows of all stacks of t - 1);  for each stack
        a_t = softmax(A h_t), the shares of push, pop and (with no_operation=True) leaving alone
        s_t(0) = a_t[push] sigmoid(D h_t) + a_t[pop] s_{t-1}(1) + a_t[leave] s_{t-1}(0)
        s_t(i) = a_t[push] s_{t-1}(i - 1) + a_t[pop] s_{t-1}(i + 1) + a_t[leave] s_{t-1}(i)
        y_t = h_t;  below the last row stands `empty`, as in all rows at first.

    No weight's shape depends on the number of slots: `cell.slots = 256` gives a trained network deeper stacks, for all
    states begun from then on.

    Args:
        input_size: features of x_t.
        hidden_size: the controller's hidden units.
        bias: whether the biases exist.
        stacks: how many.
        slots: rows of a stack; what is pushed below the last one is lost.
        width: numbers in a row.
        depth: k, how many rows from the top on the controller reads.
        no_operation: whether a stack can be left alone.
        empty: the number in a row that is empty.
        controller: which cell: a registered name, or a class made as kind(input_size, hidden_size, device=...,
            dtype=...), and with bias=False where that is given. One in continuous time steps by its own default time.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, controller's output_size); the state as in `StackRNNState`. controller.* are
        the controller's weights, which reads x_t and then the rows stack by stack; actions.map.weight and
        actions.map.bias have the rows A (stacks times push, pop, leave) and D (stacks width), drawn uniform in
        +-1/sqrt(controller's output_size).

    Raises:
        UsageError: a size is not positive, depth is more than slots, or the controller is not a cell for sequences.
        ShapeError: x or the state does not fit.

    Differs from the paper: its network is an "elman" with logistic units and without biases, and a row is one number
    (width=1); its lists, and its rounding of shares in tests, are left out; its output f(V h_t) is a linear readout of
    y, left to another module.

    Reference:
        A. Joulin, T. Mikolov. Inferring algorithmic patterns with stack-augmented recurrent nets. NIPS 28 (2015)
        190-198.

    Example:
        >>> import torch
        >>> cell = StackRNN(3, 5, stacks=2, slots=8)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.values.shape
        (torch.Size([4, 5]), torch.Size([4, 2, 8, 1]))
    """

    external_memory: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        stacks: int = 1,
        slots: int = 64,
        width: int = 1,
        depth: int = 1,
        no_operation: bool = True,
        empty: float = -1.0,
        controller: str | type[Cell] = "elman",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.stacks = check_size(stacks, "stacks", "StackRNN")
        self.width = check_size(width, "width", "StackRNN")
        self.depth = check_size(depth, "depth", "StackRNN")
        self.slots = slots
        self.no_operation, self.empty = bool(no_operation), float(empty)
        self.kind = controller_name(controller)
        read = input_size + stacks * depth * width
        self.controller = make_controller(controller, read, hidden_size, bias, "StackRNN", device, dtype)
        sizes = {"action": stacks * (3 if self.no_operation else 2), "value": stacks * width}
        self.actions = Emitter(self.controller.output_size, sizes, bias, device, dtype)
        self.output_size = self.controller.output_size
        self.recurrent_weights = recurrent_names(self.controller)  # type: ignore[misc]

    @property
    def slots(self) -> int:
        """Rows of the stacks of states begun from now on."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        if check_size(slots, "slots", "StackRNN") < self.depth:
            raise UsageError(
                f"slots is {slots}", where="StackRNN", need=f"{self.depth} or more, the rows that are read (depth)"
            )
        self._slots = slots

    def reset_parameters(self) -> None:
        """Draw the weights of the controller and of the actions anew."""
        self.controller.reset_parameters()
        self.actions.reset_parameters()

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> StackRNNState:
        """The controller's own, and empty stacks."""
        return StackRNNState(
            self.controller.initial_state(batch_size, dtype=dtype, device=device),
            filled(self, (batch_size, self.stacks, self.slots, self.width), self.empty, dtype, device),
        )

    def advance(self, projected: Tensor, state: StackRNNState) -> tuple[Tensor, StackRNNState]:
        """The step from x on: the controller, then the stacks."""
        controller = self.controller
        stack = state.values
        read = torch.cat([projected, stack[..., : self.depth, :].flatten(1)], -1)
        h, inner = controller.advance(controller.project(read), state.controller)
        parts = self.actions(h)
        shares = torch.softmax(parts["action"].unflatten(-1, (self.stacks, -1)), -1).unsqueeze(-1).unsqueeze(-1)
        value = torch.sigmoid(parts["value"]).unflatten(-1, (self.stacks, 1, self.width))
        push = torch.cat([value, stack[..., :-1, :]], -2)
        pop = torch.cat([stack[..., 1:, :], torch.full_like(value, self.empty)], -2)
        after = shares[..., 0, :, :] * push + shares[..., 1, :, :] * pop
        if self.no_operation:
            after = after + shares[..., 2, :, :] * stack
        return h, StackRNNState(inner, after)

    def extra_repr(self) -> str:
        sizes = f"stacks={self.stacks}, slots={self.slots}, width={self.width}, depth={self.depth}"
        return f"{super().extra_repr()}, {sizes}, controller={self.kind}"
