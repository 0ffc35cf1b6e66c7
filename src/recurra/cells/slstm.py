"""The sLSTM of the xLSTM: exponential gates, a normaliser, and heads that mix their units."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate, check_size
from recurra.cells.linear_scan import linear_scan, max_plus_scan
from recurra.errors import UsageError


class sLSTMState(NamedTuple):
    """The state of an sLSTM. c and n are kept divided by exp(m).

    Attributes:
        h: hidden units, (batch, hidden_size).
        c: memory cells, (batch, hidden_size).
        n: normalisers, (batch, hidden_size).
        m: stabilisers, logarithms of the common scale of c and n, (batch, hidden_size).
    """

    h: Tensor
    c: Tensor
    n: Tensor
    m: Tensor


class sLSTM(Cell):
    """Scalar-memory LSTM with exponential gates: the memory is a weighted mean, whose weights may grow without bound.

    Equations:
        a_t = W x_t + b + R h_{t-1} for each of the four gates a = i, f, z, o; R is block-diagonal, a block a head
        i_t = exp(a_i)                          input gate
        f_t = sigmoid(a_f) or exp(a_f)          forget gate
        z_t = tanh(a_z)                         what may be written
        o_t = sigmoid(a_o)                      output gate
        c_t = f_t * c_{t-1} + i_t * z_t
        n_t = f_t * n_{t-1} + i_t
        h_t = o_t * c_t / n_t,  y_t = h_t.
        Computed with c and n divided by exp(m_t), m_t = max(log f_t + m_{t-1}, log i_t), which changes no h_t and lets
        no exponential overflow. At the first step, where n is 0, m_1 = log i_1.

    With memory mixing (R) each step needs the last h and there is no parallel form. Without it (recurrent=False) the
    recurrences of c, n and, with maxima for sums, of m are linear, and all time steps run at once.

    Args:
        input_size: features of x_t.
        hidden_size: memory cells.
        bias: whether b exists.
        num_heads: blocks of R; units of different heads do not mix. Divides hidden_size.
        recurrent: whether R exists.
        forget_gate: "sigmoid" or "exp".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), all parts of the state and y (batch, hidden_size); weight_ih (4 hidden_size, input_size),
        weight_hh (4 hidden_size, hidden_size / num_heads), bias_ih (4 hidden_size,), the gates in the order i, f, z, o
        and in each gate head after head. Drawn uniform in +-1/sqrt(hidden_size), but for the forget gate's bias, which
        goes evenly from 3 to 6.

    n and m are scales and no units: zoneout and learned first states leave them alone.

    Raises:
        UsageError: a size is not positive, num_heads does not divide hidden_size, or forget_gate is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: this is the recurrence alone; the block around it there (normalisation, short convolution,
    projections up and down) is left to other modules. The paper leaves the first values of the weights open; the
    authors' code has larger forget biases in deeper layers.

    Reference:
        M. Beck, K. Poeppel, M. Spanring, A. Auer, O. Prudnikova, M. Kopp, G. Klambauer, J. Brandstetter, S. Hochreiter.
        xLSTM: extended long short-term memory. NeurIPS (2024).

    Example:
        >>> cell = sLSTM(3, 6, num_heads=2)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, cell.weight_hh.shape, cell.linear, sLSTM(3, 6, recurrent=False).linear
        (torch.Size([4, 6]), torch.Size([24, 3]), False, True)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 1, 4)
    write_gate: ClassVar[Gate] = Gate("bias_ih", 0, 4)
    clocks: ClassVar[tuple[str, ...]] = ("n", "m")
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    same_head: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        num_heads: int = 1,
        recurrent: bool = True,
        forget_gate: str = "sigmoid",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.num_heads, self.recurrent = check_heads(num_heads, hidden_size, "sLSTM"), bool(recurrent)
        self.forget_gate = check_forget_gate(forget_gate, "sLSTM")
        self.linear = not self.recurrent
        self.elementwise = self.linear or num_heads == hidden_size  # type: ignore[misc]
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (4 * hidden_size, input_size), "bias_ih": (4 * hidden_size,)}
        if self.recurrent:
            shapes["weight_hh"] = (4 * hidden_size, hidden_size // num_heads)
        else:
            self.recurrent_weights = ()  # type: ignore[misc]
        self._weights(bias, device, dtype, **shapes)
        if self.recurrent and num_heads > 1:
            self.register_buffer("same_head", torch.eye(num_heads, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Draw all weights anew; the forget gate's bias goes evenly from 3 to 6."""
        super().reset_parameters()
        if self.bias_ih is not None:
            spread_forget_bias(self.bias_ih.chunk(4)[1])

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> sLSTMState:
        """Zeros."""
        return sLSTMState(*(self._zeros(batch_size, self.hidden_size, dtype, device) for _ in range(4)))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for all four gates."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: sLSTMState) -> tuple[Tensor, sLSTMState]:
        """The step from W x + b on."""
        if self.recurrent:
            projected = projected + self.recur(state.h, self._mixing())
        log_i, log_f, z, o = self._gates(projected)
        empty = state.n == 0
        m = torch.where(empty, log_i, torch.maximum(log_f + state.m, log_i))
        # An empty memory has no scale: whatever multiplies it there, the product is 0.
        f = torch.exp(torch.where(empty, 0.0, log_f + state.m - m))
        i = torch.exp(log_i - m)
        c = f * state.c + i * z
        n = f * state.n + i
        h = o * (c / n)
        return h, sLSTMState(h, c, n, m)

    def scan(self, x: Tensor, state: sLSTMState) -> tuple[Tensor, sLSTMState]:
        """All time steps at once, without memory mixing."""
        if self.recurrent:
            return super().scan(x, state)
        log_i, log_f, z, o = self._gates(self.project(x))
        empty = state.n == 0
        # An empty memory has no scale, so the first step sets it: log i is what the maximum is taken from.
        first = torch.where(empty, log_i[0], log_f[0] + state.m)
        m = max_plus_scan(torch.cat([torch.zeros_like(log_f[:1]), log_f[1:]]), log_i, first)
        before = torch.cat([torch.where(empty, m[0] - log_f[0], state.m).unsqueeze(0), m[:-1]])
        f, i = torch.exp(log_f + before - m), torch.exp(log_i - m)
        c, n = linear_scan(f, i * z, state.c), linear_scan(f, i, state.n)
        h = o * (c / n)
        return h, sLSTMState(h, c, n, m)

    def _gates(self, total: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log i, log f, z and o."""
        i, f, z, o = total.chunk(4, -1)
        return i, F.logsigmoid(f) if self.forget_gate == "sigmoid" else f, torch.tanh(z), torch.sigmoid(o)

    def _mixing(self) -> Tensor:
        """R as one matrix (4 hidden_size, hidden_size)."""
        if self.num_heads == 1:
            return self.weight_hh
        width = self.hidden_size // self.num_heads
        blocks = self.weight_hh.reshape(4, self.num_heads, width, 1, width)
        return (blocks * self.same_head.reshape(1, self.num_heads, 1, self.num_heads, 1)).reshape(-1, self.hidden_size)

    def extra_repr(self) -> str:
        more = super().extra_repr() + (f", num_heads={self.num_heads}" if self.num_heads > 1 else "")
        more += "" if self.recurrent else ", recurrent=False"
        return more + (f", forget_gate={self.forget_gate!r}" if self.forget_gate != "sigmoid" else "")


def check_heads(num_heads: Any, hidden_size: int, where: str) -> int:
    """A number of heads that divides the hidden units, or a UsageError that says which do."""
    check_size(num_heads, "num_heads", where)
    if hidden_size % num_heads:
        fitting = ", ".join(str(number) for number in range(1, hidden_size + 1) if hidden_size % number == 0)
        raise UsageError(
            f"num_heads is {num_heads} with hidden_size {hidden_size}",
            where=where,
            need=f"a number that divides hidden_size: {fitting}",
        )
    return num_heads


def check_forget_gate(forget_gate: Any, where: str) -> str:
    """One of the two forget gates, or a UsageError."""
    if forget_gate not in ("sigmoid", "exp"):
        raise UsageError(f"forget_gate is {forget_gate!r}", where=where, need="'sigmoid' or 'exp'")
    return forget_gate


def spread_forget_bias(bias: Tensor) -> None:
    """Forget biases that go evenly from 3 to 6: units that forget quickly, slowly and all between."""
    with torch.no_grad():
        bias.copy_(torch.linspace(3.0, 6.0, len(bias), device=bias.device, dtype=bias.dtype))
