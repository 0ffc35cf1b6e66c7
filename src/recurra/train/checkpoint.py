"""Saved states of a training: one safetensors file each, tensors and JSON metadata in one piece."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import FolderError
from recurra.train import atomic
from recurra.train.model_folder import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
_ENTRY = "recurra_state"
LAST, BEST = "last.safetensors", "best.safetensors"


def save_state(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a state so that at any moment, also when killed, the old one or the new one is there whole.

    Args:
        path: the file.
        tensors: name to tensor; those that share memory are saved as separate copies.
        facts: JSON-able; numbers come back with the same bits, infinities and not-a-number too.

    Errors: FolderError when the disk is full or the folder may not be written; the state before is then intact.
    """
    from safetensors.torch import save

    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic.cannot_write(path, error) from error
    text = json.dumps({"format": FORMAT, **facts}, ensure_ascii=False)
    atomic.write_bytes(path, save(copies, metadata={_ENTRY: text}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a state: its tensors, on the CPU, and its facts.

    Errors: FolderError when the file is missing, cut short, of a newer format or not a state of a training.
    """
    tensors, metadata = read_tensors(path)
    try:
        facts = json.loads(metadata[_ENTRY])
        number = facts["format"]
        if not isinstance(number, int):
            raise TypeError("format")
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise FolderError(
            "the file is no saved state of a training",
            where=str(path),
            need="a state that recurra train wrote",
            cure="undo the last change to the file, or train anew with another --out",
        ) from error
    if number > FORMAT:
        raise FolderError(
            f"the state was saved by a newer version (format {number})",
            where=str(path),
            need=f"a format of at most {FORMAT}",
            cure="upgrade recurra, or train anew with another --out",
        )
    return tensors, facts


def put_back(path: Path, given: Mapping[str, Tensor], targets: Mapping[str, Tensor], prefix: str) -> None:
    """Copy the tensors whose names begin with `prefix` into `targets`, all or none.

    Errors: FolderError when names or shapes differ: the state is of another network.
    """
    import torch

    found = {name.removeprefix(prefix): tensor for name, tensor in given.items() if name.startswith(prefix)}
    odd = sorted(found.keys() ^ targets.keys())
    odd += [n for n in sorted(found.keys() & targets.keys()) if found[n].shape != targets[n].shape]
    if odd:
        sizes = [f"{tuple(t.shape)} in the {where}" for t, where in _sides(found, targets, odd[0])]
        raise FolderError(
            f"the state is of another network: {prefix}{odd[0]} is {' and '.join(sizes)}",
            where=str(path),
            need="the network that the run began with",
            cure="resume with the settings in run.toml, or train anew with another --out",
        )
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(found[name])


def _sides(found: Mapping[str, Tensor], targets: Mapping[str, Tensor], name: str) -> list[tuple[Tensor, str]]:
    return [(side[name], word) for side, word in ((found, "state"), (targets, "network")) if name in side]
