"""The memristive circuit as a cell: against Kirchhoff's laws written out, and driven as cells are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.func import functional_call, vmap

from recurra.circuits import Circuit, MemristiveNetwork, MemristiveReservoir, grid_circuit, random_circuit, simulate
from recurra.errors import UsageError
from recurra.unroll import unroll

FORMS: list[dict[str, Any]] = [
    {"scale": 8.0},
    {"scale": 1.0, "memory": "off", "output": "current", "bias": False, "nodes": 4, "off_resistance": 4.0},
    {"scale": 8.0, "substeps": 3, "dt": 0.3, "circuit": grid_circuit(3, 3)},
]


def currents(circuit: Circuit, resistance: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Ohm's and Kirchhoff's laws as one dense system."""
    a = np.zeros((circuit.branches, circuit.nodes))
    for k, (tail, head) in enumerate(zip(circuit.tails, circuit.heads, strict=True)):
        a[k, tail] += 1.0
        a[k, head] -= 1.0
    system = np.block([[np.diag(resistance), -a], [a.T, np.zeros((circuit.nodes, circuit.nodes))]])
    return np.linalg.lstsq(system, np.append(sources, np.zeros(circuit.nodes)), rcond=None)[0][: circuit.branches]


def make(form: dict[str, Any]) -> tuple[MemristiveReservoir, Circuit]:
    torch.manual_seed(0)
    circuit = form.get("circuit") or random_circuit(form.get("nodes", 6), 12, 0)
    return MemristiveReservoir(2, 12, **form, dtype=torch.float64), circuit


def reference(form: dict[str, Any], circuit: Circuit, weights: dict[str, Any], x: np.ndarray) -> Any:
    """Euler steps, sequence by sequence."""
    off, memory, steps = form.get("off_resistance", 10.0), form.get("memory", "on"), form.get("substeps", 1)
    step, alpha, beta = form.get("dt", 0.1) / steps, 0.5, form["scale"]

    def resistance(h: np.ndarray) -> np.ndarray:
        return off * (1 - h) + h if memory == "on" else 1 - h + off * h

    outputs, ends = np.zeros((*x.shape[:2], 12)), np.zeros((x.shape[1], 12))
    for row in range(x.shape[1]):
        h = np.full(12, 0.5)
        for t in range(len(x)):
            s = weights["weight_ih"] @ x[t, row] + weights.get("bias_ih", 0.0)
            for _ in range(steps):
                i = currents(circuit, resistance(h), s)
                h = np.clip(h + step * (off * i / beta - alpha * h if memory == "on" else alpha * h - i / beta), 0, 1)
            outputs[t, row] = currents(circuit, resistance(h), s) if form.get("output") == "current" else h
        ends[row] = h
    return outputs, ends


