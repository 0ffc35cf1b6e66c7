"""The parts of benchmarks/cells.py: each measures, prints its table and keeps its rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import _peers_torch
from _cells_alone import alone
from _cells_cases import (
    CELLS,
    Contender,
    Missing,
    Problem,
    Shape,
    check,
    make_problem,
    random_lengths,
    reference,
    why_slow,
)
from _cells_targets import Row, plain_row, threads_word
from _cells_timing import multiply_add_peak, take_turns
from _peers_jax import jax_scan
from _peers_torchrecurrent import torchrecurrent_layer

PEERS: dict[str, Callable[[Problem], Contender | Missing | None]] = {
    "torch.nn": _peers_torch.torch_nn,
    "torchrecurrent": torchrecurrent_layer,
    "jax": jax_scan,
    "loop": _peers_torch.plain_loop,
    "compile": _peers_torch.compiled_step,
}
BASE = Shape(100, 32, 64, 128)
"""Where growth is measured from."""
MILLION = Shape(1_000_000, 1, 64, 64)
MEBIBYTES_WANTED = 2048


class Run:
    """One run of the script: what it is to measure, and the rows so far.

    Args:
        cells, shapes, peers: what is measured.
        threads: of this process, which is held to as many cores.
        all_cores: those that a process of its own may have.
        repeats, seconds: turns of each contender, and time for the turns of one case.
        quick: whether sizes are cut to what takes seconds.
    """

    def __init__(
        self,
        cells: Sequence[str],
        shapes: Sequence[Shape],
        peers: Sequence[str],
        threads: int,
        all_cores: Sequence[int],
        repeats: int,
        seconds: float,
        quick: bool,
    ):
        self.cells, self.shapes, self.peers, self.threads = cells, shapes, peers, threads
        self.all_cores, self.repeats, self.seconds, self.quick = list(all_cores), repeats, seconds, quick
        self.rows: list[Row] = []
        self.ratio_rows: list[Row] = []
        self.unmeasured: list[str] = []

    def ratios(self) -> None:
        """Each cell and shape against each peer, forward and training."""
        peak, what = multiply_add_peak(0.1 if self.quick else 1.0)
        print(f"multiply-add peak of one core: {peak / 1e9:.1f} GFLOP/s ({what}); {threads_word(self.threads)}")
        self.rows.append(plain_row("multiply-add peak", None, None, None, None, None, gflops=peak / 1e9))
        header = "".join(f"{name:>20}" for name in self.peers)
        print(f"\n{'cell':20}{'time, batch, inputs, hidden':29}{'':9}{'ours ms':>9}{'of peak':>9}{'off by':>9}{header}")
        for cell in self.cells:
            for shape in self.shapes:
                self._ratios_at(make_problem(cell, shape), peak)

    def _ratios_at(self, problem: Problem, peak: float) -> None:
        slow = why_slow(problem.layer)
        if slow is not None:
            self._say(f"ours is not compiled at {problem.cell}: {slow}")
        wanted, ours = reference(problem), _peers_torch.ours(problem)
        contenders, has_relu = [ours], CELLS[problem.cell].has_relu
        for name in self.peers:
            made = PEERS[name](problem)
            if isinstance(made, Missing):
                self._say(f"not measured: {made.name}, as {made.reason}")
            elif made is not None:
                contenders.append(made)
        off = {each.name: check(each, wanted, has_relu) for each in contenders}
        for each in contenders:
            if each.other_equations is not None:
                self._say(f"{each.name} {problem.cell}: numbers not compared, as {each.other_equations}")
        for work in ("training", "forward"):
            calls = {each.name: each.train if work == "training" else each.forward for each in contenders}
            found = take_turns(calls, self.repeats, self.seconds)
            share = problem.arithmetic / (found["ours"] / 1000) / (peak * self.threads) if work == "training" else None
            self._keep_ratios(problem, work, found, share, off)
            columns = _columns(found, self.peers)
            share_word = "" if share is None else f"{100 * share:.0f} %"
            place = f"{problem.cell:20}{', '.join(map(str, problem.shape)):29}{work:9}"
            numbers = f"{found['ours']:9.2f}{share_word:>9}{off['ours']:9.0e}"
            print(place + numbers + "".join(f"{column:>20}" for column in columns), flush=True)

    def _keep_ratios(
        self, problem: Problem, work: str, found: dict[str, float], share: float | None, off: dict[str, float | None]
    ) -> None:
        with_lengths = "" if problem.lengths is None else " with lengths"
        peers: list[tuple[str | None, float | None]] = [(None, None)]
        if len(found) > 1:
            peers = list(found.items())[1:]  # type: ignore[assignment]
        for name, milliseconds in peers:
            ratio = None if milliseconds is None else milliseconds / found["ours"]
            case = f"{problem.cell} {work}{with_lengths}, {threads_word(self.threads)}"
            more: Row = {"cell": problem.cell, "work": work, "threads": self.threads, "peak_share": share}
            more |= {"off_by": off["ours"], "peer_off_by": None if name is None else off[name]}
            row = plain_row(case, problem.shape, name, found["ours"], milliseconds, ratio, **more)
            self.rows.append(row)
            self.ratio_rows.append(row)

    def _say(self, line: str) -> None:
        if line not in self.unmeasured:
            self.unmeasured.append(line)
            print(line, flush=True)

    def lengths(self) -> None:
        """Sequences of different lengths: ours, ours without lengths on the same tensor, and torch.nn's packed."""
        peers = ("ours padded", "torch.nn packed")
        print("\nlengths uniform in [1, time], the longest first; training steps, packing and unpacking included")
        head = "".join(f"{name:>24}" for name in peers)
        print(f"{'cell':20}{'time, batch, inputs, hidden':29}{'steps read':>11}{'ours ms':>9}{head}")
        for cell in self.cells:
            for shape in self.shapes:
                problem, padded = make_problem(cell, shape), make_problem(cell, shape)
                problem.lengths = random_lengths(shape)
                wanted, contenders = reference(problem), [_peers_torch.ours(problem)]
                peer = _peers_torch.packed(problem) if cell == "lstm" else None
                contenders += [] if peer is None else [peer]
                off = {each.name: check(each, wanted, CELLS[cell].has_relu) for each in contenders}
                off[peers[0]] = check(without := _peers_torch.ours(padded), reference(padded), CELLS[cell].has_relu)
                calls = {"ours": contenders[0].train, peers[0]: without.train}
                calls |= {} if peer is None else {peer.name: peer.train}
                found = take_turns(calls, self.repeats, self.seconds)
                self._keep_ratios(problem, "training", found, None, off)
                columns = _columns(found, peers)
                read = float(problem.lengths.sum()) / (shape.time * shape.batch)
                place = f"{cell:20}{', '.join(map(str, shape)):29}{100 * read:9.0f} %{found['ours']:9.2f}"
                print(place + "".join(f"{column:>24}" for column in columns), flush=True)

    def scaling(self) -> None:
        """Training steps on one core and on all, each in a process of its own."""
        count = len(self.all_cores)
        if count == 1:
            self._say("not measured: scaling, as there is one core only")
            return
        print(f"\nfrom 1 thread to {count}: training steps")
        head = f"{'1: ms':>9}{f'{count}: ms':>9}{'times':>9}{'torch.nn times':>18}"
        print(f"{'cell':20}{'time, batch, inputs, hidden':29}{head}")
        request: Row = {"task": "times", "cells": list(self.cells), "shapes": self.shapes}
        request |= {"repeats": self.repeats, "seconds": self.seconds / 2}
        one, every = (alone(**request, cores=cores) for cores in (self.all_cores[:1], self.all_cores))
        for (cell, shape, first, peer_first), (_, _, second, peer_second) in zip(one, every, strict=True):
            peer = None if peer_first is None else peer_first / peer_second
            of_peer = "" if peer is None else f"{peer:18.2f}"
            place = f"{cell:20}{', '.join(map(str, shape)):29}"
            print(f"{place}{first:9.2f}{second:9.2f}{first / second:9.2f}{of_peer}")
            case = f"{cell} training, {threads_word(count)} against 1 thread"
            more = {"cell": cell, "scaling": first / second, "peer_scaling": peer, "threads": count}
            self.rows.append(plain_row(case, shape, "ours on 1 thread", second, first, first / second, **more))

    def growth(self) -> None:
        """Exponents: how a training step's time grows with time, batch and hidden size."""
        base = Shape(10, 4, 5, 8) if self.quick else BASE
        print(f"\ngrowth of a training step's time around {tuple(base)}: exponents fitted over the sizes named")
        for cell in self.cells:
            for axis in ("time", "batch", "hidden"):
                middle = getattr(base, axis)
                factors = (0.5, 1, 2) if self.quick else (0.25, 0.5, 1, 2, 4)
                sizes = [max(1, round(middle * factor)) for factor in factors]
                ours, peers = [], []
                for size in sizes:
                    problem = make_problem(cell, base._replace(**{axis: size}))
                    calls = {"ours": _peers_torch.ours(problem).train}
                    peer = _peers_torch.torch_nn(problem)
                    calls |= {} if peer is None else {"peer": peer.train}
                    found = take_turns(calls, self.repeats, self.seconds / 2)
                    ours.append(found["ours"])
                    peers += [found["peer"]] if "peer" in found else []
                power, of_peer = _exponent(sizes, ours), _exponent(sizes, peers) if peers else None
                word = "" if of_peer is None else f", torch.nn {of_peer:.2f}"
                print(f"{cell:20}{axis:8}{', '.join(map(str, sizes)):26}{power:6.2f}{word}", flush=True)
                more: Row = {
                    "cell": cell,
                    "axis": axis,
                    "sizes": sizes,
                    "ours_all_ms": ours,
                    "peer_all_ms": peers or None,
                }
                more |= {"exponent": power, "peer_exponent": of_peer, "threads": self.threads}
                case, peer_name = f"{cell} growth with {axis}", None if of_peer is None else "torch.nn"
                self.rows.append(plain_row(case, base, peer_name, None, None, None, **more))

    def memory(self) -> None:
        """What a training step adds to the largest resident size, ours and torch.nn's."""
        print("\npeak memory of a training step, MiB, each in a process of its own")
        print(f"{'cell':20}{'time, batch, inputs, hidden':29}{'ours':>9}{'torch.nn':>9}{'ratio':>9}")
        for cell in self.cells:
            if CELLS[cell].torch_nn is None:
                continue
            for shape in self.shapes:
                request = {"task": "memory", "cores": self.all_cores[: self.threads], "cell": cell, "shape": shape}
                found = [alone(**request, who=who, checkpoint=False)["step_mib"] for who in ("ours", "torch.nn")]
                # The smallest shapes fit into what the process has already.
                ratio = found[1] / found[0] if found[0] >= 1 else None
                word = f"{'':>9}" if ratio is None else f"{ratio:9.2f}"
                print(f"{cell:20}{', '.join(map(str, shape)):29}{found[0]:9.1f}{found[1]:9.1f}{word}", flush=True)
                more = {"ours_mib": found[0], "peer_mib": found[1], "mib_ratio": ratio, "threads": self.threads}
                self.rows.append(plain_row(f"{cell} memory", shape, "torch.nn", None, None, None, cell=cell, **more))

    def million(self) -> None:
        """A training step over a million time steps, with checkpoints over time."""
        shape = MILLION._replace(time=2000) if self.quick else MILLION
        sizes = f"{shape.time:,} steps, one sequence, {shape.inputs} inputs, {shape.hidden} hidden units"
        print(f"\ntraining on {sizes}, checkpoint=True")
        for cell in self.cells:
            request = {"task": "memory", "cores": self.all_cores[: self.threads], "cell": cell, "shape": shape}
            found = alone(**request, who="ours", checkpoint=True)
            holds: Any = None if self.quick else found["process_mib"] < MEBIBYTES_WANTED
            verdict = "no claim" if holds is None else "met" if holds else "not met"
            print(
                f"{cell:20}{found['seconds']:8.1f} s   peak of the whole process {found['process_mib']:6.0f} MiB, of "
                f"which x, y and their gradients {_ends_mib(shape):.0f}; under {MEBIBYTES_WANTED}: {verdict}",
                flush=True,
            )
            more = {"cell": cell, "process_mib": found["process_mib"], "step_mib": found["step_mib"], "holds": holds}
            case = f"{cell} training with checkpoints over time"
            milliseconds = 1000 * found["seconds"]
            self.rows.append(plain_row(case, shape, None, milliseconds, None, None, **more, threads=self.threads))


def _columns(found: Mapping[str, float], peers: Sequence[str]) -> list[str]:
    return [f"{found[name]:.2f} ms {found[name] / found['ours']:7.2f}" if name in found else "" for name in peers]


def _ends_mib(shape: Shape) -> float:
    return 2 * 4 * shape.time * shape.batch * (shape.inputs + shape.hidden) / 1024**2


def _exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """The slope of log(time) over log(size), by least squares."""
    x, y = [math.log(size) for size in sizes], [math.log(time) for time in times]
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    down = sum((a - x_mean) ** 2 for a in x)
    return sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / down
