"""Reservoirs of reservoirs and what readouts see of them, against the single cells."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import UsageError
from recurra.reservoir import DeepReservoir, EchoState, NextGenerationReservoir, ParallelReservoir, ReservoirFeatures
from recurra.unroll import unroll

DOUBLE = torch.float64


def reservoir(inputs: int, units: int, seed: int = 0) -> EchoState:
    return EchoState(inputs, units, rate=0.6, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def sequence(features: int) -> torch.Tensor:
    return torch.randn(8, 3, features, generator=torch.Generator().manual_seed(9), dtype=DOUBLE)


@pytest.mark.parametrize("inputs_to_all", [False, True])
def test_deep(inputs_to_all: bool) -> None:
    more = 2 if inputs_to_all else 0
    cells = [reservoir(2, 13), reservoir(13 + more, 7, 1), reservoir(7 + more, 5, 2)]
    x = sequence(2)
    y, state = unroll(DeepReservoir(cells, inputs_to_all), x)
    read, expected = x, []
    for cell in cells:
        h, _ = unroll(cell, read)
        expected.append(h)
        read = torch.cat([x, h], -1) if inputs_to_all else h
    torch.testing.assert_close(y, torch.cat(expected, -1))
    assert [part.h.shape[1] for part in state] == [13, 7, 5]


def test_parallel() -> None:
    cells, x = [reservoir(2, 13), reservoir(2, 7, 1)], sequence(2)
    expected = torch.cat([unroll(cell, x)[0] for cell in cells], -1)
    torch.testing.assert_close(unroll(ParallelReservoir(cells), x)[0], expected)
    x = sequence(4)
    made = ParallelReservoir(cells, 4, [[3, 0], [1, 2]])
    expected = torch.cat([unroll(cells[0], x[..., [3, 0]])[0], unroll(cells[1], x[..., 1:3])[0]], -1)
    torch.testing.assert_close(unroll(made, x)[0], expected)


@pytest.mark.parametrize("inputs", [False, True])
@pytest.mark.parametrize("squares", ["none", "appended", "every_second"])
@pytest.mark.parametrize("kind", ["one", "deep"])
def test_features(inputs: bool, squares: str, kind: str) -> None:
    cell = reservoir(2, 6) if kind == "one" else DeepReservoir([reservoir(2, 4), reservoir(4, 2, 1)])
    x = sequence(2)
    h = unroll(cell, x)[0]
    shown = [x] if inputs else []
    if squares == "every_second":
        units = h.unbind(-1)
        h = torch.stack([unit**2 if place % 2 else unit for place, unit in enumerate(units)], -1)
    shown += [h, h**2] if squares == "appended" else [h]
    made = ReservoirFeatures(cell, inputs, squares)
    y, _ = unroll(made, x)
    torch.testing.assert_close(y, torch.cat(shown, -1))
    assert y.shape[-1] == made.output_size


def test_next_generation_features_in_numpy() -> None:
    x = sequence(2)
    cell = NextGenerationReservoir(2, delays=3, stride=2, order=(2, 3))
    y, _ = unroll(cell, x)
    for n in range(3):
        for t in range(8):
            linear = [x[t - k, n, d].item() if t >= k else 0.0 for k in (0, 2, 4) for d in range(2)]
            products = [linear[i] * linear[j] for i in range(6) for j in range(i, 6)]
            products += [linear[i] * linear[j] * linear[k] for i in range(6) for j in range(i, 6) for k in range(j, 6)]
            torch.testing.assert_close(y[t, n], torch.tensor([*linear, *products], dtype=DOUBLE))
    assert NextGenerationReservoir(3, delays=1, order=1).output_size == 3


def test_next_generation_learns_the_lorenz_system() -> None:
    """The paper's problem: two delays and products, 400 steps of training, increments."""
    from recurra.reservoir import EchoStateForecaster

    step, s, kept = 0.025, torch.tensor([17.7, 12.9, 43.9], dtype=DOUBLE), []

    def slope(s: torch.Tensor) -> torch.Tensor:
        x, y, z = s
        return torch.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    for _ in range(1200):
        for _ in range(5):
            h = step / 5
            a = slope(s)
            b = slope(s + h / 2 * a)
            c = slope(s + h / 2 * b)
            s = s + h / 6 * (a + 2 * b + 2 * c + slope(s + h * c))
        kept.append(s)
    data = torch.stack(kept).numpy()
    model = EchoStateForecaster(cell=NextGenerationReservoir(3), penalty=0.1, washout=2, increments=True)
    model.fit(data[300:700])
    said = model.forecast(80, data[690:700])
    assert abs(said - data[700:780]).max() < 0.2 * data.std()  # 2 units of time, near 2 Lyapunov times


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="cell 1 has input_size 4. Needed: 6, the output_size of cell 0"):
        DeepReservoir([reservoir(2, 6), reservoir(4, 3)])
    with pytest.raises(UsageError, match="cells is .*at least one Cell"):
        ParallelReservoir([])
    with pytest.raises(UsageError, match="reads has 1 entries. Needed: 2, one for each cell"):
        ParallelReservoir([reservoir(2, 6), reservoir(2, 3)], 3, [[0, 1]])
    with pytest.raises(UsageError, match=r"cell 0 has input_size 2 and is to read the inputs \[0, 3\]"):
        ParallelReservoir([reservoir(2, 6)], 3, [[0, 3]])
    with pytest.raises(UsageError, match="squares is 'all'"):
        ReservoirFeatures(reservoir(1, 3), squares="all")
    with pytest.raises(UsageError, match="delays is 0"):
        NextGenerationReservoir(1, delays=0)
