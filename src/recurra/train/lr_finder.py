"""The learning-rate finder: a short training of a copy, with the rate growing from step to step."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from recurra.settings import TrainSettings
from recurra.train.optimiser import clip, gradient_norm, make_optimiser, take_step
from recurra.train.state import seed_random_numbers
from recurra.types import GradientRule, Problem

SMOOTHING = 0.9


def find_learning_rate(
    problem: Problem,
    learner: nn.Module,
    rule: GradientRule,
    settings: TrainSettings,
    device: torch.device,
    *,
    fallback: float,
    low: float = 1e-5,
    high: float = 1.0,
    steps: int = 100,
) -> dict[str, Any]:
    """A learning rate from a range test; the learner itself is left as it is.

    The rate grows from `low` to `high` by a constant factor a step, and the loss is smoothed. The rate found is a
    tenth of the one where the smoothed loss is lowest: large, and well before the loss climbs.

    Args:
        problem: gives the batches of its first epochs.
        learner: copied, and its copy trained.
        rule: the gradient rule.
        settings: the options of training: seed, weight decay and clipping are used.
        device: where the learner is.
        fallback: the rate returned when the loss never falls.
        low, high, steps: the range and the number of steps.

    Returns:
        The report's facts: `learning_rate`, the lists `rates` and `losses` (smoothed), and `text`.

    Differs from the paper: one sweep upward, and a rule for reading the curve, which there is left to the eye.

    Reference: L. N. Smith, Cyclical learning rates for training neural networks, WACV 2017.
    """
    trial = copy.deepcopy(learner)
    trial.train()
    optimiser = make_optimiser(trial, low, settings.weight_decay)
    memory = rule.init(trial)
    plans: Sequence[Any] = problem.plans(0)
    rates: list[float] = []
    losses: list[float] = []
    running = 0.0
    for step in range(steps):
        seed_random_numbers(device, settings.seed, "learning rate finder", step)
        rate = low * (high / low) ** (step / max(1, steps - 1))
        optimiser.zero_grad(set_to_none=True)
        batch = problem.batch(plans[step % len(plans)]).to(device)
        loss, memory = rule.step(trial, batch, rule.reset(memory))
        memory = rule.flush(trial, memory)
        norm = gradient_norm(trial)
        if not (math.isfinite(float(loss)) and math.isfinite(float(norm))):
            break
        running = SMOOTHING * running + (1 - SMOOTHING) * float(loss)
        rates.append(rate)
        losses.append(running / (1 - SMOOTHING ** (step + 1)))
        if losses[-1] > losses[0] + 3 * abs(losses[0] - min(losses)) + abs(losses[0]) and step > 10:
            break  # it has begun to climb: higher rates tell nothing more
        clip(trial, norm, settings.clip)
        take_step(optimiser, rate)
    best = min(range(len(losses)), key=losses.__getitem__) if losses else 0
    if best == 0:
        text = f"the loss fell at no rate from {low:g} to {high:g}; the learning rate stays {fallback:g}"
        return {"learning_rate": fallback, "rates": rates, "losses": losses, "text": text}
    found = rates[best] / 10
    text = f"learning rate {found:.2g}: a tenth of {rates[best]:.2g}, where the loss of a short trial was lowest"
    return {"learning_rate": found, "rates": rates, "losses": losses, "text": text}
