"""A reservoir that has several patterns loaded into it, called up again by their conceptors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, check_input
from recurra.cells.nonlinearity import NONLINEARITIES
from recurra.cells.state import HiddenState
from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import Ridge
from recurra.reservoir.conceptor import conceptor
from recurra.reservoir.echo_state import EchoState
from recurra.reservoir.orthogonal_readout import OrthogonalReadout
from recurra.reservoir.run import check_washout
from recurra.unroll import unroll


class LoadedReservoir(Cell):
    """Reservoir that goes on along one of several patterns by itself, chosen and blended by conceptors, as a cell.

    Equations:
        h_t = C (h_{t-1} + rate * (f(W h_{t-1} + b) - h_{t-1})),  C = sum_k x_{t,k} C_k,  y_t = W_out h_t + b_out.

    x says which pattern: one-hot for a single one; a mixture blends them, and weights outside 0 to 1 extrapolate.

    Args:
        weight: W.
        bias: b.
        conceptors: C_k.
        readout: W_out.
        readout_bias: b_out.
        rate: the leaking rate of every unit.
        nonlinearity: f.

    Shapes:
        W (units, units), b (units,), conceptors (patterns, units, units), W_out (outputs, units), b_out (outputs,),
        rate (units,); x (batch, patterns), y (batch, outputs), h (batch, units).

    Raises:
        ShapeError: a weight, x or the state does not fit.

    Reference:
        H. Jaeger. Controlling recurrent neural networks by conceptors. arXiv:1403.3369 (2014).
    """

    weight: Tensor
    bias: Tensor
    conceptors: Tensor
    readout: Tensor
    readout_bias: Tensor
    rate: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        conceptors: Tensor,
        readout: Tensor,
        readout_bias: Tensor,
        rate: Tensor,
        nonlinearity: str = "tanh",
    ):
        units = weight.shape[0]
        if conceptors.dim() != 3 or conceptors.shape[1:] != (units, units) or readout.shape[1:] != (units,):
            raise ShapeError(
                f"conceptors has shape {tuple(conceptors.shape)} and readout {tuple(readout.shape)}",
                where="LoadedReservoir",
                need=f"(patterns, {units}, {units}) and (outputs, {units})",
            )
        super().__init__(len(conceptors), units, len(readout))
        self.nonlinearity = nonlinearity
        parts = {"weight": weight, "bias": bias, "conceptors": conceptors, "readout": readout}
        for name, part in {**parts, "readout_bias": readout_bias, "rate": rate}.items():
            self.register_buffer(name, part.detach().clone())

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        """A half in every unit, as a silent reservoir without bias would stay silent."""
        like = self.weight
        return HiddenState(
            torch.full((batch_size, self.hidden_size), 0.5, dtype=dtype or like.dtype, device=device or like.device)
        )

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The whole step."""
        driven = NONLINEARITIES[self.nonlinearity](F.linear(state.h, self.weight, self.bias))
        moved = torch.lerp(state.h, driven, self.rate)
        h = torch.einsum("bk,kij,bj->bi", projected, self.conceptors, moved)
        return F.linear(h, self.readout, self.readout_bias), HiddenState(h)


@torch.no_grad()
def load_patterns(
    cell: EchoState,
    patterns: Sequence[Tensor],
    aperture: float = 10.0,
    washout: int = 100,
    penalty: float = 1e-4,
    readout_penalty: float = 1e-4,
) -> LoadedReservoir:
    """Load patterns into a reservoir, so that it can make each of them again without being driven.

    Equations:
        every pattern p drives the reservoir; past the washout, for all patterns together,
        W = argmin of the sum of |W h_{t-1} - (W* h_{t-1} + W_in p_t)|^2 + penalty |W|^2 (the rows of W* are the
        reservoir's own recurrent weights): the network imitates its being driven;
        W_out, b_out = argmin of the sum of |W_out h_t + b_out - p_t|^2 + readout_penalty |W_out|^2;
        C_k is the conceptor of the states of pattern k.

    Args:
        cell: the reservoir; it stays as it is.
        patterns: sequences to be loaded.
        aperture: of the conceptors.
        washout: steps at the beginning of every pattern that do not count.
        penalty: on the squared recurrent weights.
        readout_penalty: on the squared weights of the readout.

    Shapes:
        patterns (time, features) each.

    Returns:
        the loaded reservoir: its outputs are the patterns' features, its inputs say which pattern.

    Raises:
        UsageError: there is no pattern, or the aperture or a penalty is out of range.
        ShapeError: a pattern does not fit the reservoir, or is no longer than the washout.

    Differs from the paper: the readout has a bias.

    Reference:
        H. Jaeger. Controlling recurrent neural networks by conceptors. arXiv:1403.3369 (2014).

    Example:
        >>> from recurra.unroll import unroll
        >>> time = torch.arange(600.0, dtype=torch.float64).unsqueeze(1)
        >>> cell = EchoState(1, 60, spectral_radius=1.5, input_scale=1.5, bias_scale=0.2,
        ...                  generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> loaded = load_patterns(cell, [torch.sin(0.7 * time), torch.sin(0.45 * time)])
        >>> first = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(300, 1, 2)
        >>> wave = unroll(loaded, first)[0][100:, 0, 0]
        >>> bool(wave.abs().max() > 0.8), torch.fft.rfft(wave).abs().argmax().item()  # 200 steps of 0.7 radians
        (True, 22)
    """
    where = "load_patterns"
    check_washout(washout, where)
    patterns = list(patterns)
    if not patterns:
        raise UsageError("there is no pattern", where=where, need="at least one")
    recurrent = Ridge(penalty, bias=False)
    readout = OrthogonalReadout(readout_penalty)
    conceptors = []
    for number, pattern in enumerate(patterns):
        check_input(pattern, ("time",), cell.input_size, where=where, name=f"patterns[{number}]")
        if len(pattern) <= washout + 1:
            raise ShapeError(
                f"patterns[{number}] has {len(pattern)} steps", where=where, need=f"more than {washout + 1}"
            )
        x = pattern.to(cell.weight_ih).unsqueeze(1)
        h = unroll(cell, x)[0][:, 0]
        before, x, h = h[washout:-1], x[washout + 1 :, 0], h[washout + 1 :]
        target = before @ cell.matrix().mT + F.linear(x, cell.weight_ih)
        recurrent.partial_fit(before, target)
        readout.partial_fit(h, x)
        conceptors.append(conceptor(h, aperture))
    return LoadedReservoir(
        recurrent.weight.to(cell.weight_ih),
        torch.zeros_like(cell.rate) if cell.bias_ih is None else cell.bias_ih,
        torch.stack(conceptors),
        readout.weight.to(cell.weight_ih),
        readout.bias.to(cell.weight_ih),
        cell.rate,
        cell.nonlinearity,
    )
