"""Which path runs, and why."""

from __future__ import annotations

from torch import nn

from recurra.cells.base import Cell
from recurra.engine import why_not_compiled
from recurra.nn.drive import ENOUGH, why_no_scan
from recurra.nn.grid import Grid
from recurra.nn.kernels import kernel_missing, kernel_owner
from recurra.nn.layer import Layer
from recurra.nn.tree import Tree


def explain(module: nn.Module) -> str:
    """Say for each recurrent layer in a module which path computes it, and where it is not the fast one, why.

    Args:
        module: a layer of `recurra.nn`, a cell, or any module that holds some.

    Returns:
        lines of text, a headline for each layer found and one line for each of its cells.

    Example:
        >>> from recurra.nn import Recurrent
        >>> print(explain(Recurrent("indrnn", 3, 4)))
        Recurrent: indrnn, 1 layer, 3 inputs, 4 hidden units
          layer 0, forward: recurra's kernel, with lengths too
          the reference loop serves calls with mask or reset, without time steps, or inside torch.func transforms
          the compiled loop serves calls of 65,536 numbers of output or more
    """
    lines: list[str] = []
    inside: set[int] = set()
    for name, part in module.named_modules():
        label = f"{name} ({type(part).__name__})" if name else type(part).__name__
        if isinstance(part, Layer):
            inside.update(id(cell) for cell in part.stack_cells())
            lines += _layer_lines(part, label)
        elif isinstance(part, Tree | Grid):
            way = "up trees, level by level" if isinstance(part, Tree) else "over grids, diagonal by diagonal"
            lines.append(f"{label}: {part.cell}, {way}, in plain tensor operations (the reference)")
            inside.update(id(cell) for cell in part.modules())
        elif isinstance(part, Cell) and id(part) not in inside:
            apart = f"; {part.compiled_part}" if part.compiled_part else ""
            lines.append(f"{label}: a single step in plain tensor operations (the reference){apart}")
            inside.update(id(cell) for cell in part.modules())
    return "\n".join(lines) if lines else f"{type(module).__name__} holds no recurrent layer."


def _layer_lines(layer: Layer, label: str) -> list[str]:
    cells = layer.stack_cells()
    kind = getattr(layer, "cell", type(cells[0]).__name__)
    layers = f"{layer.num_layers} layer" + ("s" if layer.num_layers > 1 else "")
    both = ", both directions" if layer.bidirectional else ""
    lines = [f"{label}: {kind}, {layers}{both}, {layer.input_size} inputs, {layer.hidden_size} hidden units"]
    kernels = compiled = False
    for index, cell in enumerate(cells):
        direction = "reverse" if index % layer.directions else "forward"
        missing = "backend='reference' was asked for" if layer.backend == "reference" else kernel_missing(cell)
        path = f"reference loop, because {missing}"
        fused = why_not_compiled(cell) if layer.backend == "fused" else "it was not asked for"
        if fused is None:
            path = "compiled loop, with lengths, mask, reset and dt too"
        elif missing is None:
            path = f"{kernel_owner(cell)} kernel, with lengths too"
        elif why_no_scan(cell, False, False, layer.backend) is None:
            path = "parallel scan over time, with lengths and mask too"
        if layer.backend == "fused" and fused is not None:
            path += f"; not compiled, because {fused}"
        kernels = kernels or (missing is None and fused is not None)
        compiled = compiled or fused is None
        lines.append(f"  layer {index // layer.directions}, {direction}: {path}")
    if compiled:
        lines.append("  the reference loop serves calls with return_states, and those inside torch.func transforms")
    if kernels:
        lines.append(
            "  the reference loop serves calls with mask or reset, without time steps, or inside torch.func transforms"
        )
    if layer.backend == "auto":
        against = next((reason for cell in cells if (reason := why_not_compiled(cell)) is not None), None)
        path = "the compiled loop serves" if against is None else f"not compiled, because {against}:"
        lines.append(f"  {path} calls of {ENOUGH:,} numbers of output or more")
    lines += [f"  {part}" for part in dict.fromkeys(cell.compiled_part for cell in cells) if part is not None]
    return lines
