"""The guard against numbers that are not finite: it names the step, the weights and the place in the data."""

from __future__ import annotations

import math

import torch
from torch import nn

from recurra.errors import TrainingError
from recurra.train.run_folder import RunFolder


def why_not_finite(learner: nn.Module, loss: float, norm: float) -> str | None:
    """None when the loss and the gradient's norm are finite; else what is not, in words."""
    if math.isfinite(loss) and math.isfinite(norm):
        return None
    if not math.isfinite(loss):
        text = f"the loss is {loss}"
    else:
        text = f"the gradient's norm is {norm}"
    odd = [n for n, p in learner.named_parameters() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    if odd:
        shown = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        text += f"; the gradient is not finite in {shown}"
    worn = [n for n, p in learner.named_parameters() if not bool(torch.isfinite(p).all())]
    if worn:
        text += f"; weights are not finite in {', '.join(worn[:5])}"
    return text


def not_finite(text: str, step: int, epoch: int, place: str, run: RunFolder | None) -> TrainingError:
    """The error that ends a training whose numbers are no longer finite."""
    cure = "correct or remove the extreme values there; or lower the learning rate: --set train.learning_rate=..."
    if run:
        cure += f"; the state before this step is kept in {run.state}"
    return TrainingError(
        f"{text} at step {step} of epoch {epoch}",
        where=place or None,
        need="finite numbers in the data and in the network",
        cure=cure,
    )


def never_finite() -> TrainingError:
    """The error for a training whose every evaluation gave a validation loss that is not finite."""
    return TrainingError(
        "the validation loss was never a finite number",
        need="finite numbers in the validation part of the data",
        cure="look for extreme values in the data with recurra check",
    )
