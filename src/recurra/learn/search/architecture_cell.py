"""A cell whose step is a graph of expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.lstm import LSTMState
from recurra.cells.state import HiddenState
from recurra.errors import UsageError
from recurra.learn.search.architecture_graph import CellGraph, H, X


class GraphCell(Cell):
    """A cell whose step is given as a `CellGraph`: an architecture that a search proposes, or one's own.

    Equations:
        those that `print(graph)` shows; y_t = h_t. Every "linear" of the graph has a matrix and a bias of its own.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units, and memory cells where the graph has them.
        graph: the step.
        bias: whether the linear nodes have biases.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h, c and y (batch, hidden_size); one block of rows a linear node: weight_ih (blocks
        hidden_size, input_size) for those of x, weight_hh (blocks hidden_size, hidden_size) for the others, grouped by
        the value that they take; bias_ih and bias_hh accordingly. All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or the output of the graph does not depend on x.
        ShapeError: x or the state does not fit.

    Differs from the paper: x enters by a matrix only, as it may have another size than the hidden units; there it may
    enter without. The forget gate's bias is not raised by itself.

    Reference:
        R. Jozefowicz, W. Zaremba, I. Sutskever. An empirical exploration of recurrent network architectures. ICML
        (2015) 2342-2350.

    Example:
        >>> import torch
        >>> from recurra.learn.search.architecture_graph import lstm_graph
        >>> cell = GraphCell(3, 5, lstm_graph())
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.c.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        graph: CellGraph,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.graph = graph
        needed = graph.needed()
        if X not in needed:
            raise UsageError("the output of the graph does not depend on x", where="GraphCell", need="one that does")
        # Blocks of rows: those of x, and one run of blocks for each other value that linear nodes take, so that one
        # product serves them all. What the output does not need has no weights.
        self._of_x: list[int] = []
        self._of_value: dict[int, list[int]] = {}
        for value, node in graph.numbered():
            if value in needed and node.operation == "linear":
                own = self._of_x if node.inputs[0] == X else self._of_value.setdefault(node.inputs[0], [])
                own.append(value)
        self._order = [value for value, _ in graph.numbered() if value in needed]
        recurrent = hidden_size * sum(len(blocks) for blocks in self._of_value.values())
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(len(self._of_x) * hidden_size, input_size),
            weight_hh=(recurrent, hidden_size),
            bias_ih=(len(self._of_x) * hidden_size,),
            bias_hh=(recurrent,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState | LSTMState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return HiddenState(zeros) if self.graph.states == 1 else LSTMState(zeros, zeros.clone())

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """The linear nodes of x."""
        return F.linear(x, self.weight_ih, self.bias_ih).chunk(len(self._of_x), -1)

    def advance(
        self, projected: tuple[Tensor, ...], state: HiddenState | LSTMState
    ) -> tuple[Tensor, HiddenState | LSTMState]:
        """The rest of the graph."""
        found = dict(enumerate(state, H)) | dict(zip(self._of_x, projected, strict=True))
        first = 0
        starts = {}
        for value, blocks in self._of_value.items():
            starts[value] = first
            first += len(blocks) * self.hidden_size
        for value in self._order:
            if value in found:
                continue
            node = self.graph.node(value)
            assert node is not None
            parts = [found[number] for number in node.inputs]
            if node.operation == "linear":
                source = node.inputs[0]
                found |= self._products(source, parts[0], starts[source])
            else:
                found[value] = OPERATIONS[node.operation](*parts)
        after = [found.get(value) for value in self.graph.results]
        h = after[0]
        assert h is not None
        if isinstance(state, HiddenState):
            return h, HiddenState(h)
        # A memory that the output does not need stays as it is.
        return h, LSTMState(h, state.c if after[1] is None else after[1])

    def _products(self, source: int, value: Tensor, first: int) -> dict[int, Tensor]:
        """All linear nodes of one value, as one product."""
        blocks = self._of_value[source]
        rows = slice(first, first + len(blocks) * self.hidden_size)
        bias = None if self.bias_hh is None else self.bias_hh[rows]
        products = self.recur(value, self.weight_hh[rows], bias).chunk(len(blocks), -1)
        nodes = [self.graph.node(block) for block in blocks]
        return {
            block: product + node.scale * value if node is not None and node.scale else product
            for block, product, node in zip(blocks, products, nodes, strict=True)
        }

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nodes={len(self.graph.nodes)}"


OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
}
