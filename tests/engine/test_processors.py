"""Code for other processors than this one: run where this one can, else looked at."""

from __future__ import annotations

import re

import llvmlite.binding as llvm
import pytest
import torch

from recurra.cells import cell_class
from recurra.cells.state import state_tensors
from recurra.engine.emit import emit
from recurra.engine.kernel import Kernel
from recurra.engine.run import run_compiled
from recurra.native.machine import NEEDED, PROCESSORS, runs_here
from recurra.unroll import unroll


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("cell_name", ["lstm", "gru_reset_before"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_and_gradients(name: str, cell_name: str, dtype: torch.dtype) -> None:
    if not runs_here(name):
        pytest.skip(f"this processor cannot run code for {name}")
    kind, arguments = cell_class(cell_name)
    torch.manual_seed(1)
    cell = kind(3, 21, **arguments, dtype=dtype)
    x = torch.randn(4, 7, 3, dtype=dtype, requires_grad=True)
    state = cell.initial_state(7, dtype=dtype)
    kernel = Kernel(cell, dtype, False, machine=PROCESSORS[name])
    results = []
    for run in (
        lambda: run_compiled(kernel, cell, x, state, None, None, False),
        lambda: unroll(cell, x, state),
    ):
        y, final = run()
        loss = (y * torch.arange(float(y.numel())).reshape(y.shape).cos()).sum() + state_tensors(final)[0].sum()
        results.append([y, *torch.autograd.grad(loss, [x, *cell.parameters()])])
    for found, wanted in zip(*results, strict=True):
        tolerance = 1e-11 if dtype == torch.float64 else 2e-5
        torch.testing.assert_close(
            found, wanted, rtol=tolerance, atol=tolerance * float(1 + wanted.detach().abs().max())
        )


def test_code_for_64_bit_arm_multiplies_and_adds_in_one_instruction() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = PROCESSORS["aarch64"]
    kind, arguments = cell_class("lstm")
    kernel = Kernel(kind(3, 21, **arguments), torch.float32, False)
    for which in ("training", "backward"):
        program = getattr(kernel.plan, which)
        code = emit(
            program,
            machine,
            double=False,
            backward=which == "backward",
            masked=True,
            resets=True,
            turning=set(),
            name=which,
        )
        module = llvm.parse_assembly(code.text)
        module.verify()
        text = machine.target().emit_assembly(module)
        # Four numbers at a time, and no call but to the C library's functions, of which a float32 LSTM has none.
        assert len(re.findall(r"\bfmla\s+v\d+\.4s", text)) > 20
        assert not re.findall(r"\bbl\s+fmaf?\b", text)
