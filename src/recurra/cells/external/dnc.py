"""The differentiable neural computer."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.external.compiled_step import COMPILED_PART
from recurra.cells.external.controller import Emitter, controller_name, filled, make_controller, recurrent_names
from recurra.cells.external.dnc_step import Interface, compute
from recurra.types import State


class DNCState(NamedTuple):
    """The state of a differentiable neural computer.

    Attributes:
        controller: the controller's state, as its class has it.
        memory: (batch, slots, width).
        usage: how far each slot is in use, (batch, slots).
        link: link[i, j] is how far slot i was written right after slot j, (batch, slots, slots).
        precedence: how far each slot was the last one written, (batch, slots).
        write_weights: where the write head stands, (batch, slots).
        read_weights: where the read heads stand, (batch, read_heads, slots).
        reads: what was read last, (batch, read_heads, width).
    """

    controller: State
    memory: Tensor
    usage: Tensor
    link: Tensor
    precedence: Tensor
    write_weights: Tensor
    read_weights: Tensor
    reads: Tensor


class DNC(Cell):
    """Differentiable neural computer: a memory addressed by content, by free room, and in the order of its writing.

    Equations:
        h_t = controller(x_t, r_{t-1});  a linear map of h_t gives, for each read head, k^r, beta^r = oneplus(.),
        f = sigmoid(.) and pi = softmax(.) of 3, and for the write head k^w, beta^w = oneplus(.), e = sigmoid(.), v,
        g_a = sigmoid(.), g_w = sigmoid(.);  oneplus(a) = 1 + log(1 + exp(a))
        psi = product over read heads of (1 - f w^r_{t-1})                            what is kept
        u_t = (u_{t-1} + w^w_{t-1} - u_{t-1} w^w_{t-1}) psi                           usage
        a_t(phi_j) = (1 - u_t(phi_j)) product over i < j of u_t(phi_i)                phi: slots by rising usage
        w^w_t = g_w (g_a a_t + (1 - g_a) C(M_{t-1}, k^w, beta^w))
        M_t(i) = M_{t-1}(i) * (1 - w^w_t(i) e) + w^w_t(i) v
        L_t(i, j) = (1 - w^w_t(i) - w^w_t(j)) L_{t-1}(i, j) + w^w_t(i) p_{t-1}(j),  L_t(i, i) = 0
        p_t = (1 - sum over i of w^w_t(i)) p_{t-1} + w^w_t
        w^r_t = pi_1 L_t^T w^r_{t-1} + pi_2 C(M_t, k^r, beta^r) + pi_3 L_t w^r_{t-1}
        r_t = sum over i of w^r_t(i) M_t(i) for each read head;  y_t = (h_t, r_t);
        C(M, k, beta)(i) = softmax over i of beta cos(k, M(i)).

    No weight's shape depends on the number of slots: `cell.slots = 256` gives a trained computer a larger memory, for
    all states begun from then on.

    Args:
        input_size: features of x_t.
        hidden_size: the controller's hidden units.
        bias: whether the biases exist.
        slots: rows of the memory; time and memory of a step grow as its square.
        width: numbers in a row.
        read_heads: how many.
        controller: which cell: a registered name, or a class made as kind(input_size, hidden_size, device=...,
            dtype=...), and with bias=False where that is given. One in continuous time steps by its own default time.
        eps: added to the squares of lengths in the cosine.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, controller's output_size + read_heads * width); the state as in `DNCState`.
        controller.* are the controller's weights, which reads (x_t, r_{t-1}) of all read heads; interface.map.weight
        and interface.map.bias have the rows k^r (read_heads width), beta^r (read_heads), k^w (width), beta^w (1), e, v
        (width), f (read_heads), g_a, g_w (1), pi (read_heads 3), drawn uniform in +-1/sqrt(controller's output_size).

    Raises:
        UsageError: a size is not positive, or the controller is not a cell for sequences.
        ShapeError: x or the state does not fit.

    Differs from the paper: its output, a linear map of h_t and r_t, is a linear readout of y, left to another module;
    eps is not in its cosine.

    Reference:
        A. Graves, G. Wayne, M. Reynolds et al. Hybrid computing using a neural network with dynamic external memory.
        Nature 538 (2016) 471-476, methods.

    Example:
        >>> import torch
        >>> cell = DNC(3, 5, slots=8, width=4, read_heads=2)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.memory.shape, state.link.shape
        (torch.Size([2, 13]), torch.Size([2, 8, 4]), torch.Size([2, 8, 8]))
    """

    external_memory: ClassVar[bool] = True
    compiled_part: str | None = COMPILED_PART

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        slots: int = 16,
        width: int = 16,
        read_heads: int = 1,
        controller: str | type[Cell] = "lstm",
        eps: float = 1e-6,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.slots = slots
        self.width = check_size(width, "width", "DNC")
        self.read_heads = check_size(read_heads, "read_heads", "DNC")
        self.eps, self.kind = float(eps), controller_name(controller)
        reads = read_heads * width
        self.controller = make_controller(controller, input_size + reads, hidden_size, bias, "DNC", device, dtype)
        self._told = Interface(read_heads, width, self.eps)
        self.interface = Emitter(self.controller.output_size, self._told.sizes, bias, device, dtype)
        self.output_size = self.controller.output_size + reads
        self.recurrent_weights = recurrent_names(self.controller)  # type: ignore[misc]

    @property
    def slots(self) -> int:
        """Rows of the memory of states begun from now on."""
        return self._slots

    @slots.setter
    def slots(self, slots: int) -> None:
        self._slots = check_size(slots, "slots", "DNC")

    def reset_parameters(self) -> None:
        """Draw the weights of the controller and of the interface anew."""
        self.controller.reset_parameters()
        self.interface.reset_parameters()

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> DNCState:
        """An empty memory: zeros."""

        def zeros(*shape: int) -> Tensor:
            return filled(self, (batch_size, *shape), 0.0, dtype, device)

        return DNCState(
            self.controller.initial_state(batch_size, dtype=dtype, device=device),
            zeros(self.slots, self.width),
            zeros(self.slots),
            zeros(self.slots, self.slots),
            zeros(self.slots),
            zeros(self.slots),
            zeros(self.read_heads, self.slots),
            zeros(self.read_heads, self.width),
        )

    def advance(self, projected: Tensor, state: DNCState) -> tuple[Tensor, DNCState]:
        """The step from x on: the controller, the writing, the links, the reading."""
        controller = self.controller
        read = torch.cat([projected, state.reads.flatten(-2)], -1)
        h, inner = controller.advance(controller.project(read), state.controller)
        told = F.linear(h, self.interface.map.weight, self.interface.map.bias)
        after: Any = compute(self._told, told, *state[1:-1])
        return torch.cat([h, after[-1].flatten(-2)], -1), DNCState(inner, *after)

    def extra_repr(self) -> str:
        sizes = f"slots={self.slots}, width={self.width}, read_heads={self.read_heads}"
        return f"{super().extra_repr()}, {sizes}, controller={self.kind}"
