"""A cell's step and its derivative as one graph of plain operations."""

from __future__ import annotations

import functools
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.cells.variant import with_weights
from recurra.engine.graph import NotCompiled
from recurra.engine.survey import weight_table

BATCHES = (61, 67, 71, 73, 79, 83, 89, 97)
"""Numbers of sequences that a step may be traced with; one is taken that divides no size of the cell."""


@dataclass(frozen=True)
class Traced:
    """A step's graph.

    The graph's inputs are, in order: x, the state's parts, dt if there is one, the weights, the gradients of the output
    and of the next state's parts. Its outputs: the output, the next state's parts, the gradients of x, of the state's
    parts, and of the weights. Every part of the state is written as one row a sequence, whatever its own shape.

    Attributes:
        module: holds the graph, and tensors that the step makes of nothing.
        features: columns of x.
        states: the number of the state's parts.
        weights: the weights' names.
        with_times: whether dt is an input.
        state: the state's structure.
        output_size: features of the output.
        batch: the number of sequences of the trace; nothing in the graph depends on it.
    """

    module: fx.GraphModule
    features: int
    states: int
    weights: tuple[str, ...]
    with_times: bool
    state: Any
    output_size: int
    batch: int


def trace_step(cell: Cell, dtype: torch.dtype, with_times: bool, lines: bool = False) -> Traced:
    """Trace a step, `cell.project` and `cell.advance`, and its vector-Jacobian product.

    Args:
        cell: the cell; its weights give shapes.
        dtype: the input's number format.
        with_times: whether the step is given dt.
        lines: whether to note the line of code that each operation comes from, which takes time.

    Raises:
        NotCompiled: the step cannot be traced.
    """
    table = weight_table(cell)
    taken = {size for weight in table.values() for size in weight.shape} | {cell.input_size, cell.hidden_size}
    batch = next(number for number in BATCHES if not any(size % number == 0 for size in taken if size))
    # Numbers of its own: to compile a cell must not change what the caller draws next.
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, cell.input_size, dtype=dtype, generator=generator)
    state = cell.initial_state(batch, dtype=dtype, device="cpu")
    shapes = [part.shape[1:] for part in state_tensors(state)]
    if any(part.dtype != dtype for part in state_tensors(state)):
        raise NotCompiled("the state has another number format than the input")
    parts = [torch.randn(part.shape, dtype=dtype, generator=generator).flatten(1) for part in state_tensors(state)]
    times = [torch.rand(batch, 1, dtype=dtype, generator=generator)] if with_times else []
    weights = [weight.detach() for weight in table.values()]

    def step(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        rest = list(tensors)
        before = [
            part if len(shape) == 1 else part.view(batch, *shape) for part, shape in zip(rest, shapes, strict=False)
        ]
        rest = rest[len(shapes) :]
        dt = [rest.pop(0) for _ in times]
        bound = with_weights(cell, dict(zip(table, rest, strict=True)))
        places = iter(before)
        advance: Any = bound.advance
        y, after = advance(bound.project(x), map_state(lambda _: next(places), state), *dt)
        return (y, *(part if part.dim() == 2 else part.flatten(1) for part in state_tensors(after)))

    def joint(inputs: list[Tensor], gradients: list[Tensor]) -> Any:
        outputs, pull = torch.func.vjp(step, *inputs)  # type: ignore[misc]
        found = pull(tuple(gradients))
        wanted = [g for k, g in enumerate(found) if not 1 + len(parts) <= k < len(inputs) - len(weights)]
        return [*outputs, *wanted]

    inputs = [x, *parts, *times, *weights]
    outputs = step(*inputs)
    if outputs[0].dim() != 2:
        raise NotCompiled("the output has more than one dimension a sequence")
    if any(a.shape != b.shape for a, b in zip(outputs[1:], parts, strict=True)):
        raise NotCompiled("a step changes the shape of the state")
    gradients = [torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in outputs]
    traced = make_fx(torch.func.functionalize(joint), decomposition_table=_decompositions())
    with _Lines() if lines else nullcontext() as noted:
        made = traced(inputs, gradients)
    if noted is not None:
        noted.write(made.graph)
    # The gradient of dt is among what is never asked for.
    _share(made.graph)
    made.graph.eliminate_dead_code()
    return Traced(made, cell.input_size, len(parts), tuple(table), with_times, state, outputs[0].shape[1], batch)


class _Lines(TorchFunctionMode):
    """Notes the line of the cell's code that calls each of torch's functions, the first for each."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name not in self.found:
            outside = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
            for frame in reversed(traceback.extract_stack()[:-1]):
                if not frame.filename.startswith(outside):
                    where = f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
                    self.found[name] = f"{where}\n    {frame.line}"
                    break
        return function(*args, **(kwargs or {}))

    def write(self, graph: fx.Graph) -> None:
        """Put the lines to the operations of these names."""
        for node in graph.nodes:
            name = getattr(node.target, "__name__", "").split(".")[0]
            if node.op == "call_function" and name in self.found:
                node.meta.setdefault("stack_trace", self.found[name])


@functools.cache
def _decompositions() -> Any:
    """How operations that the engine does not know are made of some that it does."""
    aten = torch.ops.aten
    known = [aten.native_layer_norm, aten.native_layer_norm_backward, aten.softplus, aten.softplus_backward]
    known += [aten._softmax, aten._softmax_backward_data, aten.native_group_norm, aten.linalg_vector_norm]
    known += [aten.gelu, aten.gelu_backward, aten.leaky_relu, aten.elu, aten.hardtanh, aten.hardsigmoid, aten.silu]
    own = {aten.index_select.default: _index_select, aten.index_add.default: _index_add}
    own |= {aten.var_mean.correction: _var_mean}
    return {**core_aten_decompositions(), **get_decompositions(known), **own}


def _var_mean(
    x: Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """Variance and mean, as sums."""
    dims = [each % x.dim() for each in (range(x.dim()) if dim is None else dim)]
    count = 1
    for each in dims:
        count *= x.shape[each]
    mean = x.sum(dims, keepdim=True) / count
    apart = x - mean
    var = (apart * apart).sum(dims, keepdim=keepdim) / max(0, count - (1 if correction is None else correction))
    return var, mean if keepdim else mean.squeeze(dims)


def _index_select(x: Tensor, dim: int, index: Tensor) -> Any:
    """Columns picked by number, as a product with a matrix of zeros and ones."""
    if x.dim() != 2 or dim not in (1, -1) or not x.is_floating_point():
        return NotImplemented
    return torch.mm(x, torch.eye(x.shape[1], dtype=x.dtype).index_select(0, index).t())


def _index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Any:
    """Columns added where numbers say, as a product with a matrix of zeros and ones."""
    if x.dim() != 2 or dim not in (1, -1) or not x.is_floating_point():
        return NotImplemented
    return x + alpha * torch.mm(source, torch.eye(x.shape[1], dtype=x.dtype).index_select(0, index))


def _share(graph: fx.Graph) -> None:
    """Compute once what the step computes twice in the same way."""
    known: dict[Any, fx.Node] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        key = (node.target, repr(node.args), repr(node.kwargs))
        if key in known:
            node.replace_all_uses_with(known[key])
        else:
            known[key] = node
