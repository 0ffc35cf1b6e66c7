"""Shuffling recurrent network: a permutation for a recurrent matrix."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import HiddenState


class SRNN(Cell):
    """Shuffling recurrent network: the hidden units change places, and a gated network of the input is added.

    Equations:
        b(x) = (U relu(... relu(W_1 x + b_1) ...) + b_U) * sigmoid(W_g x + b_g)
        h_t = relu(P h_{t-1} + b(x_t)),  y_t = h_t;  P moves each unit to the next place, the last to the first.

    A permutation keeps every length, so that the gradient neither grows nor, where units are active, shrinks.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        network_size: units of each layer of the network of the input.
        network_layers: its layers before U.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W_1 (network_size, input_size), weight_network
        (network_layers - 1, network_size, network_size) and bias_network (network_layers - 1, network_size) where there
        are more layers, weight_out = U (hidden_size, network_size), weight_gate = W_g (hidden_size, input_size),
        bias_ih (network_size,), bias_out and bias_gate (hidden_size,). Drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size or a number of layers is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the permutation is the cyclic shift, as in the authors' code; the paper allows any. First
    values of the weights are the library's.

    Reference:
        M. Rotman, L. Wolf. Shuffling recurrent neural networks. AAAI 35 (2021) 9428-9435.

    Example:
        >>> cell = SRNN(3, 5)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape
        torch.Size([2, 5])
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    weight_network: Tensor | None
    weight_out: Tensor
    weight_gate: Tensor
    bias_ih: Tensor | None
    bias_network: Tensor | None
    bias_out: Tensor | None
    bias_gate: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        network_size: int = 64,
        network_layers: int = 1,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.network_size = check_size(network_size, "network_size", "SRNN")
        self.network_layers = check_size(network_layers, "network_layers", "SRNN")
        more = network_layers - 1
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (network_size, input_size),
            "bias_ih": (network_size,),
            "weight_out": (hidden_size, network_size),
            "bias_out": (hidden_size,),
            "weight_gate": (hidden_size, input_size),
            "bias_gate": (hidden_size,),
        }
        if more:
            shapes |= {"weight_network": (more, network_size, network_size), "bias_network": (more, network_size)}
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """b(x)."""
        inner = torch.relu(F.linear(x, self.weight_ih, self.bias_ih))
        if self.network_layers > 1 and self.weight_network is not None:
            for layer, weight in enumerate(self.weight_network):
                inner = torch.relu(
                    F.linear(inner, weight, None if self.bias_network is None else self.bias_network[layer])
                )
        gate = torch.sigmoid(F.linear(x, self.weight_gate, self.bias_gate))
        return F.linear(inner, self.weight_out, self.bias_out) * gate

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The shuffle, and b(x) added."""
        h = torch.relu(torch.roll(state.h, 1, -1) + projected)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, network_size={self.network_size}, network_layers={self.network_layers}"
