"""Linear recurrent unit: complex units that turn and decay, each for itself."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.linear_scan import linear_scan
from recurra.errors import UsageError


class LRUState(NamedTuple):
    """The state of a linear recurrent unit.

    Attributes:
        real: real parts of the hidden units, (batch, hidden_size).
        imaginary: their imaginary parts, (batch, hidden_size).
    """

    real: Tensor
    imaginary: Tensor


class LRU(Cell):
    """Linear recurrent unit: complex hidden units, each of which turns and decays at its own learned pace.

    Equations:
        s_t = lambda * s_{t-1} + gamma * (B x_t)
        y_t = Re(C s_t) + D x_t
        lambda = exp(-exp(nu) + i exp(theta)), so that |lambda| < 1 whatever nu is;  gamma = exp(g).
        At the start |lambda|^2 is uniform in [r_min^2, r_max^2] and the angle exp(theta) in [0, max_phase], which is
        uniform on the ring; and gamma = sqrt(1 - |lambda|^2), so that white noise keeps its variance.

    Args:
        input_size: features of x_t.
        hidden_size: complex hidden units.
        output_size: features of y_t; hidden_size when absent.
        r_min, r_max: the ring's inner and outer radius, from 0 to 1. Near 1 units remember for long.
        max_phase: the largest angle a step at the start, up to 2 pi; smaller for long sequences.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), y (batch, output_size), the two parts of s (batch, hidden_size); log_decay = nu,
        log_angle = theta and log_scale = g (hidden_size,), weight_ih = B (2 hidden_size, input_size), the real parts
        first, weight_out = C (output_size, 2 hidden_size), the real parts first, weight_skip = D (output_size,
        input_size).
        At the start B and C are normal with variances 1 / (2 input_size) and 1 / hidden_size for each part, D with
        1 / input_size.

    Raises:
        UsageError: a size is not positive, the radii are not 0 <= r_min < r_max <= 1, or max_phase is not in (0, 2 pi].
        ShapeError: x or the state does not fit.

    Differs from the paper: D is a matrix, as in its equations; its experiments take a vector, which needs as many
    outputs as inputs. The non-linear layers between stacked units are left to other modules.

    Reference:
        A. Orvieto, S. L. Smith, A. Gu, A. Fernando, C. Gulcehre, R. Pascanu, S. De. Resurrecting recurrent neural
        networks for long sequences. ICML (2023) 26670-26698.

    Example:
        >>> cell = LRU(3, 5, output_size=2, r_min=0.9)
        >>> y, state = cell(torch.zeros(4, 3), cell.initial_state(4))
        >>> y.shape, state.real.shape
        (torch.Size([4, 2]), torch.Size([4, 5]))
    """

    linear: bool = True
    elementwise: ClassVar[bool] = True
    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    log_decay: Tensor
    log_angle: Tensor
    log_scale: Tensor
    weight_ih: Tensor
    weight_out: Tensor
    weight_skip: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2.0 * math.pi,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.output_size = hidden_size if output_size is None else check_size(output_size, "output_size", "LRU")
        if not 0.0 <= r_min < r_max <= 1.0:
            raise UsageError(f"r_min is {r_min!r} and r_max {r_max!r}", where="LRU", need="0 <= r_min < r_max <= 1")
        if not 0.0 < max_phase <= 2.0 * math.pi:
            raise UsageError(f"max_phase is {max_phase!r}", where="LRU", need="an angle above 0, up to 2 pi = 6.2832")
        self.r_min, self.r_max, self.max_phase = float(r_min), float(r_max), float(max_phase)
        self._weights(
            True,
            device,
            dtype,
            log_decay=(hidden_size,),
            log_angle=(hidden_size,),
            log_scale=(hidden_size,),
            weight_ih=(2 * hidden_size, input_size),
            weight_out=(self.output_size, 2 * hidden_size),
            weight_skip=(self.output_size, input_size),
        )

    def reset_parameters(self) -> None:
        """Draw all weights anew: lambda on the ring, gamma from it, the matrices normal."""
        with torch.no_grad():
            # The two ends are left out: lambda is neither 0 nor of length 1 in any number format.
            share = torch.rand_like(self.log_decay).clamp(1e-4, 1.0 - 1e-4)
            square = share * (self.r_max**2 - self.r_min**2) + self.r_min**2
            self.log_decay.copy_((-0.5 * square.log()).log())
            self.log_scale.copy_(0.5 * torch.log1p(-square))
            self.log_angle.copy_((torch.rand_like(self.log_angle).clamp(min=1e-4) * self.max_phase).log())
        nn.init.normal_(self.weight_ih, std=math.sqrt(0.5 / self.input_size))
        nn.init.normal_(self.weight_out, std=math.sqrt(1.0 / self.hidden_size))
        nn.init.normal_(self.weight_skip, std=math.sqrt(1.0 / self.input_size))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LRUState:
        """Zeros."""
        zeros = self._zeros(batch_size, self.hidden_size, dtype, device)
        return LRUState(zeros, torch.zeros_like(zeros))

    def factor(self) -> tuple[Tensor, Tensor]:
        """The real and the imaginary parts of lambda."""
        length, angle = torch.exp(-torch.exp(self.log_decay)), torch.exp(self.log_angle)
        return length * torch.cos(angle), length * torch.sin(angle)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The two parts of gamma * (B x), and D x."""
        real, imaginary = F.linear(x, self.weight_ih).chunk(2, -1)
        scale = torch.exp(self.log_scale)
        return scale * real, scale * imaginary, F.linear(x, self.weight_skip)

    def advance(self, projected: tuple[Tensor, Tensor, Tensor], state: LRUState) -> tuple[Tensor, LRUState]:
        """The turn, and the read-out."""
        real_in, imaginary_in, skip = projected
        a, b = self.factor()
        real = a * state.real - b * state.imaginary + real_in
        imaginary = a * state.imaginary + b * state.real + imaginary_in
        return self._read(real, imaginary, skip), LRUState(real, imaginary)

    def scan(self, x: Tensor, state: LRUState) -> tuple[Tensor, LRUState]:
        """All time steps at once, in complex numbers."""
        *added, skip = self.project(x)
        # There are no complex numbers of half the precision.
        kind = torch.promote_types(state.real.dtype, torch.float32)
        factor, inputs, start = (
            torch.complex(*(part.to(kind) for part in both)) for both in (self.factor(), added, state)
        )
        states = linear_scan(factor, inputs, start)
        real, imaginary = states.real.to(state.real.dtype), states.imag.to(state.real.dtype)
        return self._read(real, imaginary, skip), LRUState(real, imaginary)

    def _read(self, real: Tensor, imaginary: Tensor, skip: Tensor) -> Tensor:
        for_real, for_imaginary = self.weight_out.chunk(2, -1)
        return F.linear(real, for_real) - F.linear(imaginary, for_imaginary) + skip

    def extra_repr(self) -> str:
        ring = f"r_min={self.r_min}, r_max={self.r_max}, max_phase={self.max_phase:.4f}"
        return f"{super().extra_repr()}, output_size={self.output_size}, {ring}"
