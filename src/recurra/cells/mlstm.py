"""The mLSTM of the xLSTM: a matrix of memory a head, written by keys and read by queries."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.linear_scan import linear_scan, max_plus_scan
from recurra.cells.slstm import check_forget_gate, check_heads, spread_forget_bias


class mLSTMState(NamedTuple):
    """The state of an mLSTM; d = hidden_size / num_heads. c and n are kept divided by exp(m).

    Attributes:
        c: memory matrices, values by keys, (batch, num_heads, d, d).
        n: normalisers, (batch, num_heads, d).
        m: stabilisers, logarithms of the common scale of c and n, (batch, num_heads).
    """

    c: Tensor
    n: Tensor
    m: Tensor


class mLSTM(Cell):
    """Matrix-memory LSTM: each head stores values under keys in a matrix, with exponential gates of the input.

    Equations:
        q_t = W_q x_t + b_q                                query
        k_t = W_k x_t / sqrt(d) + b_k                      key
        v_t = W_v x_t + b_v                                value
        i_t = exp(w_i . x_t + b_i)                         input gate, a number a head
        f_t = sigmoid(w_f . x_t + b_f) or exp(...)         forget gate, a number a head
        o_t = sigmoid(W_o x_t + b_o)                       output gate
        c_t = f_t c_{t-1} + i_t v_t k_t'
        n_t = f_t n_{t-1} + i_t k_t
        y_t = o_t * (c_t q_t) / max(|n_t . q_t|, 1).
        Computed with c and n divided by exp(m_t), m_t = max(log f_t + m_{t-1}, log i_t, 0), and the 1 with them, which
        changes no y_t and lets no exponential overflow.

    Nothing in the gates depends on the state, so all time steps can run at once. The scan keeps every step's matrices,
    time times hidden_size times d numbers a sequence.

    Args:
        input_size: features of x_t.
        hidden_size: features of all heads together.
        bias: whether the biases exist.
        num_heads: heads, each with a matrix of d by d, d = hidden_size / num_heads. Divides hidden_size.
        forget_gate: "sigmoid" or "exp".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, hidden_size), the state's c (batch, num_heads, d, d), n (batch, num_heads, d)
        and m (batch, num_heads); weight_ih (4 hidden_size, input_size) and bias_ih (4 hidden_size,) in the order q, k,
        v, o and in each of these head after head; weight_gates (2 num_heads, input_size) and bias_gates (2 num_heads,)
        in the order i, f. Drawn uniform in +-1/sqrt(hidden_size), but for the forget gate's bias, which goes evenly
        from 3 to 6 over the heads.

    n and m are scales and no units: zoneout and learned first states leave them alone.

    Raises:
        UsageError: a size is not positive, num_heads does not divide hidden_size, or forget_gate is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the stabiliser does not fall below 0 (in the paper it follows the memory down, where the 1
    divided by its exponential would overflow); outputs are the same. The block around the recurrence there
    (normalisation, short convolution, projections up and down) is left to other modules. The paper leaves the first
    values of the weights open.

    Reference:
        M. Beck, K. Poeppel, M. Spanring, A. Auer, O. Prudnikova, M. Kopp, G. Klambauer, J. Brandstetter, S. Hochreiter.
        xLSTM: extended long short-term memory. NeurIPS (2024).

    Example:
        >>> cell = mLSTM(3, 6, num_heads=2)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.c.shape, state.m.shape
        (torch.Size([4, 6]), torch.Size([4, 2, 3, 3]), torch.Size([4, 2]))
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    keep_gate: ClassVar[Gate] = Gate("bias_gates", 1, 2)
    write_gate: ClassVar[Gate] = Gate("bias_gates", 0, 2)
    clocks: ClassVar[tuple[str, ...]] = ("n", "m")
    weight_ih: Tensor
    weight_gates: Tensor
    bias_ih: Tensor | None
    bias_gates: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        num_heads: int = 1,
        forget_gate: str = "sigmoid",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.num_heads = check_heads(num_heads, hidden_size, "mLSTM")
        self.forget_gate = check_forget_gate(forget_gate, "mLSTM")
        self.width = hidden_size // num_heads
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_gates=(2 * num_heads, input_size),
            bias_ih=(4 * hidden_size,),
            bias_gates=(2 * num_heads,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew; the forget gate's bias goes evenly from 3 to 6."""
        super().reset_parameters()
        if self.bias_gates is not None:
            spread_forget_bias(self.bias_gates.chunk(2)[1])

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> mLSTMState:
        """Zeros."""
        heads, d = self.num_heads, self.width
        c = self._zeros(batch_size, heads * d * d, dtype, device).unflatten(1, (heads, d, d))
        n = self._zeros(batch_size, heads * d, dtype, device).unflatten(1, (heads, d))
        return mLSTMState(c, n, self._zeros(batch_size, heads, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """q, k and v of each head, o, and the logarithms of i and f."""
        products = F.linear(x, self.weight_ih).chunk(4, -1)
        shifts = (0.0,) * 4 if self.bias_ih is None else self.bias_ih.chunk(4)
        q, o = products[0] + shifts[0], torch.sigmoid(products[3] + shifts[3])
        # The key's bias is not divided, as the paper has it.
        k, v = products[1] / math.sqrt(self.width) + shifts[1], products[2] + shifts[2]
        log_i, f = F.linear(x, self.weight_gates, self.bias_gates).chunk(2, -1)
        log_f = F.logsigmoid(f) if self.forget_gate == "sigmoid" else f
        heads = (self.num_heads, self.width)
        return q.unflatten(-1, heads), k.unflatten(-1, heads), v.unflatten(-1, heads), o, log_i, log_f

    def advance(self, projected: tuple[Tensor, ...], state: mLSTMState) -> tuple[Tensor, mLSTMState]:
        """Write, and read."""
        q, k, v, o, log_i, log_f = projected
        m = torch.maximum(log_f + state.m, log_i).clamp(min=0.0)
        f, i = torch.exp(log_f + state.m - m).unsqueeze(-1), torch.exp(log_i - m).unsqueeze(-1)
        n = f * state.n + i * k
        c = f.unsqueeze(-1) * state.c + (i * v).unsqueeze(-1) * k.unsqueeze(-2)
        return _read(c, n, m, q, o), mLSTMState(c, n, m)

    def scan(self, x: Tensor, state: mLSTMState) -> tuple[Tensor, mLSTMState]:
        """All time steps at once."""
        q, k, v, o, log_i, log_f = self.project(x)
        m = max_plus_scan(log_f, log_i.clamp(min=0.0), state.m)
        before = torch.cat([state.m.unsqueeze(0), m[:-1]])
        f, i = torch.exp(log_f + before - m).unsqueeze(-1), torch.exp(log_i - m).unsqueeze(-1)
        n = linear_scan(f, i * k, state.n)
        c = linear_scan(f.unsqueeze(-1), (i * v).unsqueeze(-1) * k.unsqueeze(-2), state.c)
        return _read(c, n, m, q, o), mLSTMState(c, n, m)

    def extra_repr(self) -> str:
        more = super().extra_repr() + (f", num_heads={self.num_heads}" if self.num_heads > 1 else "")
        return more + (f", forget_gate={self.forget_gate!r}" if self.forget_gate != "sigmoid" else "")


def _read(c: Tensor, n: Tensor, m: Tensor, q: Tensor, o: Tensor) -> Tensor:
    """What the queries find, normalised and gated."""
    found = (c * q.unsqueeze(-2)).sum(-1)
    norm = torch.maximum((n * q).sum(-1).abs(), torch.exp(-m))
    return o * (found / norm.unsqueeze(-1)).flatten(-2)
