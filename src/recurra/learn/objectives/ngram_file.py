"""An n-gram model in a file: tensors of counts and a few words, nothing that could run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from recurra.errors import FolderError, UsageError
from recurra.learn.objectives.ngram import NGram

KIND = "recurra n-gram model"
FORMAT = 1


def save_ngram(model: NGram, path: str | os.PathLike[str]) -> None:
    """Write a model to one safetensors file, whole or not at all.

    Args:
        model: the model.
        path: the file, made or replaced.

    Raises:
        FolderError: the file cannot be written; one that was there is intact.

    Example:
        >>> import tempfile
        >>> from recurra.learn.objectives import train_ngram
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_ngram(train_ngram([[1, 2]], 3), Path(folder, "model.safetensors"))
        ...     load_ngram(Path(folder, "model.safetensors"))
        NGram(order=3, classes=3, smoothing='kneser-ney')
    """
    facts = {
        "kind": KIND,
        "format": FORMAT,
        "order": model.order,
        "classes": model.classes,
        "unused": list(model.unused),
        "smoothing": model.smoothing,
        "ends": model.ends,
        "alphabet": None if model.alphabet is None else list(model.alphabet),
    }
    content = save({f"level_{n}": level for n, level in enumerate(model.levels)}, {"facts": json.dumps(facts)})
    path = Path(path)
    aside = path.with_name(f".{path.name}.writing")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        cure = "name a file in a folder that is there and may be written to"
        raise FolderError(f"cannot be written ({error.strerror})", where=str(path), cure=cure) from error


def load_ngram(path: str | os.PathLike[str]) -> NGram:
    """The model that `save_ngram` wrote.

    Args:
        path: the file.

    Raises:
        FolderError: the file is missing, damaged, of another kind, or made by a newer version.
    """
    need = "a file written by save_ngram"
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            if facts.get("kind") != KIND:
                raise FolderError("is no n-gram model", where=str(path), need=need)
            if facts["format"] > FORMAT:
                cure = "update recurra"
                raise FolderError(f"has format {facts['format']}", where=str(path), need=f"{FORMAT} at most", cure=cure)
            levels = [np.asarray(file.get_tensor(f"level_{n}")) for n in range(facts["order"])]
        kept = {name: facts[name] for name in ("unused", "smoothing", "ends", "alphabet")}
        return NGram(levels, facts["classes"], **kept)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, FolderError):
            raise
        given = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        if isinstance(error, UsageError):
            given = f"is damaged ({error})"
        raise FolderError(given, where=str(path), need=need) from error
