"""Stability of a step's linear part: the poles of a linear cell, or of any cell's step at a state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.float64 import in_float64
from recurra.analysis.systems import CellMap, jacobians
from recurra.cells.base import Cell
from recurra.errors import ShapeError
from recurra.types import State


@dataclass(frozen=True)
class Stability:
    """The linear part of a step.

    Attributes:
        eigenvalues: (features,), complex, the largest first: a linear system's poles.
        norm: the largest singular value: how much one step can make of a small change.
        growth: the largest |J^k| of k = 0, 1, 2, ... up to the number of features and at least 100: how much a small
            change can grow before it dies out; infinite where it overflows.
        exact: whether the cell is linear in its state, so that this holds at every state and not only near one.
    """

    eigenvalues: Tensor
    norm: float
    growth: float
    exact: bool

    @property
    def spectral_radius(self) -> float:
        """The largest eigenvalue's size."""
        return float(self.eigenvalues.abs().max())

    @property
    def stable(self) -> bool:
        """Whether all eigenvalues lie within the unit circle."""
        return self.spectral_radius < 1

    @property
    def decay_times(self) -> Tensor:
        """Steps in which each mode falls to 1/e, (features,); infinite on the unit circle, negative where it grows."""
        return -1 / self.eigenvalues.abs().log()

    @property
    def periods(self) -> Tensor:
        """Steps of each mode's oscillation, (features,); infinite where it does not oscillate."""
        return 2 * math.pi / self.eigenvalues.angle().abs()

    @property
    def text(self) -> str:
        """One plain sentence."""
        where = "everywhere" if self.exact else "at this state"
        if not self.stable:
            return f"Unstable {where}: the spectral radius is {self.spectral_radius:.4g}."
        return (
            f"Stable {where}: the spectral radius is {self.spectral_radius:.4g}, "
            f"the slowest mode falls to 1/e in {float(self.decay_times.max()):.3g} steps."
        )

    def draw(self, axes: Any) -> None:
        """Draw the eigenvalues and the unit circle on matplotlib's axes."""
        angle = torch.linspace(0, 2 * math.pi, 200)
        axes.plot(angle.cos().tolist(), angle.sin().tolist(), linewidth=0.8, color="grey")
        axes.plot(self.eigenvalues.real.tolist(), self.eigenvalues.imag.tolist(), "x", markersize=4)
        axes.set_aspect("equal")
        axes.set_xlabel("real part")
        axes.set_ylabel("imaginary part")


def linear_stability(cell: Cell, x: Tensor | None = None, state: State | None = None) -> Stability:
    """Eigenvalues and growth of a cell's step, linearised in its state.

    Equations:
        J = dF(s, x)/ds;  stable where max |eigenvalue of J| < 1. For a cell that is linear in its state, as linear
        recurrent units and recursive filters are, J is the same at every state, its eigenvalues are the poles, and all
        states meet if and only if it is stable (under a constant input, as J may depend on x).

    Args:
        cell: any cell; it is copied.
        x: the input; zeros when absent.
        state: at which to linearise, of a batch of one; the cell's initial state when absent.

    Shapes:
        x (input_size,).

    Raises:
        ShapeError: x or the state does not fit.

    Reference:
        L. N. Trefethen, M. Embree. Spectra and Pseudospectra. Princeton University Press (2005), on growth.

    Example:
        >>> import torch
        >>> from recurra.cells import Elman
        >>> cell = Elman(1, 2, bias=False)
        >>> _ = cell.weight_hh.data.copy_(torch.tensor([[0.5, 4.0], [0.0, 0.5]]))
        >>> found = linear_stability(cell)
        >>> found.spectral_radius, round(found.growth, 2), found.stable
        (0.5, 4.06, True)
    """
    where = "linear_stability"
    step = CellMap(cell)
    s, beside = step.start(1) if state is None else step.flatten(state, where)
    if len(s) != 1:
        raise ShapeError(f"the state has {len(s)} rows", where=where, need="a batch of one")
    given = torch.zeros(cell.input_size, dtype=torch.float64) if x is None else step.check_x(x, (), where)
    with torch.no_grad():
        matrix = jacobians(step.next_vector(given.unsqueeze(0), beside), s)[1][0]
    eigenvalues = torch.linalg.eigvals(matrix)
    power, growth = torch.eye(len(matrix), dtype=torch.float64), 1.0
    for _ in range(max(100, len(matrix))):
        power = power @ matrix
        size = float(torch.linalg.matrix_norm(power, 2)) if bool(power.isfinite().all()) else math.inf
        growth = max(growth, size)
        if size < 1e-3 or not math.isfinite(size):
            break
    order = eigenvalues.abs().argsort(descending=True)
    return Stability(eigenvalues[order], float(torch.linalg.matrix_norm(matrix, 2)), growth, bool(cell.linear))


def weight_stability(cell: Cell) -> dict[str, list[tuple[float, float]]]:
    """Spectral radius and norm of each square block of a cell's recurrent weights, by the weights' names.

    A block stands for a gate or the candidate; a vector of weights counts as a diagonal matrix.

    Example:
        >>> from recurra.cells import GRU
        >>> {name: len(blocks) for name, blocks in weight_stability(GRU(2, 3)).items()}
        {'weight_hh': 3}
    """
    found = {}
    copied = in_float64(cell)
    for name in cell.recurrent_weights:
        weight = getattr(copied, name, None)
        if not isinstance(weight, Tensor):
            continue
        matrix = torch.diag(weight) if weight.dim() == 1 else weight
        if matrix.dim() != 2 or not matrix.shape[1] or matrix.shape[0] % matrix.shape[1]:
            continue
        blocks = matrix.detach().split(matrix.shape[1])
        found[name] = [
            (float(torch.linalg.eigvals(block).abs().max()), float(torch.linalg.matrix_norm(block, 2)))
            for block in blocks
        ]
    return found
