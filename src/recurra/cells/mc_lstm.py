"""Mass-conserving long short-term memory."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.errors import UsageError


class MassState(NamedTuple):
    """The state of a mass-conserving LSTM.

    Attributes:
        c: the mass in each memory cell, (batch, hidden_size).
    """

    c: Tensor


class MCLSTM(Cell):
    """Mass-conserving LSTM: what comes in is spread over the memory cells, moved between them, and let out whole.

    Equations:
        x_t = (m_t, a_t): the mass inputs, and the auxiliary inputs, which steer the gates only
        u = c_{t-1} / |c_{t-1}|_1, or 0 where there is no mass
        i_t(j) = softmax(W_ij a_t + U_ij u + b_ij)      where mass input j goes: shares of the cells, which sum to 1
        R_t(k) = softmax(W_rk a_t + U_rk u + b_rk)      where the mass of cell k goes: shares of the cells
        o_t = sigmoid(W_o a_t + U_o u + b_o)            the share let out of each cell
        c'_t = sum over k of R_t(k) c_{t-1, k} + sum over j of i_t(j) m_{t, j}
        c_t = (1 - o_t) * c'_t,  y_t = o_t * c'_t.

    So the sum of c_t and y_t is the sum of c_{t-1} and m_t, whatever the weights are.

    Args:
        input_size: features of x_t, mass and auxiliary together.
        hidden_size: memory cells.
        bias: whether the biases exist.
        mass_size: how many features of x_t, the first ones, are mass; in units that may be added up, and not negative.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), c and y (batch, hidden_size). Rows stand in the order: i, hidden_size for each mass
        input; o, hidden_size; R, hidden_size for each cell that gives. With n = hidden_size (mass_size + 1 +
        hidden_size) of them, weight_ih = W (n, input_size - mass_size), weight_hh = U (n, hidden_size), bias_ih (n,).
        The matrices of i, of o and of R begin orthogonal, b_i at 0, b_o at -3, and b_r at the identity.

    Raises:
        UsageError: a size is not positive, or mass_size is larger than input_size.
        ShapeError: x or the state does not fit.

    Differs from the paper: negative masses are not refused. They are added up all the same, and u is then divided by
    the sum of absolute values.

    Reference:
        P.-J. Hoedt, F. Kratzert, D. Klotz, C. Halmich, M. Holzleitner, G. S. Nearing, S. Hochreiter, G. Klambauer.
        MC-LSTM: mass-conserving LSTM. ICML (2021) 4275-4286.

    Example:
        >>> import torch
        >>> cell = MCLSTM(3, 5)
        >>> x = torch.tensor([[2.0, 0.3, -0.7]])
        >>> y, state = cell(x, cell.initial_state(1))
        >>> round((y.sum() + state.c.sum()).item(), 5)
        2.0
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        mass_size: int = 1,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if isinstance(mass_size, bool) or not isinstance(mass_size, int) or not 1 <= mass_size <= input_size:
            raise UsageError(
                f"mass_size is {mass_size!r}",
                where="MCLSTM",
                need=f"a whole number from 1 to {input_size}, as input_size counts the mass inputs too",
            )
        self.mass_size = mass_size
        rows = hidden_size * (mass_size + 1 + hidden_size)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(rows, input_size - mass_size),
            weight_hh=(rows, hidden_size),
            bias_ih=(rows,),
        )

    def reset_parameters(self) -> None:
        """Draw the matrices anew, orthogonal; the biases of the paper: 0, -3, and the identity."""
        size = self.hidden_size
        parts = (self.mass_size * size, size, size * size)
        auxiliary = self.input_size - self.mass_size
        with torch.no_grad():
            starts = (0, parts[0], parts[0] + parts[1])
            for start, rows in zip(starts, parts, strict=True):
                both = nn.init.orthogonal_(self.weight_hh.new_empty(rows, auxiliary + size))
                self.weight_ih[start : start + rows] = both[:, :auxiliary]
                self.weight_hh[start : start + rows] = both[:, auxiliary:]
            if self.bias_ih is not None:
                i, o, r = self.bias_ih.split(parts)
                i.zero_()
                o.fill_(-3.0)
                r.copy_(torch.eye(size, dtype=r.dtype, device=r.device).flatten())

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> MassState:
        """Zeros."""
        return MassState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mass inputs, and W a + b of the auxiliary ones."""
        return x[..., : self.mass_size], F.linear(x[..., self.mass_size :], self.weight_ih, self.bias_ih)

    def advance(self, projected: tuple[Tensor, Tensor], state: MassState) -> tuple[Tensor, MassState]:
        """The step from the mass and W a + b on."""
        mass, steering = projected
        c, size = state.c, self.hidden_size
        total = c.abs().sum(-1, keepdim=True)
        shares = c / torch.where(total == 0, torch.ones_like(total), total)
        i, o, r = (steering + self.recur(shares, self.weight_hh)).split((self.mass_size * size, size, size * size), -1)
        # Row j: what the j-th giver, a mass input or a cell, sends to each cell.
        to_cells = torch.softmax(torch.cat([i, r], -1).unflatten(-1, (self.mass_size + size, size)), -1)
        held = (torch.cat([mass, c], -1).unsqueeze(-2) @ to_cells).squeeze(-2)
        o = torch.sigmoid(o)
        y = o * held
        return y, MassState(held - y)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.mass_size == 1 else f", mass_size={self.mass_size}")
