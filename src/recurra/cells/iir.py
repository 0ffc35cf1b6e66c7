"""A layer whose synapses are infinite impulse response filters."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.delay_line import check_order, shift


class IIRState(NamedTuple):
    """The state of a layer with IIR synapses: delay lines, newest first.

    Attributes:
        synapses: the synapses' last values v_{t-1}, ..., v_{t-feedback_order}, (batch, feedback_order hidden_size
            input_size), those of one step side by side and in them those of one unit.
        inputs: x_{t-1}, ..., x_{t-input_order}, (batch, input_order input_size).
    """

    synapses: Tensor
    inputs: Tensor


class IIR(Cell):
    """Layer whose synapses are infinite impulse response filters (ARMA models), each with its own memory.

    Equations:
        v_nm(t) = sum_{d=0..J} w_nm,d x_m(t-d) + sum_{k=1..K} a_nm,k v_nm(t-k)      the synapse from input m to unit n
        y_n(t) = tanh(sum_m v_nm(t) + b_n),  J = input_order, K = feedback_order.

    A synapse is stable where the roots of z^K - a_1 z^(K-1) - ... - a_K lie inside the unit circle, for which
    |a_1| + ... + |a_K| < 1 is enough; so it is at the start, and nothing keeps it so while training. With all a = 0 the
    layer is one of FIR synapses.

    Args:
        input_size: features of x_t.
        hidden_size: units.
        bias: whether b exists.
        input_order: J, how many inputs before x_t a synapse sees (the moving-average part); 0 is allowed.
        feedback_order: K, how many of its own last values it sees (the autoregressive part).
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, hidden_size); weight_ih = w_0 (hidden_size, input_size), weight_taps = w_1 to
        w_J side by side (hidden_size, J input_size), absent for J = 0, bias_ih = b (hidden_size,), all drawn uniform in
        +-1/sqrt(hidden_size); weight_feedback (K hidden_size input_size,), that is a_1 of all synapses, then a_2 ...,
        the synapses in the order of the rows of weight_ih, drawn uniform in +-1/(K + 1).

    Raises:
        UsageError: a size or the feedback order is not positive, or the input order is negative.
        ShapeError: x or the state does not fit.

    Differs from the paper: in the direct form of Campolucci et al.; Back and Tsoi's gain of each synapse, which the
    coefficients w hold already, is left out. There is no check of stability while training.

    Reference:
        A. D. Back, A. C. Tsoi. FIR and IIR synapses, a new neural network architecture for time series modeling. Neural
        Computation 3 (1991) 375-385.
        P. Campolucci, A. Uncini, F. Piazza, B. D. Rao. On-line learning algorithms for locally recurrent neural
        networks. IEEE Transactions on Neural Networks 10 (1999) 253-271.

    Example:
        >>> import torch
        >>> cell = IIR(3, 5, input_order=2, feedback_order=1)
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, state.synapses.shape
        (torch.Size([2, 5]), torch.Size([2, 15]))
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_feedback",)
    weight_ih: Tensor
    weight_taps: Tensor
    weight_feedback: Tensor
    bias_ih: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        input_order: int = 1,
        feedback_order: int = 2,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.input_order = check_order(input_order, "input_order", "IIR", least=0)
        self.feedback_order = check_order(feedback_order, "feedback_order", "IIR")
        self.elementwise = feedback_order == 1  # type: ignore[misc]
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (hidden_size, input_size),
            "weight_taps": (hidden_size, input_order * input_size),
            "weight_feedback": (feedback_order * hidden_size * input_size,),
            "bias_ih": (hidden_size,),
        }
        if not input_order:
            del shapes["weight_taps"]
        self._weights(bias, device, dtype, **shapes)

    def reset_parameters(self) -> None:
        """Draw all weights anew: those of the feedback uniform in +-1/(K + 1), the others in +-1/sqrt(hidden_size)."""
        super().reset_parameters()
        bound = 1.0 / (self.feedback_order + 1)
        nn.init.uniform_(self.weight_feedback, -bound, bound)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> IIRState:
        """Zeros."""
        line = self.feedback_order * self.hidden_size * self.input_size
        return IIRState(
            self._zeros(batch_size, line, dtype, device),
            self._zeros(batch_size, self.input_order * self.input_size, dtype, device),
        )

    def advance(self, projected: Tensor, state: IIRState) -> tuple[Tensor, IIRState]:
        """The whole step, from x."""
        x, sizes = projected, (self.hidden_size, self.input_size)
        fed_back = self.recur(state.synapses, self.weight_feedback).unflatten(-1, (self.feedback_order, *sizes)).sum(-3)
        synapses = self.weight_ih * x.unsqueeze(-2) + fed_back
        if self.input_order:
            delayed = state.inputs.unflatten(-1, (self.input_order, self.input_size)).unsqueeze(-3)
            synapses = synapses + (self.weight_taps.unflatten(-1, (self.input_order, -1)) * delayed).sum(-2)
        total = synapses.sum(-1)
        if self.bias_ih is not None:
            total = total + self.bias_ih
        return torch.tanh(total), IIRState(shift(state.synapses, synapses.flatten(-2)), shift(state.inputs, x))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, input_order={self.input_order}, feedback_order={self.feedback_order}"
