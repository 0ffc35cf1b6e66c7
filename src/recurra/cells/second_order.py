"""The second-order recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity
from recurra.cells.state import HiddenState


class SecondOrderRNN(Cell):
    """Second-order network: every input has a transition matrix of its own between the state units.

    Equations:
        s_i(t) = f( sum over j and k of w_ijk s_j(t-1) x_k(t) + b_i ),  y_t = s(t);
        with first_order=True the terms (V x(t))_i + (U s(t-1))_i stand in the sum too.

    For one-hot inputs the k-th symbol chooses the matrix w_i.k, so that a step is a transition of a finite automaton
    whose states are codes of the units. The first state is (1, 0, ..., 0).

    Args:
        input_size: features of x_t, in the paper one for each symbol.
        hidden_size: state units.
        bias: whether b exists.
        first_order: whether the terms in x_t alone and in the state alone stand beside the products.
        nonlinearity: f, "sigmoid" or "tanh".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h = s and y (batch, hidden_size); weight_hh (input_size hidden_size, hidden_size), one
        matrix an input one below the other: w_ijk stands in row k hidden_size + i, column j; bias_ih = b
        (hidden_size,); with first_order=True weight_ih = V (hidden_size, input_size) and weight_first = U (hidden_size,
        hidden_size). All are drawn uniform in +-1/sqrt(hidden_size).

    Raises:
        UsageError: a size is not positive, or the nonlinearity is neither of the two.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper has no biases (bias=False), and weights drawn uniform in [-1, 1]; the response
    unit, the paper's s_0, is the first feature of y, with the rest of the state beside it.

    Reference:
        C. L. Giles, C. B. Miller, D. Chen, H. H. Chen, G. Z. Sun, Y. C. Lee. Learning and extracting finite state
        automata with second-order recurrent neural networks. Neural Computation 4 (1992) 393-405.

    Example:
        >>> import torch
        >>> cell = SecondOrderRNN(2, 3)
        >>> cell.initial_state(1).h
        tensor([[1., 0., 0.]])
        >>> cell(torch.tensor([[0.0, 1.0]]), cell.initial_state(1))[0].shape
        torch.Size([1, 3])
    """

    weight_ih: Tensor
    weight_hh: Tensor
    weight_first: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        first_order: bool = False,
        nonlinearity: str = "sigmoid",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.first_order = bool(first_order)
        self.nonlinearity = check_nonlinearity(nonlinearity, ("sigmoid", "tanh"), "SecondOrderRNN")
        shapes: dict[str, tuple[int, ...]] = {
            "weight_hh": (input_size * hidden_size, hidden_size),
            "bias_ih": (hidden_size,),
        }
        if self.first_order:
            shapes |= {"weight_ih": (hidden_size, input_size), "weight_first": (hidden_size, hidden_size)}
        self._weights(bias, device, dtype, **shapes)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """1 in the first unit, 0 in the others."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return HiddenState(torch.cat([torch.ones_like(zeros[:, :1]), zeros[:, 1:]], 1))

    def project(self, x: Tensor) -> Any:
        """x, and V x where there are first-order terms."""
        return (x, F.linear(x, self.weight_ih)) if self.first_order else x

    def advance(self, projected: Any, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from x (and V x) on."""
        x = projected[0] if self.first_order else projected
        by_input = self.recur(state.h, self.weight_hh).unflatten(-1, (self.input_size, self.hidden_size))
        total = (x.unsqueeze(-1) * by_input).sum(-2)
        if self.first_order:
            total = total + projected[1] + self.recur(state.h, self.weight_first)
        if self.bias_ih is not None:
            total = total + self.bias_ih
        h = NONLINEARITIES[self.nonlinearity](total)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        extra = ", first_order=True" if self.first_order else ""
        return f"{super().extra_repr()}{extra}, nonlinearity={self.nonlinearity!r}"
