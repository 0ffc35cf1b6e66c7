"""Recurrent highway network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, Gate, check_size
from recurra.cells.state import HiddenState


class RHN(Cell):
    """Recurrent highway network: several highway layers, one on the other, make up one step from state to state.

    Equations:
        s_0 = h_{t-1};  for l = 1 ... depth, with the terms in x_t for l = 1 only,
        n_l = tanh   (W_in x_t + W_hn,l s_{l-1} + b_n,l)      the new value
        z_l = sigmoid(W_iz x_t + W_hz,l s_{l-1} + b_z,l)      transform gate
        k_l = 1 - z_l, or with coupled=False sigmoid(W_ik x_t + W_hk,l s_{l-1} + b_k,l)      carry gate
        s_l = n_l * z_l + s_{l-1} * k_l
        h_t = s_depth,  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        depth: highway layers in a step.
        coupled: whether the carry gate is the transform gate's complement.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size). With g = 2 blocks in the order n, z, or 3 in the order n,
        z, k: weight_ih (g hidden_size, input_size); weight_hh (g depth hidden_size, hidden_size) and bias_ih (g depth
        hidden_size,), in each block one layer after the other. All are drawn uniform in +-1/sqrt(hidden_size), but for
        b_z, which begins at -2, so that a step at first keeps most of the state.

    Raises:
        UsageError: a size or the depth is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the value -2 is that of its experiments on the Penn Treebank; others there begin at -4.
    Its dropout, the same mask for all steps and layers, is the layers' `recurrent_dropout`.

    Reference:
        J. G. Zilly, R. K. Srivastava, J. Koutnik, J. Schmidhuber. Recurrent highway networks. ICML (2017) 4189-4198.

    Example:
        >>> import torch
        >>> cell = RHN(3, 5, depth=4)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, cell.weight_hh.shape
        (torch.Size([2, 5]), torch.Size([40, 5]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        depth: int = 3,
        coupled: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.depth = check_size(depth, "depth", "RHN")
        self.coupled = bool(coupled)
        self.blocks = 2 if coupled else 3
        # Uncoupled, the carry gate keeps and the transform gate writes; coupled, the transform gate does both.
        self.keep_gate = Gate("bias_ih", 1, 2, sign=-1) if coupled else Gate("bias_ih", 2, 3)  # type: ignore[misc]
        self.write_gate = None if coupled else Gate("bias_ih", 1, 3)  # type: ignore[misc]
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(self.blocks * hidden_size, input_size),
            weight_hh=(self.blocks * depth * hidden_size, hidden_size),
            bias_ih=(self.blocks * depth * hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in +-1/sqrt(hidden_size), and set b_z to -2."""
        super().reset_parameters()
        if self.bias_ih is not None:
            nn.init.constant_(self.bias_ih.chunk(self.blocks)[1], -2.0)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x, which the first layer sees."""
        return F.linear(x, self.weight_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x on."""
        size = self.hidden_size
        weights = self.weight_hh.unflatten(0, (self.blocks, self.depth, size))
        biases = None if self.bias_ih is None else self.bias_ih.unflatten(0, (self.blocks, self.depth, size))
        s = state.h
        for layer in range(self.depth):
            bias = None if biases is None else biases[:, layer].flatten()
            total = self.recur(s, weights[:, layer].flatten(0, 1), bias)
            gates = (total + projected if layer == 0 else total).chunk(self.blocks, -1)
            new, z = torch.tanh(gates[0]), torch.sigmoid(gates[1])
            s = s + z * (new - s) if self.coupled else new * z + s * torch.sigmoid(gates[2])
        return s, HiddenState(s)

    def extra_repr(self) -> str:
        depth = "" if self.depth == 3 else f", depth={self.depth}"
        return super().extra_repr() + depth + ("" if self.coupled else ", coupled=False")
