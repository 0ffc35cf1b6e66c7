"""Memory capacity: how much of its past input a network's state holds, as linear readouts can tell."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch

from recurra.analysis.systems import CellMap
from recurra.cells.base import Cell, check_size
from recurra.cells.state import map_state
from recurra.errors import UsageError
from recurra.learn.closed.ridge import ConditionWarning, Ridge
from recurra.unroll import unroll

STRANGERS = 100
"""Signals that the network never saw, from which chance is measured."""


@dataclass(frozen=True)
class MemoryCapacity:
    """How well the input of each delay is told from the state.

    Attributes:
        delays: 0, 1, 2, ...
        each: what is told of the input of each delay, corrected for chance, summed over the input's features.
        raw: the same before the correction.
        chance: what is told of a signal that the network never saw: mean, and the largest of 100.
        total: the memory capacity: the sum over the delays from 1 on (from 0 on with `include_present`).
        bound: the number of the state's features, which the capacity of a linear readout does not exceed.
    """

    delays: list[int]
    each: list[float]
    raw: list[float]
    chance: tuple[float, float]
    total: float
    bound: int

    @property
    def text(self) -> str:
        """One plain sentence."""
        return f"The memory capacity is {self.total:.4g} of at most {self.bound}."

    def draw(self, axes: Any) -> None:
        """Draw what is told against the delay on matplotlib's axes."""
        axes.plot(self.delays, self.each, "o-", markersize=3)
        axes.set_xlabel("delay")
        axes.set_ylabel("told from the state, 1 for each input")


def memory_capacity(
    cell: Cell,
    delays: int | None = None,
    *,
    steps: int = 4000,
    warmup: int = 500,
    scale: float = 1.0,
    penalty: float = 1e-10,
    include_present: bool = False,
    seed: int = 0,
) -> MemoryCapacity:
    """Measure the short-term memory capacity of a cell under a random input.

    Equations:
        MC = sum over k of MC_k,  MC_k = 1 - sum_t (u(t - k) - w_k . s(t))^2 / sum_t (u(t - k) - mean u)^2,
        on steps that the readout w_k was not fitted on; u uniform in +-scale, one such signal for each feature of x.
        Corrected for chance: where MC_k is not above that of each of 100 signals that the network never saw, it is 0.

    On the steps of the fit every delay would seem to be told a little, in the mean state size / steps of it, which sums
    over many delays to a capacity that is not there; on other steps chance leaves values about 0 or below.

    Args:
        cell: any cell; it is copied. Its whole state is read.
        delays: the largest delay; twice the state's features when absent.
        steps: of the fit, and as many of the judgement.
        warmup: steps left out at the beginning.
        scale: of the input.
        penalty: of the readout, per step and relative to the input's square.
        include_present: whether the present input (delay 0) counts.
        seed: of the input.

    Raises:
        UsageError: a number is not positive, or there are fewer steps than features of the state.

    Differs from the paper: the share of the variance that is told on new steps stands in place of the squared
    correlation, with which it agrees for the best readout and many steps.

    Reference:
        H. Jaeger. Short term memory in echo state networks. GMD Report 152 (2002).

    Example:
        >>> import torch
        >>> from recurra.cells import Elman
        >>> cell = Elman(1, 4, bias=False)  # a line of four units that hand on what they hold
        >>> _ = cell.weight_hh.data.copy_(torch.diag(torch.ones(3), -1))
        >>> _ = cell.weight_ih.data.copy_(torch.tensor([[1.0], [0.0], [0.0], [0.0]]))
        >>> round(memory_capacity(cell, scale=0.01, include_present=True).total, 2)
        4.0
    """
    where = "memory_capacity"
    step = CellMap(cell)
    most = 2 * step.features if delays is None else check_size(delays, "delays", where)
    check_size(steps, "steps", where)
    if steps <= step.features:
        raise UsageError(f"steps is {steps}", where=where, need=f"more than {step.features}, the state's features")
    if not scale > 0 or not penalty >= 0 or warmup < 0:
        given = f"scale is {scale}, penalty is {penalty}, warmup is {warmup}"
        raise UsageError(given, where=where, need="a positive scale, and a penalty and a warmup of 0 or more")
    generator = torch.Generator().manual_seed(seed)
    before = max(warmup, most)
    whole = before + 2 * steps
    u = scale * (2 * torch.rand(whole, cell.input_size, generator=generator, dtype=torch.float64) - 1)
    strange = scale * (2 * torch.rand(2 * steps, STRANGERS, generator=generator, dtype=torch.float64) - 1)
    with torch.no_grad():
        _, _, states = unroll(step.cell, u.unsqueeze(1), all_states=True)
        s = step.flatten(map_state(lambda part: part.flatten(0, 1), states))[0][before:]
        shifted = [u[before - k : whole - k] for k in range(most + 1)]
        targets = torch.cat([*shifted, strange], -1)
        # The penalty is relative to the mean square of a state, so that small inputs are told as well as large ones.
        size = float((s - s.mean(0)).square().mean())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConditionWarning)  # predictions alone are used
            readout = Ridge(penalty * steps * max(size, 1e-300)).fit(s[:steps], targets[:steps])
            said = readout.predict(s[steps:])
    true = targets[steps:]
    told = 1 - (true - said).square().sum(0) / (true - true.mean(0)).square().sum(0)
    known, unknown = told[:-STRANGERS].reshape(most + 1, -1), told[-STRANGERS:]
    threshold = max(0.0, float(unknown.max()))
    corrected = torch.where(known > threshold, known, torch.zeros_like(known)).sum(-1)
    total = float(corrected.sum() if include_present else corrected[1:].sum())
    chance = (float(unknown.mean()), float(unknown.max()))
    return MemoryCapacity(
        list(range(most + 1)), corrected.tolist(), known.sum(-1).tolist(), chance, total, step.features
    )
