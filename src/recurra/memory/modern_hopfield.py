"""The modern Hopfield network as a memory: continuous states, and patterns that stay apart up to great numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_size
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_not_negative, check_positive
from recurra.errors import UsageError
from recurra.memory.recall import Recall
from recurra.memory.spins import check_rows
from recurra.memory.stored import StoredPatterns
from recurra.relax import relax

ENTRIES = 2**24
"""Scores of cues against patterns that are held at once: 64 MB in float32."""


class ModernHopfieldCell(Cell):
    """A modern Hopfield network as a cell: the state moves to a mean of the patterns that weighs its likest most.

    Equations:
        s_t = X^T softmax(beta X s_{t-1}) + x_t,  y_t = s_t.

    Args:
        patterns: X, one a row; a parameter of the cell.
        beta: how sharply patterns are told apart.

    Shapes:
        patterns (patterns, size); x, s and y (batch, size).

    Raises:
        UsageError: beta is not positive.
        ShapeError: x or the state does not fit.

    Reference:
        H. Ramsauer et al. Hopfield networks is all you need. ICLR (2021).

    Example:
        >>> import torch
        >>> cell = ModernHopfieldCell(torch.eye(3), beta=20.0)
        >>> y, _ = cell(torch.zeros(1, 3), HiddenState(torch.tensor([[0.6, 0.1, 0.0]])))
        >>> y.round(decimals=3).tolist()
        [[1.0, 0.0, 0.0]]
    """

    recurrent_weights = ("patterns",)
    patterns: Tensor

    def __init__(self, patterns: Tensor, beta: float = 1.0):
        super().__init__(patterns.shape[1], patterns.shape[1])
        self.beta = check_positive(beta, "beta", "ModernHopfieldCell")
        self.patterns = nn.Parameter(patterns.detach().clone())

    def reset_parameters(self) -> None:
        """Nothing: the patterns are given."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """The whole step; x is an external field."""
        weights = torch.softmax(self.beta * self.recur(state.h, self.patterns), -1)
        s = F.linear(weights, self.patterns.mT) + projected
        return s, HiddenState(s)


class ModernHopfield(nn.Module):
    """Memory of continuous states in which one step from a part of a pattern gives, nearly always, the whole.

    Equations:
        E(s) = -lse(beta, X s) + 1/2 s^T s + ln(P) / beta + 1/2 max_p |x_p|^2,
        lse(beta, z) = 1/beta ln sum_p exp(beta z_p);
        each step is s = X^T softmax(beta X s), which never raises E; E is never negative.

    How many patterns can be recalled grows exponentially with their size. A small beta makes states that are means of
    many patterns; a large one tells every pattern from the others.

    Args:
        size: of a pattern.
        beta: how sharply patterns are told apart, for patterns of the size they have; for patterns of +-1, 1 is sharp.
        device, dtype: where and in which number format patterns are kept.

    Shapes:
        patterns (patterns, size), any numbers; cues and states (batch, size).

    Raises:
        UsageError: a number is out of range, nothing is stored, or a pattern to be forgotten is not stored.
        ShapeError: patterns or cue does not fit.

    Reference:
        H. Ramsauer et al. Hopfield networks is all you need. ICLR (2021).
        D. Krotov, J. J. Hopfield. Dense associative memory for pattern recognition. NIPS (2016) 1172-1180.
        M. Demircigil, J. Heusel, M. Loewe, S. Upgang, F. Vermet. On a model of associative memory with huge storage
        capacity. Journal of Statistical Physics 168 (2017) 288-299.

    Example:
        >>> import torch
        >>> memory = ModernHopfield(4, beta=8.0)
        >>> memory.store(torch.tensor([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]]))
        >>> memory.recall(torch.tensor([[1.0, 0.5, 0.0, 0.0]])).state.round(decimals=3).tolist()
        [[1.0, 1.0, -1.0, -1.0]]
    """

    def __init__(self, size: int, beta: float = 1.0, device: Any = None, dtype: Any = None):
        super().__init__()
        self.size = check_size(size, "size", "ModernHopfield")
        self.beta = check_positive(beta, "beta", "ModernHopfield")
        self.patterns = StoredPatterns(size, device, dtype)

    @torch.no_grad()
    def store(self, patterns: Tensor) -> None:
        """Keep patterns (patterns, size) beside those that are stored."""
        where = "ModernHopfield.store"
        self.patterns.add(check_rows(patterns, self.size, "patterns", "patterns", self.patterns.rows, where))

    @torch.no_grad()
    def forget(self, patterns: Tensor | None = None) -> None:
        """Take patterns out, all of them when none are given."""
        where = "ModernHopfield.forget"
        rows = self.patterns.rows
        if patterns is None:
            self.patterns.rows = rows[:0]
        else:
            self.patterns.remove(check_rows(patterns, self.size, "patterns", "patterns", rows, where), where)

    def energy(self, state: Tensor) -> Tensor:
        """E of each state (batch, size): (batch,)."""
        rows = self._filled("ModernHopfield.energy")
        state = check_rows(state, self.size, "state", "batch", rows, "ModernHopfield.energy")
        near = torch.logsumexp(self.beta * (state @ rows.mT), -1) / self.beta
        longest = 0.5 * rows.square().sum(-1).amax()
        return -near + 0.5 * state.square().sum(-1) + math.log(len(rows)) / self.beta + longest

    @torch.no_grad()
    def recall(self, cue: Tensor, *, steps: int = 100, tolerance: float = 1e-5) -> Recall:
        """Let states run from cues to where they come to rest; one or two steps are nearly always enough.

        Args:
            cue: the states to begin with, (batch, size).
            steps: the most steps.
            tolerance: a state is taken to be at rest where no number of it changes by more than this in a step.
        """
        where = "ModernHopfield.recall"
        check_size(steps, "steps", where)
        tolerance = check_not_negative(tolerance, "tolerance", where)
        cue = check_rows(cue, self.size, "cue", "batch", self._filled(where), where)
        # Cues do not see one another: in parts, so that scores of many cues against many patterns fit into memory.
        parts = cue.split(max(1, ENTRIES // len(self.patterns)))
        cell = self.cell()
        found = [
            relax(
                cell,
                HiddenState(part),
                steps=steps,
                tolerance=tolerance,
                longest_cycle=1,
                energy=lambda state: self.energy(state.h),
            )
            for part in parts
        ]
        traces = [rest.energy for rest in found if rest.energy is not None]
        longest = max(len(trace) for trace in traces)
        # A part that came to rest earlier keeps its last energies.
        traces = [torch.cat([trace, trace[-1:].expand(longest - len(trace), -1)]) for trace in traces]
        return Recall(
            torch.cat([rest.state.h for rest in found]),
            torch.cat(traces, 1),
            torch.cat([rest.converged for rest in found]),
            torch.cat([rest.cycle for rest in found]),
            torch.cat([rest.steps for rest in found]),
        )

    def cell(self) -> ModernHopfieldCell:
        """The network as a cell, with a copy of its patterns: for `relax`, rules and instruments."""
        return ModernHopfieldCell(self._filled("ModernHopfield.cell"), self.beta)

    def _filled(self, where: str) -> Tensor:
        if not len(self.patterns):
            raise UsageError("no pattern is stored", where=where, need="one or more", cure="store(patterns)")
        return self.patterns.rows

    def extra_repr(self) -> str:
        return f"{self.size}, beta={self.beta}"
