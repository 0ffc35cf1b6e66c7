"""The neural Turing machine."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.external.compiled_step import COMPILED_PART
from recurra.cells.external.controller import Emitter, controller_name, filled, make_controller, recurrent_names
from recurra.cells.external.ntm_step import Heads, turn
from recurra.errors import UsageError
from recurra.types import State


class NTMState(NamedTuple):
    """The state of a neural Turing machine.

    Attributes:
        controller: the controller's state, as its class has it.
        memory: (batch, slots, width).
        write_weights: where the write heads stand, (batch, write_heads, slots).
        read_weights: where the read heads stand, (batch, read_heads, slots).
        reads: what was read last, (batch, read_heads, width).
    """

    controller: State
    memory: Tensor
    write_weights: Tensor
    read_weights: Tensor
    reads: Tensor


class NTM(Cell):
    """Neural Turing machine: a controller that writes to and reads from a memory, addressed by content and by shifts.

    Equations:
        h_t = controller(x_t, r_{t-1});  a linear map of h_t gives, for each head, k, beta = softplus(.),
        g = sigmoid(.), s = softmax(.) and gamma = 1 + softplus(.), and for a write head e = sigmoid(.) and a
        w_c(i) = softmax over i of beta * cos(k, M(i))                  by content
        w_g    = g w_c + (1 - g) w_{t-1}                                or from the last address
        w~(i)  = sum over k of s(k) w_g(i - k), the slots in a circle   shifted
        w_t(i) = w~(i)^gamma / sum over j of w~(j)^gamma                sharpened
        M_t(i) = M_{t-1}(i) * product over write heads of (1 - w_t(i) e_t) + sum over write heads of w_t(i) a_t
        r_t = sum over i of w_t(i) M_t(i) for each read head;  y_t = (h_t, r_t).
    Write heads are addressed in M_{t-1}, read heads in M_t.

    No weight's shape depends on the number of slots: `cell.slots = 256` gives a trained machine a larger memory, for
    all states begun from then on.

    Args:
        input_size: features of x_t.
        hidden_size: the controller's hidden units.
        bias: whether the biases exist.
        slots: rows of the memory.
        width: numbers in a row.
        read_heads, write_heads: how many of each.
        max_shift: the farthest shift K: a head moves by -K ... K slots in a step.
        controller: which cell: a registered name, or a class made as kind(input_size, hidden_size, device=...,
            dtype=...), and with bias=False where that is given. One in continuous time steps by its own default time.
        memory_start: the number that fills the memory before the first step.
        eps: added to the squares of lengths in the cosine.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, controller's output_size + read_heads * width); the state as in `NTMState`.
        controller.* are the controller's weights, which reads (x_t, r_{t-1}) of all read heads; heads.map.weight and
        heads.map.bias have the rows k (heads width), beta, g (heads), s (heads (2 K + 1)), gamma (heads), e and a
        (write_heads width), the write heads first, and are drawn uniform in +-1/sqrt(controller's output_size).

    Raises:
        UsageError: a size is not positive, max_shift is negative, or the controller is not a cell for sequences.
        ShapeError: x or the state does not fit.

    Differs from the paper: it leaves open how the memory begins and where the heads stand. Here the memory is constant
    (Collier and Beel), and each head begins at one slot, the first one: with a constant memory and weights that are
    alike everywhere all slots stay alike for ever, and nothing is learned. The output is a linear readout of y, left to
    another module. eps is not in the paper's cosine.

    Reference:
        A. Graves, G. Wayne, I. Danihelka. Neural Turing machines. arXiv:1410.5401 (2014).
        M. Collier, J. Beel. Implementing neural Turing machines. ICANN (2018) 94-104.

    Example:
        >>> import torch
        >>> cell = NTM(3, 5, slots=8, width=4)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.memory.shape, cell.initial_state(1).read_weights
        (torch.Size([2, 9]), torch.Size([2, 8, 4]), tensor([[[1., 0., 0., 0., 0., 0., 0., 0.]]]))
    """

    external_memory: ClassVar[bool] = True
    compiled_part: str | None = COMPILED_PART

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        slots: int = 128,
        width: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        max_shift: int = 1,
        controller: str | type[Cell] = "lstm",
        memory_start: float = 1e-6,
        eps: float = 1e-6,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.slots = slots
        self.width = check_size(width, "width", "NTM")
        self.read_heads = check_size(read_heads, "read_heads", "NTM")
        self.write_heads = check_size(write_heads, "write_heads", "NTM")
        if isinstance(max_shift, bool) or not isinstance(max_shift, int) or max_shift < 0:
            raise UsageError(f"max_shift is {max_shift!r}", where="NTM", need="a whole number of 0 or more")
        self.max_shift, self.memory_start, self.eps = max_shift, float(memory_start), float(eps)
        self.kind = controller_name(controller)
        reads = read_heads * width
        self.controller = make_controller(controller, input_size + reads, hidden_size, bias, "NTM", device, dtype)
        if write_heads > 1:
            self.compiled_part = None
        self._turn = Heads(write_heads, read_heads, width, max_shift, self.eps)
        self.heads = Emitter(self.controller.output_size, self._turn.sizes, bias, device, dtype)
        self.output_size = self.controller.output_size + reads
        self.recurrent_weights = recurrent_names(self.controller)  # type: ignore[misc]

    @property
    def slots(self) -> int:
        """Rows of the memory of states begun from now on."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots = check_size(slots, "slots", "NTM")

    def reset_parameters(self) -> None:
        """Draw the weights of the controller and of the heads anew."""
        self.controller.reset_parameters()
        self.heads.reset_parameters()

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> NTMState:
        """A constant memory, all heads at the first slot, and nothing read."""

        def heads(count: int) -> Tensor:
            rows = filled(self, (batch_size, count, self.slots), 0.0, dtype, device)
            return torch.cat([torch.ones_like(rows[..., :1]), rows[..., 1:]], -1)

        return NTMState(
            self.controller.initial_state(batch_size, dtype=dtype, device=device),
            filled(self, (batch_size, self.slots, self.width), self.memory_start, dtype, device),
            heads(self.write_heads),
            heads(self.read_heads),
            filled(self, (batch_size, self.read_heads, self.width), 0.0, dtype, device),
        )

    def advance(self, projected: Tensor, state: NTMState) -> tuple[Tensor, NTMState]:
        """The step from x on: the controller, the writing, the reading."""
        controller = self.controller
        read = torch.cat([projected, state.reads.flatten(-2)], -1)
        h, inner = controller.advance(controller.project(read), state.controller)
        told = F.linear(h, self.heads.map.weight, self.heads.map.bias)
        memory, writing, reading, reads = turn(self._turn, told, state.memory, state.write_weights, state.read_weights)
        return torch.cat([h, reads.flatten(-2)], -1), NTMState(inner, memory, writing, reading, reads)

    def extra_repr(self) -> str:
        heads = f"read_heads={self.read_heads}, write_heads={self.write_heads}, max_shift={self.max_shift}"
        return f"{super().extra_repr()}, slots={self.slots}, width={self.width}, {heads}, controller={self.kind}"
