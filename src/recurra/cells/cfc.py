"""Closed-form continuous-time network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_positive, step_size
from recurra.errors import UsageError


class CfC(Cell):
    """Closed-form continuous-time network: the solution of a liquid time-constant system, written down, not stepped.

    Equations:
        v    = backbone(W x_t + U h_{t-1} + b), some layers of 1.7159 tanh(0.666 .), or tanh, ReLU, SiLU, GELU
        s    = sigmoid(-(f(v) dt + f_0(v)))                  how much of the start is left after the time dt
        default:  h_t = s * tanh(g(v)) + (1 - s) * tanh(k(v))
        no_gate:  h_t = s * tanh(g(v)) + tanh(k(v))
        pure:     h_t = B * e^(-(w + f(v)) dt) * f(v-) + A,  f = sigmoid(.), v- = backbone(-(W x_t + U h_{t-1}) + b)
        with y_t = h_t and f, f_0, g, k affine, one head each.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether the biases exist.
        mode: "default", "pure" or "no_gate".
        backbone_units: units of each layer that the heads share.
        backbone_layers: number of these layers; with 0 the heads see x_t and h_{t-1} themselves.
        activation: of the backbone: "lecun_tanh", "tanh", "relu", "silu" or "gelu".
        dt: the time between steps where none is given.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (backbone_units, input_size), weight_hh = U
        (backbone_units, hidden_size), bias_ih = b (backbone_units,); weight_backbone_1, bias_backbone_1 ... of further
        layers (backbone_units, backbone_units) and (backbone_units,); weight_heads (4 hidden_size, backbone_units) and
        bias_heads (4 hidden_size,) in the order g, k, f, f_0, or for f alone in mode "pure", where amplitude = B,
        asymptote = A and log_rate = log w are (hidden_size,). Without a backbone weight_ih, weight_hh and bias_ih are
        the heads. f is in the inverse of the unit of dt. Matrices are drawn by Glorot's uniform rule, biases are zero,
        A and w are one, B is minus one.

    Raises:
        UsageError: a size or dt is not positive, the number of layers is negative, or the mode or the activation is not
            one of those named.
        ShapeError: x or the state does not fit.

    Differs from the paper: the time gate has the second head f_0, as in the authors' program; the paper's equation is
    f_0 = 0. In mode "pure" f is the logistic function of its head and w = e^(log_rate), so that the exponential decays;
    the authors' program takes absolute values there, and leaves out B and the network of the negated inputs.

    Reference:
        R. Hasani, M. Lechner, A. Amini, L. Liebenwein, A. Ray, M. Tschaikowski, G. Teschl, D. Rus. Closed-form
        continuous-time neural networks. Nature Machine Intelligence 4 (2022) 992-1003.

    Example:
        >>> import torch
        >>> cell = CfC(3, 5, backbone_units=8)
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2), torch.tensor([0.1, 10.0]))
        >>> y.shape, bool(torch.allclose(y[0], y[1]))
        (torch.Size([2, 5]), False)
    """

    continuous_time: ClassVar[bool] = True
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    weight_heads: Tensor
    bias_heads: Tensor | None
    amplitude: Tensor
    asymptote: Tensor
    log_rate: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        mode: str = "default",
        backbone_units: int = 128,
        backbone_layers: int = 1,
        activation: str = "lecun_tanh",
        dt: float = 1.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.mode = check_choice(mode, "mode", ("default", "pure", "no_gate"), "CfC")
        self.activation = check_choice(activation, "activation", tuple(_ACTIVATIONS), "CfC")
        self.backbone_units = check_size(backbone_units, "backbone_units", "CfC")
        if isinstance(backbone_layers, bool) or not isinstance(backbone_layers, int) or backbone_layers < 0:
            raise UsageError(f"backbone_layers is {backbone_layers!r}", where="CfC", need="a whole number from 0 on")
        self.backbone_layers = backbone_layers
        self.dt = check_positive(dt, "dt", "CfC")
        heads = hidden_size if mode == "pure" else 4 * hidden_size
        first = backbone_units if backbone_layers else heads
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (first, input_size),
            "weight_hh": (first, hidden_size),
            "bias_ih": (first,),
        }
        for layer in range(1, backbone_layers):
            shapes[f"weight_backbone_{layer}"] = (backbone_units, backbone_units)
            shapes[f"bias_backbone_{layer}"] = (backbone_units,)
        if backbone_layers:
            shapes.update(weight_heads=(heads, backbone_units), bias_heads=(heads,))
        if mode == "pure":
            shapes.update(amplitude=(hidden_size,), asymptote=(hidden_size,), log_rate=(hidden_size,))
        self._weights(bias, device, dtype, **shapes)

    def reset_parameters(self) -> None:
        """Draw all weights anew: matrices by Glorot's uniform rule, biases zero, A and w one, B minus one."""
        constants = {"amplitude": -1.0, "asymptote": 1.0}
        for name, weight in self._parameters.items():
            if weight is not None and weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
            elif weight is not None:
                nn.init.constant_(weight, constants.get(name, 0.0))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x."""
        return F.linear(x, self.weight_ih)

    def advance(self, projected: Tensor, state: HiddenState, dt: Tensor | None = None) -> tuple[Tensor, HiddenState]:
        """The step from W x on."""
        time, drive = step_size(dt, self.dt), projected + self.recur(state.h, self.weight_hh)
        if self.mode == "pure":
            decay = torch.exp(-(torch.exp(self.log_rate) + torch.sigmoid(self._heads(drive))) * time)
            h = self.amplitude * decay * torch.sigmoid(self._heads(-drive)) + self.asymptote
            return h, HiddenState(h)
        g, k, f, f_0 = self._heads(drive).chunk(4, -1)
        left, g, k = torch.sigmoid(-(f * time + f_0)), torch.tanh(g), torch.tanh(k)
        h = left * g + ((1 - left) * k if self.mode == "default" else k)
        return h, HiddenState(h)

    def _heads(self, drive: Tensor) -> Tensor:
        """What the heads give, from W x + U h or its negative."""
        v = drive if self.bias_ih is None else drive + self.bias_ih
        if not self.backbone_layers:
            return v
        activation = _ACTIVATIONS[self.activation]
        v = activation(v)
        for layer in range(1, self.backbone_layers):
            weight, bias = getattr(self, f"weight_backbone_{layer}"), getattr(self, f"bias_backbone_{layer}")
            v = activation(F.linear(v, weight, bias))
        return F.linear(v, self.weight_heads, self.bias_heads)

    def extra_repr(self) -> str:
        backbone = f"backbone_units={self.backbone_units}, backbone_layers={self.backbone_layers}"
        return f"{super().extra_repr()}, mode={self.mode!r}, {backbone}, activation={self.activation!r}"


def _lecun_tanh(value: Tensor) -> Tensor:
    return 1.7159 * torch.tanh(0.666 * value)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "lecun_tanh": _lecun_tanh,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "silu": F.silu,
    "gelu": F.gelu,
}
