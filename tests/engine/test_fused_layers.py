"""Layers with backend="fused": the same numbers as the plain loop, and the plain loop where nothing is compiled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from recurra.cells import Cell, HiddenState, map_state
from recurra.engine.cache import _KERNELS
from recurra.engine.kernel import Kernel
from recurra.nn import Recurrent
from recurra.nn.explain import explain


def pair(cell: Any, *sizes: int, **options: Any) -> tuple[Recurrent, Recurrent]:
    made = []
    for backend in ("fused", "reference"):
        torch.manual_seed(0)
        made.append(Recurrent(cell, 3, 5, *sizes, backend=backend, dtype=torch.float64, **options))
    return made[0], made[1]


def data(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(a: Any, b: Any) -> None:
    map_state(lambda left, right: torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-11), a, b)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that were run."""
    found: list[str] = []
    call = Kernel.call

    def counted(self: Kernel, which: str, *rest: Any) -> Any:
        found.append(which)
        return call(self, which, *rest)

    monkeypatch.setattr(Kernel, "call", counted)
    return found


def test_lengths_masks_times_directions_and_checkpoints(runs: list[str]) -> None:
    mask = torch.rand(9, 4, generator=torch.Generator().manual_seed(2)) < 0.7
    for name, options in (
        ("gru_reset_before", {"lengths": [9, 3, 0, 5]}),
        ("lstm", {"mask": mask}),
        ("lem", {"mask": mask, "lengths": [9, 3, 0, 5], "dt": data(9, 4).abs()}),
    ):
        for checkpoint in (False, 4):
            fused, plain = pair(name, 2, bidirectional=True, checkpoint=checkpoint)
            x = data(9, 4, 3)
            x = torch.where(mask.unsqueeze(-1), x, torch.full_like(x, float("nan"))) if "mask" in options else x
            results = []
            for layer in (fused, plain):
                leaf = x.clone().requires_grad_()
                y, final = layer(leaf, **options)
                loss = y.square().sum() + sum(part.square().sum() for state in final for part in state)
                results.append((y, final, torch.autograd.grad(loss, [leaf, *layer.parameters()])))
            same(results[0], results[1])
    assert {"training", "backward"} <= set(runs)


def test_without_a_gradient_nothing_is_kept(runs: list[str]) -> None:
    fused, plain = pair("peephole_lstm")
    with torch.no_grad():
        same(fused(data(6, 2, 3)), plain(data(6, 2, 3)))
    assert runs == ["forward"]


def test_the_state_is_carried() -> None:
    fused, _ = pair("mgu", 2)
    x = data(7, 2, 3)
    y, final = fused(x)
    first, state = fused(x[:3])
    second, state = fused(x[3:], state)
    same((torch.cat([first, second]), state), (y, final))


def test_the_plain_loop_serves_what_is_not_compiled(runs: list[str]) -> None:
    fused, plain = pair("janet")
    x = data(5, 2, 3)
    same(fused(x[:0])[1], plain(x[:0])[1])
    run = torch.func.vmap(lambda x: fused(x)[0], in_dims=1, out_dims=1)
    same(run(x.unsqueeze(2)), plain(x)[0].unsqueeze(2))
    direction = data(5, 2, 3)
    same(
        torch.func.jvp(lambda x: fused(x)[0], (x,), (direction,))[1],
        torch.func.jvp(lambda x: plain(x)[0], (x,), (direction,))[1],
    )
    same(fused(x, return_states=True)[2], plain(x, return_states=True)[2])
    assert runs == []


