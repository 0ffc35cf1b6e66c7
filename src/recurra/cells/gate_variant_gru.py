"""Gated recurrent units whose gates see less: the three gate variants of Dey and Salem."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class GateVariantGRU(Cell):
    """Gated recurrent unit with fewer weights: its two gates do not see the input, and in part see even less.

    Equations:
        r_t = sigmoid(U_r h_{t-1} + b_r),  z_t = sigmoid(U_z h_{t-1} + b_z)      GRU1: state and bias
        r_t = sigmoid(U_r h_{t-1}),        z_t = sigmoid(U_z h_{t-1})            GRU2: state alone
        r_t = sigmoid(b_r),                z_t = sigmoid(b_z)                    GRU3: bias alone
        n_t = tanh(W x_t + U (r_t * h_{t-1}) + b)
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist; the third variant needs them.
        variant: 1, 2 or 3.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh
        (3 hidden_size, hidden_size) in the order r, z, n, in the third variant U alone (hidden_size, hidden_size);
        bias_ih (3 hidden_size,) in the same order, in the second variant b alone (hidden_size,).

    Raises:
        UsageError: a size is not positive, the variant is none of the three, or the third is to have no biases.
        ShapeError: x or the state does not fit.

    Differs from the paper: the candidate's function is tanh, where the paper also allows ReLU. As in the paper z_t
    weighs the new value, where in `GRU` here it weighs the old one.

    Reference:
        R. Dey, F. M. Salem. Gate-variants of gated recurrent unit (GRU) neural networks. IEEE International Midwest
        Symposium on Circuits and Systems (2017) 1597-1600.

    Example:
        >>> import torch
        >>> [sum(w.numel() for w in GateVariantGRU(3, 5, variant=v).parameters()) for v in (1, 2, 3)]
        [105, 95, 55]
    """

    keep_gate: ClassVar[Gate | None] = Gate("bias_ih", 1, 3, sign=-1)
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
            raise UsageError(f"variant is {variant!r}", where="GateVariantGRU", need="1, 2 or 3")
        if variant == 3 and not bias:
            raise UsageError(
                "bias is False", where="GateVariantGRU", need="True, as the gates of variant 3 are made of biases alone"
            )
        self.variant = variant
        if variant == 2:
            # Its gates have no bias by which an initialiser could open them.
            self.keep_gate = None  # type: ignore[misc]
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=((1 if variant == 3 else 3) * hidden_size, hidden_size),
            bias_ih=((1 if variant == 2 else 3) * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for the candidate; the gates do not see x."""
        return F.linear(x, self.weight_ih, None if self.bias_ih is None else self.bias_ih[-self.hidden_size :])

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        h, n = state.h, self.hidden_size
        of_gates = None if self.bias_ih is None or self.variant == 2 else self.bias_ih[: 2 * n]
        gates = of_gates if self.variant == 3 else self.recur(h, self.weight_hh[: 2 * n], of_gates)
        assert gates is not None
        r, z = torch.sigmoid(gates).chunk(2, -1)
        candidate = torch.tanh(projected + self.recur(r * h, self.weight_hh[-n:]))
        h = h + z * (candidate - h)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, variant={self.variant}"
