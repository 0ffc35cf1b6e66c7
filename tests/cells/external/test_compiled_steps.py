"""Steps of machines with a memory that are written for this processor: the plain steps' numbers and derivatives."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from recurra.cells.external import compiled_step, dnc_step, ntm_step
from recurra.cells.external.dnc import DNC
from recurra.cells.external.dnc_step import Interface
from recurra.cells.external.native import call
from recurra.cells.external.ntm import NTM
from recurra.cells.external.ntm_step import Heads
from recurra.native.machine import NEEDED, PROCESSORS, runs_here
from recurra.unroll import unroll

Case = tuple[Any, Any, list[Tensor]]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Compile steps of every size; the list gets an entry for each compiled step that is run."""
    seen: list[int] = []
    compute = call.Ready.compute
    monkeypatch.setattr(compiled_step, "LEAST", 0)
    monkeypatch.setattr(call.Ready, "compute", lambda *args: (seen.append(1), compute(*args))[1])
    return seen


def drawn(shapes: dict[str, Any], dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(len(shapes))
    return {name: torch.randn(shape, dtype=dtype, generator=generator) for name, shape in shapes.items()}


def machine(readers: int, width: int, reach: int, slots: int, dtype: torch.dtype, batch: int = 3) -> Case:
    heads = Heads(1, readers, width, reach, 1e-6)
    told = (batch, sum(heads.sizes.values()))
    shapes = {"told": told, "memory": (batch, slots, width), "w": (batch, 1, slots), "r": (batch, readers, slots)}
    parts = drawn(shapes, dtype)
    for name in "wr":
        parts[name] = torch.softmax(3 * parts[name], -1)
    return partial(ntm_step.turn, heads), partial(ntm_step.plain_turn, heads), list(parts.values())


def computer(readers: int, width: int, slots: int, dtype: torch.dtype, batch: int = 3) -> Case:
    told = Interface(readers, width, 1e-6)
    shapes: dict[str, Any] = {"told": (batch, sum(told.sizes.values())), "memory": (batch, slots, width)}
    shapes |= {"usage": (batch, slots), "link": (batch, slots, slots), "precedence": (batch, slots)}
    parts = drawn(shapes | {"w": (batch, slots), "r": (batch, readers, slots)}, dtype)
    # A third of the slots was never written: they tie, and the products over usages hold zeros.
    for name in ("usage", "w"):
        parts[name] = torch.sigmoid(parts[name])
        parts[name][:, ::3] = 0.0
    parts["link"] = torch.sigmoid(parts["link"]) * (1 - torch.eye(slots, dtype=dtype)) / slots
    for name in ("w", "precedence"):
        parts[name] = parts[name].abs() / slots
    parts["r"] = torch.softmax(parts["r"], -1)
    return partial(dnc_step.compute, told), partial(dnc_step.plain_compute, told), list(parts.values())


# The last sizes are more than a strip of vectors wide, and not a whole number of them.
CASES: dict[str, Any] = {
    "machine": partial(machine, 1, 20, 1, 128),
    "machine, 2 readers, shifts by 2": partial(machine, 2, 7, 2, 13),
    "machine, 3 readers, no shift": partial(machine, 3, 5, 0, 9),
    "machine, all the way round": partial(machine, 1, 4, 5, 5),
    "machine, 1 slot": partial(machine, 2, 1, 1, 1),
    "machine, 300 slots": partial(machine, 1, 17, 3, 300),
    "computer": partial(computer, 1, 16, 16),
    "computer, 4 readers": partial(computer, 4, 16, 64),
    "computer, 2 readers, 13 slots": partial(computer, 2, 7, 13),
    "computer, 1 slot": partial(computer, 3, 2, 1),
    "computer, 300 slots": partial(computer, 1, 3, 300),
}


def results(step: Any, inputs: list[Tensor]) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    outputs = step(*leaves)
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(part.shape, dtype=part.dtype, generator=generator) for part in outputs]
    return [*(part.detach() for part in outputs), *torch.autograd.grad(outputs, leaves, directions)]


def close(found: list[Tensor], wanted: list[Tensor], tolerance: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        scale = float(other.abs().max()) + 1e-3
        torch.testing.assert_close(one, other, rtol=0.0, atol=tolerance * scale)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 5e-6)])
