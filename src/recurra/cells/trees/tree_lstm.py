"""Long short-term memory on trees: the child-sum and the N-ary Tree-LSTM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import check_size
from recurra.cells.join import JoinCell
from recurra.cells.lstm import LSTMState


class ChildSumTreeLSTM(JoinCell):
    """Child-sum Tree-LSTM: the children's hidden units are summed, and each child's memory has a forget gate.

    Equations:
        h_s = sum_k h_k
        i   = sigmoid(W_i x + U_i h_s + b_i)      input gate
        f_k = sigmoid(W_f x + U_f h_k + b_f)      forget gate of child k
        g   = tanh   (W_g x + U_g h_s + b_g)      what may be written
        o   = sigmoid(W_o x + U_o h_s + b_o)      output gate
        c   = i * g + sum_k f_k * c_k
        h   = o * tanh(c);  y = h.

    Any number of children, whose order makes no difference: for dependency trees.

    Args:
        input_size: features of x, which every node reads; zeros where it has none.
        hidden_size: memory cells of a node.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (nodes, input_size); h, c and y (nodes, hidden_size); the children's h and c (nodes, children, hidden_size);
        weight_ih (4 hidden_size, input_size), weight_hh (4 hidden_size, hidden_size), bias_ih (4 hidden_size,), the
        gates in the order i, f, g, o: as in `recurra.cells.LSTM` without bias_hh, which it equals on a chain.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x, the children's states or present does not fit.

    Differs from the paper: not at all. (The paper's u is g here. Much code leaves W_f x out of the forget gates.)

    Reference:
        K. S. Tai, R. Socher, C. D. Manning. Improved semantic representations from tree-structured long short-term
        memory networks. Annual Meeting of the Association for Computational Linguistics (2015) 1556-1566.

    Example:
        >>> import torch
        >>> from recurra.fold import Forest, fold
        >>> folded = fold(ChildSumTreeLSTM(3, 5), Forest([(1, 2, 3), (), (), ()]), torch.zeros(4, 3))
        >>> folded.y.shape, folded.root_state.c.shape
        (torch.Size([4, 5]), torch.Size([1, 5]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, None)
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=(4 * hidden_size, hidden_size),
            bias_ih=(4 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros, which add nothing to the sums."""
        return LSTMState(self._zeros(batch_size, dtype, device), self._zeros(batch_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for all four gates."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, states: LSTMState, present: Tensor) -> tuple[Tensor, LSTMState]:
        """The step from W x + b on."""
        x_i, x_f, x_g, x_o = projected.chunk(4, -1)
        u_i, u_f, u_g, u_o = self.weight_hh.chunk(4)
        from_sum = F.linear(states.h.sum(1), torch.cat([u_i, u_g, u_o]))
        i, g, o = (torch.cat([x_i, x_g, x_o], -1) + from_sum).chunk(3, -1)
        f = torch.sigmoid(x_f.unsqueeze(1) + F.linear(states.h, u_f))
        c = torch.sigmoid(i) * torch.tanh(g) + (f * states.c).sum(1)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, LSTMState(h, c)


class NaryTreeLSTM(JoinCell):
    """N-ary Tree-LSTM: each child, first to N-th, has weights of its own, in the forget gates for every pair.

    Equations:
        i   = sigmoid(W_i x + sum_l U_i,l h_l + b_i)        input gate
        f_k = sigmoid(W_f x + sum_l U_f,k,l h_l + b_f)      forget gate of child k
        g   = tanh   (W_g x + sum_l U_g,l h_l + b_g)        what may be written
        o   = sigmoid(W_o x + sum_l U_o,l h_l + b_o)        output gate
        c   = i * g + sum_k f_k * c_k
        h   = o * tanh(c);  y = h.

    At most N children, whose order counts: for constituency trees, which have words at the leaves alone.

    Args:
        input_size: features of x, which every node reads; zeros where it has none.
        hidden_size: memory cells of a node.
        max_children: N; nodes may have fewer, and zeros stand for those that are missing, after the others.
        bias: whether the biases exist.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (nodes, input_size); h, c and y (nodes, hidden_size); the children's h and c (nodes, max_children,
        hidden_size); weight_ih (4 hidden_size, input_size) and bias_ih (4 hidden_size,), the gates in the order i, f,
        g, o, since W_f and b_f serve all children; weight_hh ((3 + max_children) hidden_size, max_children *
        hidden_size), rows in the order i, f_1, ..., f_N, g, o, columns child by child.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x, the children's states or present does not fit.

    Differs from the paper: not at all. (The paper's u is g here.)

    Reference:
        K. S. Tai, R. Socher, C. D. Manning. Improved semantic representations from tree-structured long short-term
        memory networks. Annual Meeting of the Association for Computational Linguistics (2015) 1556-1566.

    Example:
        >>> import torch
        >>> from recurra.fold import Forest, fold
        >>> folded = fold(NaryTreeLSTM(3, 5), Forest([(1, 2), (), ()]), torch.zeros(3, 3))
        >>> folded.y.shape, folded.root_state.c.shape
        (torch.Size([3, 5]), torch.Size([1, 5]))
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        max_children: int = 2,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, check_size(max_children, "max_children", type(self).__name__))
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(4 * hidden_size, input_size),
            weight_hh=((3 + max_children) * hidden_size, max_children * hidden_size),
            bias_ih=(4 * hidden_size,),
        )

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LSTMState:
        """Zeros, which stand for a child that is missing."""
        return LSTMState(self._zeros(batch_size, dtype, device), self._zeros(batch_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b for i, f, g and o."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, states: LSTMState, present: Tensor) -> tuple[Tensor, LSTMState]:
        """The step from W x + b on."""
        x_i, x_f, x_g, x_o = projected.chunk(4, -1)
        u_i, *u_f, u_g, u_o = F.linear(states.h.flatten(1), self.weight_hh).chunk(3 + states.h.shape[1], -1)
        f = torch.sigmoid(x_f.unsqueeze(1) + torch.stack(u_f, 1))
        c = torch.sigmoid(x_i + u_i) * torch.tanh(x_g + u_g) + (f * states.c).sum(1)
        h = torch.sigmoid(x_o + u_o) * torch.tanh(c)
        return h, LSTMState(h, c)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, max_children={self.slots}"
