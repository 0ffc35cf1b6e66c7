"""Memory views: where the heads of a cell with an external memory stood, time by slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.systems import CellMap
from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.unroll import unroll

HEADS = ("write_weights", "read_weights")
"""Parts of a state that say where heads stand: the slots are the last dimension."""

PARTS = {"memory", "reads", *HEADS}


@dataclass(frozen=True)
class MemoryView:
    """Where the heads stood along one sequence.

    Attributes:
        heads: for each head by name ("write 1", "read 1", "read 2" ...) its weights, (time, slots).
        usage: how far each slot was in use, (time, slots), of a cell that keeps account of it, else None.
        memory: what the memory held after each step, (time, slots, width).
        written: by how much each step changed it, (time, slots, width).
        reads: for each read head by name what it read, (time, width).
        lost: for each head the share of its weight, over all steps, that is not at the slot where it is largest.
    """

    heads: dict[str, Tensor]
    usage: Tensor | None
    memory: Tensor
    written: Tensor
    reads: dict[str, Tensor]
    lost: dict[str, float]

    @property
    def text(self) -> str:
        """One plain sentence a head."""
        said = []
        for name, weights in self.heads.items():
            slots = len(torch.unique(weights.argmax(-1)))
            sharp = f"{100 * (1 - self.lost[name]):.0f} % of its weight at the slot where it stands"
            said.append(f"{name}: {slots} of {weights.shape[-1]} slots, {sharp}.")
        return " ".join(said)

    def draw(self, axes: Any, head: str | None = None) -> None:
        """Draw a head's weights, time across and slots up; without a name writing in red and reading in blue."""
        if head is None:
            slots, steps = next(iter(self.heads.values())).T.shape
            picture = torch.ones(slots, steps, 3, dtype=torch.float64)
            for name, weights in self.heads.items():
                for colour in (1, 2) if name.startswith("write") else (0, 1):
                    picture[..., colour] -= weights.T
            axes.imshow(picture.clamp(0, 1).tolist(), origin="lower", aspect="auto", interpolation="nearest")
        else:
            shown = self.heads[head].T.tolist()
            axes.imshow(shown, origin="lower", aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1)
        axes.set_xlabel("step")
        axes.set_ylabel("slot" if head is None else f"slot, {head}")


def memory_view(cell: Cell, x: Tensor) -> MemoryView:
    """Follow the heads of a neural Turing machine or a differentiable neural computer along a sequence.

    Args:
        cell: a cell whose state has the parts `memory`, `write_weights`, `read_weights` and `reads`; it is copied.
        x: one sequence.

    Shapes:
        x (time, input_size).

    Raises:
        UsageError: the cell has no heads, or x holds no step.
        ShapeError: x does not fit.

    Reference:
        A. Graves, G. Wayne, I. Danihelka. Neural Turing machines. arXiv:1410.5401 (2014), figures 6 and 12.

    Example:
        >>> from recurra.cells.external.ntm import NTM
        >>> found = memory_view(NTM(3, 4, slots=6, width=2, read_heads=2), torch.randn(5, 3))
        >>> list(found.heads), found.heads["write 1"].shape, found.usage
        (['write 1', 'read 1', 'read 2'], torch.Size([5, 6]), None)
    """
    where = "memory_view"
    step = CellMap(cell)
    x = step.check_x(x, ("time",), where)
    fields = getattr(step.cell.initial_state(1), "_fields", ())
    if not set(fields) >= PARTS:
        need = "a cell whose state has memory, write_weights, read_weights and reads"
        raise UsageError(f"the state of {type(cell).__name__} has no heads", where=where, need=need, cure="ntm or dnc")
    if not len(x):
        raise UsageError("x holds no step", where=where, need="at least one step")
    with torch.no_grad():
        _, _, states = unroll(step.cell, x.unsqueeze(1), all_states=True)
    heads: dict[str, Tensor] = {}
    for field in HEADS:
        weights = getattr(states, field)[:, 0]
        for number, each in enumerate(weights.reshape(len(x), -1, weights.shape[-1]).unbind(1), 1):
            heads[f"{field.partition('_')[0]} {number}"] = each
    lost = {
        name: float(1 - weights.amax(-1).sum() / weights.sum().clamp_min(1e-300)) for name, weights in heads.items()
    }
    memory = states.memory[:, 0]
    written = memory - torch.cat([step.cell.initial_state(1).memory.detach(), memory[:-1]])
    reads = {f"read {number}": each for number, each in enumerate(states.reads[:, 0].unbind(1), 1)}
    usage = states.usage[:, 0] if "usage" in fields else None
    return MemoryView(heads, usage, memory, written, reads, lost)
