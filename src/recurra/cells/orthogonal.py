"""Recurrent networks whose recurrent matrix is orthogonal at every moment."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class OrthogonalRNN(Cell):
    """Orthogonal RNN: the recurrent matrix is a smooth function of a skew-symmetric one that makes it orthogonal.

    Equations:
        A = the skew-symmetric matrix whose upper triangle is that of P
        W = exp(A)                          with method="exponential"
        W = (I + A)^-1 (I - A) D            with method="cayley"; D is diagonal, its last `negative` entries -1, else 1
        h_t = f(V x_t + c + W h_{t-1}),  y_t = h_t
        f(s) = sign(s) relu(|s| + b)        modReLU, or tanh, or ReLU.

    W keeps the length of h, whatever the optimiser does to P, so the gradient through W neither vanishes nor grows.
    With b = 0 modReLU is the identity; a negative b is a dead zone about 0.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether c exists.
        method: "exponential" or "cayley".
        nonlinearity: f, "modrelu", "tanh" or "relu".
        negative: how many entries of D are -1, for method="cayley" alone; half of the hidden units, rounded down, when
            absent. What exp reaches has determinant 1; a fixed D lets the Cayley transform, which alone misses the
            eigenvalue -1, reach other matrices, of determinant (-1)^negative.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = V (hidden_size, input_size) and bias_ih = c
        (hidden_size,), drawn uniform in +-1/sqrt(hidden_size); weight_skew = P (hidden_size, hidden_size), of which the
        strict upper triangle counts; threshold = b (hidden_size,), with modReLU alone, drawn uniform in +-0.01. P
        begins with 2 x 2 blocks on its diagonal: rotations by angles uniform in [-pi, pi] (exponential), or in
        [0, pi/2] (cayley). Buffer: signs (hidden_size,), the diagonal of D, for "cayley" alone.

    Raises:
        UsageError: a size is not positive, a name is none of those listed, or negative is out of range or given with
            method="exponential".
        ShapeError: x or the state does not fit.

    Differs from the paper: c stands beside modReLU's b (leave it out with bias=False); the first state is zero, not
    learnt; W follows from P by itself, so that P has the optimiser and the learning rate of all weights, where the
    papers give it its own; `negative`, which the scoRNN paper sets for each problem, has a default.

    Reference:
        M. Lezcano-Casado, D. Martinez-Rubio. Cheap orthogonal constraints in neural networks: a simple parametrization
        of the orthogonal and unitary group. ICML (2019) 3794-3803.
        K. Helfrich, D. Willmott, Q. Ye. Orthogonal recurrent neural networks with scaled Cayley transform. ICML (2018)
        1969-1978.

    Example:
        >>> import torch
        >>> w = OrthogonalRNN(3, 5).recurrent_matrix()
        >>> bool(torch.allclose(w @ w.T, torch.eye(5), atol=1e-5))
        True
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    weight_skew: Tensor
    threshold: Tensor
    bias_ih: Tensor | None
    signs: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        method: str = "exponential",
        nonlinearity: str = "modrelu",
        negative: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        where = "OrthogonalRNN"
        if method not in ("exponential", "cayley"):
            raise UsageError(f"method is {method!r}", where=where, need="'exponential' or 'cayley'")
        self.method = method
        self.nonlinearity = check_nonlinearity(nonlinearity, ("modrelu", "tanh", "relu"), where)
        if negative is not None and method != "cayley":
            raise UsageError(f"negative is {negative!r}", where=where, need="None, as it belongs to method='cayley'")
        if method == "cayley":
            negative = hidden_size // 2 if negative is None else negative
            if isinstance(negative, bool) or not isinstance(negative, int) or not 0 <= negative <= hidden_size:
                raise UsageError(
                    f"negative is {negative!r}", where=where, need=f"a whole number from 0 to {hidden_size}"
                )
            signs = [1.0] * (hidden_size - negative) + [-1.0] * negative
            self.register_buffer("signs", torch.tensor(signs, device=device, dtype=dtype))
        self.negative = negative
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (hidden_size, input_size),
            "weight_skew": (hidden_size, hidden_size),
            "bias_ih": (hidden_size,),
        }
        if nonlinearity == "modrelu":
            shapes["threshold"] = (hidden_size,)
        self._weights(bias, device, dtype, **shapes)

    def reset_parameters(self) -> None:
        """Draw all weights anew: V and c uniform in +-1/sqrt(hidden_size), b in +-0.01, P as rotations of planes."""
        super().reset_parameters()
        if "threshold" in self._parameters:
            nn.init.uniform_(self.threshold, -0.01, 0.01)
        with torch.no_grad():
            entries = torch.empty_like(self.weight_skew[0, 1:])
            if self.method == "exponential":
                entries.uniform_(-math.pi, math.pi)
            else:
                # The Cayley transform of the block [0, a; -a, 0] turns by twice the arc tangent of a.
                entries.uniform_(0.0, math.pi / 2.0).div_(2.0).tan_()
            entries[1::2] = 0.0
            self.weight_skew.copy_(torch.diag(entries, 1))

    def recurrent_matrix(self) -> Tensor:
        """W, orthogonal, (hidden_size, hidden_size)."""
        upper = torch.triu(self.weight_skew, 1)
        skew = upper - upper.mT
        if self.method == "exponential":
            return torch.matrix_exp(skew)
        eye = torch.eye(self.hidden_size, dtype=skew.dtype, device=skew.device)
        return torch.linalg.solve(eye + skew, eye - skew) * self.signs

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """V x + c, and W, the same for every time step, so that it is made once for a sequence.

        The backward pass holds the gradient of W of every step until the first one: `checkpoint` bounds that.
        """
        matrix = self.recurrent_matrix()
        return F.linear(x, self.weight_ih, self.bias_ih), matrix.expand(*x.shape[:-2], *matrix.shape)

    def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from V x + c and W on."""
        from_input, matrix = projected
        total = from_input + self.recur(state.h, matrix)
        if self.nonlinearity == "modrelu":
            h = torch.sign(total) * torch.relu(torch.abs(total) + self.threshold)
        else:
            h = NONLINEARITIES[self.nonlinearity](total)
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        extra = "" if self.negative is None else f", negative={self.negative}"
        return f"{super().extra_repr()}, method={self.method!r}, nonlinearity={self.nonlinearity!r}{extra}"
