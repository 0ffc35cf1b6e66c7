"""The recurrent multilayer perceptron."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.delay_line import check_order
from recurra.cells.state import HiddenState


class RecurrentMLP(Cell):
    """Recurrent multilayer perceptron: cascaded subnetworks, each feed-forward but for feedback in its last layer.

    Equations:
        subnetwork k = 1..K reads a_{k,0} = h_t^{k-1}, with h_t^0 = x_t:
        a_{k,l} = tanh(W_{k,l} a_{k,l-1} + b_{k,l})                       for its feed-forward layers l = 1..L
        h_t^k = tanh(W_{k,L+1} a_{k,L} + U_k h_{t-1}^k + b_{k,L+1}),      its last layer
        y_t = h_t^K.

    With L = 0 it is a stack of K simple recurrent networks.

    Args:
        input_size: features of x_t.
        hidden_size: units of every layer.
        bias: whether the biases exist.
        subnetworks: K.
        feedforward_layers: L, layers of each subnetwork before its last one; 0 is allowed.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, hidden_size), h (batch, K hidden_size), the subnetworks side by side;
        weight_k_l (hidden_size, features of what it reads) and bias_k_l (hidden_size,) for subnetwork k = 1..K and
        layer l = 1..L+1; weight_hh = U_1 to U_K one below the other (K hidden_size, hidden_size). All are drawn uniform
        in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size or the number of subnetworks is not positive, or the number of layers is negative.
        ShapeError: x or the state does not fit.

    Differs from the paper: all layers have one width and use tanh (the papers choose both layer by layer, and a linear
    output layer where the target needs one); there are no delay lines beside the feedback over one step.

    Reference:
        G. V. Puskorius, L. A. Feldkamp. Neurocontrol of nonlinear dynamical systems with Kalman filter trained
        recurrent networks. IEEE Transactions on Neural Networks 5 (1994) 279-297.
        K. Tutschku. Recurrent multilayer perceptrons for identification and control: the road to applications. Research
        report 118, Institute of Computer Science, University of Wuerzburg (1995).

    Example:
        >>> import torch
        >>> cell = RecurrentMLP(3, 5, subnetworks=2, feedforward_layers=1)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.h.shape, cell.weight_2_1.shape
        (torch.Size([4, 5]), torch.Size([4, 10]), torch.Size([5, 5]))
    """

    weight_hh: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        subnetworks: int = 2,
        feedforward_layers: int = 1,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.subnetworks = check_size(subnetworks, "subnetworks", "RecurrentMLP")
        self.feedforward_layers = check_order(feedforward_layers, "feedforward_layers", "RecurrentMLP", 0, "layers")
        shapes: dict[str, tuple[int, ...]] = {}
        for k in range(1, subnetworks + 1):
            for layer in range(1, feedforward_layers + 2):
                shapes[f"weight_{k}_{layer}"] = (hidden_size, input_size if k == layer == 1 else hidden_size)
                shapes[f"bias_{k}_{layer}"] = (hidden_size,)
        shapes["weight_hh"] = (subnetworks * hidden_size, hidden_size)
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.subnetworks * self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """The first subnetwork up to the feedback."""
        return self._feedforward(x, 1)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from the first subnetwork's feedback on."""
        size = self.hidden_size
        before, weights = state.h.split(size, -1), self.weight_hh.split(size)
        h = torch.tanh(projected + self.recur(before[0], weights[0]))
        layers = [h]
        for k in range(1, self.subnetworks):
            h = torch.tanh(self._feedforward(h, k + 1) + self.recur(before[k], weights[k]))
            layers.append(h)
        return h, HiddenState(torch.cat(layers, -1))

    def _feedforward(self, a: Tensor, k: int) -> Tensor:
        """Subnetwork k up to the feedback."""
        for layer in range(1, self.feedforward_layers + 2):
            a = F.linear(a, getattr(self, f"weight_{k}_{layer}"), getattr(self, f"bias_{k}_{layer}"))
            if layer <= self.feedforward_layers:
                a = torch.tanh(a)
        return a

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, subnetworks={self.subnetworks}, feedforward_layers={self.feedforward_layers}"
