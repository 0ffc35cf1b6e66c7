"""The next-generation reservoir: delayed inputs and their products, with no network at all."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_size


class DelayState(NamedTuple):
    """The last inputs.

    Attributes:
        past: the newest first, (batch, steps, features).
    """

    past: Tensor


class NextGenerationReservoir(Cell):
    """Next-generation reservoir: the last inputs and all products of so many of them, as a cell.

    Equations:
        l_t = [x_t; x_{t-s}; ...; x_{t-(k-1)s}] with k delays and stride s;
        y_t = [l_t; every product of p entries of l_t, for p = 2 ... order or those named].

    It is a nonlinear vector autoregression, once it has a linear readout. There are no weights; the first (k - 1) s
    steps of a sequence see zeros in place of what came before it, and belong to the washout.

    Args:
        input_size: features of x_t.
        delays: k, the input of now counted.
        stride: s, steps from one delay to the next.
        order: the highest number of factors, or the numbers of factors as a tuple: (3,) gives products of three alone.

    Shapes:
        x (batch, input_size), y (batch, features) with the k input_size entries of l_t first, of which the first are
        x_t; state.past (batch, (k - 1) s, input_size).

    Raises:
        UsageError: a size, the stride or an order is not positive.
        ShapeError: x or the state does not fit.

    Differs from the paper: the constant feature is the readout's bias.

    Reference:
        D. J. Gauthier, E. Bollt, A. Griffith, W. A. S. Barbosa. Next generation reservoir computing. Nature
        Communications 12 (2021) 5564.

    Example:
        >>> cell = NextGenerationReservoir(1, delays=2)
        >>> y, state = cell(torch.tensor([[2.0]]), cell.initial_state(1))
        >>> cell(torch.tensor([[3.0]]), state)[0].tolist()
        [[3.0, 2.0, 9.0, 6.0, 4.0]]
    """

    shows_input: ClassVar[bool] = True

    def __init__(self, input_size: int, delays: int = 2, stride: int = 1, order: int | tuple[int, ...] = 2):
        where = "NextGenerationReservoir"
        check_size(input_size, "input_size", where)
        self_delays, self_stride = check_size(delays, "delays", where), check_size(stride, "stride", where)
        orders = (
            tuple(order) if isinstance(order, tuple | list) else tuple(range(2, check_size(order, "order", where) + 1))
        )
        linear = delays * input_size
        products = [list(combinations_with_replacement(range(linear), check_size(p, "order", where))) for p in orders]
        features = linear + sum(len(each) for each in products)
        super().__init__(input_size, features, features)
        self.delays, self.stride, self.orders = self_delays, self_stride, orders
        for p, each in zip(orders, products, strict=True):
            self.register_buffer(f"factors_{p}", torch.tensor(each).reshape(-1, p), persistent=False)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> DelayState:
        """Zeros."""
        steps = (self.delays - 1) * self.stride
        return DelayState(torch.zeros(batch_size, steps, self.input_size, dtype=dtype, device=device))

    def advance(self, projected: Tensor, state: DelayState) -> tuple[Tensor, DelayState]:
        """The whole step."""
        seen = torch.cat([projected.unsqueeze(-2), state.past], -2)
        linear = seen[..., :: self.stride, :].flatten(-2)
        parts = [linear]
        for p in self.orders:
            factors = getattr(self, f"factors_{p}")
            product = linear.index_select(-1, factors[:, 0])
            for k in range(1, p):
                product = product * linear.index_select(-1, factors[:, k])
            parts.append(product)
        return torch.cat(parts, -1), DelayState(seen[..., : state.past.shape[-2], :])

    def extra_repr(self) -> str:
        return f"{self.input_size}, delays={self.delays}, stride={self.stride}, orders={self.orders}"