@pytest.mark.parametrize("form", FORMS, ids=["memory", "current", "grid"])
def test_the_numbers_and_gradients_are_kirchhoffs(form: dict[str, Any]) -> None:
    cell, circuit = make(form)
    x = torch.randn(4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = {name: weight.detach().numpy().copy() for name, weight in cell.named_parameters()}
    y, final = unroll(cell, x)
    outputs, end = reference(form, circuit, weights, x.numpy())
    np.testing.assert_allclose(y.detach(), outputs, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(final.h.detach(), end, rtol=1e-11, atol=1e-12)
    assert (end > 0).all() and (end < 1).all() and np.ptp(end) > 0.05

    factors = np.random.default_rng(2).standard_normal(outputs.shape)
    (y * torch.from_numpy(factors)).sum().backward()
    for name, weight in cell.named_parameters():
        for place in list(np.ndindex(*weight.shape))[::5]:
            kept, around = weights[name][place], []
            for shift in (1e-5, -1e-5):
                weights[name][place] = kept + shift
                around.append((reference(form, circuit, weights, x.numpy())[0] * factors).sum())
            weights[name][place] = kept
            assert weight.grad is not None
            np.testing.assert_allclose(weight.grad[place], (around[0] - around[1]) / 2e-5, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("memory", ["on", "off"])
def test_the_cell_and_the_sparse_network_move_alike(memory: str) -> None:
    """Among them a memory at a wall, a circuit in two parts, a dead end and a branch from a node to itself."""
    circuit = Circuit([(0, 1), (1, 0), (1, 2), (3, 3), (3, 4), (4, 5), (5, 3)])
    options: dict[str, Any] = {"decay": 0.5, "scale": 2.0, "memory": memory}
    cell = MemristiveReservoir(
        1, 7, circuit=circuit, dt=0.2, off_resistance=10.0, method="euler", dtype=torch.float64, **options
    )
    x = 4 * torch.randn(30, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    sources = cell.project(x).detach().numpy()[:, 0]
    network = MemristiveNetwork(circuit, 1.0, 10.0, **options)
    motion = simulate(network, sources, 0.2, method="euler").states[1:]
    np.testing.assert_allclose(unroll(cell, x)[0].detach()[:, 0], motion, atol=1e-12)
    assert (motion == (0 if memory == "on" else 1)).any()


@pytest.mark.slow
def test_the_step_is_differentiable_twice_and_maps() -> None:
    cell, _ = make({**FORMS[0], "method": "rk2"})
    x = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4)).requires_grad_()
    h = cell.initial_state(3).h.clone().requires_grad_()

    def step(x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return cell(x, type(cell.initial_state(1))(h))[0]

    assert torch.autograd.gradcheck(step, (x, h), fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(step, (x, h), fast_mode=True)
    torch.manual_seed(1)
    others = [MemristiveReservoir(2, 12, scale=8.0, method="rk2", dtype=torch.float64) for _ in range(2)]
    stacked = {
        name: torch.stack([dict(one.named_parameters())[name].detach() for one in others])
        for name, _ in cell.named_parameters()
    }
    found = vmap(lambda weights: functional_call(cell, weights, (x, cell.initial_state(3)))[0])(stacked)
    for index, one in enumerate(others):
        torch.testing.assert_close(found[index], one(x, one.initial_state(3))[0], rtol=1e-12, atol=1e-12)


def test_a_trained_cell_lowers_its_loss() -> None:
    cell, _ = make({"scale": 8.0})
    x = torch.randn(10, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    target = 0.5 + 0.1 * torch.sin(x.cumsum(0)[..., :1])
    optimiser = torch.optim.Adam(cell.parameters(), 0.05)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = (unroll(cell, x)[0] - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_the_circuit_is_saved_and_does_not_follow_the_global_seed(tmp_path: Path) -> None:
    cell, x = MemristiveReservoir(2, 12, circuit_seed=0), torch.ones(3, 1, 2)
    torch.manual_seed(99)
    assert torch.equal(cell.incidence, MemristiveReservoir(2, 12, circuit_seed=0).incidence)
    other = MemristiveReservoir(2, 12, circuit_seed=1)
    assert not torch.equal(cell.incidence, other.incidence)
    save_file(cell.state_dict(), tmp_path / "cell.safetensors")
    other.load_state_dict(load_file(tmp_path / "cell.safetensors"))
    assert torch.equal(unroll(cell, x)[0], unroll(other, x)[0])


def test_one_memristor_and_two_are_circuits_too() -> None:
    for memristors in (1, 2, 3):
        cell = MemristiveReservoir(1, memristors, dtype=torch.float64)
        drops = cell.drops(torch.full((1, memristors), 0.5), torch.ones(1, memristors, dtype=torch.float64))
        assert drops.shape == (1, memristors)
    alone = MemristiveReservoir(1, 1, off_resistance=3.0, dtype=torch.float64)
    half = torch.full((1, 1), 0.5, dtype=torch.float64)
    torch.testing.assert_close(alone.drops(half, 4 * half), 3.0 * 2.0 / 2.0 * torch.ones(1, 1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nodes": 9}, "MemristiveReservoir: nodes is 9. Needed: at most 4, the number of memristors."),
        ({"nodes": 0}, "MemristiveReservoir: nodes is 0. Needed: a positive whole number."),
        (
            {"circuit": Circuit([(0, 0)])},
            "MemristiveReservoir: circuit has 1 branches. Needed: 4, as hidden_size says.",
        ),
        (
            {"on_resistance": 20.0},
            "MemristiveReservoir: on_resistance is 20.0 and off_resistance 10.0. Needed: R_on < R_off.",
        ),
        ({"decay": -1.0}, "MemristiveReservoir: decay is -1.0. Needed: zero or a positive number."),
        ({"memory": "x"}, "MemristiveReservoir: memory is 'x'. Needed: 'off' or 'on'."),
        ({"output": "x"}, "MemristiveReservoir: output is 'x'. Needed: 'memory' or 'current'."),
        ({"method": "x"}, "MemristiveReservoir: method is 'x'. Needed: 'euler', 'rk2' or 'rk4'."),
        ({"start": 2.0}, "MemristiveReservoir: start is 2.0. Needed: a number from 0 to 1."),
    ],
)
def test_messages_name_the_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        MemristiveReservoir(2, 4, **arguments)
    assert str(caught.value).startswith(message)
