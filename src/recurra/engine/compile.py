"""From LLVM's language to a function that can be called, kept in memory by its text."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import llvmlite.binding as llvm

from recurra.engine.emit import Code
from recurra.engine.machine import Machine

_LOCK = threading.Lock()
_KEPT: dict[tuple[Machine, str], Any] = {}
_P, _I = ctypes.c_void_p, ctypes.c_int64


def compiled(code: Code, machine: Machine, name: str) -> Any:
    """The function of emitted code; calling it lets other threads run."""
    key = (machine, code.text)
    with _LOCK:
        if key not in _KEPT:
            _KEPT[key] = _compile(code.text, machine, name)
        return _KEPT[key][1]


def _compile(text: str, machine: Machine, name: str) -> tuple[Any, Any]:
    target = machine.target()
    module = llvm.parse_assembly(text)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    # The tiles are laid out by hand; looking for vectors or unrolling again costs time and gains nothing.
    tuning.loop_vectorization = tuning.slp_vectorization = False
    tuning.loop_unrolling = False
    builder = llvm.create_pass_builder(target, tuning)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, _P, _I, _I, _I, _I, _I, _P)
    return engine, kind(engine.get_function_address(name))
