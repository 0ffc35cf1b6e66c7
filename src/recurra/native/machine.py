"""The processor that code is made for: vector width, registers, and LLVM's view of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import llvmlite.binding as llvm


@dataclass(frozen=True)
class Machine:
    """What the emitter needs to know of a processor.

    Attributes:
        triple, cpu, features: LLVM's names.
        bits: of a vector register.
        registers: vector registers.
        avx512: whether x86's instructions on 16 numbers are there.
        fused: whether a product and a sum are one instruction.
    """

    triple: str
    cpu: str
    features: str
    bits: int
    registers: int
    avx512: bool = False
    fused: bool = True

    def lanes(self, double: bool) -> int:
        """Numbers in a vector."""
        return self.bits // (64 if double else 32)

    def target(self) -> llvm.TargetMachine:
        """LLVM's machine, for one use."""
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=self.features, opt=2, reloc="pic", codemodel="small"
        )


@functools.cache
def host() -> Machine:
    """This machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    triple = llvm.get_process_triple()
    if features.get("avx512f") and features.get("avx512vl"):
        # LLVM prefers half-width vectors on some processors; the tiles are laid out for whole ones.
        flat = features.flatten() + ",-prefer-256-bit"
        return Machine(triple, llvm.get_host_cpu_name(), flat, 512, 32, True)
    if not triple.startswith("x86"):
        return Machine(triple, llvm.get_host_cpu_name(), features.flatten(), 128, 32)
    wide, fused = bool(features.get("avx2")), bool(features.get("fma"))
    return Machine(triple, llvm.get_host_cpu_name(), features.flatten(), 256 if wide else 128, 16, fused=fused)


PROCESSORS = {
    "x86-64": Machine("x86_64-unknown-linux-gnu", "x86-64", "", 128, 16, fused=False),
    "x86-64-v3": Machine("x86_64-unknown-linux-gnu", "x86-64-v3", "", 256, 16),
    "x86-64-v4": Machine("x86_64-unknown-linux-gnu", "x86-64-v4", "-prefer-256-bit", 512, 32, True),
    "aarch64": Machine("aarch64-unknown-linux-gnu", "generic", "+neon", 128, 32),
}
"""Kinds of processors, by name, beside this machine's own."""

NEEDED: dict[str, tuple[str, ...]] = {
    "x86-64": (),
    "x86-64-v3": ("avx2", "fma"),
    "x86-64-v4": ("avx512f", "avx512vl", "avx512dq", "avx512bw"),
}
"""What a processor must have for the code of these kinds."""


def runs_here(kind: str) -> bool:
    """Whether this machine runs the code of a kind of processors."""
    if kind not in NEEDED or not host().triple.startswith("x86"):
        return False
    features = llvm.get_host_cpu_features()
    return all(features.get(each) for each in NEEDED[kind])