def test_second_derivatives() -> None:
    fused, plain = pair("coupled_lstm")
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    assert torch.autograd.gradgradcheck(lambda x: fused(x, mask=mask)[0], (data(3, 2, 3).requires_grad_(),))
    gradients = []
    for layer in (fused, plain):
        x = data(3, 2, 3).requires_grad_()
        (first,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
        gradients.append(torch.autograd.grad(first.square().sum(), [x, *layer.parameters()]))
    same(*gradients)


def test_times_that_need_a_gradient_get_it(runs: list[str]) -> None:
    gradients = []
    for layer in pair("ctrnn"):
        dt = (0.1 + data(5, 2).abs()).requires_grad_()
        layer(data(5, 2, 3), dt=dt)[0].square().sum().backward()
        gradients.append(dt.grad)
    same(*gradients)
    assert bool(gradients[0].any()) and runs == []


def test_weights_without_a_gradient_and_inputs_without_one() -> None:
    fused, plain = pair("gru_reset_before")
    for layer in (fused, plain):
        layer.cells[0].weight_hh.requires_grad_(False)
    gradients = []
    for layer in (fused, plain):
        layer(data(4, 2, 3))[0].sum().backward()
        assert layer.cells[0].weight_hh.grad is None
        gradients.append([weight.grad for weight in layer.parameters() if weight.grad is not None])
    same(*gradients)


def test_noise_that_acts_outside_the_step_is_kept_and_noise_inside_it_is_not_compiled(runs: list[str]) -> None:
    fused, plain = pair("lstm", 2, weight_drop=0.4, dropout=0.3)
    results = []
    for layer in (fused, plain):
        torch.manual_seed(3)
        results.append(layer(data(5, 2, 3))[0])
    same(*results)
    assert runs == ["training"] * 2
    runs.clear()
    fused, plain = pair("lstm", recurrent_dropout=0.4, zoneout=0.2)
    results = []
    for layer in (fused, plain):
        torch.manual_seed(3)
        results.append(layer(data(5, 2, 3))[0])
    same(*results)
    assert runs == []
    same(fused.eval()(data(5, 2, 3))[0], plain.eval()(data(5, 2, 3))[0])


def test_changed_settings_make_another_kernel() -> None:
    class Leaky(Cell):
        def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5, dtype: Any = None):
            super().__init__(input_size, hidden_size)
            self.leak = leak
            self.keep = torch.nn.Linear(hidden_size, hidden_size, dtype=dtype)
            self.read = torch.nn.Linear(input_size, hidden_size, dtype=dtype)

        def forward(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:  # type: ignore[override]
            h = (1 - self.leak) * state.h + self.leak * torch.tanh(self.read(x) + self.keep(state.h))
            return h, HiddenState(h)

    fused, plain = pair(Leaky)
    same(fused(data(5, 2, 3)), plain(data(5, 2, 3)))
    for layer in (fused, plain):
        layer.cells[0].leak = 0.1
    same(fused(data(5, 2, 3)), plain(data(5, 2, 3)))


@pytest.mark.parametrize("checkpoint", [False, 4])
def test_resets_go_back_to_the_learned_first_state(runs: list[str], checkpoint: bool | int) -> None:
    generator = torch.Generator().manual_seed(3)
    reset = torch.rand(9, 4, generator=generator) < 0.3
    for options in (
        {},
        {"lengths": [9, 3, 0, 5]},
        {"mask": torch.rand(9, 4, generator=generator) < 0.7, "dt": data(9, 4).abs()},
    ):
        name = "lem" if "dt" in options else "gru_reset_before"
        fused, plain = pair(name, 2, bidirectional=True, checkpoint=checkpoint, learn_initial_state=True)
        x, results = data(9, 4, 3), []
        for layer in (fused, plain):
            leaf = x.clone().requires_grad_()
            with torch.no_grad():
                for first in layer.firsts:
                    for number, part in enumerate(first.parameters()):
                        part.copy_(0.3 * torch.arange(part.numel()).reshape(part.shape) - number)
            y, state = layer(leaf, reset=reset, **options)
            loss = (y * data(*y.shape)).sum() + sum((part**2).sum() for each in state for part in each)
            found = torch.autograd.grad(loss, [leaf, *layer.parameters()])
            results.append([y, *(part for each in state for part in each), *found])
        for found, wanted in zip(*results, strict=True):
            same(found, wanted)
        assert runs
        runs.clear()


class RunningSum(Cell):
    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = torch.cumsum(projected + state.h, -1)
        return h, HiddenState(h)

    def project(self, x: Tensor) -> Tensor:
        return x[..., :1].expand(*x.shape[:-1], self.hidden_size)


def test_explain_names_what_stands_against_it() -> None:
    assert explain(Recurrent("peephole_lstm", 3, 4, backend="fused")).splitlines()[1:] == [
        "  layer 0, forward: compiled loop, with lengths, mask, reset and dt too",
        "  the reference loop serves calls with return_states, and those inside torch.func transforms",
    ]
    text = explain(Recurrent("mc_lstm", 3, 4, backend="fused"))
    assert "not compiled, because amax is not among the operations that are compiled" in text
    text = explain(Recurrent(RunningSum, 3, 4, backend="fused"))
    assert "because cumsum is not among the operations that are compiled" in text
    assert "test_fused_layers.py" in text and "in advance: h = torch.cumsum(projected + state.h, -1)" in text


def test_several_threads_give_the_same_numbers() -> None:
    fused, _ = pair("gru_reset_before")
    x, before = data(6, 7, 3), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = fused(x)
        torch.set_num_threads(3)
        same(fused(x), alone)
    finally:
        torch.set_num_threads(before)


def test_compiling_draws_no_random_numbers() -> None:
    layer = Recurrent("lem", 3, 6, backend="fused")
    _KERNELS.clear()
    before = torch.get_rng_state()
    layer(torch.zeros(4, 2, 3), dt=torch.ones(4, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_explain_names_what_is_compiled_of_a_step() -> None:
    part = "reading and writing are compiled, from 2,048 numbers of memory in a batch on"
    for name in ("ntm", "dnc"):
        assert explain(Recurrent(name, 3, 4)).splitlines().count(f"  {part}") == 1
        assert explain(Recurrent(name, 3, 4).cells[0]).splitlines()[0].endswith(f"; {part}")
    assert part not in explain(Recurrent("ntm", 3, 4, write_heads=2))
