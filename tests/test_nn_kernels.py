"""The fast path equals the reference: outputs, states and every gradient, with lengths and in both directions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from recurra.cells import IndRNN, map_state
from recurra.nn import Recurrent
from recurra.nn import drive as drive_module

FAST: list[tuple[str, dict[str, Any]]] = [
    ("elman", {}),
    ("elman_relu", {}),
    ("lstm", {}),
    ("lstm", {"proj_size": 3}),
    ("gru", {}),
    ("lstm", {"bias": False}),
    ("gru", {"bias": False}),
    ("indrnn", {}),
    ("indrnn", {"bias": False}),
]
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
each_cell = pytest.mark.parametrize(("cell", "arguments"), FAST, ids=lambda value: str(value))


def everything(layer: Recurrent, x: Tensor, state: Any, lengths: Any, backend: str) -> list[Tensor]:
    """Outputs, final states, and the gradients by x, the weights and the first states."""
    layer.backend = backend
    x = x.detach().clone().requires_grad_()
    state = tuple(map_state(lambda part: part.detach().clone().requires_grad_(), entry) for entry in state)
    y, final = layer(x, state, lengths=lengths)
    results = [y, *(part for entry in final for part in entry)]
    generator = torch.Generator().manual_seed(3)
    loss = sum((part * torch.randn(part.shape, generator=generator, dtype=part.dtype)).sum() for part in results)
    starts = [part for entry in state for part in entry]
    return results + list(torch.autograd.grad(loss, [x, *layer.parameters(), *starts]))


def compare(layer: Recurrent, x: Tensor, lengths: Any) -> None:
    _, state = layer(x)
    fast = everything(layer, x, state, lengths, "auto")
    for left, right in zip(fast, everything(layer, x, state, lengths, "reference"), strict=True):
        left, right = left.detach(), right.detach()
        assert float((left - right).abs().max()) <= TOLERANCE[x.dtype] * float(right.abs().max())


@each_cell
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("lengths", [None, [9, 0, 4, 1]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fast_is_reference(cell: str, arguments: Any, bidirectional: bool, lengths: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = Recurrent(cell, 3, 6, 2, bidirectional=bidirectional, dtype=dtype, **arguments)
    compare(layer, torch.randn(9, 4, 3, dtype=dtype), lengths)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(0, 11), min_size=1, max_size=9).filter(any),
    extra=st.integers(0, 5),
    which=st.sampled_from(FAST),
    features=st.integers(1, 9),
    hidden=st.integers(4, 17),
    bidirectional=st.booleans(),
)
def test_fast_is_reference_in_odd_sizes(
    lengths: list[int], extra: int, which: Any, features: int, hidden: int, bidirectional: bool
) -> None:
    torch.manual_seed(len(lengths) + extra + features + hidden)
    layer = Recurrent(which[0], features, hidden, bidirectional=bidirectional, dtype=torch.float64, **which[1])
    compare(layer, torch.randn(max(lengths) + extra, len(lengths), features, dtype=torch.float64), lengths)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_memory_cells_are_held_through_long_padding(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = Recurrent("lstm", 2, 5, dtype=dtype)
    with torch.no_grad():
        layer.cells[0].weight_hh.mul_(20)
    x = 10 * torch.randn(700, 2, 2, dtype=dtype)
    x[3:, 0] = float("nan")
    _, (padded,) = layer(x, lengths=[3, 700])
    _, (cut,) = layer(x[:3, :1])
    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(padded.c[:1], cut.c, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(padded.h[:1], cut.h, rtol=tolerance, atol=tolerance)
    _, (early,) = layer(x[:10], lengths=[3, 10])
    assert torch.equal(padded.c[0], early.c[0])


def test_an_indrnn_that_grows_does_not_overflow_in_padding() -> None:
    torch.manual_seed(0)
    layer = Recurrent("indrnn", 2, 5)
    with torch.no_grad():
        layer.cells[0].weight_hh.fill_(1.5)
    x = torch.randn(900, 2, 2)
    found = []
    for part in (x[:4], torch.cat([x[:4], torch.full_like(x[4:], float("nan"))])):
        layer.zero_grad()
        layer(part, lengths=[4, 4])[0].square().sum().backward()
        found.append([weight.grad.clone() for weight in layer.parameters()])
    assert all(torch.equal(short, padded) for short, padded in zip(*found, strict=True))


@pytest.mark.slow
def test_an_indrnn_can_be_exported() -> None:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = Recurrent("indrnn", 2, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)[0]

    network, x = Network(), torch.randn(5, 2, 2)
    exported = torch.export.export(network, (torch.zeros(5, 2, 2),)).module()
    torch.testing.assert_close(exported(x), network(x), rtol=1e-6, atol=1e-7)


@each_cell
def test_padding_reaches_no_gradient(cell: str, arguments: Any) -> None:
    layer = Recurrent(cell, 2, 4, bidirectional=True, **arguments)
    x = torch.randn(5, 2, 2)
    x[2:, 1] = float("nan")
    x.requires_grad_()
    y, state = layer(x, lengths=[5, 2])
    sum([y.sum(), *(part.sum() for entry in state for part in entry)]).backward()
    assert bool((y[2:, 1] == 0).all())
    assert bool((x.grad[2:, 1] == 0).all())
    assert all(bool(torch.isfinite(weight.grad).all()) for weight in layer.parameters())


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int64])
def test_lengths_of_any_whole_number_format(kind: torch.dtype) -> None:
    layer, x = Recurrent("lstm", 2, 4, bidirectional=True), torch.randn(5, 2, 2)
    wanted, _ = layer(x, lengths=[5, 2])
    assert torch.equal(layer(x, lengths=torch.tensor([5, 2], dtype=kind))[0], wanted)
    assert torch.equal(layer(x, lengths=torch.tensor([5, 2], dtype=kind).numpy())[0], wanted)


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "indrnn"])
def test_double_backward_on_the_fast_path(cell: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(cell, 2, 3, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, lengths=[3, 1])[0], (x,), fast_mode=True)


def test_gradients_in_evaluation_mode() -> None:
    layer = Recurrent("lstm", 2, 3).eval()
    x = torch.randn(3, 2, 2, requires_grad=True)
    layer(x)[0].sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.fixture
def count_kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cells that ran on a kernel."""
    calls: list[str] = []
    run = drive_module.run_kernel

    def counted(cell: Any, *rest: Any) -> Any:
        calls.append(type(cell).__name__)
        return run(cell, *rest)

    monkeypatch.setattr(drive_module, "run_kernel", counted)
    return calls


