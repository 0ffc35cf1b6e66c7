"""What a training's saved state is made of, and how a training takes it up again."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recurra.errors import FolderError, UsageError
from recurra.settings import TrainSettings
from recurra.train.averaging import Average
from recurra.train.checkpoint import put_back
from recurra.train.optimiser import moments, put_back_moments

Tensors = dict[str, Tensor]


def seed_random_numbers(device: torch.device, *place: Any) -> None:
    """Seed torch's generators from a place (seed, step ...) alone, so that nothing of them needs to be saved."""
    number = int.from_bytes(hashlib.blake2b(" ".join(map(str, place)).encode(), digest_size=7).digest(), "little")
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)


def fixed_settings(settings: TrainSettings, rule: object) -> dict[str, Any]:
    """The settings that a resumed run may not change."""
    fields = [f.name for f in dataclasses.fields(settings) if not f.metadata.get("may_change")]
    return {name: getattr(settings, name) for name in fields} | {"rule": repr(rule)}


def refuse_changed(path: Path, now: Mapping[str, Any], then: Any) -> None:
    """Raise UsageError when a setting differs from the one that the saved state was made with."""
    if not isinstance(then, dict):
        raise FolderError(
            "the saved state does not say with which settings it was made",
            where=str(path),
            need="a state that recurra train wrote",
            cure="undo the last change to the file, or train anew with another --out",
        )
    for name, value in now.items():
        if name in then and then[name] != value:
            raise UsageError(
                f"train.{name} is {value!r}, and was {then[name]!r} when the run began",
                where=str(path.parent.parent),
                need="the settings that the run began with; epochs, time_limit and keep_every may change",
                cure=f"leave train.{name} out, or begin a new run",
            )


def weights_of(learner: nn.Module) -> Tensors:
    """A copy of all weights and buffers, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in learner.state_dict().items()}


def copies(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The tensors' values as they are now."""
    return [tensor.detach().clone() for tensor in tensors]


def put_copies_back(tensors: Iterable[Tensor], values: list[Tensor]) -> None:
    """Give the tensors the values that `copies` took."""
    with torch.no_grad():
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)


def collect(learner: nn.Module, average: Average, optimiser: torch.optim.Optimizer, best: Tensors | None) -> Tensors:
    """All tensors that a training needs to go on from here, by name."""
    parts = {
        "weights": learner.state_dict(),
        "average": average.averages,
        "moments": moments(optimiser, learner),
        "best": best or {},
    }
    return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def take_up(
    path: Path, tensors: Tensors, learner: nn.Module, average: Average, optimiser: torch.optim.Optimizer
) -> Tensors | None:
    """Put what `collect` took back in its places; returns the best weights.

    Errors: FolderError when the state, read from `path`, is of another network or not complete.
    """
    put_back(path, tensors, learner.state_dict(), "weights/")
    put_back(path, tensors, average.averages, "average/")
    try:
        put_back_moments(optimiser, learner, part(tensors, "moments/"))
    except KeyError as error:
        raise FolderError(
            f"the optimiser's memory is of another network ({error})",
            where=str(path),
            need="the network that the run began with",
            cure="resume with the settings in run.toml, or train anew with another --out",
        ) from error
    return part(tensors, "best/") or None


def part(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
