"""Compiled code on disk: used again, whole or not at all, and never from another version."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from recurra.cells import Elman
from recurra.engine import run_fused
from recurra.engine.cache import _KERNELS
from recurra.native import compile as compiling
from recurra.native.machine import host
from recurra.unroll import unroll

TEXT = "define i64 @three() {\n  ret i64 3\n}\n"


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was compiled, with a folder for compiled code."""
    found: list[str] = []
    plain = compiling._compile

    def counted(text: str, machine: object) -> bytes:
        found.append(text)
        return plain(text, machine)  # type: ignore[arg-type]

    monkeypatch.setattr(compiling, "_compile", counted)
    monkeypatch.setenv(compiling.PLACE, str(tmp_path / "code"))
    return found


def test_the_second_time_nothing_is_compiled(count: list[str]) -> None:
    first = compiling.object_code(TEXT, host())
    assert compiling.object_code(TEXT, host()) == first and count == [TEXT]


def test_what_is_not_whole_is_compiled_again_and_mended(count: list[str], tmp_path: Path) -> None:
    first = compiling.object_code(TEXT, host())
    (path,) = (tmp_path / "code").iterdir()
    for damaged in (b"", path.read_bytes()[:-1], path.read_bytes()[:-1] + b"?"):
        path.write_bytes(damaged)
        assert compiling.object_code(TEXT, host()) == first
        assert compiling.object_code(TEXT, host()) == first
    assert len(count) == 4 and [each.name for each in (tmp_path / "code").iterdir()] == [path.name]


def test_another_version_does_not_find_it(count: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    compiling.object_code(TEXT, host())
    monkeypatch.setattr(compiling, "__version__", "0.0.0")
    compiling.object_code(TEXT, host())
    assert len(count) == 2


def test_several_at_once_leave_one_whole_file(count: list[str], tmp_path: Path) -> None:
    results: list[bytes] = []
    workers = [threading.Thread(target=lambda: results.append(compiling.object_code(TEXT, host()))) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(results)) == 1 and len(list((tmp_path / "code").iterdir())) == 1


def test_a_folder_that_cannot_be_written_changes_nothing(
    count: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(compiling.PLACE, str(tmp_path / "file" / "below"))
    assert compiling.object_code(TEXT, host()) == compiling.object_code(TEXT, host())


def test_without_a_folder_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(compiling.PLACE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    compiling.object_code(TEXT, host())
    assert list(tmp_path.iterdir()) == []


def test_code_from_disk_computes_the_same(count: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cell, x = Elman(3, 6), torch.randn(4, 2, 3)
    wanted = unroll(cell, x)[0]
    for _ in range(2):
        monkeypatch.setattr(compiling, "_KEPT", {})
        _KERNELS.clear()
        found = run_fused(cell, x, cell.initial_state(2), None, None, False)
        assert not isinstance(found, str)
        torch.testing.assert_close(found[0], wanted, rtol=1e-5, atol=1e-6)
    assert len(count) == 1
