"""What all cells with a parallel scan have in common over long sequences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from recurra.cells import CELLS, cell_class
from recurra.cells.base import Cell
from recurra.cells.state import state_tensors
from recurra.errors import UsageError
from recurra.unroll import scan, unroll

LINEAR = [
    "qrnn",
    "qrnn_f",
    "qrnn_ifo",
    "sru_linear",
    "lru",
    "rg_lru",
    "min_gru",
    "min_lstm",
    "slstm_linear",
    "mlstm",
    "trnn",
    "tgru",
    "tlstm",
]


def make(name: str, hidden: int = 4, **more: Any) -> Cell:
    torch.manual_seed(0)
    kind, arguments = cell_class(name)
    return kind(3, hidden, **arguments, **more)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_cells_that_say_so_are_these() -> None:
    assert [name for name in CELLS if name in LINEAR] == LINEAR
    assert all(make(name).linear for name in LINEAR)
    assert not make("sru").linear and not make("slstm").linear


@pytest.mark.parametrize("name", LINEAR)
def test_a_thousand_steps_by_scan_are_the_loop_to_a_billionth(name: str) -> None:
    cell, x = make(name, dtype=torch.float64), noise(1000, 1, 3)
    weights = list(cell.parameters())
    results = []
    for run in (scan, unroll):
        y, final = run(cell, x, lengths=[1000])
        slopes = torch.autograd.grad(y.square().sum() / 1000, weights)
        results.append([y, *state_tensors(final), *slopes])
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", LINEAR)
def test_a_thousand_steps_in_single_precision_stay_within_rounding(name: str) -> None:
    cell, x = make(name, dtype=torch.float64), noise(1000, 2, 3)
    exact = unroll(cell, x)[0].detach()
    single = scan(cell.float(), x.float())[0].detach()
    assert float((single - exact).abs().max()) < 1e-4 * (1.0 + float(exact.abs().max()))


@pytest.mark.parametrize("name", LINEAR)
def test_under_autocast_and_in_bfloat16_the_scan_is_still_near_the_loop(name: str) -> None:
    cell, x = make(name), noise(20, 2, 3).float()
    exact = unroll(cell, x)[0].detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        casts = [run(cell, x)[0] for run in (scan, unroll)]
    casts += [run(cell.bfloat16(), x.bfloat16())[0] for run in (scan, unroll)]
    for y in casts:
        torch.testing.assert_close(y.detach().float(), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", [*LINEAR, "sru", "slstm"])
def test_one_hidden_unit_and_no_memory_on_the_meta_device(name: str) -> None:
    cell = make(name, hidden=1)
    assert unroll(cell, torch.ones(2, 1, 3))[0].shape == (2, 1, 1)
    kind, arguments = cell_class(name)
    assert all(weight.is_meta for weight in kind(3, 4, **arguments, device="meta").parameters())


@pytest.mark.parametrize("name", ["sru", "slstm"])
def test_a_cell_whose_gates_see_the_state_has_no_scan(name: str) -> None:
    cell = make(name)
    with pytest.raises(UsageError, match="is not linear in its state"):
        scan(cell, torch.ones(2, 1, 3))
    with pytest.raises(NotImplementedError, match="has no scan"):
        cell.scan(torch.ones(2, 1, 3), cell.initial_state(1))


@pytest.mark.parametrize(
    "name", ["trnn", "tgru", "tlstm", "min_gru", "min_lstm", "qrnn", "sru_linear", "rg_lru", "lru"]
)
def test_what_is_kept_of_a_state_is_a_share_between_nought_and_one(name: str) -> None:
    cell, x = make(name, dtype=torch.float64), noise(50, 4, 3)
    one, other = cell.initial_state(4), cell.initial_state(4)
    parts = [part.clone() for part in state_tensors(other)]
    parts[0] = parts[0] + 1.0
    other = type(other)(*parts)
    for step in x:
        after_one, after_other = cell(step, one)[1], cell(step, other)[1]
        if name == "lru":
            gap = torch.complex(after_other[0] - after_one[0], after_other[1] - after_one[1]).abs()
        else:
            gap = after_other[0] - after_one[0]
        assert bool((gap > 0).all()) and bool((gap < 1).all())


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("qrnn", {"pooling": "fifo"}, ["pooling is 'fifo'", "'f', 'fo' or 'ifo'"]),
        ("qrnn", {"window": 0}, ["window is 0", "a positive whole number"]),
        ("sru", {"activation": "relu"}, ["activation is 'relu'", "'identity' or 'tanh'"]),
        ("lru", {"r_min": 0.9, "r_max": 0.5}, ["r_min is 0.9 and r_max 0.5", "0 <= r_min < r_max <= 1"]),
        ("lru", {"max_phase": 7.0}, ["max_phase is 7.0", "up to 2 pi"]),
        ("lru", {"output_size": 0}, ["output_size is 0", "a positive whole number"]),
        ("rg_lru", {"sharpness": -1}, ["sharpness is -1", "a positive number"]),
        ("slstm", {"num_heads": 3}, ["num_heads is 3 with hidden_size 4", "divides hidden_size: 1, 2, 4"]),
        ("slstm", {"forget_gate": "tanh"}, ["forget_gate is 'tanh'", "'sigmoid' or 'exp'"]),
        ("mlstm", {"num_heads": 8}, ["num_heads is 8 with hidden_size 4", "divides hidden_size: 1, 2, 4"]),
        ("mlstm", {"num_heads": 0}, ["num_heads is 0", "a positive whole number"]),
        ("mlstm", {"forget_gate": "tanh"}, ["forget_gate is 'tanh'", "'sigmoid' or 'exp'"]),
    ],
)
def test_bad_arguments_are_named(name: str, arguments: dict[str, Any], words: list[str]) -> None:
    kind, known = cell_class(name)
    with pytest.raises(UsageError) as caught:
        kind(3, 4, **{**known, **arguments})
    for word in [kind.__name__, *words]:
        assert word in str(caught.value)
