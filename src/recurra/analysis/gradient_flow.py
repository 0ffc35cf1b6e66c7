"""Gradient through time: how much of the gradient reaches how far back."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.layer_cells import cell_of_layer
from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.errors import UsageError
from recurra.nn.layer import Layer
from recurra.types import State
from recurra.unroll import check_lengths, unroll


def gradient_flow(
    layer: Layer, x: Tensor, lengths: Any = None, max_lag: int = 200, seed: int = 0, number: int | None = None
) -> dict[str, Any]:
    """Measure how the gradient through one layer shrinks or grows from a sequence's end backwards.

    Equations:
        norm(k) = mean over sequences of ||dL/dh_{t-k}|| / ||dL/dh_t||,  L = v . h_t,  t the sequence's last step,
        v one random direction of length 1. dL/dh_s is the whole effect of the layer's hidden output at step s (of
        its state's first part, where the output is no part of the state) on L, through all steps between: it is taken
        by adding a zero to h_s and differentiating by that zero. A lag counts the sequences that are long enough for
        it. The layers below give their outputs and are left as they are.

    Args:
        layer: a recurrent layer; of a bidirectional one, the forward direction is measured.
        x: sequences.
        lengths: the steps of each sequence; all of x when absent. Sequences of length 0 are left out.
        max_lag: the largest number of steps back.
        seed: of v.
        number: which of the stacked layers, from 1 on; the last when absent.

    Shapes:
        x (time, batch, features), also where the layer has batch_first; lengths (batch,).

    Returns:
        a dictionary: `lags` [0, 1, ...], `norm` (one number a lag, 1 at lag 0), `half_lag` (the first lag at which norm
        is at most 1/2, or None) and `text` (one plain sentence). Computed in float64, and cut where it overflows.

    Raises:
        UsageError: there is no step at all, or no such layer.

    Reference:
        S. Hochreiter. Untersuchungen zu dynamischen neuronalen Netzen. Diploma thesis, TU Munich (1991).

    Example:
        >>> from recurra.nn import Recurrent
        >>> layer = Recurrent("indrnn", 1, 1)
        >>> with torch.no_grad():
        ...     _ = layer.cells[0].weight_hh.fill_(0.5), layer.cells[0].weight_ih.fill_(1.0)
        >>> found = gradient_flow(layer, torch.ones(4, 1, 1))
        >>> found["norm"], found["text"]
        ([1.0, 0.5, 0.25, 0.125], 'Half of the gradient is gone after 1 step.')
    """
    steps, batch = x.shape[:2]
    given = torch.full((batch,), steps) if lengths is None else check_lengths(lengths, x, where="gradient_flow")
    if steps == 0 or batch == 0 or int(given.max()) == 0:
        raise UsageError("x holds no step", where="gradient_flow", need="at least one sequence with at least one step")
    with torch.no_grad():
        inner, x, given = cell_of_layer(layer, x, given, number)
        cell = _Pushed(inner)
    kept = given > 0
    x, given = x[:, kept], given[kept]

    push = torch.zeros(steps, x.shape[1], cell.output_size, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(cell.output_size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    direction = direction / direction.norm()
    with torch.enable_grad():
        y, _ = unroll(cell, torch.cat([x, push], dim=-1), lengths=given)
        last = y[given - 1, torch.arange(x.shape[1])]
        (gradient,) = torch.autograd.grad((last @ direction).sum(), push)

    size = gradient.norm(dim=-1)
    norm: list[float] = []
    for lag in range(min(max_lag, int(given.max()) - 1) + 1):
        long_enough = given > lag
        mean = float(size[(given - 1 - lag)[long_enough], long_enough.nonzero().squeeze(1)].mean())
        if not math.isfinite(mean):
            break
        norm.append(mean / norm[0] if norm else mean)
        if lag == 0:
            norm[0] = 1.0
    half_lag = next((lag for lag, value in enumerate(norm) if value <= 0.5), None)
    return {"lags": list(range(len(norm))), "norm": norm, "half_lag": half_lag, "text": _sentence(norm, half_lag)}


def _sentence(norm: list[float], half_lag: int | None) -> str:
    far = len(norm) - 1
    if far == 0:
        return "The sequences have one step each, so that no gradient goes through time."
    top = max(range(len(norm)), key=norm.__getitem__)
    if norm[top] > 10:
        return f"The gradient grows: {top} {_steps(top)} back it is {norm[top]:.3g} times as large as at the last step."
    if half_lag is not None:
        return f"Half of the gradient is gone after {half_lag} {_steps(half_lag)}."
    return f"More than half of the gradient is still there after {far} {_steps(far)}."


def _steps(count: int) -> str:
    return "step" if count == 1 else "steps"


class _Pushed(Cell):
    """A cell whose hidden units may be pushed: what follows the input's features in x is added to them.

    Pushed, and given as output, is the part of the state that is the cell's output; where the output is no part of the
    state, it is the state's first part.
    """

    def __init__(self, inner: Cell):
        start = inner.initial_state(1)
        y, after = inner.advance(inner.project(state_tensors(start)[0].new_zeros(1, inner.input_size)), start)
        parts = state_tensors(after)
        place = next((index for index, part in enumerate(parts) if part is y), 0)
        width = parts[place].numel()
        super().__init__(inner.input_size + width, inner.hidden_size, width)
        self.inner, self.place = inner, place

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> State:
        return self.inner.initial_state(batch_size, dtype=dtype, device=device)

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        features = self.inner.input_size
        projected = self.inner.project(x[..., :features])
        return (x[..., features:], *([projected] if isinstance(projected, Tensor) else projected))

    def advance(self, projected: tuple[Tensor, ...], state: State) -> tuple[Tensor, State]:
        push, *parts = projected
        _, after = self.inner.advance(parts[0] if len(parts) == 1 else tuple(parts), state)
        tensors = state_tensors(after)
        pushed = tensors[self.place] + push.reshape(tensors[self.place].shape)
        # The parts may be one tensor twice: all of them are pushed.
        meant = tensors[self.place]
        return pushed.flatten(1), map_state(lambda part: pushed if part is meant else part, after)
