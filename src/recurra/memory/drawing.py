"""Pictures of a recall, on axes of matplotlib that the caller has made."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from recurra.errors import ShapeError
from recurra.memory.recall import Recall


def draw_energy(recall: Recall, axes: Any, most: int = 50) -> None:
    """Draw the energy of each cue against the step, up to the step at which it came to rest.

    Args:
        recall: what a memory's `recall` gave.
        axes: matplotlib's axes.
        most: the most cues; the first ones are drawn.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> from recurra.memory import Hopfield
        >>> memory = Hopfield(8)
        >>> memory.store(torch.ones(1, 8))
        >>> axes = Figure().add_subplot()
        >>> draw_energy(memory.recall(torch.tensor([[1.0] * 6 + [-1.0] * 2])), axes)
        >>> axes.lines[0].get_ydata().tolist()
        [-0.5, -3.5, -3.5]
    """
    energy = recall.energy.detach().cpu()
    for row in range(min(most, energy.shape[1])):
        last = int(recall.steps[row])
        axes.plot(range(last + 1), energy[: last + 1, row].tolist(), marker="." if last < 20 else "", linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("energy")


def draw_patterns(patterns: Tensor, axes: Any, shape: tuple[int, int] | None = None, columns: int = 8) -> None:
    """Draw patterns as pictures side by side: light for +1, dark for -1.

    Args:
        patterns: cues, recalled states or stored patterns, (patterns, units).
        axes: matplotlib's axes.
        shape: (height, width) of a picture; one row of units when absent.
        columns: pictures in a row.

    Raises:
        ShapeError: a picture of that shape does not hold a pattern's units.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().add_subplot()
        >>> draw_patterns(torch.ones(3, 6), axes, shape=(2, 3), columns=2)
        >>> axes.images[0].get_array().shape  # two rows of pictures, two in a row, a line between them
        (5, 7)
    """
    units = patterns.shape[-1]
    height, width = shape or (1, units)
    if patterns.dim() != 2 or height * width != units:
        given = f"patterns has shape {tuple(patterns.shape)} and shape is {(height, width)}"
        raise ShapeError(given, where="draw_patterns", need="(patterns, units) with units = height * width")
    across = max(1, min(columns, len(patterns)))
    rows = max(1, math.ceil(len(patterns) / across))
    # NaN is drawn as nothing: the lines between pictures.
    sheet = patterns.new_full((rows * (height + 1) - 1, across * (width + 1) - 1), math.nan).detach().cpu()
    for index, pattern in enumerate(patterns.detach().cpu()):
        top, left = (index // across) * (height + 1), (index % across) * (width + 1)
        sheet[top : top + height, left : left + width] = pattern.reshape(height, width)
    axes.imshow(sheet.numpy(), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
