"""Minimal gated unit and its three simplified variants."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class MGU(Cell):
    """Minimal gated unit: a gated recurrent unit whose one gate both resets and updates.

    Equations:
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)      variant 0: the minimal gated unit
        f_t = sigmoid(U_f h_{t-1} + b_f)                variant 1
        f_t = sigmoid(U_f h_{t-1})                      variant 2
        f_t = sigmoid(b_f)                              variant 3
        n_t = tanh(W x_t + U (f_t * h_{t-1}) + b)
        h_t = (1 - f_t) * h_{t-1} + f_t * n_t,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist; variant 3 needs them.
        variant: 0 for the full gate, or 1, 2 or 3 for a gate that sees less.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); blocks in the order f, n: weight_ih (2 hidden_size,
        input_size), but W alone (hidden_size, input_size) in variants 1 to 3; weight_hh (2 hidden_size, hidden_size),
        but U alone in variant 3; bias_ih (2 hidden_size,), but b alone in variant 2.

    Raises:
        UsageError: a size is not positive, the variant is none of the four, or variant 3 is to have no biases.
        ShapeError: x or the state does not fit.

    Differs from the paper: in nothing.

    Reference:
        G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou. Minimal gated unit for recurrent neural networks. International
        Journal of Automation and Computing 13 (2016) 226-234.
        J. C. Heck, F. M. Salem. Simplified minimal gated unit variations for recurrent neural networks. IEEE
        International Midwest Symposium on Circuits and Systems (2017) 1593-1596.

    Example:
        >>> import torch
        >>> [sum(w.numel() for w in MGU(3, 5, variant=v).parameters()) for v in (0, 1, 2, 3)]
        [90, 75, 70, 50]
    """

    keep_gate: ClassVar[Gate | None] = Gate("bias_ih", 0, 2, sign=-1)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        variant: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        if isinstance(variant, bool) or variant not in (0, 1, 2, 3):
            raise UsageError(f"variant is {variant!r}", where="MGU", need="0, 1, 2 or 3")
        if variant == 3 and not bias:
            raise UsageError("bias is False", where="MGU", need="True, as the gate of variant 3 is a bias alone")
        self.variant = variant
        if variant == 2:
            # Its gate has no bias by which an initialiser could open it.
            self.keep_gate = None  # type: ignore[misc]
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=((2 if variant == 0 else 1) * hidden_size, input_size),
            weight_hh=((1 if variant == 3 else 2) * hidden_size, hidden_size),
            bias_ih=((1 if variant == 2 else 2) * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for the candidate, in the full unit after the same for the gate."""
        bias = self.bias_ih
        if bias is not None and self.variant != 0:
            bias = bias[-self.hidden_size :]
        return F.linear(x, self.weight_ih, bias)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        h, n = state.h, self.hidden_size
        of_gate = None if self.bias_ih is None or self.variant in (0, 2) else self.bias_ih[:n]
        gate = of_gate if self.variant == 3 else self.recur(h, self.weight_hh[:n], of_gate)
        assert gate is not None
        if self.variant == 0:
            gate = gate + projected[..., :n]
        f = torch.sigmoid(gate)
        candidate = torch.tanh(projected[..., -n:] + self.recur(f * h, self.weight_hh[-n:]))
        h = h + f * (candidate - h)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", variant={self.variant}" if self.variant else "")
