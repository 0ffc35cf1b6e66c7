"""What a recall gives, and the recall of units that are visited one at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.cells.time_step import check_choice
from recurra.memory.spins import visit_units


class Recall(NamedTuple):
    """What an associative memory made of its cues.

    Attributes:
        state: where each cue ended, (batch, units); for a bidirectional memory the states of both sides.
        energy: at the cue and after each step, (steps + 1, batch); a row at rest keeps its last value. A step updates
            every unit once.
        converged: whether the state is a fixed point of the update without noise, (batch,).
        cycle: 1 for a fixed point, 2 or more for the length of a cycle, 0 where neither was found, (batch,).
        steps: how many steps each cue took, the one that changed nothing included, (batch,).
    """

    state: Any
    energy: Tensor
    converged: Tensor
    cycle: Tensor
    steps: Tensor


@torch.no_grad()
def recall_by_units(
    weight: Tensor,
    spins: Tensor,
    bias: Tensor,
    steps: int,
    order: str = "random",
    temperatures: list[float] | None = None,
    generator: torch.Generator | None = None,
    where: str = "recall",
) -> Recall:
    """Recall by visiting one unit after another: by the sign of its field, or by chance at a temperature.

    Args:
        weight: connections, (units, units).
        spins: the cues, (batch, units), of +-1.
        bias: the external field less the thresholds, (batch, units).
        steps: the most sweeps over all units; with temperatures, exactly so many.
        order: "random", a new order for each sweep, or "fixed", from the first unit to the last.
        temperatures: one for each sweep.
        generator: of orders and of chance; torch's own when absent.
        where: who asks, for messages.
    """
    check_choice(order, "order", ("random", "fixed"), where)
    state, outgoing = spins, weight.mT.contiguous()
    batch, units = state.shape
    # What the rounding of a sum of so many terms can make of a field that is 0.
    tie = 8 * torch.finfo(weight.dtype).eps * (weight.abs().sum(1) + bias.abs())
    field = state @ outgoing + bias
    # The rows that are not yet at rest are in state, field, bias and tie; the others, where they ended, in final.
    final, active = state.clone(), torch.arange(batch, device=state.device)
    trace = [_energy(state, field, bias)]
    converged = torch.zeros(batch, dtype=torch.bool, device=state.device)
    taken = torch.zeros(batch, dtype=torch.long, device=state.device)
    for sweep in range(steps):
        if not len(active):
            break
        sequence = torch.arange(units) if order == "fixed" else torch.randperm(units, generator=generator)
        noise = None if temperatures is None else _logistic(state, generator) * (temperatures[sweep] / 2)
        state, field, changed = visit_units(outgoing, state, field, sequence.to(state.device), tie, noise)
        taken[active] += 1
        energies = trace[-1].clone()
        energies[active] = _energy(state, field, bias)
        trace.append(energies)
        if temperatures is None and not bool(changed.all()):
            # Fields that were kept up to date carry rounding: what looks settled is judged by fields computed anew.
            still = (~changed).nonzero().squeeze(1)
            field[still] = state[still] @ outgoing + bias[still]
            rest = still[_stable(state[still], field[still], tie[still])]
            converged[active[rest]] = True
            final[active[rest]] = state[rest]
            moving = torch.ones(len(active), dtype=torch.bool, device=state.device)
            moving[rest] = False
            active, state, field, bias, tie = (part[moving] for part in (active, state, field, bias, tie))
    final[active] = state
    converged[active] = _stable(state, state @ outgoing + bias, tie)
    return Recall(final, torch.stack(trace), converged, converged.long(), taken)


def _energy(state: Tensor, field: Tensor, bias: Tensor) -> Tensor:
    """-1/2 s W s - bias s, where the field is W s + bias."""
    return -0.5 * (state * (field + bias)).sum(1)


def _stable(state: Tensor, field: Tensor, tie: Tensor) -> Tensor:
    return (state * field >= -tie).all(1)


def _logistic(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws of the logistic distribution; in float64, so that neither tail is cut short."""
    drawn = torch.rand(like.shape, generator=generator, dtype=torch.float64).clamp(min=2.0**-53)
    return torch.logit(drawn).to(like)
