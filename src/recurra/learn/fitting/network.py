"""What can be trained, brought to one form: `network(x, state, lengths=...)` gives `(outputs, state)`, time first."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_input, check_number_format, check_size
from recurra.errors import UsageError
from recurra.nn.layer import Layer
from recurra.nn.stack import run_stack
from recurra.nn.state_forms import PerCell
from recurra.types import State
from recurra.unroll import check_lengths, in_transform


class CellLayer(Layer):
    """A cell that is there already, as a layer: run along time by the library's loop, compiled where it can be.

    Args:
        cell: any cell; its weights stay its own.

    Shapes:
        x (time, batch, cell.input_size), y (time, batch, cell.output_size); the state is a tuple with the cell's own.

    Raises:
        UsageError: it is no cell that runs along time.

    Example:
        >>> from recurra.cells import Jordan
        >>> y, state = CellLayer(Jordan(2, 5, output_size=1))(torch.zeros(7, 3, 2))
        >>> y.shape, state[0].context.shape
        (torch.Size([7, 3, 1]), torch.Size([3, 1]))
    """

    def __init__(self, cell: Cell):
        if not isinstance(cell, Cell):
            given = f"cell is {type(cell).__name__}"
            raise UsageError(given, where="CellLayer", need="a cell that runs along time, derived from recurra.Cell")
        super().__init__(cell.input_size, cell.hidden_size, 1, False, 0.0, False, PerCell())
        self.cell = cell

    def stack_cells(self) -> Sequence[Cell]:
        """The one cell."""
        return (self.cell,)

    def forward(
        self,
        x: Any,
        state: Sequence[State] | None = None,
        *,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
        dt: Tensor | float | None = None,
    ) -> tuple[Tensor, Any]:
        """Run over whole sequences; `lengths`, `mask`, `reset` and `dt` as in `recurra.unroll`."""
        return self.run(x, state, lengths, mask, reset, dt)


class Network(nn.Module):
    """Recurrent layers with what stands below, between and above them, as one network.

    Equations:
        x -> part_1 -> part_2 -> ... -> outputs, each part over all time steps; with `outputs` a last linear layer
        z_t = W y_t + b.

    Args:
        parts: cells, recurrent layers (of `recurra.nn` or torch.nn), and modules without memory such as nn.Linear;
            at least one with memory. An nn.Sequential is taken for its parts.
        outputs: features of a linear read-out above the last part; none when absent. The last part is then a cell or a
            layer.

    Shapes:
        x (time, batch, features), time first even where a layer was built with batch_first; lengths (batch,); outputs
        (time, batch, outputs); the state is a tuple with one entry for each part that has one.

    Raises:
        UsageError: no part has a memory, or lengths are given and a part of torch.nn cannot take them.

    Example:
        >>> from recurra.nn import GRU
        >>> network = Network(GRU(2, 8), outputs=3)
        >>> y, state = network(torch.zeros(5, 4, 2))
        >>> y.shape, len(state)
        (torch.Size([5, 4, 3]), 1)
    """

    def __init__(self, *parts: nn.Module, outputs: int | None = None):
        super().__init__()
        flat: list[nn.Module] = []
        for part in parts:
            flat += list(part) if isinstance(part, nn.Sequential) else [part]
        made = [CellLayer(part) if isinstance(part, Cell) else part for part in flat]
        if not any(has_memory(part) for part in made):
            names = ", ".join(type(part).__name__ for part in made) or "nothing"
            raise UsageError(
                f"the parts are {names}", where="Network", need="at least one recurrent layer or cell among them"
            )
        if outputs is not None:
            check_size(outputs, "outputs", "Network")
            width = output_size(made[-1])
            if width is None:
                given = f"the last part is {type(made[-1]).__name__}, whose width is not known"
                raise UsageError(given, where="Network", need="a cell or a recurrent layer below the read-out")
            like = next(made[-1].parameters(), torch.zeros(()))
            made.append(nn.Linear(width, outputs, device=like.device, dtype=like.dtype))
        self.parts = nn.ModuleList(made)

    @property
    def bidirectional(self) -> bool:
        """Whether a part reads sequences in both directions."""
        return any(getattr(part, "bidirectional", False) for part in self.parts)

    def forward(self, x: Tensor, state: Any = None, *, lengths: Tensor | None = None) -> tuple[Tensor, tuple[Any, ...]]:
        """The outputs of all steps, and the state after them."""
        before = iter(state) if state is not None else None
        after = []
        for part in self.parts:
            if not has_memory(part):
                x = part(x)
                continue
            x, own = _run(part, x, None if before is None else next(before), lengths)
            after.append(own)
        return x, tuple(after)


def _run(part: nn.Module, x: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
    """One recurrent part, time first."""
    if isinstance(part, Layer):
        return _run_layer(part, x, state, lengths)
    if isinstance(part, nn.RNNBase):
        if lengths is not None:
            name = type(part).__name__
            raise UsageError(
                f"sequences of several lengths came to torch.nn.{name}",
                where="Network",
                need="a layer that takes lengths",
                cure=f"recurra.nn.{name}, which has the same arguments and takes the same weights",
            )
        y, after = part(x.transpose(0, 1) if part.batch_first else x, state)
        return (y.transpose(0, 1) if part.batch_first else y), after
    return part(x, state) if lengths is None else part(x, state, lengths=lengths)


def _run_layer(layer: Layer, x: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, tuple[State, ...]]:
    """A layer with its cells' own states, batch first, whatever the form in which its callers hold them."""
    where = type(layer).__name__
    check_input(x, ("time", "batch"), layer.input_size, where=where)
    check_number_format(x, layer, where=where)
    if lengths is not None:
        lengths = check_lengths(lengths, x, where=where)
        if not in_transform() and bool((lengths == x.shape[0]).all()):
            lengths = None
    y, after, _ = run_stack(layer.stack(), x, state, lengths=lengths)
    return y, tuple(after)


def has_memory(part: nn.Module) -> bool:
    """Whether a module carries a state from step to step: it takes one beside x, and gives one beside its outputs."""
    if isinstance(part, Cell | Layer | nn.RNNBase | Network):
        return True
    try:
        names = inspect.signature(part.forward).parameters
    except (TypeError, ValueError):
        return False
    return "state" in names


def output_size(part: nn.Module) -> int | None:
    """Features of what a part gives, where that is known."""
    if isinstance(part, nn.RNNBase):
        return (part.proj_size or part.hidden_size) * (2 if part.bidirectional else 1)
    if isinstance(part, nn.Linear):
        return part.out_features
    if isinstance(part, Network):
        return output_size(part.parts[-1])
    size = getattr(part, "output_size", None)
    return size if isinstance(size, int) else None


def as_network(net: Any) -> nn.Module:
    """The network in the form that a learner calls, sharing its weights with what was given.

    Raises:
        UsageError: it is nothing that runs along time.
    """
    if isinstance(net, Network):
        return net
    if isinstance(net, Cell | Layer | nn.RNNBase | nn.Sequential):
        return Network(net)
    if isinstance(net, nn.Module) and has_memory(net):
        return net
    raise UsageError(
        f"the network is {type(net).__name__}",
        where="fit",
        need="a cell, a recurrent layer, an nn.Sequential or Network of such, or a module with forward(x, state, "
        "lengths=...) that gives (outputs, state)",
        cure="recurra.learn.Network(layer, outputs=1) puts a linear read-out on a layer",
    )
