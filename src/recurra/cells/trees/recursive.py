"""The plain recursive network, trained by back-propagation through structure."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import check_size
from recurra.cells.join import JoinCell
from recurra.cells.state import HiddenState
from recurra.cells.trees.leaves import check_leaf, leaf_shapes
from recurra.cells.trees.nonlinearity import NONLINEARITIES, check_nonlinearity


class RecursiveNetwork(JoinCell):
    """Recursive network: one and the same layer joins a node's children, at every node of a tree.

    Equations:
        h = f(W_hh [h_1; ...; h_N] + b_hh)      at a node with children
        h = f(W_ih x + b_ih)                    at a leaf, or h = x with leaf="identity"
        y = h,  f = tanh, logistic function or ReLU.

    Args:
        input_size: features of a leaf's x; x is not read at inner nodes.
        hidden_size: hidden units of a node.
        max_children: N; nodes may have fewer, and zeros stand for those that are missing, after the others.
        bias: whether b_ih and b_hh exist.
        nonlinearity: "tanh", "sigmoid" or "relu".
        leaf: "project", or "identity" to take x itself for a leaf's hidden units; then input_size is hidden_size.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (nodes, input_size), h and y (nodes, hidden_size), the children's h (nodes, max_children, hidden_size);
        weight_ih (hidden_size, input_size) and bias_ih (hidden_size,), which are there with leaf="project" only,
        weight_hh (hidden_size, max_children * hidden_size), bias_hh (hidden_size,).

    Raises:
        UsageError: a size is not positive, or an argument is none of the words named.
        ShapeError: x, the children's states or present does not fit.

    Differs from the paper: a node's score and its class are left to other modules. Goller and Kuechler have the
    logistic function, and labels at inner nodes too; Socher et al. have inputs at the leaves alone, as here.

    Reference:
        C. Goller, A. Kuechler. Learning task-dependent distributed representations by backpropagation through
        structure. International Conference on Neural Networks (1996) 347-352.
        R. Socher, C. C. Lin, A. Y. Ng, C. D. Manning. Parsing natural scenes and natural language with recursive neural
        networks. International Conference on Machine Learning (2011) 129-136.

    Example:
        >>> import torch
        >>> from recurra.fold import Forest, fold
        >>> y = fold(RecursiveNetwork(3, 5), Forest([(1, 2), (), ()]), torch.zeros(3, 3)).y
        >>> y.shape
        torch.Size([3, 5])
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        max_children: int = 2,
        bias: bool = True,
        nonlinearity: str = "tanh",
        leaf: str = "project",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, check_size(max_children, "max_children", type(self).__name__))
        check_leaf(self, leaf)
        self.nonlinearity, self.leaf = check_nonlinearity(nonlinearity, "RecursiveNetwork"), leaf
        joined = {"weight_hh": (hidden_size, max_children * hidden_size), "bias_hh": (hidden_size,)}
        self._weights(bias, device, dtype, **leaf_shapes(self), **joined)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros, which stand for a child that is missing."""
        return HiddenState(self._zeros(batch_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """What x gives as a leaf."""
        if self.leaf == "identity":
            return x
        return NONLINEARITIES[self.nonlinearity](F.linear(x, self.weight_ih, self.bias_ih))

    def advance(self, projected: Tensor, states: HiddenState, present: Tensor) -> tuple[Tensor, HiddenState]:
        """The leaf's value, or the layer over the children."""
        joined = NONLINEARITIES[self.nonlinearity](F.linear(states.h.flatten(1), self.weight_hh, self.bias_hh))
        h = torch.where(present.any(1, keepdim=True), joined, projected)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        words = f"max_children={self.slots}, nonlinearity={self.nonlinearity!r}, leaf={self.leaf!r}"
        return f"{super().extra_repr()}, {words}"
