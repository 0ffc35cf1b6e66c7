"""Times of contenders that take turns, and the peak of one core's multiply-adds."""

from __future__ import annotations

import ctypes
import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

SHORTEST = 0.005
"""Seconds a sample lasts at least: short calls are made several times."""

SLOW = 1.0
"""Seconds of a call from which on fewer turns must do."""


def _sample(call: Callable[[], Any], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times


def take_turns(calls: Mapping[str, Callable[[], Any]], repeats: int, seconds: float) -> dict[str, float]:
    """Milliseconds of each call, the median of samples in which the calls take turns.

    Args:
        calls: the first is ours and has its turn in every round; the others leave when their share of the time is
            spent, but not before they have had five turns, or three where one takes a second.
        repeats: rounds at most.
        seconds: for all calls together.
    """
    names = list(calls)
    counts: dict[str, int] = {}
    least: dict[str, int] = {}
    samples: dict[str, list[float]] = {name: [] for name in names}
    spent = dict.fromkeys(names, 0.0)
    for name in names:
        calls[name]()  # whatever is made at the first call
        first = _sample(calls[name], 1)
        counts[name] = max(1, min(1000, math.ceil(SHORTEST / first)))
        least[name] = 3 if first > SLOW else 5
    share = seconds / len(names)
    gc.collect()
    gc.disable()
    try:
        for turn in range(repeats):
            willing = [name for name in names if turn < least[name] or spent[name] < share]
            if not willing:
                break
            # The order changes from round to round, so that no one always follows the same other.
            around = [name for name in names if name in willing or name == names[0]]
            start = turn % len(around)
            for name in around[start:] + around[:start]:
                sample = _sample(calls[name], counts[name])
                samples[name].append(sample)
                spent[name] += sample * counts[name]
    finally:
        gc.enable()
    return {name: 1000 * statistics.median(values) for name, values in samples.items()}


def multiply_add_peak(seconds: float = 0.5) -> tuple[float, str]:
    """Floating-point operations a second of one core, and what it is made of.

    A loop of fused multiply-adds of float32 vectors on independent accumulators, enough of them to cover the latency
    of the units; nothing is loaded or stored in it. The best of many short runs, as a processor's clock varies.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    bits = 512 if features.get("avx512f") else 256 if features.get("avx2") else 128
    chosen = features.flatten() + (",-prefer-256-bit" if bits == 512 else "")
    best, what = 0.0, ""
    # Two units with a latency of four need eight chains; some processors need more, and sixteen registers hold twelve.
    for chains in (8, 10, 12) if bits < 512 else (8, 12, 16, 24):
        module = llvm.parse_assembly(_chains_text(bits // 32, chains))
        module.verify()
        # The compiler takes the target for its own, so each gets one.
        target = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=chosen, opt=3, jit=True
        )
        engine = llvm.create_mcjit_compiler(module, target)
        engine.finalize_object()
        run = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64, ctypes.c_float)(engine.get_function_address("chains"))
        steps, until = 100_000, time.perf_counter() + seconds / 4
        operations = 2 * (bits // 32) * chains * steps
        while time.perf_counter() < until:
            started = time.perf_counter()
            run(steps, 0.999)
            rate = operations / (time.perf_counter() - started)
            if rate > best:
                best, what = rate, f"{chains} chains of {bits}-bit vectors"
    return best, what


def _chains_text(lanes: int, chains: int) -> str:
    """LLVM's text of a loop of multiply-adds, a = a * b + b, on so many accumulators."""
    vector = f"<{lanes} x float>"
    fma = f"@llvm.fma.v{lanes}f32"
    # Chains that began alike would be one chain to the compiler.
    starts = [f"  %b{k} = fadd {vector} %{'b' if k == 0 else f'b{k - 1}'}, %b" for k in range(chains)]
    phis = [f"  %a{k} = phi {vector} [ %b{k}, %entry ], [ %n{k}, %loop ]" for k in range(chains)]
    steps = [f"  %n{k} = call {vector} {fma}({vector} %a{k}, {vector} %b, {vector} %b)" for k in range(chains)]
    sums = [f"  %s{k} = fadd {vector} %{'n0' if k == 1 else f's{k - 1}'}, %n{k}" for k in range(1, chains)]
    return "\n".join(
        [
            f"declare {vector} {fma}({vector}, {vector}, {vector})",
            "define float @chains(i64 %steps, float %value) {",
            "entry:",
            f"  %one = insertelement {vector} poison, float %value, i32 0",
            f"  %b = shufflevector {vector} %one, {vector} poison, <{lanes} x i32> zeroinitializer",
            *starts,
            "  br label %loop",
            "loop:",
            "  %t = phi i64 [ 0, %entry ], [ %next, %loop ]",
            *phis,
            *steps,
            "  %next = add i64 %t, 1",
            "  %more = icmp slt i64 %next, %steps",
            "  br i1 %more, label %loop, label %done",
            "done:",
            *sums,
            f"  %first = extractelement {vector} %s{chains - 1}, i32 0",
            "  ret float %first",
            "}",
        ]
    )
