"""Hopfield's associative memory of units that are +1 or -1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.cells.base import check_size
from recurra.cells.state import HiddenState
from recurra.cells.time_step import check_choice
from recurra.errors import UsageError
from recurra.memory.associative import AssociativeMemory
from recurra.memory.hopfield_cells import HopfieldCell
from recurra.memory.recall import Recall, recall_by_units
from recurra.memory.spins import check_field, check_rows, check_spins, check_temperatures
from recurra.relax import relax


class Hopfield(AssociativeMemory):
    """Associative memory in which patterns are states that the network falls into: a part of one recalls the whole.

    Equations:
        E(s) = -1/2 s^T W s + theta^T s - field^T s, and with h_i = sum_j w_ij s_j - theta_i + field_i
        - "asynchronous": units change one after another, s_i = sgn(h_i); one whose h_i is 0 stays as it is. With
          symmetric weights and a diagonal of 0 or more no step raises E, and every run ends in a fixed point.
        - "synchronous": all units change at once; a run ends in a fixed point or, E going up and down, in a cycle of
          two states.
        - "gibbs": one after another, each drawn with P(s_i = +1 | the others) = sigmoid(2 (h_i - w_ii s_i) / T), so
          that in the long run the state s is met with a probability in proportion to exp(-E(s) / T).

    Args:
        units: how many.
        rule: how weights follow from patterns: "hebbian" (about .138 `units` random patterns, with few errors),
            "storkey" and "storkey_second_order" (more, and still local), "pseudo_inverse" (any that are linearly
            independent), or a function from patterns (patterns, units) to weights (units, units).
        self_connections: whether the rule keeps the diagonal of the weights, instead of 0.
        threshold: theta, a number or one for each unit.
        device, dtype: where and in which number format weights and patterns are kept.

    Shapes:
        patterns (patterns, units), cues and states (batch, units), weight (units, units).

    Raises:
        UsageError: a number is out of range, units are not +-1, or a pattern to be forgotten is not stored.
        ShapeError: patterns, cue or field does not fit.

    Differs from the paper: units of +-1 instead of 0 and 1; asynchronous recall visits each unit once in a sweep, in an
    order drawn anew for each, instead of units at random; a field of 0, or as small as rounding makes of one, leaves a
    unit as it is. The patterns are kept, so that those learned by rules that cannot be undone can be forgotten too.

    Reference:
        J. J. Hopfield. Neural networks and physical systems with emergent collective computational abilities.
        Proceedings of the National Academy of Sciences 79 (1982) 2554-2558.
        D. J. Amit, H. Gutfreund, H. Sompolinsky. Storing infinite numbers of patterns in a spin-glass model of neural
        networks. Physical Review Letters 55 (1985) 1530-1533.
        S. Geman, D. Geman. Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of images. IEEE
        Transactions on Pattern Analysis and Machine Intelligence 6 (1984) 721-741.

    Example:
        >>> import torch
        >>> memory = Hopfield(6)
        >>> memory.store(torch.tensor([[1.0, 1.0, 1.0, -1.0, -1.0, -1.0]]))
        >>> found = memory.recall(torch.tensor([[1.0, 1.0, -1.0, -1.0, -1.0, -1.0]]))
        >>> found.state.tolist(), found.converged.tolist()
        ([[1.0, 1.0, 1.0, -1.0, -1.0, -1.0]], [True])
        >>> bool((found.energy[1:] <= found.energy[:-1]).all())
        True
    """

    def energy(self, state: Tensor, field: Tensor | None = None) -> Tensor:
        """E of each state (batch, units), under an external field (batch, units) or (units,): (batch,)."""
        where = "Hopfield.energy"
        state = check_rows(state, self.units, "state", "batch", self.threshold, where)
        field = check_field(field, (len(state), self.units), state, where)
        return -0.5 * (state * (state @ self.weight.mT)).sum(-1) + ((self.threshold - field) * state).sum(-1)

    @torch.no_grad()
    def recall(
        self,
        cue: Tensor,
        update: str = "asynchronous",
        *,
        steps: int = 100,
        field: Tensor | None = None,
        order: str = "random",
        temperature: float | Sequence[float] | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Recall:
        """Let the network run from cues to where it comes to rest.

        Args:
            cue: the states to begin with, (batch, units), of +-1.
            update: "asynchronous", "synchronous" or "gibbs".
            steps: the most times that every unit is updated; "gibbs" takes all of them.
            field: an external field, (batch, units) or (units,).
            order: of the units, "random" (anew for each step) or "fixed" (from the first to the last); not for
                "synchronous".
            temperature: T of "gibbs": a number, or one for each step, falling for annealing.
            generator: of the random orders and draws; torch's own when absent.
        """
        where = "Hopfield.recall"
        check_choice(update, "update", ("asynchronous", "synchronous", "gibbs"), where)
        check_size(steps, "steps", where)
        cue = check_spins(cue, self.units, "cue", "batch", self.threshold, where)
        field = check_field(field, (len(cue), self.units), cue, where)
        temperatures = check_update_temperature(update, temperature, steps, where)
        if update != "synchronous":
            bias = field - self.threshold
            return recall_by_units(self.weight, cue, bias, steps, order, temperatures, generator, where)
        rest = relax(
            self.cell(), HiddenState(cue), field, steps=steps, energy=lambda state: self.energy(state.h, field)
        )
        assert rest.energy is not None
        return Recall(rest.state.h, rest.energy, rest.converged, rest.cycle, rest.steps)

    def cell(self, temperature: float = 0.0) -> HopfieldCell:
        """The network as a cell, with a copy of its weights and thresholds: for `relax`, rules and instruments."""
        cell = HopfieldCell(self.units, temperature, self.threshold.device, self.threshold.dtype)
        with torch.no_grad():
            cell.weight_hh.copy_(self.weight)
            cell.bias_hh.copy_(-self.threshold)
        return cell


def check_update_temperature(update: str, temperature: object, steps: int, where: str) -> list[float] | None:
    """The temperatures of a Gibbs recall, or None for another; a UsageError where the two do not go together."""
    if update == "gibbs":
        if temperature is None:
            raise UsageError("temperature is not given", where=where, need="a temperature with update='gibbs'")
        return check_temperatures(temperature, steps, where)
    if temperature is not None:
        raise UsageError(
            f"temperature is {temperature!r} and update is {update!r}", where=where, need="update='gibbs' with it"
        )
    return None
