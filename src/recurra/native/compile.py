"""From LLVM's language to a function that can be called: kept in memory, and on disk where a folder is named."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from recurra.native.machine import Machine
from recurra.version import __version__

_LOCK = threading.Lock()
_KEPT: dict[tuple[Machine, str], Any] = {}
PLACE = "RECURRA_CACHE"
"""The environment variable that names a folder for compiled code; without it nothing is written."""


def compiled(text: str, machine: Machine, name: str) -> int:
    """The address of a function of a module in LLVM's language."""
    key = (machine, text)
    with _LOCK:
        if key not in _KEPT:
            _KEPT[key] = _load(object_code(text, machine), machine, name)
        return _KEPT[key][1]


def object_code(text: str, machine: Machine) -> bytes:
    """The machine code of a module, from disk where it is kept there."""
    folder = os.environ.get(PLACE)
    if not folder:
        return _compile(text, machine)
    path = Path(folder) / f"{_name(text, machine)}.o"
    found = _read(path)
    if found is None:
        found = _compile(text, machine)
        _write(path, found)
    return found


def _compile(text: str, machine: Machine) -> bytes:
    target = machine.target()
    module = llvm.parse_assembly(text)
    module.verify()
    # The code is laid out by hand: passes over it cost half of the time here, and gain nothing that can be measured.
    tuning = llvm.create_pipeline_tuning_options(speed_level=0)
    builder = llvm.create_pass_builder(target, tuning)
    builder.getModulePassManager().run(module, builder)
    return target.emit_object(module)


def _load(code: bytes, machine: Machine, name: str) -> tuple[Any, int]:
    empty = llvm.parse_assembly("")
    empty.triple = machine.triple
    engine = llvm.create_mcjit_compiler(empty, machine.target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine, engine.get_function_address(name)


# -- on disk


def _name(text: str, machine: Machine) -> str:
    """A name that changes with all that the code follows from."""
    parts = (text, repr(machine), __version__, llvmlite.__version__, repr(llvm.llvm_version_info))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(path: Path) -> bytes | None:
    """What a file holds, or None where there is none or it is not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    check, code = data[:32], data[32:]
    return code if hashlib.sha256(code).digest() == check else None


def _write(path: Path, code: bytes) -> None:
    """Write a file under another name first, so that nobody reads half; a folder that cannot be written is let be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, other = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(other, path)
        except BaseException:
            os.unlink(other)
            raise
    except OSError:
        return
