"""FORCE learning against the paper's equations in plain numpy, and a chaotic network that comes to sing by itself."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from recurra.cells import CTRNN, GRU, LeakyRNN
from recurra.cells.state import HiddenState
from recurra.errors import ShapeError, UsageError
from recurra.learn.closed import FORCE, ClosedLoop, ClosedLoopState, chaotic_network
from recurra.unroll import unroll


def by_the_paper(
    j: np.ndarray, v: np.ndarray, x: np.ndarray, f: np.ndarray, u: np.ndarray, alpha: float, every: int
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and final readout as Sussillo and Abbott write them, in Euler steps of 0.1 tau."""
    units, outputs = len(j), f.shape[1]
    p, w, z, said = np.eye(units) / alpha, np.zeros((outputs, units)), np.zeros(outputs), []
    for t in range(len(f)):
        x = x + 0.1 * (-x + j @ np.tanh(x) + v @ np.concatenate([u[t], z]))
        r = np.tanh(x)
        z = w @ r
        said.append(z)
        if (t + 1) % every == 0:
            error = z - f[t]
            p = p - np.outer(p @ r, r @ p) / (1.0 + r @ p @ r)
            w = w - np.outer(error, p @ r)
    return np.array(said), w


@pytest.mark.parametrize(("inputs", "outputs", "every"), [(0, 1, 1), (2, 3, 2)])
def test_force_is_the_papers_equations(inputs: int, outputs: int, every: int) -> None:
    generator = torch.Generator().manual_seed(1)
    cell = chaotic_network(inputs, outputs, 17, density=0.5, generator=generator)
    force = FORCE(cell, outputs, penalty=2.0, every=every)
    state = force.start(1, generator=generator)
    f = torch.randn(40, 1, outputs, generator=generator, dtype=torch.float64)
    u = torch.randn(40, 1, inputs, generator=generator, dtype=torch.float64)
    said, _ = force.train(f, u if inputs else None, state)
    wanted, weight = by_the_paper(
        cell.weight_hh.numpy(),
        cell.weight_ih.numpy(),
        state.cell.h[0].numpy(),
        f[:, 0].numpy(),
        u[:, 0].numpy(),
        2.0,
        every,
    )
    np.testing.assert_allclose(said[:, 0].numpy(), wanted, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(force.readout.weight.numpy(), weight, rtol=1e-8, atol=1e-10)


def test_a_chaotic_network_learns_a_sine_and_goes_on_by_itself() -> None:
    generator = torch.Generator().manual_seed(3)
    force = FORCE(chaotic_network(0, 1, 250, generator=generator), 1)
    wave = torch.sin(2 * torch.pi / 100 * torch.arange(2300.0, dtype=torch.float64)).reshape(-1, 1, 1)
    start = force.start(1, generator=generator)
    outputs, state = force.train(wave[:2000], state=start)
    assert (outputs[1000:] - wave[1000:2000]).abs().mean() < 0.03
    free, _ = force.generate(300, state)
    assert (free - wave[2000:]).abs().max() < 0.2
    # What the readout adds: without it the same network does nothing of the kind.
    untaught = FORCE(force.cell, 1).generate(300, start)[0]
    assert (untaught - wave[2000:]).abs().max() > 0.9
    # The taught network is a cell as any other.
    again, _ = unroll(force.network(), torch.zeros(300, 1, 1, dtype=torch.float64), state)
    assert torch.equal(again, free)


@pytest.mark.parametrize(("kind", "rates"), [(LeakyRNN, "linear"), (GRU, "sigmoid"), (CTRNN, "tanh")])
def test_any_cell_with_feedback_inputs_will_do(kind: type, rates: str) -> None:
    torch.manual_seed(0)
    cell = kind(2, 11, dtype=torch.float64)
    force = FORCE(cell, 1, rates=rates, penalty=0.5, every=1, forgetting=0.99)
    generator = torch.Generator().manual_seed(1)
    state, f = force.start(1, generator=generator), torch.randn(30, 1, 1, generator=generator, dtype=torch.float64)
    u = torch.randn(30, 1, 1, generator=generator, dtype=torch.float64)
    said, last = force.train(f, u, state)
    p, w, (inner, z) = np.eye(11) / 0.5, np.zeros((1, 11)), state
    for t in range(30):
        y, inner = cell(torch.cat([u[t], z], -1), inner)
        y = y.detach().numpy()[0]
        r = {"linear": y, "sigmoid": 1 / (1 + np.exp(-y)), "tanh": np.tanh(y)}[rates]
        z = torch.from_numpy(w @ r).reshape(1, 1)
        k = p @ r / (0.99 + r @ p @ r)
        p = (p - np.outer(k, r @ p)) / 0.99
        w = w - np.outer(z[0].numpy() - f[t, 0].numpy(), k)
        torch.testing.assert_close(said[t], z)
    torch.testing.assert_close(last.output, z)


def test_sequences_of_a_batch_teach_one_readout_in_order() -> None:
    generator = torch.Generator().manual_seed(2)
    force = FORCE(chaotic_network(0, 1, 9, density=0.6, generator=generator), 1, every=1)
    start = force.start(2, generator=generator)
    target = torch.randn(1, 2, 1, generator=generator, dtype=torch.float64)
    _, state = force.train(target, state=start)
    r = torch.tanh(state.cell.h).numpy()
    w = np.linalg.solve(r.T @ r + np.eye(9), r.T @ target[0].numpy()).T
    np.testing.assert_allclose(force.readout.weight.numpy(), w, atol=1e-10)


def test_the_closed_loop_is_the_cell_reading_its_readout() -> None:
    torch.manual_seed(4)
    cell = GRU(5, 6, dtype=torch.float64)
    weight, bias = torch.randn(2, 6, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    loop = ClosedLoop(cell, weight, bias, rates="sigmoid", scale=0.3)
    u = torch.randn(7, 4, 3, dtype=torch.float64)
    assert loop.input_size == 3 and loop.output_size == 2
    first = ClosedLoopState(HiddenState(torch.randn(4, 6, dtype=torch.float64)), torch.randn(4, 2, dtype=torch.float64))
    z, last = unroll(loop, u, first)
    h, back = first.cell, first.output
    for t in range(7):
        y, h = cell(torch.cat([u[t], 0.3 * back], -1), h)
        back = torch.sigmoid(y) @ weight.T + bias
        torch.testing.assert_close(z[t], back)
    torch.testing.assert_close(last.cell.h, h.h)
    assert torch.equal(last.output, z[-1])


def test_the_chaotic_network_has_the_statistics_of_the_paper() -> None:
    cell = chaotic_network(2, 3, 400, gain=1.5, density=0.1, feedback=2.0, generator=torch.Generator().manual_seed(0))
    heard = cell.weight_hh != 0
    assert abs(heard.double().mean() - 0.1) < 0.005
    assert abs(cell.weight_hh[heard].std() - 1.5 / (0.1 * 400) ** 0.5) < 0.01
    assert abs(torch.linalg.eigvals(cell.weight_hh).abs().max() - 1.5) < 0.15
    back = cell.weight_ih[:, 2:]
    assert back.shape == (400, 3) and 1.95 < back.abs().max() <= 2.0 and abs(back.mean()) < 0.15
    assert not any(weight.requires_grad for weight in cell.parameters())


def test_messages() -> None:
    cell = chaotic_network(1, 1, 8)
    with pytest.raises(UsageError, match=re.escape("the cell has 2 inputs for 3 outputs. Needed: an input for each")):
        FORCE(cell, 3)
    with pytest.raises(UsageError, match="rates is 'relu'. Needed: 'linear', 'tanh' or 'sigmoid'"):
        FORCE(cell, 1, rates="relu")
    with pytest.raises(ShapeError, match=re.escape("targets has shape (5, 1). Needed: (time, batch, 1)")):
        FORCE(cell, 1).train(torch.zeros(5, 1))
    with pytest.raises(
        ShapeError, match=re.escape("inputs is absent. Needed: (5, 2, 1), (time, batch, external inputs)")
    ):
        FORCE(cell, 1).train(torch.zeros(5, 2, 1))
    with pytest.raises(ShapeError, match=re.escape("weight has shape (1, 7). Needed: (outputs, 8)")):
        ClosedLoop(cell, torch.zeros(1, 7))
    with pytest.raises(UsageError, match="density is 2.0. Needed: a number above 0 and at most 1"):
        chaotic_network(0, 1, 5, density=2.0)
    with pytest.raises(UsageError, match="inputs is -1"):
        chaotic_network(-1, 1, 5)
