"""Lyapunov exponents: how fast states that are close to each other part or meet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.systems import CellMap, Map, tangents
from recurra.cells.base import Cell, check_size
from recurra.errors import ShapeError, UsageError
from recurra.types import State
from recurra.unroll import check_lengths

BLOCKS = 10
"""Stretches of time whose means are compared for the band."""


@dataclass(frozen=True)
class LyapunovSpectrum:
    """Lyapunov exponents with what is needed to judge them.

    Attributes:
        exponents: from the largest down, (count,), in units of 1 / time: per step of a cell or a map.
        band: half the width of each one's band, (count,): two standard errors of the means over stretches of time and
            sequences; how far more time may still move the value. Infinite where there is one such mean alone.
        each: of each sequence by itself, (batch, count).
        course: the estimates after 1, 2, ... tenths of the time, (10, count), or fewer where there are fewer steps.
        steps: steps counted, the longest sequence's.
        dimension: the Kaplan-Yorke dimension, or None where the exponents counted are too few to tell.
        conditional: whether perturbations of the driving input, or of the features that drive, were left out.
    """

    exponents: Tensor
    band: Tensor
    each: Tensor
    course: Tensor
    steps: int
    dimension: float | None
    conditional: bool

    @property
    def entropy(self) -> float:
        """The sum of the positive exponents, an upper bound of the entropy made per unit of time."""
        return float(self.exponents.clamp(min=0).sum())

    @property
    def text(self) -> str:
        """One plain sentence."""
        first, band = float(self.exponents[0]), float(self.band[0])
        said = f"The largest exponent is {first:.4g} +- {band:.2g}: "
        if abs(first) <= band:
            return said + "within its band of zero."
        if first > 0:
            return said + "close states part, as in chaos."
        # Under an input this is the echo state property along that input.
        end = "the first state is forgotten." if self.conditional else "close states meet."
        return said + end

    def draw(self, axes: Any) -> None:
        """Draw the spectrum with its bands on matplotlib's axes."""
        place = range(1, len(self.exponents) + 1)
        width = torch.where(self.band.isfinite(), self.band, torch.zeros_like(self.band))
        axes.axhline(0.0, linewidth=0.8, color="grey")
        axes.errorbar(place, self.exponents.tolist(), yerr=width.tolist(), fmt="o", markersize=3)
        axes.set_xlabel("exponent, the largest first")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("Lyapunov exponent")


