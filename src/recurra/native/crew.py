"""One call on several threads: torch's own where they can be reached, so that nobody competes for the cores."""

from __future__ import annotations

import ctypes
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import llvmlite.binding as llvm
import torch
from llvmlite import ir

from recurra.native.machine import host
from recurra.native.vectors import I8, I32, I64

POINTER = I8.as_pointer()
FIELDS: tuple[str, ...] = (
    "call",
    "table",
    "steps",
    "batch",
    "reverse",
    "flags",
    "chunks",
    "first",
    "stride",
    "control",
)
FIELDS += ("parallel", "number", "count", "work")
"""What a job is: the loop's address and arguments; the chunks of the batch, and which of them a thread does that is not
of OpenMP's; the processor's control word for float numbers; the addresses of OpenMP's functions and of `work` itself, 0
where there is none."""


class Job(ctypes.Structure):
    """A call of a loop."""

    _fields_ = [(name, ctypes.c_int64) for name in FIELDS]


def _module(x86: bool) -> str:
    """Three functions: `note` writes the control word down, `work` does a thread's chunks, `start` all."""
    module = ir.Module("crew")
    module.triple = host().triple
    pair = ir.FunctionType(ir.VoidType(), [POINTER])
    count = ir.FunctionType(I32, [])
    loop = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64, I64, I64, I64, POINTER])
    parallel = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I32, I32])
    store = load = None
    if x86:
        store = ir.Function(module, pair, "llvm.x86.sse.stmxcsr")
        load = ir.Function(module, pair, "llvm.x86.sse.ldmxcsr")

    def field(b: ir.IRBuilder, job: Any, name: str) -> Any:
        return b.bitcast(b.gep(job, [I64(8 * FIELDS.index(name))]), I64.as_pointer())

    work = ir.Function(module, pair, "work")
    b = ir.IRBuilder(work.append_basic_block())
    job = work.args[0]
    values = {name: b.load(field(b, job, name)) for name in FIELDS}
    old = b.bitcast(b.alloca(I64), POINTER)
    if x86:
        b.call(store, [old])
        b.call(load, [b.bitcast(field(b, job, "control"), POINTER)])
    alone, team, begin = work.append_basic_block(), work.append_basic_block(), work.append_basic_block()
    b.cbranch(b.icmp_signed("==", values["number"], I64(0)), alone, team)
    b.position_at_end(alone)
    b.branch(begin)
    b.position_at_end(team)
    me = b.sext(b.call(b.inttoptr(values["number"], count.as_pointer()), []), I64)
    all_of_us = b.sext(b.call(b.inttoptr(values["count"], count.as_pointer()), []), I64)
    b.branch(begin)
    b.position_at_end(begin)
    mine, step = b.phi(I64), b.phi(I64)
    for phi, found, given in ((mine, me, "first"), (step, all_of_us, "stride")):
        phi.add_incoming(values[given], alone)
        phi.add_incoming(found, team)
    head, body, end = (work.append_basic_block() for _ in range(3))
    b.branch(head)
    b.position_at_end(head)
    chunk = b.phi(I64)
    chunk.add_incoming(mine, begin)
    b.cbranch(b.icmp_signed("<", chunk, values["chunks"]), body, end)
    b.position_at_end(body)
    cuts = [b.sdiv(b.mul(values["batch"], each), values["chunks"]) for each in (chunk, b.add(chunk, I64(1)))]
    call = b.inttoptr(values["call"], loop.as_pointer())
    table, flags = (b.inttoptr(values[name], POINTER) for name in ("table", "flags"))
    b.call(call, [table, values["steps"], values["batch"], *cuts, values["reverse"], flags])
    chunk.add_incoming(b.add(chunk, step), b.block)
    b.branch(head)
    b.position_at_end(end)
    if x86:
        b.call(load, [old])
    b.ret_void()

    note = ir.Function(module, pair, "note")
    b = ir.IRBuilder(note.append_basic_block())
    if x86:
        b.call(store, [b.bitcast(field(b, note.args[0], "control"), POINTER)])
    b.ret_void()

    start = ir.Function(module, pair, "start")
    b = ir.IRBuilder(start.append_basic_block())
    job = start.args[0]
    # Threads treat the smallest numbers as the caller does.
    b.call(note, [job])
    address = b.load(field(b, job, "parallel"))
    with b.if_else(b.icmp_signed("==", address, I64(0))) as (single, many):
        with single:
            b.call(work, [job])
        with many:
            function = b.inttoptr(address, parallel.as_pointer())
            chunks = b.trunc(b.load(field(b, job, "chunks")), I32)
            own = b.inttoptr(b.load(field(b, job, "work")), POINTER)
            b.call(function, [own, job, chunks, I32(0)])
    b.ret_void()
    return str(module)


