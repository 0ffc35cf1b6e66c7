"""The fast path: torch.nn's kernels and our own for the cells that have one, with lengths, in both directions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from recurra.cells.base import Cell
from recurra.cells.elman import Elman
from recurra.cells.gru import GRU
from recurra.cells.indrnn import IndRNN
from recurra.cells.lstm import LSTM, LSTMState
from recurra.cells.state import HiddenState
from recurra.nn.indrnn_kernel import indrnn_sequence
from recurra.types import State
from recurra.unroll import in_transform, within_lengths

SHUT = 1e4
"""What is added to a gate to open or shut it for good: sigmoid(+-1e4) is exactly 1 or 0, and float16 holds it."""


def kernel_missing(cell: Cell) -> str | None:
    """None where the cell has a kernel, else the reason why it has none."""
    kind = _kind(cell)
    if kind not in KERNELS:
        return f"no kernel computes {kind.__name__}"
    if kind is GRU and not cell.reset_after:
        return "torch.nn's GRU kernel resets after the recurrent product, this cell before it"
    if kind is IndRNN and cell.nonlinearity != "relu":
        return f"the IndRNN kernel computes ReLU, this cell {cell.nonlinearity}"
    return None


def kernel_owner(cell: Cell) -> str:
    """Whose kernel it is, for people."""
    return "recurra's" if _kind(cell) is IndRNN else "torch.nn's"


def why_reference(cell: Cell, x: Tensor, masked: bool, with_resets: bool, backend: str) -> str | None:
    """None where the kernel serves this call, else the reason for the reference loop."""
    if backend == "reference":
        return "backend='reference' was asked for"
    if masked or with_resets:
        return f"{'mask' if masked else 'reset'} was given, and the kernels cannot leave out or restart single steps"
    if in_transform():
        return "inside a torch.func transform or forward-mode differentiation, which the kernels do not know"
    if torch.compiler.is_compiling() and _kind(cell) is IndRNN:
        return "while a graph is taken (export, compile), in which the kernel's writing in place has no place"
    if x.shape[0] == 0:
        return "there are no time steps"
    if cell.dropped is not None:
        return "recurrent dropout acts between the steps, which the kernels do not show"
    return kernel_missing(cell)


def run_kernel(cell: Cell, x: Tensor, state: State, lengths: Tensor | None, reverse: bool) -> tuple[Tensor, State]:
    """What `unroll` computes, by a kernel; arguments as there, already checked."""
    steps = x.shape[0]
    within = None if lengths is None else within_lengths(lengths, steps).unsqueeze(-1)
    if within is not None:
        x = torch.where(within, x, torch.zeros_like(x))
    if reverse:
        x = _turn(x, lengths)
    with _quiet() if x.is_cuda or (isinstance(cell, LSTM) and cell.proj_size > 0) else nullcontext():
        y, final = KERNELS[_kind(cell)](cell, x, state, within)
    if lengths is not None and within is not None:
        # Padding stands on the right of what is read, so it has reached no valid output.
        y = torch.where(within, y, torch.zeros_like(y))
        h = y.gather(0, (lengths - 1).clamp(min=0).reshape(1, -1, 1).expand(1, -1, y.shape[-1])).squeeze(0)
        began = (lengths > 0).unsqueeze(-1)
        parts = zip((h, *final[1:]), state, strict=True)
        final = type(final)(*(torch.where(began, reached, first) for reached, first in parts))
    return (_turn(y, lengths) if reverse else y), final


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back two remarks of torch that nobody can act on: how it computes projections, and where weights lie."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        yield


def _turn(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence's valid part from its end to its start, the padding left in place; undone by doing it again."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    order = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(0, order.unsqueeze(-1).expand_as(x))


def _kind(cell: Cell) -> type:
    """The cell's class; a parametrised one (weight norm, say) counts as the class it was made from."""
    return type(cell).__mro__[1] if parametrize.is_parametrized(cell) else type(cell)


def _weights(cell: Any) -> tuple[list[Tensor], bool]:
    biased = cell.bias_ih is not None
    return [cell.weight_ih, cell.weight_hh, *([cell.bias_ih, cell.bias_hh] if biased else [])], biased


# Arguments of the kernels after the weights: biases, layers, dropout, train, bidirectional, batch_first. `train` is
# True so that a gradient can be taken in evaluation mode too; with one layer there is no dropout that it could turn on.


def _elman(cell: Any, x: Tensor, state: HiddenState, within: Tensor | None) -> tuple[Tensor, HiddenState]:
    weights, biased = _weights(cell)
    kernel = torch._VF.rnn_tanh if cell.nonlinearity == "tanh" else torch._VF.rnn_relu
    y, h = kernel(x, state.h.unsqueeze(0), weights, biased, 1, 0.0, True, False, False)
    return y, HiddenState(h.squeeze(0))


def _gru(cell: Any, x: Tensor, state: HiddenState, within: Tensor | None) -> tuple[Tensor, HiddenState]:
    weights, biased = _weights(cell)
    y, h = torch._VF.gru(x, state.h.unsqueeze(0), weights, biased, 1, 0.0, True, False, False)
    return y, HiddenState(h.squeeze(0))


def _lstm(cell: Any, x: Tensor, state: LSTMState, within: Tensor | None) -> tuple[Tensor, LSTMState]:
    weights, biased = _weights(cell)
    if within is not None:
        # The kernel gives the memory cells of the last step only. So that they are those of each sequence's own last
        # step, one more input, 1 in the padding, holds the forget gate open and the input gate shut there: c * 1 + 0.
        n = cell.hidden_size
        column = x.new_zeros(4 * n, 1)
        column[:n], column[n : 2 * n] = -SHUT, SHUT
        weights[0] = torch.cat([weights[0], column.to(weights[0].dtype)], dim=1)
        x = torch.cat([x, (~within).to(x.dtype)], dim=2)
    if cell.proj_size:
        weights.append(cell.weight_hr)
    start = (state.h.unsqueeze(0), state.c.unsqueeze(0))
    y, h, c = torch._VF.lstm(x, start, weights, biased, 1, 0.0, True, False, False)
    return y, LSTMState(h.squeeze(0), c.squeeze(0))


def _indrnn(cell: Any, x: Tensor, state: HiddenState, within: Tensor | None) -> tuple[Tensor, HiddenState]:
    h = indrnn_sequence(cell.project(x), cell.weight_hh, state.h, within)
    return h, HiddenState(h[-1])


KERNELS: dict[type, Callable[..., tuple[Tensor, Any]]] = {Elman: _elman, GRU: _gru, IndRNN: _indrnn, LSTM: _lstm}
