"""Gated recurrent unit with layer normalisation."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.layer_norm_lstm import normalised, reset_normalised
from recurra.cells.state import HiddenState


class LayerNormGRU(Cell):
    """Gated recurrent unit with layer normalisation of the gates' and the candidate's products, each for itself.

    Equations:
        N(a; v, b) = v * (a - mean(a)) / sqrt(var(a) + eps) + b, mean and variance over the whole vector a
        (r, z) = N(W_ig x_t; v_ig, b_ig) + N(W_hg h_{t-1}; v_hg, b_hg), both gates normalised as one vector
        n_t = tanh(N(W_in x_t; v_in, b_in) + sigmoid(r) * N(W_hn h_{t-1}; v_hn, b_hn))
        h_t = (1 - sigmoid(z)) * h_{t-1} + sigmoid(z) * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the vectors b exist.
        eps: added to the variances.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size). weight_ih (3 hidden_size, input_size), weight_hh
        (3 hidden_size, hidden_size), both drawn uniform in +-1/sqrt(hidden_size); gain_ih and gain_hh (3 hidden_size,),
        1 at first; bias_ih and bias_hh (3 hidden_size,), 0 at first; all in the order r, z, n.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the reset gate stands before the update gate; eps is not in the paper's equations. As in the
    paper, and unlike `GRU`, an open update gate takes the new value.

    Reference:
        J. L. Ba, J. R. Kiros, G. E. Hinton. Layer normalization. arXiv:1607.06450 (2016), supplementary material.

    Example:
        >>> import torch
        >>> cell = LayerNormGRU(3, 5)
        >>> y, state = cell(torch.randn(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    keep_gate: ClassVar[Gate] = Gate("bias_hh", 1, 3, sign=-1)
    weight_ih: Tensor
    weight_hh: Tensor
    gain_ih: Tensor
    gain_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        eps: float = 1e-5,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.eps = eps
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(3 * hidden_size, hidden_size),
            gain_ih=(3 * hidden_size,),
            gain_hh=(3 * hidden_size,),
            bias_ih=(3 * hidden_size,),
            bias_hh=(3 * hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw the matrices anew, uniform in +-1/sqrt(hidden_size); gains become 1 and biases 0."""
        reset_normalised(self)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """The normalised products of x for the gates and the candidate."""
        return self._normalised(F.linear(x, self.weight_ih), self.gain_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from the normalised products of x on."""
        recurrent = self._normalised(self.recur(state.h, self.weight_hh), self.gain_hh, self.bias_hh)
        n = self.hidden_size
        r, z = torch.sigmoid(projected[..., : 2 * n] + recurrent[..., : 2 * n]).chunk(2, -1)
        candidate = torch.tanh(projected[..., 2 * n :] + r * recurrent[..., 2 * n :])
        h = state.h + z * (candidate - state.h)
        return h, HiddenState(h)

    def _normalised(self, a: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
        """The part of the gates and the part of the candidate, each normalised for itself."""
        gates = 2 * self.hidden_size
        for_gates, for_candidate = (None, None) if bias is None else (bias[:gates], bias[gates:])
        parts = [
            normalised(a[..., :gates], gain[:gates], for_gates, self.eps),
            normalised(a[..., gates:], gain[gates:], for_candidate, self.eps),
        ]
        return torch.cat(parts, -1)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.eps == 1e-5 else f", eps={self.eps}")
