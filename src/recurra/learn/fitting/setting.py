"""A network, its objective and its data, made ready for a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from recurra.errors import ShapeError, UsageError
from recurra.learn.fitting.data import Batches
from recurra.learn.fitting.feedback import TeacherForcing
from recurra.learn.fitting.network import Network, as_network, output_size
from recurra.learn.fitting.options import FitOptions
from recurra.learn.objectives.learner import ObjectiveLearner, SequenceBatch
from recurra.learn.objectives.objective import Objective


@dataclass
class Setting:
    """What all kinds of rules begin from.

    Attributes:
        net: what the user gave.
        learner: the network with its loss.
        objective: what is to be learned, without what stands around it; None where the network has its own loss.
        batches: the data.
        valid: the validation batches; None where there are none.
        teacher: teacher forcing, where it was asked for.
        coins: its random numbers.
    """

    net: nn.Module
    learner: nn.Module
    objective: Objective | None
    batches: Batches
    valid: list[Any] | None
    teacher: TeacherForcing | None
    coins: torch.Generator

    def ready(self, batch: Any, step: int | None) -> Any:
        """A batch as the learner takes it at a step of training, or without a step in an evaluation."""
        return batch if self.teacher is None else self.teacher.prepare(batch, step, self.coins)

    def judged(self) -> list[Any]:
        """The data at hand as the learner takes them in an evaluation."""
        return [self.ready(batch, None) for batch in self.batches.all()]


def make_setting(net: Any, data: Any, objective: Any, options: FitOptions) -> Setting:
    """Bring network, data and objective together, and look once whether they fit.

    Raises:
        UsageError, ShapeError: they do not.
    """
    teacher = objective if isinstance(objective, TeacherForcing) else None
    inner = teacher.objective if teacher is not None else objective
    if inner is None:
        if not isinstance(net, nn.Module):
            raise UsageError(f"the network is {type(net).__name__}", where="fit", need="an nn.Module")
        learner: nn.Module = net
    else:
        if isinstance(inner, type) or not (
            callable(inner) and hasattr(inner, "why_not_cut") and hasattr(inner, "weight")
        ):
            given = f"the objective is {getattr(inner, '__name__', type(inner).__name__)}"
            cure = "write MSE(), an object, not the class" if isinstance(inner, type) else None
            raise UsageError(given, where="fit", need="an objective of recurra.learn.objectives, MSE() say", cure=cure)
        network = as_network(net) if teacher is None else teacher.wrap(net)
        learner = ObjectiveLearner(network, inner)
    weight = next(learner.parameters(), None)
    dtype, device = (None, torch.device("cpu")) if weight is None else (weight.dtype, weight.device)
    dtype = dtype if dtype is not None and dtype.is_floating_point else None
    arguments = (inner, dtype, device, options.batch_size)
    batches = Batches(data, *arguments, options.shuffle, options.seed)
    if options.window is not None and getattr(inner, "form", "step") != "step":
        raise UsageError(
            f"window is {options.window} and the objective judges form {getattr(inner, 'form', None)!r}",
            where="fit",
            need="form 'step', as a window must be judged by itself",
            cure="leave window out, and the weights change once a batch",
        )
    coins = torch.Generator().manual_seed(options.seed + 1)
    setting = Setting(net, learner, inner, batches, None, teacher, coins)
    if options.valid is not None:
        valid = Batches(options.valid, *arguments, False, options.seed + 2, "fit, valid").all()
        setting.valid = [setting.ready(batch, None) for batch in valid]
    if batches.whole is not None:
        _look(setting, batches.whole)
    return setting


def _look(setting: Setting, batch: Any) -> None:
    """Run a short part of the data once, to tell a user in the user's own terms what does not fit."""
    learner = setting.learner
    if not isinstance(learner, ObjectiveLearner) or not isinstance(batch, SequenceBatch):
        return
    if isinstance(learner.network, Network):
        wide, need = output_size(learner.network), _outputs_asked(setting, batch)
        if wide is not None and need is not None and wide != need:
            raise ShapeError(
                f"the network gives {wide} outputs and the target has {need}",
                where="fit",
                need="as many outputs as the target has",
                cure=f"recurra.learn.Network(net, outputs={need}) puts a linear read-out on it",
            )


def _outputs_asked(setting: Setting, batch: SequenceBatch) -> int | None:
    target = batch.target
    numbers = isinstance(target, torch.Tensor) and target.is_floating_point() and target.dim() in (2, 3)
    return int(target.shape[-1]) if numbers and setting.objective is not None else None
