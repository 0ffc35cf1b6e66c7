"""Missing, damaged and hostile model folders: each gives one clear error, and nothing in them is run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from recurra.errors import FolderError
from recurra.train.model_folder import load_model, save_model


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def with_weights(model: Path, content: bytes) -> None:
    """Replace the weights, with a checksum that fits: what a hostile maker would do."""
    (model / "weights.safetensors").write_bytes(content)
    sums = json.loads((model / "config.json").read_text())["sha256"]
    edit_json(model / "config.json", sha256={**sums, "weights.safetensors": hashlib.sha256(content).hexdigest()})


def with_preprocess(model: Path, content: bytes) -> None:
    (model / "preprocess.json").write_bytes(content)
    sums = json.loads((model / "config.json").read_text())["sha256"]
    edit_json(model / "config.json", sha256={**sums, "preprocess.json": hashlib.sha256(content).hexdigest()})


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


class Payload:
    def __reduce__(self) -> Any:
        return (os.system, ("touch pwned",))


def pickled(model: Path) -> None:
    with_weights(model, pickle.dumps(Payload()))


def torch_saved(model: Path) -> None:
    torch.save({"x": torch.ones(1)}, model / "w")
    with_weights(model, (model / "w").read_bytes())


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_huge_file(path: Path) -> None:
    with open(path, "r+b") as file:
        file.truncate((1 << 30) + 1)  # sparse: takes no space


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def entry(shape: list[int], end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [0, end]}


DEEP = b"[" * 200_000 + b"]" * 200_000

# name: what is done to a good folder, the file that is to blame, words of the message
CASES: dict[str, tuple[Callable[[Path], Any], str, list[str]]] = {
    "config missing": (lambda m: (m / "config.json").unlink(), "", ["no config.json", "made by recurra train"]),
    "weights missing": (lambda m: (m / "weights.safetensors").unlink(), "weights.safetensors", ["the file is missing"]),
    "preprocess missing": (lambda m: (m / "preprocess.json").unlink(), "preprocess.json", ["the file is missing"]),
    "config cut short": (lambda m: cut(m / "config.json", 0.5), "config.json", ["cut short or no JSON"]),
    "config empty": (lambda m: (m / "config.json").write_bytes(b""), "config.json", ["cut short or no JSON"]),
    "config binary": (lambda m: (m / "config.json").write_bytes(b"\xff\xfe\x00"), "config.json", ["no JSON"]),
    "config a list": (lambda m: (m / "config.json").write_text("[1]"), "config.json", ["holds a list", "JSON object"]),
    "config a number": (lambda m: (m / "config.json").write_text("1"), "config.json", ["holds a number"]),
    "config nested deeply": (lambda m: (m / "config.json").write_bytes(DEEP), "config.json", ["nested too deeply"]),
    "config a huge number": (
        lambda m: (m / "config.json").write_text('{"format": ' + "9" * 5000 + "}"), "config.json", ["no JSON"]
    ),
    "config a huge file": (
        lambda m: a_huge_file(m / "config.json"), "config.json", ["1.0 GiB long", "at most 1 GiB", "not written by"]
    ),
    "config a pipe": (lambda m: a_pipe(m / "config.json"), "config.json", ["no regular file"]),
    "weights a pipe": (lambda m: a_pipe(m / "weights.safetensors"), "weights.safetensors", ["no regular file"]),
    "config a folder": (
        lambda m: ((m / "config.json").unlink(), (m / "config.json").mkdir()), "config.json", ["no regular file"]
    ),
    "weights a device": (
        lambda m: ((m / "weights.safetensors").unlink(), (m / "weights.safetensors").symlink_to("/dev/zero")),
        "weights.safetensors", ["no regular file"],
    ),
    "format missing": (
        lambda m: (m / "config.json").write_text("{}"), "entry 'format'", ["format number is None", "from 1 to 1"]
    ),
    "format a text": (lambda m: edit_json(m / "config.json", format="1"), "entry 'format'", ["is '1'"]),
    "format true": (lambda m: edit_json(m / "config.json", format=True), "entry 'format'", ["is True"]),
    "format zero": (lambda m: edit_json(m / "config.json", format=0), "entry 'format'", ["is 0"]),
    "format newer": (
        lambda m: edit_json(m / "config.json", format=99, recurra="9.1"),
        "config.json", ["made by a newer version (format 99, recurra 9.1)", "upgrade recurra"],
    ),
    "checksums missing": (
        lambda m: edit_json(m / "config.json", sha256=None), "entry 'sha256'", ["checksums of the other files"]
    ),
    "checksums of the wrong kind": (
        lambda m: edit_json(m / "config.json", sha256={"weights.safetensors": 1}), "entry 'sha256'", ["are missing"]
    ),
    "weights cut short": (
        lambda m: cut(m / "weights.safetensors", 0.7), "weights.safetensors", ["checksum differs", "copy the whole"]
    ),
    "one bit of the weights": (
        lambda m: flip_a_bit(m / "weights.safetensors"), "weights.safetensors", ["checksum differs", "unchanged"]
    ),
    "preprocess edited": (
        lambda m: edit_json(m / "preprocess.json", scale=2), "preprocess.json", ["checksum differs"]
    ),
    "preprocess of another model": (
        lambda m: (m / "preprocess.json").write_text("{}"), "preprocess.json", ["not the one that was saved"]
    ),
    "preprocess no object": (lambda m: with_preprocess(m, b'"x"'), "preprocess.json", ["holds a text"]),
    "preprocess no JSON": (lambda m: with_preprocess(m, b"import os"), "preprocess.json", ["no JSON"]),
    "weights a pickle": (pickled, "weights.safetensors", ["damaged or no safetensors file"]),
    "weights saved by torch": (torch_saved, "weights.safetensors", ["damaged or no safetensors file"]),
    "weights empty": (lambda m: with_weights(m, b""), "weights.safetensors", ["damaged or no safetensors file"]),
    "weights with a header beyond the file": (
        lambda m: with_weights(m, safetensors({}, length=1 << 40)), "weights.safetensors", ["damaged or no safetensors"]
    ),
    "weights with a header that is no JSON": (
        lambda m: with_weights(m, safetensors(b"{" * 64)), "weights.safetensors", ["damaged or no safetensors"]
    ),
    "weights with offsets beyond the data": (
        lambda m: with_weights(m, safetensors({"x": entry([1 << 40], 1 << 42)}, b"\0" * 8)),
        "weights.safetensors", ["damaged or no safetensors"],
    ),
    "weights with a shape that does not fit": (
        lambda m: with_weights(m, safetensors({"x": entry([3], 8)}, b"\0" * 8)),
        "weights.safetensors", ["damaged or no safetensors"],
    ),
    "weights with an unknown number format": (
        lambda m: with_weights(m, safetensors({"x": entry([2], 8, "Q7")}, b"\0" * 8)),
        "weights.safetensors", ["damaged or no safetensors"],
    ),
    "a tensor named as a path": (
        lambda m: with_weights(m, safetensors({"../../x": entry([2], 8)}, b"\0" * 8)),
        "weights.safetensors", ["a tensor is named '../../x'", "letters, digits"],
    ),
    "a tensor named as a page": (
        lambda m: with_weights(m, safetensors({"<script>": entry([2], 8)}, b"\0" * 8)),
        "weights.safetensors", ["a tensor is named '<script>'"],
    ),
    "a tensor without a name": (
        lambda m: with_weights(m, safetensors({"": entry([2], 8)}, b"\0" * 8)), "weights.safetensors", ["is named ''"]
    ),
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tensors = {"core.weight": torch.ones(3, 2), "core.bias": torch.zeros(3)}
    folder = tmp_path / "run" / "model"
    return save_model(folder, config={"task": "forecast"}, preprocess={"scale": 1.0}, tensors=tensors, card="# Card\n")


@pytest.mark.parametrize("through", ["model folder", "run folder"])
@pytest.mark.parametrize("case", CASES)
def test_damaged_and_hostile_folders(
    case: str, through: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    damage, blamed, words = CASES[case]
    damage(model)
    with pytest.raises(FolderError) as caught:
        load_model(model if through == "model folder" else model.parent)
    error = caught.value
    assert error.given and error.need and error.cure
    assert error.where is not None and (str(model.parent) in error.where) and blamed in error.where
    for word in words:
        assert word in str(error), str(error)
    assert len(str(error)) < 600
    assert not (tmp_path / "pwned").exists()


def test_there_is_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="there is no such folder.*the folder that recurra train named"):
        load_model(tmp_path / "nothing")


def test_a_file_where_a_folder_is_meant(model: Path) -> None:
    with pytest.raises(FolderError, match="this is a file.*give the folder that the file lies in"):
        load_model(model / "weights.safetensors")


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"the folder has no config.json.*made by recurra train"):
        load_model(tmp_path)


def test_a_run_that_did_not_finish(model: Path) -> None:
    for file in model.iterdir():
        file.unlink()
    model.rmdir()
    (model.parent / "run.toml").write_text("")
    with pytest.raises(FolderError, match="the run has no model yet.*finish the run with --resume"):
        load_model(model.parent)


def test_a_file_that_may_not_be_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(
        FolderError, match=r"config.json: the file could not be read \(Permission denied\).*permissions"
    ):
        load_model(model)
