"""The three mutated gated units that a search over ten thousand architectures found."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class MUT(Cell):
    """Mutated gated recurrent unit: one of the three best cells of an evolutionary search around GRU and LSTM.

    Equations:
        z_t = sigmoid(W_z x_t + b_z)                              MUT1
        z_t = sigmoid(W_z x_t + U_z h_{t-1} + b_z)                MUT2
        z_t = sigmoid(W_z x_t + U_z tanh(h_{t-1}) + b_z)          MUT3
        r_t = sigmoid(W_r x_t + U_r h_{t-1} + b_r)
        n_t = tanh(U (r_t * h_{t-1}) + tanh(W x_t) + b)           MUT1
        n_t = tanh(U (r_t * h_{t-1}) + W x_t + b)                 MUT2, MUT3
        h_t = z_t * n_t + (1 - z_t) * h_{t-1},  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        variant: 1, 2 or 3.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); blocks in the order z, r, n: weight_ih (3 hidden_size,
        input_size), weight_hh (3 hidden_size, hidden_size), but without the block of z (2 hidden_size, hidden_size) in
        MUT1, bias_ih (3 hidden_size,).

    Raises:
        UsageError: a size is not positive, or the variant is none of the three.
        ShapeError: x or the state does not fit.

    Differs from the paper: there x_t enters MUT1's candidate and MUT2's reset gate without weights, which needs as many
    features as hidden units; here it enters by W and W_r, which make the paper's cell when they are the identity. With
    other W_r, MUT2 is the gated recurrent unit with the reset gate before the product.

    Reference:
        R. Jozefowicz, W. Zaremba, I. Sutskever. An empirical exploration of recurrent network architectures. ICML
        (2015) 2342-2350.

    Example:
        >>> import torch
        >>> cell = MUT(3, 5, variant=1)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, cell.weight_hh.shape
        (torch.Size([2, 5]), torch.Size([10, 5]))
    """

    keep_gate: ClassVar[Gate] = Gate("bias_ih", 0, 3, sign=-1)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        variant: int = 1,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if isinstance(variant, bool) or variant not in (1, 2, 3):
            raise UsageError(f"variant is {variant!r}", where="MUT", need="1, 2 or 3")
        self.variant = variant
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=((2 if variant == 1 else 3) * hidden_size, hidden_size),
            bias_ih=(3 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What x and the biases add to z, to r and to the candidate."""
        if self.variant > 1:
            z, r, candidate = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
            return z, r, candidate
        z, r, candidate = F.linear(x, self.weight_ih).chunk(3, -1)
        candidate = torch.tanh(candidate)
        if self.bias_ih is None:
            return z, r, candidate
        b_z, b_r, b = self.bias_ih.chunk(3)
        return z + b_z, r + b_r, candidate + b

    def advance(self, projected: tuple[Tensor, Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from what x adds on."""
        z, r, candidate = projected
        h, n = state.h, self.hidden_size
        if self.variant > 1:
            z = z + self.recur(h if self.variant == 2 else torch.tanh(h), self.weight_hh[:n])
        r = r + self.recur(h, self.weight_hh[-2 * n : -n])
        candidate = torch.tanh(candidate + self.recur(torch.sigmoid(r) * h, self.weight_hh[-n:]))
        h = h + torch.sigmoid(z) * (candidate - h)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, variant={self.variant}"