def lyapunov_spectrum(
    system: Cell | Map | Callable[[Tensor], Tensor],
    x: Tensor | None = None,
    *,
    state: State | None = None,
    lengths: Any = None,
    steps: int | None = None,
    count: int | None = None,
    warmup: int = 100,
    every: int = 1,
    response: Sequence[int] | None = None,
    seed: int = 0,
) -> LyapunovSpectrum:
    """Measure the Lyapunov exponents of a cell, a map or a flow.

    Equations:
        Q_t R_t = J_t Q_{t-1},  J_t = dF(s_{t-1}, x_t)/ds,  diag R_t > 0;
        lambda_i = 1 / T sum over t of log (R_t)_ii, T being the time of the steps counted.
        Kaplan-Yorke dimension: j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}|, with the largest j of a sum >= 0.

    Products with J_t are taken by forward differentiation for all sequences and columns at once. A cell's exponents
    along an input are conditional: the input stays as it is when the state is perturbed. That the largest is negative
    is the echo state property along that input.

    Args:
        system: a cell, a `Map`, a `Flow`, or a function from (batch, features) to the same.
        x: input sequences of a cell; zeros for `steps` steps when absent.
        state: the states to begin with: vectors of a map or a flow, a cell's own form of state. When absent, a cell
            begins at its initial state under an input, and at a standard normal one without, as zero may be a fixed
            point.
        lengths: the steps of each sequence of x; all when absent.
        steps: steps to count after `warmup`; of an input, all that remain when absent.
        count: how many exponents, from the largest; all when absent.
        warmup: steps at the beginning that are not counted, while the state and the columns of Q settle.
        every: steps between two decompositions.
        response: features of a map or a flow that are driven by the others; the exponents are those of the driven part
            alone (conditional exponents).
        seed: of the random first states and of Q_0.

    Shapes:
        x (time, batch, input_size), lengths (batch,), a vector state (batch, features) or (features,). Everything is
        computed in float64 on the processor.

    Raises:
        UsageError: a number is out of range, or an argument does not belong to the kind of system.
        ShapeError: x or the state does not fit.

    Reference:
        G. Benettin, L. Galgani, A. Giorgilli, J.-M. Strelcyn. Lyapunov characteristic exponents for smooth dynamical
        systems and for Hamiltonian systems. Meccanica 15 (1980) 9-30. J. L. Kaplan, J. A. Yorke. Chaotic behavior of
        multidimensional difference equations. Lecture Notes in Mathematics 730 (1979) 204-227. Conditional: L. M.
        Pecora, T. L. Carroll. Synchronization in chaotic systems. Physical Review Letters 64 (1990) 821-824.

    Example:
        >>> import torch
        >>> found = lyapunov_spectrum(lambda s: s * torch.tensor([0.5, 2.0]), state=torch.ones(2), steps=50)
        >>> [round(value, 6) for value in found.exponents.tolist()]
        [0.693147, -0.693147]
    """
    where = "lyapunov_spectrum"
    for value, name, least in ((warmup, "warmup", 0), (every, "every", 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name} is {value!r}", where=where, need=f"a whole number of at least {least}")
    if steps is not None:
        check_size(steps, "steps", where)
    generator = torch.Generator().manual_seed(seed)
    if isinstance(system, Cell):
        if response is not None:
            need = "a map or a flow; a cell's exponents along x are conditional as they are"
            raise UsageError("response was given for a cell", where=where, need=need)
        run: _CellRun | _MapRun = _CellRun(system, x, state, lengths, warmup, steps, generator)
    else:
        if x is not None or lengths is not None:
            raise UsageError(
                "x or lengths was given for a map", where=where, need="a cell", cure="write x into the map"
            )
        if steps is None:
            raise UsageError("steps is None", where=where, need="the number of steps to count")
        run = _MapRun(system if isinstance(system, Map) else Map(system), state, response, warmup + steps)
    features = run.features
    kept = features if count is None else check_size(count, "count", where)
    if kept > features:
        raise UsageError(f"count is {count}", where=where, need=f"at most {features}, the features of the state")
    counted = run.lengths - warmup
    if int(counted.max()) < 1:
        raise UsageError(
            f"x has {run.steps} steps, and warmup is {warmup}", where=where, need="more steps than warmup in a sequence"
        )
    start = torch.randn(len(counted), features, kept, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        growth = _grow(run, torch.linalg.qr(start)[0], warmup, every)
    return _spectrum(growth, counted, run.time_step, features, run.conditional)


def kaplan_yorke_dimension(exponents: Sequence[float] | Tensor, complete: bool = True) -> float | None:
    """The Kaplan-Yorke dimension of a spectrum; None where it needs more exponents than are given.

    Example:
        >>> kaplan_yorke_dimension([0.9, 0.0, -14.4])
        2.0625
    """
    total = 0.0
    values = [float(value) for value in exponents]
    for place, value in enumerate(values):
        if total + value < 0:
            return place + total / abs(value)
        total += value
    return float(len(values)) if complete else None


def _grow(run: Any, columns: Tensor, warmup: int, every: int) -> Tensor:
    """log diag R of every step, (steps after warmup, batch, count); zero past a sequence's end."""
    growth = []
    since = 0
    for t in range(run.steps):
        since += 1
        columns = run.step(t, columns)
        last = t + 1 == run.steps or t + 1 == warmup or bool((run.lengths == t + 1).any())
        if since < every and not last:
            if t >= warmup:
                growth.append(torch.zeros(len(columns), columns.shape[-1], dtype=torch.float64))
            continue
        columns, r = torch.linalg.qr(columns)
        if t >= warmup:
            logs = r.diagonal(dim1=-2, dim2=-1).abs().log()
            growth.append(torch.where((t < run.lengths).unsqueeze(-1), logs, torch.zeros_like(logs)))
        since = 0
    return torch.stack(growth)


def _spectrum(growth: Tensor, counted: Tensor, time: float, features: int, conditional: bool) -> LyapunovSpectrum:
    counted = counted.clamp(min=0)
    total = counted.sum()
    each = growth.sum(0) / (counted.clamp(min=1).unsqueeze(-1) * time)
    exponents = growth.sum((0, 1)) / (total * time)
    exponents, order = exponents.sort(descending=True)
    growth, each = growth[..., order], each[counted > 0][:, order]
    means, course, done, sums = [], [], 0, torch.zeros_like(exponents)
    steps = len(growth)
    ends = sorted({round(steps * (k + 1) / BLOCKS) for k in range(BLOCKS)} - {0})
    begin = 0
    for end in ends:
        inside = (counted.clamp(max=end) - begin).clamp(min=0)
        part = growth[begin:end].sum(0)
        means.append(part[inside > 0] / (inside[inside > 0].unsqueeze(-1) * time))
        sums, done = sums + part.sum(0), done + int(inside.sum())
        course.append(sums / (done * time))
        begin = end
    blocks = torch.cat(means)
    size = len(blocks)
    band = 2 * blocks.std(0) / math.sqrt(size) if size > 1 else torch.full_like(exponents, math.inf)
    dimension = kaplan_yorke_dimension(exponents, len(exponents) == features)
    return LyapunovSpectrum(exponents, band, each, torch.stack(course), steps, dimension, conditional)


class _CellRun:
    """A cell along its inputs."""

    time_step = 1.0

    def __init__(self, cell: Cell, x: Any, state: Any, lengths: Any, warmup: int, steps: int | None, generator: Any):
        where = "lyapunov_spectrum"
        self.map = CellMap(cell)
        self.conditional = x is not None
        if x is None:
            if steps is None:
                raise UsageError("neither x nor steps was given", where=where, need="one of them")
            batch = 1 if state is None else self.map.flatten(state, where)[0].shape[0]
            x = torch.zeros(warmup + steps, batch, cell.input_size, dtype=torch.float64)
        x = self.map.check_x(x, ("time", "batch"), where)
        if steps is not None:
            if len(x) < warmup + steps:
                raise UsageError(f"x has {len(x)} steps", where=where, need=f"{warmup + steps}, warmup and steps")
            x = x[: warmup + steps]
        self.x, self.steps = x, len(x)
        every = torch.full((x.shape[1],), len(x))
        self.lengths = every if lengths is None else check_lengths(lengths, x, where=where).cpu()
        self.s, self.beside = self.map.start(x.shape[1]) if state is None else self.map.flatten(state, where)
        if state is None and not self.conditional:
            self.s = self.s + torch.randn(self.s.shape, generator=generator, dtype=torch.float64)
        if len(self.s) != x.shape[1]:
            raise ShapeError(f"the state has {len(self.s)} rows", where=where, need=f"{x.shape[1]}, as x has")
        self.features = self.map.features

    def step(self, t: int, columns: Tensor) -> Tensor:
        after: list[Any] = []

        def advance(vector: Tensor) -> Tensor:
            _, following, beside = self.map.advance(self.x[t], vector, self.beside)
            after[:] = beside
            return following

        s, columns = tangents(advance, self.s, columns)
        if after:
            self.beside = self.map.advance(self.x[t], self.s, self.beside)[2]
        self.s = s
        return columns


class _MapRun:
    """A map or a flow, or the part of it that is driven by the rest."""

    def __init__(self, system: Map, state: Any, response: Sequence[int] | None, steps: int):
        where = "lyapunov_spectrum"
        if not isinstance(state, Tensor) or state.dim() not in (1, 2) or not state.is_floating_point():
            got = f"has shape {tuple(state.shape)}" if isinstance(state, Tensor) else f"is {type(state).__name__}"
            raise ShapeError(f"state {got}", where=where, need="the first states, (batch, features) or (features,)")
        self.s = state.detach().cpu().double().reshape(-1, state.shape[-1])
        self.map, self.steps, self.time_step = system, steps, system.time_step
        self.lengths = torch.full((len(self.s),), steps)
        self.conditional = response is not None
        self.features = self.s.shape[-1]
        if response is not None:
            if (
                not response
                or sorted(set(response)) != sorted(response)
                or not set(response) <= set(range(self.features))
            ):
                need = f"different numbers from 0 to {self.features - 1}"
                raise UsageError(f"response is {list(response)!r}", where=where, need=need)
            self.indices = torch.tensor(list(response))
            self.features = len(response)

    def step(self, t: int, columns: Tensor) -> Tensor:
        if not self.conditional:
            self.s, columns = tangents(self.map.advance, self.s, columns)
            return columns
        own = self.s.index_select(-1, self.indices)
        _, columns = tangents(lambda part: self.map.respond(self.s, part, self.indices), own, columns)
        self.s = self.map.advance(self.s)
        return columns
