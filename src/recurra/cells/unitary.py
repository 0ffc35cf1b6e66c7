"""The unitary evolution recurrent network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell


class ComplexState(NamedTuple):
    """Complex hidden units as pairs of real numbers.

    Attributes:
        re: real parts, (batch, hidden_size).
        im: imaginary parts, (batch, hidden_size).
    """

    re: Tensor
    im: Tensor


class UnitaryRNN(Cell):
    """Unitary evolution RNN: complex hidden units and a recurrent matrix that is a product of cheap unitary ones.

    Equations:
        W = D_3 R_2 F^-1 D_2 Pi R_1 F D_1
        z_t = W h_{t-1} + V x_t + c
        h_t = z_t / |z_t| * relu(|z_t| + b), and 0 where z_t = 0 (modReLU)
        y_t = (Re h_t, Im h_t);
    D_k = diag(exp(i w_k)), R_k = I - 2 r_k r_k^* / |r_k|^2 (a reflection), F the Fourier transform divided by
    sqrt(hidden_size), Pi a fixed permutation; V and c are complex.

    |W h| = |h|, so the gradient through W neither vanishes nor grows; a step costs n log n for n hidden units.

    Args:
        input_size: features of x_t, real.
        hidden_size: complex hidden units.
        bias: whether c exists.
        device, dtype: where and in which (real) number format the weights are made.

    Shapes:
        x (batch, input_size), re and im (batch, hidden_size), y (batch, 2 hidden_size); angles = w_1, w_2, w_3 (3,
        hidden_size), drawn uniform in [-pi, pi]; reflections = Re r_1, Im r_1, Re r_2, Im r_2 (4, hidden_size), uniform
        in [-1, 1]; weight_ih = Re V above Im V (2 hidden_size, input_size), uniform in +-sqrt(6 / (input_size + 2
        hidden_size)); threshold = b (hidden_size,) and bias_ih = Re c, Im c (2 hidden_size,), zero. Buffer: permutation
        (hidden_size,), whole numbers, the same for every cell of a size.

    Raises:
        UsageError: a size is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper has no c (bias=False); the first state is zero, not learnt; modReLU
    is exact at z = 0, where implementations add a small number under the root; the read-out is left to another module.

    Reference:
        M. Arjovsky, A. Shah, Y. Bengio. Unitary evolution recurrent neural networks. ICML (2016) 1120-1128.

    Example:
        >>> import torch
        >>> cell = UnitaryRNN(3, 5)
        >>> y, state = cell(torch.ones(2, 3), cell.initial_state(2))
        >>> y.shape, state.re.shape
        (torch.Size([2, 10]), torch.Size([2, 5]))
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    angles: Tensor
    reflections: Tensor
    weight_ih: Tensor
    threshold: Tensor
    bias_ih: Tensor | None
    permutation: Tensor

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, 2 * hidden_size if isinstance(hidden_size, int) else None)
        # From a seed of its own: cells of one size share it, so that their weights can be exchanged and stacked.
        order = torch.randperm(hidden_size, generator=torch.Generator().manual_seed(0))
        self.register_buffer("permutation", order.to(device))
        self._weights(
            bias,
            device,
            dtype,
            angles=(3, hidden_size),
            reflections=(4, hidden_size),
            weight_ih=(2 * hidden_size, input_size),
            threshold=(hidden_size,),
            bias_ih=(2 * hidden_size,),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew, as in the paper."""
        bound = math.sqrt(6.0 / (self.input_size + 2 * self.hidden_size))
        nn.init.uniform_(self.angles, -math.pi, math.pi)
        nn.init.uniform_(self.reflections, -1.0, 1.0)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        nn.init.zeros_(self.threshold)
        if self.bias_ih is not None:
            nn.init.zeros_(self.bias_ih)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> ComplexState:
        """Zeros."""
        return ComplexState(
            self._zeros(batch_size, self.hidden_size, dtype, device),
            self._zeros(batch_size, self.hidden_size, dtype, device),
        )

    def project(self, x: Tensor) -> Tensor:
        """V x + c, the real parts beside the imaginary ones."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def evolve(self, re: Tensor, im: Tensor) -> tuple[Tensor, Tensor]:
        """W h for h = re + i im, (batch, hidden_size): the real and the imaginary parts."""
        cos, sin = torch.cos(self.angles), torch.sin(self.angles)
        # The first of the factors is unit by unit, so it takes the place of the recurrent product.
        re, im = (
            self.recur(re, cos[0]) - self.recur(im, sin[0]),
            self.recur(re, sin[0]) + self.recur(im, cos[0]),
        )
        z = _fourier(torch.complex(re, im), torch.fft.fft)
        z = _reflect(z, torch.complex(self.reflections[0], self.reflections[1]))
        z = z[..., self.permutation] * torch.complex(cos[1], sin[1])
        z = _fourier(z, torch.fft.ifft)
        z = _reflect(z, torch.complex(self.reflections[2], self.reflections[3]))
        z = z * torch.complex(cos[2], sin[2])
        return z.real, z.imag

    def advance(self, projected: Tensor, state: ComplexState) -> tuple[Tensor, ComplexState]:
        """The step from V x + c on."""
        re, im = self.evolve(*state)
        input_re, input_im = projected.chunk(2, -1)
        re, im = re + input_re, im + input_im
        square = re * re + im * im
        # The root of 0 has no derivative; there z * anything is 0, so any other number may stand under it.
        length = torch.sqrt(torch.where(square == 0, torch.ones_like(square), square))
        scale = torch.relu(length + self.threshold) / length
        re, im = re * scale, im * scale
        return torch.cat([re, im], -1), ComplexState(re, im)


def _fourier(z: Tensor, transform: Callable[..., Tensor]) -> Tensor:
    """The transform along the units; an empty batch, which the processor's library refuses, is its own transform."""
    return transform(z, norm="ortho") if z.shape[0] else z


def _reflect(z: Tensor, r: Tensor) -> Tensor:
    """z - 2 r (r^* z) / |r|^2."""
    along = (z * r.conj()).sum(-1, keepdim=True) / (r.real.square() + r.imag.square()).sum()
    return z - 2.0 * along * r
