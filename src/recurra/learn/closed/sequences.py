"""What Evolino learns from: sequences with targets, checked against a cell."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_input, check_number_format
from recurra.errors import ShapeError


class Sequences(NamedTuple):
    """Sequences to learn from, or to be judged by.

    Attributes:
        targets: (time, batch, outputs).
        inputs: external inputs, (time, batch, inputs); None where there are none.
        mask: False where a step has no target, (time, batch) booleans; None where all have one.
    """

    targets: Tensor
    inputs: Tensor | None = None
    mask: Tensor | None = None

    def counted(self, washout: int) -> Tensor:
        """1 at each step past the washout that has a target, else 0: (time - washout, batch)."""
        mask = torch.ones(self.targets.shape[:2], dtype=torch.bool) if self.mask is None else self.mask
        return mask[washout:].to(self.targets)

    def forced(self, feedback: bool, scale: float) -> Tensor:
        """What a cell reads when targets stand in the place of the outputs that it reads itself."""
        if not feedback:
            assert self.inputs is not None
            return self.inputs
        back = scale * torch.cat([torch.zeros_like(self.targets[:1]), self.targets[:-1]])
        return back if self.inputs is None else torch.cat([self.inputs, back], -1)


def check_sequences(
    given: Sequences, cell: Cell, outputs: int, external: int, *, longer_than: int, where: str
) -> Sequences:
    """The sequences, with zeros for targets that the mask leaves out, or a ShapeError that says what does not fit."""
    targets, inputs, mask = Sequences(*given)
    check_input(targets, ("time", "batch"), outputs, where=where, name="targets")
    check_number_format(targets, cell, where=where, name="targets")
    if targets.shape[0] <= longer_than:
        raise ShapeError(
            f"targets has {targets.shape[0]} steps",
            where=where,
            need=f"more than the washout of {longer_than} steps",
            cure="longer sequences or a shorter washout",
        )
    if external and inputs is None:
        raise ShapeError("inputs is absent", where=where, need=f"(time, batch, {external})")
    if inputs is not None:
        check_input(inputs, ("time", "batch"), external, where=where, name="inputs")
        if inputs.shape[:2] != targets.shape[:2]:
            need = f"{tuple(targets.shape[:2])} in front, as targets"
            raise ShapeError(f"inputs has shape {tuple(inputs.shape)}", where=where, need=need)
    if mask is not None:
        if mask.dtype != torch.bool or mask.shape != targets.shape[:2]:
            need = f"booleans of shape {tuple(targets.shape[:2])}"
            raise ShapeError(f"mask is {mask.dtype} of shape {tuple(mask.shape)}", where=where, need=need)
        targets = torch.where(mask.unsqueeze(-1), targets, torch.zeros_like(targets))
    return Sequences(targets, inputs, mask)