def test_numbers_and_gradients_are_the_plain_steps(
    name: str, dtype: torch.dtype, tolerance: float, always: list[int]
) -> None:
    step, plain, inputs = CASES[name](dtype)
    found = results(step, inputs)
    assert always
    close(found, results(plain, inputs), tolerance)
    with torch.no_grad():
        close(list(step(*inputs)), found[: len(step(*inputs))], 1e-15)


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("kind", ["machine, 2 readers, shifts by 2", "computer, 2 readers, 13 slots"])
def test_code_for_other_processors(name: str, kind: str, always: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    if not runs_here(name):
        pytest.skip(f"this processor cannot run code for {name}")
    monkeypatch.setattr(call, "host", lambda: PROCESSORS[name])
    call.ready.cache_clear()
    try:
        for dtype, tolerance in ((torch.float32, 5e-6), (torch.float64, 1e-13)):
            step, plain, inputs = CASES[kind](dtype)
            close(results(step, inputs), results(plain, inputs), tolerance)
    finally:
        call.ready.cache_clear()


@pytest.mark.parametrize("kind", ["machine", "computer"])
def test_extreme_numbers(kind: str, always: list[int]) -> None:
    step, plain, inputs = CASES[kind](torch.float32)
    told = 60.0 * inputs[0]
    close(results(step, [told, *inputs[1:]])[:3], results(plain, [told, *inputs[1:]])[:3], 1e-5)
    assert all(bool(part.isfinite().all()) for part in results(step, [told, *inputs[1:]]))


@pytest.mark.parametrize("kind", ["machine, 2 readers, shifts by 2", "computer, 2 readers, 13 slots"])
def test_a_sequence_does_not_see_its_neighbours(kind: str, always: list[int]) -> None:
    step, _, inputs = CASES[kind](torch.float64)
    whole = results(step, inputs)
    broken = [tensor.clone() for tensor in inputs]
    for part in broken:
        part[1] = float("nan")
    for found, wanted in zip(results(step, broken), whole, strict=True):
        for sequence in (0, 2):
            torch.testing.assert_close(found[sequence], wanted[sequence], rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["machine", "computer"])
def test_threads_change_no_number(kind: str, always: list[int]) -> None:
    step, _, inputs = CASES[kind](torch.float32, batch=5)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(results(step, inputs))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["machine, 2 readers, shifts by 2", "computer, 2 readers, 13 slots"])
def test_second_derivatives_go_on_through_plain_operations(kind: str, always: list[int]) -> None:
    step, plain, inputs = CASES[kind](torch.float64)
    found = []
    for each in (step, plain):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        first = torch.autograd.grad(each(*leaves)[-1].square().sum(), leaves, create_graph=True)
        total = sum((part * part).sum() for part in first)
        found.append(torch.autograd.grad(total, leaves))
    close(list(found[0]), list(found[1]), 1e-11)


@pytest.mark.parametrize("kind", [NTM, DNC])
def test_a_whole_sequence(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cell = kind(3, 9, slots=11, width=5, read_heads=2, dtype=torch.float64)
    x, weighting = torch.randn(8, 4, 3, dtype=torch.float64), torch.randn(8, 4, cell.output_size, dtype=torch.float64)
    found = []
    for least in (0, 1 << 40):
        monkeypatch.setattr(compiled_step, "LEAST", least)
        y, state = unroll(cell, x)
        loss = (y * weighting).sum() + state.memory.square().sum() + state.read_weights.square().sum()
        found.append([y.detach(), state.memory.detach(), *torch.autograd.grad(loss, list(cell.parameters()))])
    close(*found, 1e-12)


def test_what_is_compiled_follows_from_sizes_and_places(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    compute = call.Ready.compute
    monkeypatch.setattr(call.Ready, "compute", lambda *args: (seen.append(1), compute(*args))[1])

    def runs(*args: Any, **more: Any) -> int:
        step, _, inputs = machine(*args, **more)
        seen.clear()
        step(*inputs)
        return len(seen)

    assert runs(1, 16, 1, 64, torch.float32, batch=2) == 1
    assert runs(1, 16, 1, 63, torch.float32, batch=2) == 0
    step, _, inputs = machine(1, 16, 1, 64, torch.float32)
    seen.clear()
    # Mixed number formats are left to the plain operations, which refuse them.
    with pytest.raises(RuntimeError):
        step(inputs[0].double(), *inputs[1:])
    assert not seen


def test_transforms_and_graphs_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("a step was compiled")

    step, plain, inputs = machine(1, 16, 1, 64, torch.float32)
    wanted = plain(*inputs)[-1]
    monkeypatch.setattr(call, "ready", refuse)
    with pytest.raises(AssertionError):
        step(*inputs)
    alone = torch.func.vmap(lambda *parts: step(*(part.unsqueeze(0) for part in parts))[-1].squeeze(0))(*inputs)
    torch.testing.assert_close(alone, wanted)
    exported = torch.export.export(_Step(step), tuple(inputs)).module()
    torch.testing.assert_close(exported(*inputs), wanted)


class _Step(torch.nn.Module):
    def __init__(self, step: Any) -> None:
        super().__init__()
        self.step = step

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.step(*inputs)[-1]
