"""The reservoir of an echo state network: a frozen random network of leaky units, as a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, in_transform
from recurra.cells.nonlinearity import NONLINEARITIES, check_nonlinearity
from recurra.cells.sparse import SparseWeight, sparse_array
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice, check_not_negative, per_unit
from recurra.errors import ShapeError, UsageError
from recurra.reservoir.input_weights import INPUT_WEIGHTS, input_weights
from recurra.reservoir.topologies import TOPOLOGIES, reservoir_weights, scaled_to

SPARSE_UP_TO = 0.3
"""The density up to which a sparse product is quicker than a dense one."""


class EchoState(Cell):
    """Reservoir of an echo state network: leaky units with random weights that are not learned.

    Equations:
        h_t = (1 - rate) * h_{t-1} + rate * f(W h_{t-1} + W_in x_t + b),  y_t = h_t,  f = tanh, ReLU, sigmoid or
        linear.

    Outputs that are fed back are further inputs, the last ones: their columns of W_in are the feedback weights
    (`recurra.learn.closed.ClosedLoop` closes the loop). All weights are frozen, that is, ask for no gradient; gradients
    go through the reservoir nevertheless, and `requires_grad_(True)` makes it an ordinary cell.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        bias: whether b exists.
        spectral_radius: what W is scaled to; None leaves it as it is drawn or given.
        rate: the leaking rate, above 0 and at most 1: a number, or one for each unit.
        input_scale: what the input weights are multiplied with: a number, or one for each input.
        bias_scale: what b, drawn as the input weights are, is multiplied with.
        topology: "random", "fixed_links", "ring", "ring_with_jumps", "delay_line", "small_world", "orthogonal" or
            "permutation"; or W itself, as a tensor, an array or a sparse matrix of scipy's.
        topology_arguments: of a named topology: {"density": 0.02} for "random", say.
        input_weights: "uniform", "normal", "sign", "one_input_each" or "first_unit"; or W_in itself, a tensor.
        nonlinearity: "tanh", "relu", "sigmoid" or "linear".
        generator: of random numbers; torch's own when absent.
        device, dtype: where and in which number format the weights are held. Readouts by least squares deserve float64.

    Shapes:
        x (batch, input_size), h and y (batch, hidden_size); weight_ih = W_in (hidden_size, input_size), bias_ih = b
        (hidden_size,), rate (hidden_size,), a buffer; weight_hh = W: where its density is at most 0.3 a `SparseWeight`
        with weight_hh.values (entries,), else a weight (hidden_size, hidden_size).

    Raises:
        UsageError: an argument is out of range, or W has no cycle and so cannot be scaled.
        ShapeError: x, the state, W or W_in does not fit.

    Differs from the paper: the leaky form is that of the practical guide, with the rate on both terms; there is no
    noise inside f; feedback is left to `ClosedLoop`.

    Reference:
        H. Jaeger. The "echo state" approach to analysing and training recurrent neural networks. GMD report 148 (2001).
        H. Jaeger, M. Lukosevicius, D. Popovici, U. Siewert. Optimization and applications of echo state networks with
        leaky-integrator neurons. Neural Networks 20 (2007) 335-352.
        M. Lukosevicius. A practical guide to applying echo state networks. In: Neural Networks: Tricks of the Trade.
        Springer (2012) 659-686.

    Example:
        >>> import torch
        >>> from recurra.unroll import unroll
        >>> cell = EchoState(1, 50, rate=0.3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> states, last = unroll(cell, torch.ones(100, 8, 1, dtype=torch.float64))
        >>> states.shape, any(weight.requires_grad for weight in cell.parameters())
        (torch.Size([100, 8, 50]), False)
    """

    recurrent_weights: ClassVar[tuple[str, ...]] = ()
    weight_ih: Tensor
    bias_ih: Tensor | None
    weight_hh: Any
    rate: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        spectral_radius: float | None = 0.9,
        rate: float | Sequence[float] = 1.0,
        input_scale: float | Sequence[float] = 1.0,
        bias_scale: float = 1.0,
        topology: Any = "random",
        topology_arguments: dict[str, Any] | None = None,
        input_weights: Any = "uniform",
        nonlinearity: str = "tanh",
        generator: torch.Generator | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size)
        where = "EchoState"
        if spectral_radius is not None:
            check_not_negative(spectral_radius, "spectral_radius", where)
        self.spectral_radius, self.bias_scale = spectral_radius, check_not_negative(bias_scale, "bias_scale", where)
        self.input_scale = _scales(input_scale, input_size)
        self.nonlinearity = check_nonlinearity(nonlinearity, NONLINEARITIES, where)
        if isinstance(topology, str):
            check_choice(topology, "topology", tuple(TOPOLOGIES), where)
        if isinstance(input_weights, str):
            check_choice(input_weights, "input_weights", tuple(INPUT_WEIGHTS), where)
        self.topology, self.topology_arguments = topology, dict(topology_arguments or {})
        self.input_weights, self.generator = input_weights, generator
        dtype = dtype or torch.get_default_dtype()
        self.register_parameter("weight_ih", _frozen(torch.empty(hidden_size, input_size, device=device, dtype=dtype)))
        self.register_parameter(
            "bias_ih", _frozen(torch.empty(hidden_size, device=device, dtype=dtype)) if bias else None
        )
        rates = per_unit(rate, hidden_size, "rate", where, limit=1.0)
        self.register_buffer("rate", torch.tensor(rates, dtype=dtype, device=device))
        # Where all rates are 1 nothing of the last state is left over, and a product and a sum are saved.
        self.leaky = any(each != 1.0 for each in rates)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew: the recurrent ones, those of the inputs and the bias, in this order."""
        drawn = self._recurrent()
        units, like = self.hidden_size, self.weight_ih
        if drawn.nnz <= SPARSE_UP_TO * units**2:
            made: Any = SparseWeight(drawn, like.device, like.dtype)
        else:
            made = _frozen(torch.as_tensor(drawn.toarray(), dtype=like.dtype, device=like.device))
        # A module cannot take a parameter's name, nor the other way round.
        if hasattr(self, "weight_hh"):
            del self.weight_hh
        self.weight_hh = made
        given = self.input_weights
        if isinstance(given, str):
            given = input_weights(given, units, self.input_size, self.generator)
        if given.shape != like.shape:
            need = f"{tuple(like.shape)}, that is (hidden_size, input_size)"
            raise ShapeError(f"input_weights has shape {tuple(given.shape)}", where="EchoState", need=need)
        with torch.no_grad():
            like.copy_(given.to(torch.float64) * torch.tensor(self.input_scale, dtype=torch.float64))
            if self.bias_ih is not None:
                kind = self.input_weights if self.input_weights in ("uniform", "normal", "sign") else "uniform"
                self.bias_ih.copy_(self.bias_scale * input_weights(kind, units, 1, self.generator)[:, 0])

    def _recurrent(self) -> scipy.sparse.csr_array:
        """W, drawn or given, scaled."""
        units, radius = self.hidden_size, self.spectral_radius
        if isinstance(self.topology, str):
            return reservoir_weights(self.topology, units, radius, self.generator, **self.topology_arguments)
        given = sparse_array(self.topology, "EchoState")
        if given.shape != (units, units):
            need = f"{(units, units)}, that is (hidden_size, hidden_size)"
            raise ShapeError(f"topology has shape {given.shape}", where="EchoState", need=need)
        return given if radius is None else scaled_to(given, radius, "EchoState")

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """Zeros."""
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Tensor:
        """W_in x + b, laid out with the batch last where a sparse product follows, as that wants it."""
        if "weight_hh" in self._parameters or x.dim() != 3 or x.shape[1] == 1 or in_transform():
            return F.linear(x, self.weight_ih, self.bias_ih)
        if self.bias_ih is None:
            return torch.matmul(self.weight_ih, x.mT).mT
        return torch.baddbmm(self.bias_ih.unsqueeze(-1), self.weight_ih.expand(x.shape[0], -1, -1), x.mT).mT

    def drive(self, projected: Tensor, h: Tensor) -> Tensor:
        """W h + W_in x + b, what f is taken of."""
        weight: Any = self._modules.get("weight_hh")
        if weight is None:
            return projected + self.recur(h, self.weight_hh)
        return weight.added(projected, h if self.dropped is None else self.dropped(h))

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The step from W_in x + b on."""
        before = state.h
        if before.shape[0] > 1 and not in_transform() and before.stride(0) != 1 and projected.stride(0) == 1:
            before = before.mT.contiguous().mT  # laid out as the rest, once: it stays so from step to step
        driven = NONLINEARITIES[self.nonlinearity](self.drive(projected, before))
        h = torch.lerp(before, driven, self._buffers["rate"]) if self.leaky else driven  # type: ignore[arg-type]
        return h, HiddenState(h)

    def matrix(self) -> Tensor:
        """W as a dense tensor."""
        return self.weight_hh.dense() if isinstance(self.weight_hh, SparseWeight) else self.weight_hh

    def __getstate__(self) -> dict[str, Any]:
        # A generator cannot be pickled or copied; a copy that draws anew does so from torch's own.
        return {**self.__dict__, "generator": None}

    def extra_repr(self) -> str:
        name = self.topology if isinstance(self.topology, str) else "given"
        return f"{super().extra_repr()}, topology={name!r}, spectral_radius={self.spectral_radius}"


def _frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight, requires_grad=False)


def _scales(given: Any, inputs: int) -> list[float]:
    """A scale for each input, from one number or that many."""
    numbers = np.asarray(given, dtype=np.float64)
    if numbers.ndim > 1 or (numbers.ndim == 1 and len(numbers) != inputs) or not np.isfinite(numbers).all():
        need = f"a number, or {inputs} of them, one for each input"
        raise UsageError(f"input_scale is {given!r}", where="EchoState", need=need)
    return np.broadcast_to(numbers, (inputs,)).tolist()
