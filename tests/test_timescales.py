"""What the study of time scales measures with: the order of loops, signals from samples, and learning side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recurra.problems.primitives import primitive_sequences


@pytest.fixture(autouse=True)
def studies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "studies"))


def modules() -> tuple[Any, Any]:
    import _players
    import timescales

    return _players, timescales


def test_a_path_is_in_order_only_where_every_round_is_its_own_loop() -> None:
    players, _ = modules()
    paths, loops = primitive_sequences(3, 2, players.PERIOD)
    shapes = torch.stack([paths[1 : players.PERIOD + 1, loops[0] == k][:, 0] for k in range(3)])
    noise = 0.05 * torch.randn(paths[1:].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    right = paths[1:] + noise
    wrong = right.clone()
    wrong[-players.PERIOD :, 2] = -right[-players.PERIOD :, 2]
    swapped = right.flip(1)
    found = players.in_order(torch.stack([right, wrong, swapped]), loops, shapes)
    torch.testing.assert_close(found.double(), torch.tensor([1.0, 5 / 6, 0.0], dtype=torch.float64))


def test_the_first_weights_are_the_same_with_and_without_slow_units() -> None:
    players, _ = modules()
    slow, same = players.Player(60.0, 6, 3), players.Player(4.0, 6, 3)
    for name, weight in slow.named_parameters():
        assert torch.equal(weight, dict(same.named_parameters())[name])
    assert slow.cell.time_constant[-1] == 60 and same.cell.time_constant[-1] == 4


def test_networks_that_learn_at_once_know_nothing_of_each_other() -> None:
    players, _ = modules()
    together, _ = players.learn(1, [5, 6], 3)
    alone, _ = players.learn(1, [6], 3)
    torch.testing.assert_close(together[:, 1], alone[:, 0], rtol=1e-4, atol=1e-6)
    assert (together[:, 0] - together[:, 1]).abs().min() > 1e-3


@pytest.mark.parametrize("count", [41, 50, 64])
def test_a_signal_comes_back_from_samples_above_twice_its_bandwidth(count: int) -> None:
    _, study = modules()
    rng = np.random.default_rng(1)
    cosine, sine = rng.normal(size=21), rng.normal(size=21)
    sine[0] = 0.0

    def true(at: np.ndarray) -> np.ndarray:
        angle = np.outer(at, np.arange(21)) * 2 * np.pi / study.SPAN
        return np.cos(angle) @ cosine + np.sin(angle) @ sine

    samples = torch.from_numpy(true(np.arange(count) * study.SPAN / count))
    at = rng.uniform(0, study.SPAN, 30)
    amplitudes = study.harmonics(samples, 20).expand(30, -1)
    np.testing.assert_allclose(study.signal(amplitudes, torch.from_numpy(at)), true(at), atol=1e-11)


def test_twice_the_bandwidth_itself_is_too_few() -> None:
    """At 2 B the samples of the highest sine are all zero."""
    _, study = modules()
    at = torch.arange(40, dtype=torch.float64) * (study.SPAN / 40)
    sine = torch.zeros(40, 21, dtype=torch.complex128)
    sine[:, 20] = -1j
    assert study.signal(sine, at).abs().max() < 1e-12
    assert study.signal(sine, at + 0.25).abs().min() > 0.99
    cosine = study.harmonics(torch.cos(2 * torch.pi * at), 20)
    assert abs(complex(cosine[20]) - 1) < 1e-12 and cosine[:20].abs().max() < 1e-12


def test_a_driven_network_against_an_independent_solver() -> None:
    from scipy.integrate import solve_ivp

    _, study = modules()
    cells, amplitudes = study.drive(7, units=3)
    with torch.no_grad():
        states = study.driven(cells["euler"], amplitudes.unsqueeze(0), 800)
    w = {name: weight.detach().numpy() for name, weight in cells["rk4"].named_parameters()}
    wave = amplitudes.numpy()

    def rate(t: float, h: np.ndarray) -> np.ndarray:
        x = (wave * np.exp(2j * np.pi * t / study.SPAN * np.arange(21))).real.sum()
        pull = w["weight_hh"] @ np.tanh(h + w["bias_hh"]) + w["weight_ih"][:, 0] * x
        return (-h + pull) / np.exp(w["log_time_constant"])

    done = solve_ivp(rate, (0, study.SPAN), np.zeros(3), method="DOP853", rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(states[-1, 0], done.y[:, -1], atol=1e-6)
