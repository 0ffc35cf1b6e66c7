"""The model folder: the thing to copy. Four plain files, and loading them runs nothing.

config.json  weights.safetensors  preprocess.json  README.md
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import FolderError
from recurra.train import atomic, plain_json
from recurra.train.environment import recurra_version
from recurra.train.run_folder import cannot_read

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
CONFIG, WEIGHTS, PREPROCESS, CARD = "config.json", "weights.safetensors", "preprocess.json", "README.md"
LARGEST_JSON = 1 << 30
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-/]{0,499}")
_COPY_AGAIN = "copy the whole folder again from where it was made, or train anew"

Files = tuple[dict[str, Any], dict[str, Any], dict[str, "Tensor"]]


@dataclass(frozen=True)
class ModelFiles:
    """What a model folder holds: the network's and the preprocessing's description, the weights, and where it lies."""

    config: dict[str, Any]
    preprocess: dict[str, Any]
    tensors: dict[str, Tensor]
    path: Path


def _as_it_is(config: dict[str, Any], preprocess: dict[str, Any], tensors: dict[str, Tensor]) -> Files:
    return config, preprocess, tensors


FORMATS: dict[int, Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Files]] = {1: _as_it_is}
"""Format number to the function that brings its content one format on; a new format adds a row, and older folders
still open by going through the rows from their own number up."""


def save_model(
    folder: str | os.PathLike[str],
    *,
    config: Mapping[str, Any],
    preprocess: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    card: str,
) -> Path:
    """Write a model folder aside and rename it into place; an earlier one of that name is replaced.

    Args:
        folder: the model folder's path (`run.model`).
        config: JSON-able; `format`, `recurra` (the version) and `sha256` of the other files are added.
        preprocess: JSON-able.
        tensors: name to weights; weights that share memory are saved as separate copies.
        card: the model card, in Markdown.

    Errors: FolderError when the disk is full or the folder may not be written; the earlier one is then intact.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as here:
        ...     parts = {"config": {"cell": "gru"}, "preprocess": {}, "tensors": {"weight": torch.ones(2)}}
        ...     folder = save_model(f"{here}/model", card="# Card", **parts)
        ...     files = load_model(folder)
        >>> files.config["cell"], files.tensors["weight"].tolist()
        ('gru', [1.0, 1.0])
    """
    from safetensors.torch import save

    folder = Path(folder)
    new, old = _beside(folder, "writing"), _beside(folder, "previous")
    for name in tensors:
        _check_name(name, folder / WEIGHTS)
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    weights = save(copies, metadata={"format": "pt"})
    steps = (plain_json.dumps(preprocess, indent=1, keep_all=True) + "\n").encode()
    sums = {WEIGHTS: hashlib.sha256(weights).hexdigest(), PREPROCESS: hashlib.sha256(steps).hexdigest()}
    whole = {**config, "format": FORMAT, "recurra": recurra_version(), "sha256": sums}
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        atomic.write_bytes(new / WEIGHTS, weights)
        atomic.write_bytes(new / PREPROCESS, steps)
        atomic.write_text(new / CARD, card)
        atomic.write_text(new / CONFIG, plain_json.dumps(whole, indent=2, keep_all=True) + "\n")
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(folder, old)  # a folder cannot replace a full one; `load_model` knows of this short moment
        os.replace(new, folder)
        atomic.sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise atomic.cannot_write(folder, error) from error
    except FolderError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return folder


def load_model(folder: str | os.PathLike[str]) -> ModelFiles:
    """Read a model folder, or the one in a run folder; nothing in it is executed.

    Errors: FolderError when a file is missing, damaged, half-written, made by a newer version or not what it says.
    """
    path = _find(Path(folder))
    config = _read_json(path / CONFIG)
    version = _check_format(config, path / CONFIG)
    sums = config.get("sha256")
    if not isinstance(sums, dict) or not all(isinstance(sums.get(name), str) for name in (WEIGHTS, PREPROCESS)):
        raise FolderError(
            "the checksums of the other files are missing",
            where=f"{path / CONFIG}, entry 'sha256'",
            need=f"a checksum for {WEIGHTS} and for {PREPROCESS}",
            cure=_COPY_AGAIN,
        )
    for name in (WEIGHTS, PREPROCESS):
        _check_sum(path / name, sums[name])
    preprocess = _read_json(path / PREPROCESS)
    tensors = read_tensors(path / WEIGHTS)[0]
    for number in range(version, FORMAT + 1):
        config, preprocess, tensors = FORMATS[number](config, preprocess, tensors)
    return ModelFiles(config, preprocess, tensors, path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file, on the CPU.

    Errors: FolderError when it is missing, cut short or no such file, or a tensor's name is not a plain one.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    _check_regular(path)
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            names = list(file.keys())
            for name in names:
                _check_name(name, path)
            # Cloned, so that nothing refers to the file's mapped memory once the file is replaced.
            tensors = {name: file.get_tensor(name).clone(memory_format=torch.contiguous_format) for name in names}
            metadata = dict(file.metadata() or {})
    except FolderError:
        raise
    except OSError as error:
        raise cannot_read(path, error) from error
    except (SafetensorError, ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise FolderError(
            f"the file is damaged or no safetensors file ({str(error).rstrip('.')})",
            where=str(path),
            need="the whole file as it was saved",
            cure=_COPY_AGAIN,
        ) from error
    return tensors, metadata


def _find(folder: Path) -> Path:
    if not folder.exists() and not _beside(folder, "previous").is_dir():
        raise FolderError(
            "there is no such folder",
            where=str(folder),
            need="a run folder, or the model folder in it",
            cure="give the folder that recurra train named at its end",
        )
    if folder.is_file():
        raise FolderError(
            "this is a file",
            where=str(folder),
            need="a run folder, or the model folder in it",
            cure="give the folder that the file lies in",
        )
    inside = folder / "model"
    for candidate in (folder, inside, _beside(inside, "previous"), _beside(folder, "previous")):
        if (candidate / CONFIG).exists():
            return candidate
    run = (folder / "run.toml").exists() or (folder / "state").is_dir()
    raise FolderError(
        "the run has no model yet" if run else f"the folder has no {CONFIG}",
        where=str(folder),
        need=f"a folder with {CONFIG}, {WEIGHTS} and {PREPROCESS}",
        cure=f"finish the run with --resume {folder}" if run else "give a folder made by recurra train",
    )


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f".{folder.name}.{word}")


def _check_regular(path: Path) -> None:
    if path.is_file():  # a pipe or a device would make reading hang or never end
        return
    given = "this is no regular file" if path.exists() else "the file is missing"
    raise FolderError(given, where=str(path), need="the file as it was saved", cure=_COPY_AGAIN)


def _read_json(path: Path) -> dict[str, Any]:
    _check_regular(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_JSON:
            raise FolderError(
                f"the file is {size / 2**30:.1f} GiB long",
                where=str(path),
                need=f"a file of at most {LARGEST_JSON >> 30} GiB",
                cure="this was not written by recurra; give a folder made by recurra train",
            )
        value = json.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise FolderError(
            f"the file is cut short or no JSON ({reason})",
            where=str(path),
            need="the whole file as it was saved",
            cure=_COPY_AGAIN,
        ) from error
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a text", int: "a number", float: "a number"}.get(type(value), json.dumps(value))
        raise FolderError(f"the file holds {kind}", where=str(path), need="a JSON object", cure=_COPY_AGAIN)
    return value


def _check_format(config: dict[str, Any], path: Path) -> int:
    number = config.get("format")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise FolderError(
            f"the format number is {number!r}",
            where=f"{path}, entry 'format'",
            need=f"a whole number from 1 to {FORMAT}",
            cure="give a folder made by recurra train",
        )
    if number > FORMAT:
        made = config.get("recurra")
        raise FolderError(
            f"the model was made by a newer version (format {number}"
            + (f", recurra {made[:40]})" if isinstance(made, str) else ")"),
            where=str(path),
            need=f"a format of at most {FORMAT}, which recurra {recurra_version()} reads",
            cure="upgrade recurra, or train the model with this version",
        )
    return number


def _check_sum(path: Path, wanted: str) -> None:
    _check_regular(path)
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise cannot_read(path, error) from error
    if found != wanted.lower():
        raise FolderError(
            "the file is not the one that was saved with this model (its checksum differs)",
            where=str(path),
            need=f"the file that {CONFIG} was written with, whole and unchanged",
            cure=_COPY_AGAIN,
        )


def _check_name(name: str, path: Path) -> None:
    if not _NAME.fullmatch(name) or ".." in name:
        raise FolderError(
            f"a tensor is named {name[:80]!r}",
            where=str(path),
            need="names of letters, digits and . _ - / alone",
            cure="give a folder made by recurra train",
        )
