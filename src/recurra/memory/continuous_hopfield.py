"""Hopfield's associative memory of graded units in continuous time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import check_size
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_not_negative, check_positive
from recurra.memory.associative import AssociativeMemory
from recurra.memory.hopfield_cells import ContinuousHopfieldCell
from recurra.memory.recall import Recall
from recurra.memory.rules import LearningRule
from recurra.memory.spins import check_field, check_rows
from recurra.relax import relax

FURTHEST = 0.999
"""The largest output that a cue may ask for: +-1 itself would need an infinite u."""


class ContinuousHopfield(AssociativeMemory):
    """Associative memory of graded units: an ordinary differential equation that runs downhill to a stored pattern.

    Equations:
        tau du/dt = -u + W y - theta + field,  y = tanh(gain u);
        E(y) = -1/2 y^T W y + theta^T y - field^T y + 1/gain sum_i G(y_i),
        G(y) = integral from 0 to y of artanh(v) dv = y artanh(y) + 1/2 ln(1 - y^2).
        With symmetric weights dE/dt = -tau sum_i dy_i/du_i (du_i/dt)^2, which is never positive. In a large gain the
        fixed points are those of the units of +-1; below gain = 1 / (largest eigenvalue of W) there is none but y = 0.

    Args:
        units: how many.
        rule: "hebbian", "storkey", "storkey_second_order", "pseudo_inverse", or a function from patterns to weights.
        gain: the slope of the units.
        time_constant: tau, in the unit of dt.
        self_connections, threshold, device, dtype: as of `Hopfield`.

    Shapes:
        patterns (patterns, units), of +-1; cues and states y (batch, units), from -1 to 1.

    Raises:
        UsageError: a number is out of range, or a pattern to be forgotten is not stored.
        ShapeError: patterns, cue or field does not fit.

    Differs from the paper: outputs from -1 to 1; one tau for all units, with resistances of 1; the sigmoid is tanh.

    Reference:
        J. J. Hopfield. Neurons with graded response have collective computational properties like those of two-state
        neurons. Proceedings of the National Academy of Sciences 81 (1984) 3088-3092.

    Example:
        >>> import torch
        >>> memory = ContinuousHopfield(6, gain=4.0)
        >>> pattern = torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0, -1.0]])
        >>> memory.store(pattern)
        >>> found = memory.recall(torch.tensor([[0.5, 0.5, -0.1, -0.5, -0.5, 0.0]]))
        >>> bool(found.converged), bool((found.state.sign() == pattern).all())
        (True, True)
    """

    def __init__(
        self,
        units: int,
        rule: str | LearningRule = "hebbian",
        gain: float = 4.0,
        time_constant: float = 1.0,
        *,
        self_connections: bool = False,
        threshold: float | Tensor = 0.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            units, rule, self_connections=self_connections, threshold=threshold, device=device, dtype=dtype
        )
        self.gain = check_positive(gain, "gain", "ContinuousHopfield")
        self.time_constant = check_positive(time_constant, "time_constant", "ContinuousHopfield")

    def energy(self, state: Tensor, field: Tensor | None = None) -> Tensor:
        """E of each state y (batch, units), under an external field (batch, units) or (units,): (batch,)."""
        where = "ContinuousHopfield.energy"
        y = check_rows(state, self.units, "state", "batch", self.threshold, where)
        field = check_field(field, (len(y), self.units), y, where)
        # G in this form is finite at y = +-1, where it is ln 2, and loses no digits near it.
        bowl = 0.5 * (torch.special.xlog1py(1 + y, y) + torch.special.xlog1py(1 - y, -y)).sum(-1)
        quadratic = -0.5 * (y * (y @ self.weight.mT)).sum(-1)
        return quadratic + ((self.threshold - field) * y).sum(-1) + bowl / self.gain

    @torch.no_grad()
    def recall(
        self,
        cue: Tensor,
        *,
        steps: int = 1000,
        dt: float = 0.1,
        method: str = "rk4",
        tolerance: float = 1e-5,
        field: Tensor | None = None,
    ) -> Recall:
        """Let the network run from cues until it changes no more.

        Args:
            cue: the outputs y to begin with, (batch, units), from -1 to 1; beyond +-.999 they begin at +-.999.
            steps: the most steps.
            dt: the time of a step; small against tau, or E may rise.
            method: "euler", "rk2" or "rk4".
            tolerance: a state is taken to be at rest where no u changes by more than this in a step.
            field: an external field, (batch, units) or (units,).
        """
        where = "ContinuousHopfield.recall"
        check_size(steps, "steps", where)
        tolerance = check_not_negative(tolerance, "tolerance", where)
        cue = check_rows(cue, self.units, "cue", "batch", self.threshold, where)
        field = check_field(field, (len(cue), self.units), cue, where)
        u = torch.atanh(cue.clamp(-FURTHEST, FURTHEST)) / self.gain
        rest = relax(
            self.cell(dt, method),
            HiddenState(u),
            field,
            steps=steps,
            tolerance=tolerance,
            longest_cycle=1,
            energy=lambda state: self.energy(torch.tanh(self.gain * state.h), field),
        )
        assert rest.energy is not None
        return Recall(torch.tanh(self.gain * rest.state.h), rest.energy, rest.converged, rest.cycle, rest.steps)

    def cell(self, dt: float = 0.1, method: str = "euler", substeps: int = 1) -> ContinuousHopfieldCell:
        """The network as a cell, with a copy of its weights and thresholds: for `relax`, rules and instruments."""
        cell = ContinuousHopfieldCell(
            self.units,
            self.gain,
            self.time_constant,
            method,
            substeps,
            dt,
            self.threshold.device,
            self.threshold.dtype,
        )
        with torch.no_grad():
            cell.weight_hh.copy_(self.weight)
            cell.bias_hh.copy_(-self.threshold)
        return cell
