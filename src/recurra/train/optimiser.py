"""AdamW over a learner's weights, and its memory as named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recurra.errors import UsageError


def make_optimiser(learner: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with decay on matrices alone: biases, gains and other vectors are not drawn to zero.

    Errors: UsageError when nothing is trainable.

    Reference: I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019.
    """
    weights = trainable(learner)
    if not weights:
        raise UsageError(
            "the network has no trainable weights",
            where="learner",
            need="at least one parameter with requires_grad",
            cure="choose another cell, or do not freeze all of it",
        )
    matrices = [p for p in weights.values() if p.ndim >= 2]
    vectors = [p for p in weights.values() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    # One fused kernel a step instead of a dozen small operations a weight, where all weights are real floats.
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in weights.values())
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, fused=fused)


def trainable(learner: nn.Module) -> dict[str, nn.Parameter]:
    """Name to weight, of those that are trained."""
    return {name: p for name, p in learner.named_parameters() if p.requires_grad}


def moments(optimiser: torch.optim.Optimizer, learner: nn.Module) -> dict[str, Tensor]:
    """The optimiser's memory, as `weight's name/entry` to tensor."""
    return {
        f"{name}/{entry}": torch.as_tensor(value)
        for name, p in trainable(learner).items()
        for entry, value in optimiser.state.get(p, {}).items()
    }


def put_back_moments(optimiser: torch.optim.Optimizer, learner: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Give the optimiser the memory that `moments` took."""
    weights = trainable(learner)
    for key, tensor in saved.items():
        name, _, entry = key.rpartition("/")
        weight = weights[name]
        # The step count of a fused CPU optimiser is a tensor on the CPU, as the moments are where the weight is.
        optimiser.state[weight][entry] = tensor.clone().to(weight.device)


def gradient_norm(learner: nn.Module) -> Tensor:
    """The norm of the whole gradient."""
    return torch.nn.utils.get_total_norm([p.grad for p in learner.parameters() if p.grad is not None])


def clip(learner: nn.Module, norm: Tensor, bound: float) -> bool:
    """Scale the gradient, whose norm is `norm`, down to `bound` where it is above it (0: never); whether it was."""
    if bound <= 0:
        return False
    torch.nn.utils.clip_grads_with_norm_([p for p in learner.parameters() if p.grad is not None], bound, norm)
    return bool(norm > bound)


def take_step(optimiser: torch.optim.Optimizer, learning_rate: float) -> float:
    """One step at the given rate, which is returned."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    optimiser.step()
    return learning_rate
