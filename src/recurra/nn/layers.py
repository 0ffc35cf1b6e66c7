"""RNN, LSTM, GRU and IndRNN with torch.nn's arguments, outputs and weights' names."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from recurra import cells
from recurra.nn.flat import bind_cells, make_templates, register_weights
from recurra.nn.layer import Layer
from recurra.nn.state_forms import Stacked


def _complete(layer: Layer, kind: type[cells.Cell], bias: bool, device: Any, dtype: Any, **arguments: Any) -> Any:
    """Give a layer its weights; returns the cells' templates."""
    if layer.dropout > 0 and layer.num_layers == 1:
        warnings.warn(
            f"dropout={layer.dropout} has no place with num_layers=1: it acts between layers only",
            stacklevel=3,
        )
    templates = make_templates(layer, kind, bias=bias, **arguments)
    register_weights(layer, templates, device, dtype)
    return templates


class RNN(Layer):
    """Simple recurrent layers (tanh or ReLU) that can stand where torch.nn.RNN stood.

    Equations:
        those of `recurra.cells.Elman` at every step, layer and direction.

    Args:
        input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, device, dtype: as
            in torch.nn.RNN.
        backend: how it is computed; see `recurra.nn.Recurrent`.

    Shapes:
        input (time, batch, input_size), (batch, time, input_size) with batch_first, (time, input_size) without a batch,
        or a PackedSequence; h_0 and h_n (num_layers * directions, batch, hidden_size); output (time, batch,
        directions * hidden_size). Weights: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, with _reverse for the
        second direction, as in torch.nn; `load_state_dict` takes either's.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: an input does not fit.

    Differs from torch.nn: `lengths`, `mask` and `reset` may be given; time 0 and length 0 are allowed.

    Reference:
        J. L. Elman. Finding structure in time. Cognitive Science 14 (1990) 179-211.

    Example:
        >>> import torch
        >>> output, h_n = RNN(3, 4, num_layers=2)(torch.zeros(5, 2, 3))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        backend: str = "auto",
    ):
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, Stacked(), backend)
        self.bias, self.nonlinearity = bias, nonlinearity
        self._templates = _complete(self, cells.Elman, bias, device, dtype, nonlinearity=nonlinearity)

    def stack_cells(self) -> Sequence[cells.Cell]:
        """The cells with the layer's present weights."""
        return bind_cells(self, self._templates)

    def forward(
        self,
        input: Any,
        hx: Tensor | None = None,
        *,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Any, Tensor]:
        """`(output, h_n)`; `lengths`, `mask` and `reset` as in `recurra.unroll`."""
        return self.run(input, hx, lengths, mask, reset)


class LSTM(Layer):
    """Long short-term memory layers that can stand where torch.nn.LSTM stood.

    Equations:
        those of `recurra.cells.LSTM` at every step, layer and direction.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype: as in
            torch.nn.LSTM.
        backend: how it is computed; see `recurra.nn.Recurrent`.

    Shapes:
        input as in `RNN`; with out = proj_size if positive else hidden_size: h_0 and h_n (num_layers * directions,
        batch, out), c_0 and c_n (num_layers * directions, batch, hidden_size), output (time, batch, directions * out).
        Weights as in torch.nn (gates in the order i, f, g, o; weight_hr_l0 with a projection); `load_state_dict`
        takes either's.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: an input does not fit.

    Differs from torch.nn: `lengths`, `mask` and `reset` may be given; time 0 and length 0 are allowed.

    Reference:
        F. A. Gers, J. Schmidhuber, F. Cummins. Learning to forget. Neural Computation 12 (2000) 2451-2471.

    Example:
        >>> import torch
        >>> output, (h_n, c_n) = LSTM(3, 4, bidirectional=True)(torch.zeros(5, 2, 3), lengths=torch.tensor([5, 0]))
        >>> output.shape, c_n.shape
        (torch.Size([5, 2, 8]), torch.Size([2, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        backend: str = "auto",
    ):
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, Stacked(), backend)
        self.bias, self.proj_size = bias, proj_size
        self._templates = _complete(self, cells.LSTM, bias, device, dtype, proj_size=proj_size)

    def stack_cells(self) -> Sequence[cells.Cell]:
        """The cells with the layer's present weights."""
        return bind_cells(self, self._templates)

    def forward(
        self,
        input: Any,
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """`(output, (h_n, c_n))`; `lengths`, `mask` and `reset` as in `recurra.unroll`."""
        return self.run(input, hx, lengths, mask, reset)


class GRU(Layer):
    """Gated recurrent layers (reset after the product) that can stand where torch.nn.GRU stood.

    Equations:
        those of `recurra.cells.GRU` with reset_after=True at every step, layer and direction.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as in
            torch.nn.GRU.
        backend: how it is computed; see `recurra.nn.Recurrent`.

    Shapes:
        as in `RNN`; the weights' gates in the order r, z, n, as in torch.nn; `load_state_dict` takes either's.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: an input does not fit.

    Differs from torch.nn: `lengths`, `mask` and `reset` may be given; time 0 and length 0 are allowed.

    Reference:
        K. Cho et al. Learning phrase representations using RNN encoder-decoder for statistical machine translation.
        EMNLP (2014) 1724-1734.

    Example:
        >>> import torch
        >>> output, h_n = GRU(3, 4, batch_first=True)(torch.zeros(2, 5, 3))
        >>> output.shape, h_n.shape
        (torch.Size([2, 5, 4]), torch.Size([1, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        backend: str = "auto",
    ):
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, Stacked(), backend)
        self.bias = bias
        self._templates = _complete(self, cells.GRU, bias, device, dtype)

    def stack_cells(self) -> Sequence[cells.Cell]:
        """The cells with the layer's present weights."""
        return bind_cells(self, self._templates)

    def forward(
        self,
        input: Any,
        hx: Tensor | None = None,
        *,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Any, Tensor]:
        """`(output, h_n)`; `lengths`, `mask` and `reset` as in `recurra.unroll`."""
        return self.run(input, hx, lengths, mask, reset)


class IndRNN(Layer):
    """Independently recurrent layers, in the manner of torch.nn's.

    Equations:
        those of `recurra.cells.IndRNN` at every step, layer and direction.

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype: as in
            torch.nn.GRU.
        backend: how it is computed; see `recurra.nn.Recurrent`.

    Shapes:
        as in `RNN`; weight_hh_l0 is a vector (hidden_size,) and there is one bias, bias_ih_l0.

    Raises:
        UsageError: an argument is out of range.
        ShapeError: an input does not fit.

    Differs from the paper: see `recurra.cells.IndRNN`.

    Reference:
        S. Li, W. Li, C. Cook, C. Zhu, Y. Gao. Independently recurrent neural network (IndRNN). CVPR (2018) 5457-5466.

    Example:
        >>> import torch
        >>> output, h_n = IndRNN(3, 4, num_layers=2)(torch.zeros(5, 2, 3))
        >>> output.shape, h_n.shape
        (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        backend: str = "auto",
    ):
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, Stacked(), backend)
        self.bias = bias
        self._templates = _complete(self, cells.IndRNN, bias, device, dtype)

    def stack_cells(self) -> Sequence[cells.Cell]:
        """The cells with the layer's present weights."""
        return bind_cells(self, self._templates)

    def forward(
        self,
        input: Any,
        hx: Tensor | None = None,
        *,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Any, Tensor]:
        """`(output, h_n)`; `lengths`, `mask` and `reset` as in `recurra.unroll`."""
        return self.run(input, hx, lengths, mask, reset)