class NoKernel(IndRNN):
    """A class derived from a cell may compute something else, so that no kernel serves it."""


def test_which_calls_take_the_kernel(count_kernels: list[str]) -> None:
    x, flags = torch.zeros(4, 2, 3), torch.ones(4, 2, dtype=torch.bool)
    layer = Recurrent("lstm", 3, 4, 2, bidirectional=True)
    layer(x, lengths=[4, 2])
    assert count_kernels == ["LSTM"] * 4
    count_kernels.clear()
    for run in (
        lambda: layer(x, mask=flags),
        lambda: layer(x, reset=flags),
        lambda: layer(x[:0]),
        lambda: torch.func.vmap(lambda x: layer(x)[0])(x.unsqueeze(0)),
        lambda: torch.func.jvp(lambda x: layer(x)[0], (x,), (x,)),
        lambda: Recurrent("lstm", 3, 4, backend="reference")(x),
        lambda: Recurrent("gru", 3, 4, reset_after=False)(x),
        lambda: Recurrent(NoKernel, 3, 4)(x),
    ):
        run()
        assert count_kernels == []
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        tangent = torch.autograd.forward_ad.unpack_dual(layer(dual)[0]).tangent
    assert tangent is not None
    assert count_kernels == []


def test_forward_derivatives_and_vmap_give_the_numbers_of_the_fast_path() -> None:
    torch.manual_seed(0)
    layer = Recurrent("lstm", 3, 4, dtype=torch.float64)
    x, v = torch.randn(4, 2, 3, dtype=torch.float64), torch.randn(4, 2, 3, dtype=torch.float64)
    y, tangent = torch.func.jvp(lambda x: layer(x, lengths=[4, 1])[0], (x,), (v,))
    torch.testing.assert_close(y, layer(x, lengths=[4, 1])[0], rtol=1e-12, atol=1e-13)
    ahead, behind = (layer(x + sign * 1e-6 * v, lengths=[4, 1])[0] for sign in (1, -1))
    torch.testing.assert_close(tangent, (ahead - behind) / 2e-6, rtol=1e-7, atol=1e-9)
    many = torch.func.vmap(lambda x: layer(x)[0])(torch.stack([x, v]))
    torch.testing.assert_close(many, torch.stack([layer(x)[0], layer(v)[0]]), rtol=1e-12, atol=1e-13)


def test_autocast_runs_both_paths() -> None:
    torch.manual_seed(0)
    layer, x = Recurrent("lstm", 3, 8, bidirectional=True), torch.randn(5, 2, 3)
    wanted, _ = layer(x, lengths=[5, 2])
    for backend in ("auto", "reference"):
        layer.backend = backend
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, _ = layer(x, lengths=[5, 2])
        torch.testing.assert_close(y.float(), wanted, rtol=0.05, atol=0.02)