@functools.cache
def _compiled() -> tuple[Any, Any, int, Any, Any]:
    machine = host()
    module = llvm.parse_assembly(_module(machine.triple.startswith("x86")))
    engine = llvm.create_mcjit_compiler(module, machine.target())
    engine.finalize_object()
    kind = ctypes.CFUNCTYPE(None, ctypes.POINTER(Job))
    start, work, note = (engine.get_function_address(name) for name in ("start", "work", "note"))
    return engine, kind(start), work, kind(work), kind(note)


@functools.cache
def _openmp() -> tuple[int, int, int]:
    """The addresses of OpenMP's functions in the library that torch has loaded, 0 where it has none."""
    try:
        with open("/proc/self/maps") as file:
            path = next(line.split(None, 5)[5].strip() for line in file if "libgomp" in line)
        library = ctypes.CDLL(path)
        names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        found = [ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names]
        return found[0], found[1], found[2]
    except (OSError, StopIteration, AttributeError):
        return 0, 0, 0


_POOL: dict[int, ThreadPoolExecutor] = {}
_LOCK = threading.Lock()


def run_job(call: int, table: Any, steps: int, batch: int, reverse: bool, flags: int) -> None:
    """Run a loop over the whole batch, by as many threads as torch uses.

    Args:
        call: the loop's address.
        table: an array of pointers.
        steps, batch: sizes.
        reverse: whether time runs from its end.
        flags: the address of flags, or 0.
    """
    _, start, work, part, note = _compiled()
    chunks = max(1, min(torch.get_num_threads(), batch))
    job = Job(call=call, table=ctypes.addressof(table), steps=steps, batch=batch, reverse=int(reverse), flags=flags)
    job.chunks, job.stride = chunks, 1
    if chunks > 1:
        parallel, number, count = _openmp()
        if not parallel:
            note(ctypes.byref(job))
            _pooled(part, job, chunks)
            return
        job.parallel, job.number, job.count, job.work = parallel, number, count, work
    start(ctypes.byref(job))


def _pooled(part: Any, job: Job, chunks: int) -> None:
    """The chunks of a job on threads of our own."""
    with _LOCK:
        if chunks not in _POOL:
            _POOL[chunks] = ThreadPoolExecutor(chunks - 1, thread_name_prefix="recurra")
    jobs = [Job.from_buffer_copy(job) for _ in range(chunks)]
    for number, each in enumerate(jobs):
        each.first, each.stride = number, chunks
    waiting = [_POOL[chunks].submit(part, ctypes.byref(each)) for each in jobs[1:]]
    part(ctypes.byref(jobs[0]))
    for part_done in waiting:
        part_done.result()


def single_job(call: int, table: Any, batch: int) -> Any:
    """A function without arguments that runs one step of a loop, in this thread; for calls that come often."""
    _, start, _, _, _ = _compiled()
    job = Job(call=call, table=ctypes.addressof(table), steps=1, batch=batch, chunks=1, stride=1)
    return functools.partial(start, job)
