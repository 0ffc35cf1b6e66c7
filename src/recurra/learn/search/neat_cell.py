"""A network of NEAT as a cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import HiddenState
from recurra.errors import ShapeError, UsageError

STEEPNESS = 4.9
"""Slope of the logistic function of the paper."""


class NeatCell(Cell):
    """A recurrent network of any graph: every connection takes one time step, and the first nodes are the outputs.

    Equations:
        h_t = f(W_ih x_t + W_hh h_{t-1} + b),  y_t = the first `output_size` nodes of h_t,
        f(z) = 1 / (1 + exp(-steepness z)), or tanh(z); weights of connections that do not exist are held at 0.

    Args:
        input_size: features of x_t.
        hidden_size: nodes, outputs included.
        output_size: outputs; all nodes when absent.
        nonlinearity: "logistic" or "tanh".
        steepness: slope of the logistic function.
        connections: which connections exist, (hidden_size, input_size + hidden_size + 1): from the inputs, the nodes
            and the bias; all when absent. What does not exist stays 0 and has a gradient of 0, so that a network that
            was found by a search can be trained on by any rule.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h (batch, hidden_size), y (batch, output_size); weight_ih (hidden_size, input_size),
        weight_hh (hidden_size, hidden_size), bias_ih (hidden_size,), drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, more outputs than nodes, or an unknown nonlinearity.
        ShapeError: x, the state or `connections` does not fit.

    Differs from the paper: all nodes are updated at once from the last step's values, hidden nodes on the way from an
    input to an output included, as in the program that its author published. A hidden node so delays by one step.

    Reference:
        K. O. Stanley, R. Miikkulainen. Evolving neural networks through augmenting topologies. Evolutionary
        Computation 10 (2002) 99-127.

    Example:
        >>> import torch
        >>> cell = NeatCell(3, 4, output_size=1)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.h.shape
        (torch.Size([2, 1]), torch.Size([2, 4]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    connections: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        nonlinearity: str = "logistic",
        steepness: float = STEEPNESS,
        connections: Tensor | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, output_size)
        if check_size(self.output_size, "output_size", "NeatCell") > hidden_size:
            given = f"output_size is {output_size!r} and hidden_size {hidden_size!r}"
            raise UsageError(given, where="NeatCell", need="at most as many outputs as nodes")
        if nonlinearity not in ("logistic", "tanh"):
            raise UsageError(f"nonlinearity is {nonlinearity!r}", where="NeatCell", need="'logistic' or 'tanh'")
        self.nonlinearity, self.steepness = nonlinearity, float(steepness)
        self._weights(
            True,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
        )
        if connections is not None:
            need = (hidden_size, input_size + hidden_size + 1)
            if connections.shape != need:
                given = f"connections has shape {tuple(connections.shape)}"
                raise ShapeError(given, where="NeatCell", need=f"{need}, nodes by inputs, nodes and bias")
            connections = connections.to(self.weight_ih)
        self.register_buffer("connections", connections)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_ih x + b."""
        if self.connections is None:
            return F.linear(x, self.weight_ih, self.bias_ih)
        exists = self.connections
        return F.linear(x, self.weight_ih * exists[:, : self.input_size], self.bias_ih * exists[:, -1])

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_ih x + b on."""
        weight = self.weight_hh
        if self.connections is not None:
            weight = weight * self.connections[:, self.input_size : -1]
        total = projected + self.recur(state.h, weight)
        h = torch.tanh(total) if self.nonlinearity == "tanh" else torch.sigmoid(self.steepness * total)
        return h[..., : self.output_size], HiddenState(h)

    def extra_repr(self) -> str:
        existing = "" if self.connections is None else f", connections={int(self.connections.sum())}"
        return f"{super().extra_repr()}, output_size={self.output_size}{existing}"


def cell_of(weights: Tensor, inputs: int, outputs: int, nodes: int, nonlinearity: str = "logistic") -> NeatCell:
    """The cell of a row of weights, without the nodes from which no output can be reached.

    Args:
        weights: (nodes inputs + nodes nodes + nodes,), in the order of `NeatCell`'s parameters.
        inputs, outputs, nodes: of the network.
        nonlinearity: as in `NeatCell`.
    """
    seen, back, bias = weights.split([nodes * inputs, nodes * nodes, nodes])
    seen, back = seen.reshape(nodes, inputs), back.reshape(nodes, nodes)
    heard = torch.arange(nodes) < outputs
    for _ in range(nodes):
        heard = heard | (back[heard] != 0).any(0)
    rows = heard.nonzero().squeeze(1)
    seen, back, bias = seen[rows], back[rows][:, rows], bias[rows]
    connections = torch.cat([seen, back, bias.unsqueeze(1)], 1) != 0
    with torch.random.fork_rng(devices=[]):  # its first weights are overwritten, and draw from the global generator
        cell = NeatCell(inputs, len(rows), outputs, nonlinearity, connections=connections, dtype=weights.dtype)
    with torch.no_grad():
        cell.weight_ih.copy_(seen)
        cell.weight_hh.copy_(back)
        cell.bias_ih.copy_(bias)
    return cell
