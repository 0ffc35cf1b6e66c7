"""The pyramidal encoder: each layer joins neighbouring steps of the layer below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_input, check_number_format, check_size
from recurra.errors import UsageError
from recurra.nn.recurrent import Recurrent
from recurra.nn.skip import stack_and_skip
from recurra.unroll import check_lengths


class Pyramid(nn.Module):
    """Recurrent layers, each of which joins neighbouring steps of the layer below into one and so takes fewer steps.

    Equations:
        h^l_i = layer_l([h^{l-1}_{k i}; h^{l-1}_{k i + 1}; ...; h^{l-1}_{k i + k - 1}]),  h^0 = x,  k = factor_l;
        the lengths of layer l are those of layer l - 1 divided by k and rounded up.

    Args:
        cell: a registered name or a class derived from `Cell`.
        input_size: features of x.
        hidden_size: hidden units of each cell.
        num_layers: stacked layers.
        factor: steps that each layer joins, one number for all layers or one a layer; 1 joins none. Listen, attend and
            spell has (1, 2, 2, 2).
        bidirectional: whether a second cell a layer reads from the end.
        dropout: share of the values dropped between layers while training.
        batch_first: whether x and y are (batch, time, features) instead of (time, batch, features).
        recurrent: further arguments of `Recurrent` (bias, backend, the cell's own ...).

    Shapes:
        x (time, batch, input_size); y (time', batch, output_size), where time' is time divided by each factor in turn
        and rounded up each time; lengths (batch,).

    Raises:
        UsageError: an argument is out of range or unknown to the cell.
        ShapeError: x or lengths does not fit.

    Differs from the paper: where a length cannot be divided, the last step joins what is left and zeros.

    Reference:
        W. Chan, N. Jaitly, Q. V. Le, O. Vinyals. Listen, attend and spell: a neural network for large vocabulary
        conversational speech recognition. ICASSP (2016) 4960-4964.

    Example:
        >>> import torch
        >>> encoder = Pyramid("lstm", 40, 16, num_layers=3, factor=(1, 2, 2))
        >>> y, lengths = encoder(torch.zeros(100, 2, 40), lengths=[100, 50])
        >>> y.shape, lengths
        (torch.Size([25, 2, 32]), tensor([25, 13]))
    """

    def __init__(
        self,
        cell: str | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 3,
        *,
        factor: int | Sequence[int] = 2,
        bidirectional: bool = True,
        dropout: float = 0.0,
        batch_first: bool = False,
        **recurrent: Any,
    ):
        super().__init__()
        self.input_size = check_size(input_size, "input_size", "Pyramid")
        self.num_layers = check_size(num_layers, "num_layers", "Pyramid")
        factors = (factor,) * num_layers if isinstance(factor, int) else tuple(factor)
        if len(factors) != num_layers:
            raise UsageError(
                f"factor has {len(factors)} entries", where="Pyramid", need=f"a number, or {num_layers}, one a layer"
            )
        self.factors = tuple(check_size(each, "factor", "Pyramid") for each in factors)
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise UsageError(f"dropout is {dropout!r}", where="Pyramid", need="a number from 0 to 1, the share dropped")
        self.dropout, self.batch_first = float(dropout), bool(batch_first)
        layers: list[Recurrent] = []
        for each in self.factors:
            features = each * (layers[-1].output_size if layers else input_size)
            layers.append(Recurrent(cell, features, hidden_size, bidirectional=bidirectional, **recurrent))
        self.layers = nn.ModuleList(layers)

    @property
    def output_size(self) -> int:
        """Features of y."""
        return self.layers[-1].output_size  # type: ignore[return-value]

    def forward(self, x: Tensor, *, lengths: Tensor | Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """`(y, lengths)`: the last layer's outputs, and how many steps of each sequence are left."""
        check_input(x, ("batch", "time") if self.batch_first else ("time", "batch"), self.input_size, where="Pyramid")
        check_number_format(x, self, where="Pyramid")
        y = x.transpose(0, 1) if self.batch_first else x
        if lengths is None:
            left = torch.full((y.shape[1],), y.shape[0], dtype=torch.long, device=x.device)
        else:
            left = check_lengths(lengths, y, where="Pyramid")
        for number, (layer, factor) in enumerate(zip(self.layers, self.factors, strict=True)):
            if number and self.dropout and self.training:
                y = F.dropout(y, self.dropout)
            y, left = stack_and_skip(y, left, every=factor, stack=factor)
            y, _ = layer(y, lengths=left)
        return (y.transpose(0, 1) if self.batch_first else y), left

    def extra_repr(self) -> str:
        return f"factors={self.factors}, dropout={self.dropout}, batch_first={self.batch_first}"
