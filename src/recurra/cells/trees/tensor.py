"""The recursive neural tensor network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import check_size
from recurra.cells.join import JoinCell
from recurra.cells.state import HiddenState
from recurra.cells.trees.leaves import check_leaf, leaf_shapes


class RecursiveTensorNetwork(JoinCell):
    """Recursive neural tensor network: children are joined by a bilinear form, so that one can act upon the other.

    Equations:
        c = [h_1; ...; h_N]
        h_k = tanh(c^T V_k c + (W_hh c + b_hh)_k)      at a node with children, k = 1, ..., hidden_size
        h = tanh(W_ih x + b_ih)                        at a leaf, or h = x with leaf="identity"
        y = h.

    Args:
        input_size: features of a leaf's x; x is not read at inner nodes.
        hidden_size: hidden units of a node.
        max_children: N; nodes may have fewer, and zeros stand for those that are missing, after the others.
        bias: whether b_ih and b_hh exist.
        leaf: "project", or "identity" to take x itself for a leaf's hidden units; then input_size is hidden_size.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (nodes, input_size), h and y (nodes, hidden_size), the children's h (nodes, max_children, hidden_size);
        weight_ih (hidden_size, input_size) and bias_ih (hidden_size,), which are there with leaf="project" only,
        weight_hh (hidden_size, max_children * hidden_size), bias_hh (hidden_size,), weight_hhh (hidden_size,
        max_children * hidden_size, max_children * hidden_size), drawn uniform in +-1/(4 hidden_size).

    Raises:
        UsageError: a size is not positive, or leaf is neither of the two.
        ShapeError: x, the children's states or present does not fit.

    Differs from the paper: the paper has two children and leaf="identity", and leaves the bias out of its equations; a
    node's class is left to another module.

    Reference:
        R. Socher, A. Perelygin, J. Wu, J. Chuang, C. D. Manning, A. Ng, C. Potts. Recursive deep models for semantic
        compositionality over a sentiment treebank. Empirical Methods in Natural Language Processing (2013) 1631-1642.

    Example:
        >>> import torch
        >>> from recurra.fold import Forest, fold
        >>> y = fold(RecursiveTensorNetwork(3, 5), Forest([(1, 2), (), ()]), torch.zeros(3, 3)).y
        >>> y.shape
        torch.Size([3, 5])
    """

    weight_ih: Tensor
    weight_hh: Tensor
    weight_hhh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        max_children: int = 2,
        bias: bool = True,
        leaf: str = "project",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, check_size(max_children, "max_children", type(self).__name__))
        check_leaf(self, leaf)
        self.leaf = leaf
        width = max_children * hidden_size
        shapes = {
            **leaf_shapes(self),
            "weight_hh": (hidden_size, width),
            "bias_hh": (hidden_size,),
            "weight_hhh": (hidden_size, width, width),
        }
        self._weights(bias, device, dtype, **shapes)

    def reset_parameters(self) -> None:
        """Draw all weights anew: the tensor uniform in +-1/(4 hidden_size), the rest in +-1/sqrt(hidden_size)."""
        super().reset_parameters()
        bound = 1.0 / (4.0 * self.hidden_size)
        nn.init.uniform_(self.weight_hhh, -bound, bound)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros, which stand for a child that is missing."""
        return HiddenState(self._zeros(batch_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """What x gives as a leaf."""
        return x if self.leaf == "identity" else torch.tanh(F.linear(x, self.weight_ih, self.bias_ih))

    def advance(self, projected: Tensor, states: HiddenState, present: Tensor) -> tuple[Tensor, HiddenState]:
        """The leaf's value, or the form over the children."""
        children = states.h.flatten(1)
        # V_k c for all k as one matrix product, then the inner product with c.
        half = F.linear(children, self.weight_hhh.flatten(0, 1)).unflatten(1, (self.hidden_size, children.shape[1]))
        form = (half * children.unsqueeze(1)).sum(-1)
        joined = torch.tanh(form + F.linear(children, self.weight_hh, self.bias_hh))
        h = torch.where(present.any(1, keepdim=True), joined, projected)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, max_children={self.slots}, leaf={self.leaf!r}"
