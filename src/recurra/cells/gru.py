"""Gated recurrent unit, with the reset gate before or after the recurrent product."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate
from recurra.cells.state import HiddenState


class GRU(Cell):
    """Gated recurrent unit: each hidden unit moves from its last value to a new one as far as its gate lets it.

    Equations:
        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)      reset gate
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)      update gate
        n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))      with reset_after=True
        n_t = tanh(W_in x_t + b_in + W_hn (r_t * h_{t-1}) + b_hn)      with reset_after=False
        h_t = (1 - z_t) * n_t + z_t * h_{t-1},  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        reset_after: whether the reset gate acts after the recurrent product (as in cuDNN and torch.nn, and quicker) or
            before it (as in the paper).
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih (3 hidden_size, input_size), weight_hh
        (3 hidden_size, hidden_size), bias_ih and bias_hh (3 hidden_size,), the gates in the order r, z, n. Names,
        shapes and first values as in torch.nn.GRUCell.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper writes no biases, and has the reset gate before the product; its first version on
    arXiv has it after the product, as here with reset_after=True.

    Reference:
        K. Cho et al. Learning phrase representations using RNN encoder-decoder for statistical machine translation.
        EMNLP (2014) 1724-1734.

    Example:
        >>> import torch
        >>> cell = GRU(3, 5, reset_after=False)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    keep_gate: ClassVar[Gate] = Gate("bias_hh", 1, 3)
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        reset_after: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.reset_after = bool(reset_after)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(3 * hidden_size, hidden_size),
            bias_ih=(3 * hidden_size,),
            bias_hh=(3 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b_ih for both gates and the candidate."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b_ih on."""
        h, n = state.h, self.hidden_size
        if self.reset_after:
            recurrent = self.recur(h, self.weight_hh, self.bias_hh)
            r, z = torch.sigmoid(projected[..., : 2 * n] + recurrent[..., : 2 * n]).chunk(2, -1)
            candidate = torch.tanh(projected[..., 2 * n :] + r * recurrent[..., 2 * n :])
        else:
            bias = self.bias_hh
            for_gates, for_candidate = (None, None) if bias is None else (bias[: 2 * n], bias[2 * n :])
            gates = projected[..., : 2 * n] + self.recur(h, self.weight_hh[: 2 * n], for_gates)
            r, z = torch.sigmoid(gates).chunk(2, -1)
            recurrent = self.recur(r * h, self.weight_hh[2 * n :], for_candidate)
            candidate = torch.tanh(projected[..., 2 * n :] + recurrent)
        h = candidate + z * (h - candidate)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
