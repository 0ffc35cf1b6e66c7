"""A layer taken apart: one of its cells, and what that cell reads when the layer reads sequences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.float64 import in_float64
from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.nn.layer import Layer
from recurra.nn.stack import run_stack
from recurra.unroll import check_lengths


def cell_of_layer(
    layer: Layer, x: Tensor, lengths: Any = None, number: int | None = None, reverse: bool = False
) -> tuple[Cell, Tensor, Tensor]:
    """One cell of a stack of recurrent layers, and the sequences as they come to it.

    Args:
        layer: a recurrent layer; it is left as it is, and works as in evaluation.
        x: sequences.
        lengths: the steps of each; all of x when absent.
        number: which of the stacked layers, from 1 on; the last when absent.
        reverse: the cell that reads from the end, of a bidirectional layer; its sequences are turned round.

    Shapes:
        x (time, batch, features), also where the layer has batch_first; lengths (batch,).

    Returns:
        `(cell, inputs, lengths)`: the inputs (time, batch, the cell's input_size).

    Raises:
        UsageError: there is no such layer or direction.
        ShapeError: x or lengths does not fit.

    Example:
        >>> import torch
        >>> from recurra.nn import Recurrent
        >>> cell, inputs, lengths = cell_of_layer(Recurrent("gru", 2, 5, 2, bidirectional=True), torch.zeros(4, 3, 2))
        >>> cell.input_size, inputs.shape
        (10, torch.Size([4, 3, 10]))
    """
    where = "cell_of_layer"
    given = torch.full((x.shape[1],), len(x)) if lengths is None else check_lengths(lengths, x, where=where)
    stack = layer.stack()
    layers = len(stack.cells) // stack.directions
    place = layers if number is None else number
    if isinstance(place, bool) or not isinstance(place, int) or not 1 <= place <= layers:
        raise UsageError(f"number is {number!r}", where=where, need=f"a layer from 1 to {layers}")
    if reverse and stack.directions == 1:
        raise UsageError("reverse was asked for", where=where, need="a bidirectional layer")
    below = replace(stack, cells=stack.cells[: (place - 1) * stack.directions], training=False)
    with torch.no_grad():
        if below.cells:
            x, _, _ = run_stack(below, x, lengths=given)
    x, given = x.detach(), given.cpu()
    if reverse:
        steps = torch.arange(len(x)).unsqueeze(1)
        turned = torch.where(steps < given, given - 1 - steps, steps).to(x.device)
        x = x.gather(0, turned.unsqueeze(-1).expand_as(x))
    return in_float64(stack.cells[(place - 1) * stack.directions + int(reverse)]), x.cpu().double(), given
