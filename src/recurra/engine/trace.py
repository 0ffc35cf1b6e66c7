"""A cell's step and its derivative as one graph of plain operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.cells.variant import with_weights
from recurra.engine.graph import NotCompiled

BATCHES = (61, 67, 71, 73, 79, 83, 89, 97)
"""Numbers of sequences that a step may be traced with; one is taken that is no other size of the cell."""


@dataclass(frozen=True)
class Traced:
    """A step's graph.

    The graph's inputs are, in order: the projected parts, the state's parts, dt if there is one, the weights, the
    gradients of the output and of the next state's parts. Its outputs: the output, the next state's parts, the
    gradients of the projected parts, of the state's parts, and of the weights.

    Attributes:
        graph: the graph.
        projected, states, weights: the number of each.
        with_times: whether dt is an input.
        state: the state's structure.
        output_size: features of the output.
        batch: the number of sequences of the trace; nothing in the graph depends on it.
    """

    graph: fx.Graph
    projected: int
    states: int
    weights: tuple[str, ...]
    with_times: bool
    state: Any
    output_size: int
    batch: int


def weight_table(cell: Cell) -> dict[str, Tensor]:
    """The cell's parameters and buffers by name: all that a step may use beside its arguments."""
    return {**dict(cell.named_parameters()), **dict(cell.named_buffers())}


def trace_step(cell: Cell, projected: list[Tensor], with_times: bool) -> Traced:
    """Trace `cell.advance` and its vector-Jacobian product.

    Args:
        cell: the cell; its weights give shapes and number formats.
        projected: what `cell.project` gives, the parts (..., columns).
        with_times: whether the step is given dt.

    Raises:
        NotCompiled: the step cannot be traced.
    """
    table = weight_table(cell)
    dtype = projected[0].dtype
    taken = {size for weight in (*table.values(), *projected) for size in weight.shape}
    batch = next(number for number in BATCHES if number not in taken)
    projected = [torch.randn(batch, part.shape[-1], dtype=dtype) for part in projected]
    state = cell.initial_state(batch, dtype=dtype, device="cpu")
    parts = [torch.randn_like(part) for part in state_tensors(state)]
    single = len(projected) == 1
    times = [torch.rand(batch, 1, dtype=dtype)] if with_times else []
    weights = [weight.detach() for weight in table.values()]
    if any(part.dim() != 2 for part in (*parts, *projected)):
        raise NotCompiled("the state, or what `project` gives, has more than one dimension a sequence")
    if any(part.dtype != dtype for part in parts):
        raise NotCompiled("the state has another number format than the input")

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        rest = list(tensors)
        given = [rest.pop(0) for _ in projected]
        before = [rest.pop(0) for _ in parts]
        dt = [rest.pop(0) for _ in times]
        bound = with_weights(cell, dict(zip(table, rest, strict=True)))
        places = iter(before)
        advance: Any = bound.advance
        y, after = advance(given[0] if single else tuple(given), map_state(lambda _: next(places), state), *dt)
        return (y, *state_tensors(after))

    def joint(inputs: list[Tensor], gradients: list[Tensor]) -> Any:
        outputs, pull = torch.func.vjp(step, *inputs)  # type: ignore[misc]
        found = pull(tuple(gradients))
        wanted = [g for k, g in enumerate(found) if not len(projected) + len(parts) <= k < len(inputs) - len(weights)]
        return [*outputs, *wanted]

    inputs = [*projected, *parts, *times, *weights]
    outputs = step(*inputs)
    if any(a.shape != b.shape for a, b in zip(outputs[1:], parts, strict=True)):
        raise NotCompiled("a step changes the shape of the state")
    gradients = [torch.randn_like(part) for part in outputs]
    made = make_fx(torch.func.functionalize(joint), decomposition_table=dict(core_aten_decompositions()))(
        inputs, gradients
    )
    # The gradient of dt is among what is never asked for.
    made.graph.eliminate_dead_code()
    return Traced(made.graph, len(projected), len(parts), tuple(table), with_times, state, outputs[0].shape[1], batch)
