"""Light gated recurrent unit: no reset gate, and rectified units."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class LiGRU(Cell):
    """Light gated recurrent unit: a GRU without reset gate, whose candidate is rectified.

    Equations:
        z_t = sigmoid(N(W_z x_t) + U_z h_{t-1} + b_z)
        n_t = relu   (N(W_n x_t) + U_n h_{t-1} + b_n)
        h_t = z_t * h_{t-1} + (1 - z_t) * n_t,  y_t = h_t,
        N(a) = a, or with layer_norm=True g * (a - mean(a)) / sqrt(var(a) + 1e-5) over the hidden units.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_z and b_n exist.
        layer_norm: whether what the input adds is normalised over the hidden units, apart for gate and candidate.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); blocks in the order z, n: weight_ih (2 hidden_size,
        input_size), uniform after Glorot; weight_hh (2 hidden_size, hidden_size), two orthogonal matrices; bias_ih
        (2 hidden_size,), zero; norm_weight = g (2 hidden_size,), one, with layer normalisation only.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: there N is batch normalisation, by which a sequence's numbers would depend on the others
    of its batch; here it is layer normalisation, and off unless asked for. Without it the rectified units are not
    bounded.

    Reference:
        M. Ravanelli, P. Brakel, M. Omologo, Y. Bengio. Light gated recurrent units for speech recognition. IEEE
        Transactions on Emerging Topics in Computational Intelligence 2 (2018) 92-102.

    Example:
        >>> import torch
        >>> cell = LiGRU(3, 5, layer_norm=True)
        >>> y, state = cell(torch.randn(2, 3), cell.initial_state(2))
        >>> y.shape, bool((y >= 0).all())
        (torch.Size([2, 5]), True)
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 2)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    norm_weight: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        layer_norm: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.layer_norm = bool(layer_norm)
        norm = {"norm_weight": (2 * hidden_size,)} if self.layer_norm else {}
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(2 * hidden_size, input_size),
            weight_hh=(2 * hidden_size, hidden_size),
            bias_ih=(2 * hidden_size,),
            **norm,
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, as in the paper: Glorot for the input's, orthogonal for the recurrent ones."""
        n = self.hidden_size
        with torch.no_grad():
            for block in range(2):
                rows = slice(block * n, (block + 1) * n)
                nn.init.xavier_uniform_(self.weight_ih[rows])
                # The factorisation knows no number format below 32 bits.
                square = torch.empty_like(
                    self.weight_hh[rows], dtype=torch.promote_types(self.weight_hh.dtype, torch.float32)
                )
                self.weight_hh[rows] = nn.init.orthogonal_(square)
        if self.bias_ih is not None:
            nn.init.zeros_(self.bias_ih)
        if self.layer_norm:
            nn.init.ones_(self.norm_weight)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """N(W x) + b for the gate and the candidate."""
        if not self.layer_norm:
            return F.linear(x, self.weight_ih, self.bias_ih)
        size = (self.hidden_size,)
        parts = F.linear(x, self.weight_ih).chunk(2, -1)
        total = torch.cat([F.layer_norm(part, size) for part in parts], -1) * self.norm_weight
        return total if self.bias_ih is None else total + self.bias_ih

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from N(W x) + b on."""
        z, candidate = (projected + self.recur(state.h, self.weight_hh)).chunk(2, -1)
        candidate = torch.relu(candidate)
        h = candidate + torch.sigmoid(z) * (state.h - candidate)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", layer_norm=True" if self.layer_norm else "")
