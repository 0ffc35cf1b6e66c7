"""FastRNN and FastGRNN, recurrent networks for very small devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity
from recurra.cells.state import HiddenState
from recurra.errors import UsageError


class FastRNN(Cell):
    """FastRNN: a simple recurrent network with a weighted residual connection, two numbers for all units.

    Equations:
        c_t = f(W x_t + U h_{t-1} + b)
        h_t = sigmoid(alpha) c_t + sigmoid(beta) h_{t-1},  y_t = h_t.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        nonlinearity: f, "tanh", "relu" or "sigmoid".
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), weight_hh = U
        (hidden_size, hidden_size), bias_ih = b (hidden_size,), drawn uniform in +-1/sqrt(hidden_size); alpha and beta
        (1,), at first -3 and 3, so that a step changes little (sigmoid 0.05 and 0.95).

    Raises:
        UsageError: a size is not positive, or the nonlinearity is none of those named.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper writes alpha and beta for what is sigmoid(alpha) and sigmoid(beta) here, and
    begins W and U with normal numbers.

    Reference:
        A. Kusupati, M. Singh, K. Bhatia, A. Kumar, P. Jain, M. Varma. FastGRNN: a fast, accurate, stable and tiny
        kilobyte sized gated recurrent neural network. NeurIPS (2018) 9017-9028.

    Example:
        >>> import torch
        >>> cell = FastRNN(3, 5)
        >>> cell(torch.zeros(2, 3), cell.initial_state(2))[0].shape
        torch.Size([2, 5])
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    alpha: Tensor
    beta: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.nonlinearity = check_nonlinearity(nonlinearity, ("tanh", "relu", "sigmoid"), "FastRNN")
        self._weights(
            bias,
            device,
            dtype,
            weight_ih=(hidden_size, input_size),
            weight_hh=(hidden_size, hidden_size),
            bias_ih=(hidden_size,),
            alpha=(1,),
            beta=(1,),
        )

    def reset_parameters(self) -> None:
        """Draw the weights anew, and set alpha to -3 and beta to 3."""
        super().reset_parameters()
        nn.init.constant_(self.alpha, -3.0)
        nn.init.constant_(self.beta, 3.0)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return F.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x + b on."""
        candidate = NONLINEARITIES[self.nonlinearity](projected + self.recur(state.h, self.weight_hh))
        h = torch.sigmoid(self.alpha) * candidate + torch.sigmoid(self.beta) * state.h
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, nonlinearity={self.nonlinearity!r}"


class FastGRNN(Cell):
    """FastGRNN: a gated recurrent network whose gate and candidate share their matrices, of low rank if wanted.

    Equations:
        a_t = W x_t + U h_{t-1}
        z_t = sigmoid(a_t + b_z)      gate
        c_t = tanh(a_t + b_c)         candidate
        h_t = (sigmoid(zeta) (1 - z_t) + sigmoid(nu)) * c_t + z_t * h_{t-1},  y_t = h_t;
        W = W_1 W_2 with an input_rank, U = U_1 U_2 with a hidden_rank.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b_z and b_c exist.
        input_rank: the rank of W, at most the smaller of the two sizes; full when absent.
        hidden_rank: the rank of U, at most hidden_size; full when absent.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W (hidden_size, input_size), or W_1
        (hidden_size, input_rank) with weight_ih_right = W_2 (input_rank, input_size); weight_hh = U (hidden_size,
        hidden_size), or U_1 (hidden_size, hidden_rank) with weight_hh_right = U_2 (hidden_rank, hidden_size); bias_ih =
        b_z, b_c (2 hidden_size,). These are drawn uniform in +-1/sqrt(hidden_size), but bias_ih is 1. zeta and nu (1,)
        begin at 1 and -4 (sigmoid 0.73 and 0.02).

    Raises:
        UsageError: a size is not positive, or a rank is out of range.
        ShapeError: x or the state does not fit.

    Differs from the paper: the paper writes zeta and nu for what is sigmoid(zeta) and sigmoid(nu) here; its sparse and
    whole-number weights, which come from how it trains and stores them, are left out, and it begins W and U with normal
    numbers.

    Reference:
        A. Kusupati, M. Singh, K. Bhatia, A. Kumar, P. Jain, M. Varma. FastGRNN: a fast, accurate, stable and tiny
        kilobyte sized gated recurrent neural network. NeurIPS (2018) 9017-9028.

    Example:
        >>> import torch
        >>> cell = FastGRNN(3, 5, hidden_rank=2)
        >>> cell(torch.zeros(2, 3), cell.initial_state(2))[0].shape, cell.weight_hh.shape
        (torch.Size([2, 5]), torch.Size([5, 2]))
    """

    weight_ih: Tensor
    weight_ih_right: Tensor
    weight_hh: Tensor
    weight_hh_right: Tensor
    bias_ih: Tensor | None
    zeta: Tensor
    nu: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        input_rank: int | None = None,
        hidden_rank: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        self.input_rank = _check_rank(input_rank, "input_rank", min(input_size, hidden_size))
        self.hidden_rank = _check_rank(hidden_rank, "hidden_rank", hidden_size)
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (hidden_size, input_rank or input_size),
            "weight_hh": (hidden_size, hidden_rank or hidden_size),
        }
        if input_rank:
            shapes["weight_ih_right"] = (input_rank, input_size)
        if hidden_rank:
            shapes["weight_hh_right"] = (hidden_rank, hidden_size)
        self._weights(bias, device, dtype, **shapes, bias_ih=(2 * hidden_size,), zeta=(1,), nu=(1,))

    def reset_parameters(self) -> None:
        """Draw the matrices anew, and set the biases to 1, zeta to 1 and nu to -4."""
        super().reset_parameters()
        nn.init.constant_(self.zeta, 1.0)
        nn.init.constant_(self.nu, -4.0)
        if self.bias_ih is not None:
            nn.init.ones_(self.bias_ih)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W x."""
        return F.linear(F.linear(x, self.weight_ih_right) if self.input_rank else x, self.weight_ih)

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W x on."""
        if self.hidden_rank:
            total = projected + F.linear(self.recur(state.h, self.weight_hh_right), self.weight_hh)
        else:
            total = projected + self.recur(state.h, self.weight_hh)
        for_gate, for_candidate = (0.0, 0.0) if self.bias_ih is None else self.bias_ih.chunk(2)
        gate, candidate = torch.sigmoid(total + for_gate), torch.tanh(total + for_candidate)
        h = (torch.sigmoid(self.zeta) * (1.0 - gate) + torch.sigmoid(self.nu)) * candidate + gate * state.h
        return h, HiddenState(h)

    def extra_repr(self) -> str:
        ranks = {"input_rank": self.input_rank, "hidden_rank": self.hidden_rank}
        return super().extra_repr() + "".join(f", {name}={rank}" for name, rank in ranks.items() if rank)


def _check_rank(rank: int | None, name: str, most: int) -> int | None:
    """None, or a rank that is worth its name."""
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= most):
        raise UsageError(
            f"{name} is {rank!r}", where="FastGRNN", need=f"None (full), or a whole number from 1 to {most}"
        )
    return rank
