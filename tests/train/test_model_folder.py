"""The model folder: what is saved comes back, at any moment the old one or the new one is there."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recurra.errors import FolderError
from recurra.train import atomic, model_folder
from recurra.train.model_folder import load_model, save_model

CONFIG = {"task": "forecast", "cell": "gru", "sizes": (1, 2), "name": "größe"}
PREPROCESS = {"levels": {"store": ["a", "b"]}, "scale": [1.5, math.nan, math.inf]}


def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    weight = torch.randn(4, 3)
    return {
        "core.cells.0.weight_ih": weight,
        "core.tied": weight,
        "part": weight.t()[1:],
        "steps": torch.tensor(7),
        "half": torch.randn(2).to(torch.bfloat16),
        "double": torch.randn(2, dtype=torch.float64),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
        "trained": nn.Parameter(torch.ones(1)),
    }


def save(folder: Path, **changes: Any) -> Path:
    given = {"config": CONFIG, "preprocess": PREPROCESS, "tensors": tensors(), "card": "# Card\n"}
    return save_model(folder, **{**given, **changes})


def test_it_comes_back(tmp_path: Path) -> None:
    save(tmp_path / "model")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "README.md", "config.json", "preprocess.json", "weights.safetensors"
    ]  # fmt: skip
    files = load_model(tmp_path / "model")
    assert files.path == tmp_path / "model"
    assert files.config["format"] == 1 and files.config["recurra"]
    assert files.config["sizes"] == [1, 2] and files.config["name"] == "größe"
    assert files.preprocess["levels"] == PREPROCESS["levels"]
    assert math.isnan(files.preprocess["scale"][1]) and files.preprocess["scale"][2] == math.inf
    given = tensors()
    assert files.tensors.keys() == given.keys()
    for name, tensor in files.tensors.items():
        assert torch.equal(tensor, given[name]) and tensor.dtype == given[name].dtype, name
    assert (tmp_path / "model" / "README.md").read_text() == "# Card\n"
    digest = hashlib.sha256((tmp_path / "model" / "weights.safetensors").read_bytes()).hexdigest()
    assert files.config["sha256"]["weights.safetensors"] == digest


def test_the_run_folder_will_do(tmp_path: Path) -> None:
    save(tmp_path / "run" / "model")
    assert load_model(tmp_path / "run").path == tmp_path / "run" / "model"
    assert load_model(str(tmp_path / "run")).config == load_model(tmp_path / "run" / "model").config


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a"), save(tmp_path / "b")
    for name in ("config.json", "weights.safetensors", "preprocess.json", "README.md"):
        assert (a / name).read_bytes() == (b / name).read_bytes()


def test_saving_again_replaces_the_whole_folder(tmp_path: Path) -> None:
    save(tmp_path / "model")
    save(tmp_path / "model", tensors={"x": torch.ones(1)}, config={"task": "classify"})
    assert load_model(tmp_path / "model").config["task"] == "classify"
    assert list(load_model(tmp_path / "model").tensors) == ["x"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("call", range(1, 17))
def test_killed_at_any_moment_of_saving(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill before the n-th sync or rename: a whole model is found, the old one or the new one."""
    save(tmp_path / "model")
    seen = 0

    def killed(*arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == call:
            raise KeyboardInterrupt  # nothing cleans up after it, as after a kill

    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def wrapped(*arguments: Any, original: Any = original) -> Any:
            killed()
            return original(*arguments)

        monkeypatch.setattr(os, name, wrapped)
    done = False
    try:
        save(tmp_path / "model", config={"task": "classify"})
        done = True
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()
    assert load_model(tmp_path / "model").config["task"] in (("classify",) if done else ("forecast", "classify"))
    save(tmp_path / "model", config={"task": "third"})
    assert load_model(tmp_path / "model").config["task"] == "third"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_leaves_the_model_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "model")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match="the disk is full"):
        save(tmp_path / "model", config={"task": "classify"})
    monkeypatch.undo()
    assert load_model(tmp_path / "model").config["task"] == "forecast"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise atomic.cannot_write(path, PermissionError(errno.EACCES, "Permission denied"))

    monkeypatch.setattr(atomic, "write_bytes", refuse)
    with pytest.raises(FolderError, match="no permission to write.*name another folder with --out"):
        save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_odd_tensor_names_are_refused_when_saving_too(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"a tensor is named 'a b'"):
        save(tmp_path / "model", tensors={"a b": torch.ones(1)})
    assert list(tmp_path.iterdir()) == []


def test_older_formats_go_through_the_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of format 1 read by a library that is at format 3: each step of the chain is taken once, in order."""
    save(tmp_path / "model")

    def second(config: Any, preprocess: Any, tensors: Any) -> Any:
        return {**config, "cell": {"name": config["cell"]}}, preprocess, tensors

    def third(config: Any, preprocess: Any, tensors: Any) -> Any:
        return {**config, "cell": [config["cell"]["name"]]}, preprocess, {f"new.{n}": t for n, t in tensors.items()}

    monkeypatch.setattr(model_folder, "FORMAT", 3)
    # The row of a number leads from that format to the next; the newest one's is the identity.
    monkeypatch.setattr(model_folder, "FORMATS", {1: second, 2: third, 3: model_folder.FORMATS[1]})
    files = load_model(tmp_path / "model")
    assert files.config["cell"] == ["gru"]
    assert "new.part" in files.tensors


def test_every_format_up_to_the_newest_has_a_row() -> None:
    assert sorted(model_folder.FORMATS) == list(range(1, model_folder.FORMAT + 1))


def test_the_config_is_plain_json(tmp_path: Path) -> None:
    save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["task"] == "forecast"
