"""Gated recurrent unit with decay, for inputs with missing values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.time_step import check_positive, step_size
from recurra.errors import ShapeError


class GRUDState(NamedTuple):
    """The state of a unit that knows what it has not seen.

    Attributes:
        h: hidden units, (batch, hidden_size).
        last: the last value observed of each feature, its mean where there was none, (batch, input_size).
        since: the time from then to the last step, or from the first step where there was none, (batch, input_size).
        begun: 1 after the first step, 0 before, (batch, 1).
    """

    h: Tensor
    last: Tensor
    since: Tensor
    begun: Tensor


class GRUD(Cell):
    """GRU-D: a gated recurrent unit for series with missing values; NaN in x means that a value is missing.

    Equations:
        m_t = 1 where x_t is observed, 0 where it is NaN; d_t the time since the last observation of each feature
        a_t = exp(-max(0, w_a * d_t + b_a))                                decay of the inputs, feature by feature
        c_t = exp(-max(0, W_c d_t + b_c))                                  decay of the hidden units
        x'  = m_t * x_t + (1 - m_t) * (a_t * last_t + (1 - a_t) * mean)
        h'  = c_t * h_{t-1}
        r_t = sigmoid(W_r x' + U_r h' + V_r m_t + b_r)
        z_t = sigmoid(W_z x' + U_z h' + V_z m_t + b_z)
        n_t = tanh   (W_n x' + U_n (r_t * h') + V_n m_t + b_n)
        h_t = (1 - z_t) * h' + z_t * n_t,  y_t = h_t
        and d is 0 at the first step; later d_t is dt, plus d_{t-1} where the value before was missing too.

    A value that is missing fades from the last one observed to the feature's mean.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        mean: the features' means over the training data; zeros when absent, right for standardised data.
        dt: the time between steps where none is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size) with NaN for what is missing, h and y (batch, hidden_size). weight_ih = W and weight_mask
        = V (3 hidden_size, input_size), weight_hh = U (3 hidden_size, hidden_size), bias_ih = b (3 hidden_size,), in
        the order r, z, n; weight_input_decay = w_a and bias_input_decay = b_a (input_size,), weight_hidden_decay = W_c
        (hidden_size, input_size), bias_hidden_decay = b_c (hidden_size,); all drawn uniform in +-1/sqrt(hidden_size).
        mean (input_size,) is a buffer, and may be set at any time. Decays are in the inverse of the unit of dt.

    Raises:
        UsageError: a size or dt is not positive.
        ShapeError: x, the state or the mean does not fit.

    Differs from the paper: where a feature has never been observed its mean stands for the last observation, which the
    paper leaves open. A step at which nothing is observed is still a step; leave steps out by `mask` or `lengths`.

    Reference:
        Z. Che, S. Purushotham, K. Cho, D. Sontag, Y. Liu. Recurrent neural networks for multivariate time series with
        missing values. Scientific Reports 8 (2018) 6085.

    Example:
        >>> import torch
        >>> cell = GRUD(2, 3, mean=[0.5, -1.0])
        >>> x = torch.tensor([[1.0, float("nan")]])
        >>> y, state = cell(x, cell.initial_state(1))
        >>> state.last, bool(y.isfinite().all())
        (tensor([[ 1., -1.]]), True)
    """

    continuous_time: ClassVar[bool] = True
    # Records of what was seen and when, rather than hidden units.
    clocks: ClassVar[tuple[str, ...]] = ("last", "since", "begun")
    weight_ih: Tensor
    weight_hh: Tensor
    weight_mask: Tensor
    bias_ih: Tensor | None
    weight_input_decay: Tensor
    bias_input_decay: Tensor | None
    weight_hidden_decay: Tensor
    bias_hidden_decay: Tensor | None
    mean: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        mean: Tensor | Sequence[float] | None = None,
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.dt = check_positive(dt, "dt", "GRUD")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(3 * hidden_size, input_size),
            weight_hh=(3 * hidden_size, hidden_size),
            weight_mask=(3 * hidden_size, input_size),
            bias_ih=(3 * hidden_size,),
            weight_input_decay=(input_size,),
            bias_input_decay=(input_size,),
            weight_hidden_decay=(hidden_size, input_size),
            bias_hidden_decay=(hidden_size,),
        )
        weight = self.weight_ih
        means = torch.zeros(input_size) if mean is None else torch.as_tensor(mean)
        if means.shape != (input_size,):
            need = f"({input_size},), one mean for each feature"
            raise ShapeError(f"mean has shape {tuple(means.shape)}", where="GRUD", need=need)
        self.register_buffer("mean", means.detach().clone().to(dtype=weight.dtype, device=weight.device))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> GRUDState:
        """Zeros, and the mean for the last observation."""
        zeros = self._zeros(batch_size, self.input_size, dtype, device)
        return GRUDState(
            self._zeros(batch_size, self.hidden_size, dtype, device),
            zeros + self.mean.to(zeros),
            zeros,
            self._zeros(batch_size, 1, dtype, device),
        )

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x with zeros for NaN, the mask, and V m + b."""
        observed = ~torch.isnan(x)
        # Zeros, and not a product with the mask: nothing times NaN is NaN, in values and in gradients.
        mask = observed.to(x.dtype)
        return torch.where(observed, x, torch.zeros_like(x)), mask, F.linear(mask, self.weight_mask, self.bias_ih)

    def advance(
        self, projected: tuple[Tensor, Tensor, Tensor], state: GRUDState, dt: Tensor | None = None
    ) -> tuple[Tensor, GRUDState]:
        """The step from the mask and V m + b on."""
        (x, mask, from_mask), n = projected, self.hidden_size
        since = state.begun * step_size(dt, self.dt) + state.since
        input_rate = self.weight_input_decay * since
        if self.bias_input_decay is not None:
            input_rate = input_rate + self.bias_input_decay
        input_decay = torch.exp(-torch.relu(input_rate))
        hidden_decay = torch.exp(-torch.relu(F.linear(since, self.weight_hidden_decay, self.bias_hidden_decay)))

        guess = self.mean + input_decay * (state.last - self.mean)
        total = F.linear(mask * x + (1 - mask) * guess, self.weight_ih) + from_mask
        faded = hidden_decay * state.h
        gates = total[..., : 2 * n] + self.recur(faded, self.weight_hh[: 2 * n])
        r, z = torch.sigmoid(gates).chunk(2, -1)
        candidate = torch.tanh(total[..., 2 * n :] + self.recur(r * faded, self.weight_hh[2 * n :]))
        h = faded + z * (candidate - faded)

        last = mask * x + (1 - mask) * state.last
        return h, GRUDState(h, last, (1 - mask) * since, torch.ones_like(state.begun))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dt={self.dt}"
