"""From LLVM's language to a function that can be called, kept in memory by its text."""

from __future__ import annotations

import threading
from typing import Any

import llvmlite.binding as llvm

from recurra.engine.emit import Code
from recurra.engine.machine import Machine

_LOCK = threading.Lock()
_KEPT: dict[tuple[Machine, str], Any] = {}


def compiled(code: Code, machine: Machine, name: str) -> int:
    """The address of emitted code's function."""
    key = (machine, code.text)
    with _LOCK:
        if key not in _KEPT:
            _KEPT[key] = _compile(code.text, machine, name)
        return _KEPT[key][1]


def _compile(text: str, machine: Machine, name: str) -> tuple[Any, int]:
    target = machine.target()
    module = llvm.parse_assembly(text)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=0)
    # The code is laid out by hand: passes over it cost half of the time here, and gain nothing that can be measured.
    tuning.loop_vectorization = tuning.slp_vectorization = False
    tuning.loop_unrolling = False
    builder = llvm.create_pass_builder(target, tuning)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    return engine, engine.get_function_address(name)
