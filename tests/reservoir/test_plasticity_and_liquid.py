"""Intrinsic plasticity and the spiking liquid, step by step in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.errors import UsageError
from recurra.reservoir import EchoState, EchoStateClassifier, IntrinsicPlasticity, Liquid
from recurra.unroll import unroll

DOUBLE = torch.float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid"])
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_plasticity_by_hand(nonlinearity: str, density: float) -> None:
    cell = EchoState(
        2,
        8,
        rate=0.7,
        nonlinearity=nonlinearity,
        topology_arguments={"density": density},
        generator=seeded(),
        dtype=DOUBLE,
    )
    w, w_in, b = cell.matrix().clone().numpy(), cell.weight_ih.clone().numpy(), cell.bias_ih.clone().numpy()
    x = torch.randn(12, 1, 2, generator=seeded(1), dtype=DOUBLE)
    mean, sigma, rate = (0.1, 0.3, 0.01) if nonlinearity == "tanh" else (0.25, 0.3, 0.01)
    plasticity = IntrinsicPlasticity(cell, mean, sigma, rate).adapt(x, epochs=2, washout=3)
    a = np.ones(8)
    for _ in range(2):
        h = np.zeros(8)
        for t in range(12):
            net = w @ h + w_in @ x[t, 0].numpy()
            z = np.tanh(a * net + b) if nonlinearity == "tanh" else 1 / (1 + np.exp(-a * net - b))
            if t >= 3:
                if nonlinearity == "tanh":
                    db = -rate * (-mean / sigma**2 + z / sigma**2 * (2 * sigma**2 + 1 - z**2 + mean * z))
                else:
                    db = rate * (1 - (2 + 1 / mean) * z + z**2 / mean)
                a, b = a + rate / a + db * net, b + db
            h = 0.3 * h + 0.7 * z
    np.testing.assert_allclose(plasticity.gain.numpy(), a, rtol=1e-10)
    np.testing.assert_allclose(cell.bias_ih.numpy(), b, rtol=1e-10)
    np.testing.assert_allclose(cell.matrix().numpy(), a[:, None] * w, rtol=1e-10)
    np.testing.assert_allclose(cell.weight_ih.numpy(), a[:, None] * w_in, rtol=1e-10)


def test_activities_come_to_the_wanted_mean() -> None:
    cell = EchoState(1, 40, nonlinearity="sigmoid", generator=seeded(), dtype=DOUBLE)
    x = torch.rand(300, 4, 1, generator=seeded(1), dtype=DOUBLE)
    before = unroll(cell, x)[0].mean().item()
    IntrinsicPlasticity(cell, 0.2, rate=2e-3).adapt(x, epochs=6)
    assert abs(before - 0.2) > 0.1 and unroll(cell, x)[0].mean().item() == pytest.approx(0.2, abs=0.03)


def test_plasticity_refuses() -> None:
    with pytest.raises(UsageError, match="nonlinearity is 'relu'. Needed: 'tanh' or 'sigmoid'"):
        IntrinsicPlasticity(EchoState(1, 5, nonlinearity="relu"))
    with pytest.raises(UsageError, match="the cell has no bias"):
        IntrinsicPlasticity(EchoState(1, 5, bias=False))


def test_the_liquid_by_hand() -> None:
    cell = Liquid(2, 24, shape=(2, 3, 4), generator=seeded(), dtype=DOUBLE)
    x = 2.0 * torch.rand(60, 1, 2, generator=seeded(1), dtype=DOUBLE)
    y, _ = unroll(cell, x)
    w, w_in, b = cell.weight_hh.dense().numpy(), cell.weight_ih.numpy(), cell.bias_ih.numpy()
    assert (b == 13.5).all()
    i = s = trace = np.zeros(24)
    v = np.full(24, 13.5)
    silent = np.zeros(24)
    for t in range(60):
        i = math.exp(-1 / 3) * i + w @ s
        v = math.exp(-1 / 30) * v + (1 - math.exp(-1 / 30)) * (i + w_in @ x[t, 0].numpy() + b)
        v[silent > 0] = 13.5
        s = (v >= 15.0).astype(float)
        silent = np.where(s > 0, 3.0, np.maximum(silent - 1.0, 0.0))
        v = np.where(s > 0, 13.5, v)
        trace = math.exp(-1 / 30) * trace + s
        np.testing.assert_allclose(y[t, 0].numpy(), trace, rtol=1e-10, atol=1e-12)
    assert trace.max() > 0


@pytest.mark.parametrize("units", [64, 200])
def test_activity_follows_the_input_and_dies_out_after_it(units: int) -> None:
    cell = Liquid(1, units, generator=seeded(), dtype=DOUBLE)
    x = torch.cat([torch.randn(100, 4, 1, generator=seeded(1), dtype=DOUBLE), torch.zeros(150, 4, 1, dtype=DOUBLE)])
    _, _, states = unroll(cell, x, all_states=True)
    assert states.spikes[:100].mean() > 0.005
    assert not states.spikes[200:].any()


def test_the_liquid_is_refractory_and_linked_as_said() -> None:
    cell = Liquid(1, 135, generator=seeded(), dtype=DOUBLE)
    x = 3.0 * torch.ones(200, 1, 1, dtype=DOUBLE)
    _, _, states = unroll(cell, x, all_states=True)
    spikes = states.spikes[:, 0]
    assert spikes.sum() > 20
    for k in (1, 2, 3):
        assert not (spikes[k:] * spikes[:-k]).any()
    w = cell.weight_hh.dense()
    signs = torch.sign(w).sum(0)
    assert ((signs == (w != 0).sum(0)) | (signs == -(w != 0).sum(0))).all()  # a unit excites or inhibits, never both
    assert not w.diagonal().any()
    assert not len(Liquid(1, 8, reach=0.0).weight_hh.values)
    with pytest.raises(UsageError, match=r"shape is \(3, 3\). Needed: three positive whole numbers"):
        Liquid(1, 9, shape=(3, 3))
    with pytest.raises(UsageError, match=r"shape is \(3, 3, 2\), 18 points. Needed: 17, as hidden_size says"):
        Liquid(1, 17, shape=(3, 3, 2))
    for name in ("reset", "start"):
        with pytest.raises(UsageError, match=f"{name} is 15.0. Needed: a number below 15, the threshold"):
            Liquid(1, 9, **{name: 15.0})


def test_the_links_stay_and_their_strengths_are_drawn() -> None:
    cell, other, elsewhere = Liquid(1, 23), Liquid(1, 23), Liquid(1, 23, wiring_seed=1)
    assert cell.shape == (3, 3, 3)
    w, again = cell.weight_hh.dense(), other.weight_hh.dense()
    assert torch.equal(torch.sign(w), torch.sign(again)) and not torch.equal(w, again)
    assert not torch.equal(torch.sign(w), torch.sign(elsewhere.weight_hh.dense()))
    assert int((cell.sign < 0).sum()) == 5
    before = w.clone()
    cell.reset_parameters()
    assert torch.equal(torch.sign(before), torch.sign(cell.weight_hh.dense()))
    assert not torch.equal(before, cell.weight_hh.dense())


def test_links_are_as_frequent_as_the_kinds_and_the_distance_say() -> None:
    """Counted over many wirings of a box, against the chance written out for each pair of points."""
    near = np.zeros((2, 2, 2))  # how many pairs, by the kinds of the unit reached and the one that reaches
    far = np.zeros((2, 2, 2))
    for seed in range(60):
        cell = Liquid(1, 36, wiring_seed=seed, inhibitory=0.5)
        linked = cell.weight_hh.dense() != 0
        kinds = (cell.sign < 0).long().tolist()
        for i in range(36):
            for j in range(36):
                if i == j:
                    continue
                apart = sum((a - b) ** 2 for a, b in zip(_place(i), _place(j), strict=True))
                counts = near if apart == 1 else far if apart == 6 else None
                if counts is not None:
                    counts[kinds[i], kinds[j]] += (1, int(linked[i, j]))
    chances = np.array([[0.3, 0.4], [0.2, 0.1]])
    for counts, squared in ((near, 1), (far, 6)):
        wanted = chances * math.exp(-squared / 4.0)
        error = np.sqrt(wanted * (1 - wanted) / counts[..., 0])
        assert (np.abs(counts[..., 1] / counts[..., 0] - wanted) < 4 * error).all()


def _place(number: int) -> tuple[int, int, int]:
    """Of a unit in a column three points wide and deep, which is filled from the bottom."""
    return number % 3, number // 3 % 3, number // 9


def test_gradients_go_through_the_filter_and_end_at_the_spikes() -> None:
    cell = Liquid(2, 12, generator=seeded(), dtype=DOUBLE)
    x = (4 * torch.rand(20, 1, 2, generator=seeded(1), dtype=DOUBLE)).requires_grad_()
    y, final = unroll(cell, x)
    assert y.max() > 0 and not y.requires_grad and final.voltage.requires_grad
    start = cell.initial_state(1)
    traced = start._replace(trace=torch.ones_like(start.trace).requires_grad_())
    y, _ = unroll(cell, x, traced)
    (gradient,) = torch.autograd.grad(y[-1].sum(), [traced.trace])
    np.testing.assert_allclose(gradient, math.exp(-20 / 30), rtol=1e-12)


def test_a_liquid_tells_spike_trains_apart() -> None:
    """The paper's test: noisy versions of two spike trains."""
    rng = np.random.default_rng(0)
    templates = (rng.random((2, 100, 4)) < 0.08).astype(float)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        jitter = [np.roll(templates[label], rng.integers(-2, 3), axis=0) for label in labels]
        flips = rng.random((count, 100, 4)) < 0.01
        return np.abs(np.stack(jitter) - flips), labels

    cell = Liquid(4, 90, input_scale=200.0, generator=seeded(), dtype=DOUBLE)
    model = EchoStateClassifier(cell=cell, inputs=False, penalty=1.0).fit(*draw(120))
    assert model.score(*draw(60)) > 0.9
