"""Gradient against lag: equal to the explicit product of Jacobians, and to finite differences of the state."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.analysis.gradient_flow import gradient_flow
from recurra.cells import Cell, HiddenState
from recurra.errors import UsageError
from recurra.nn import LSTM, Recurrent
from recurra.unroll import unroll


def direction(size: int, seed: int = 0) -> np.ndarray:
    v = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).numpy()
    return v / np.linalg.norm(v)


@pytest.mark.parametrize("layers", [1, 2])
def test_it_is_the_product_of_jacobians(layers: int) -> None:
    torch.manual_seed(0)
    layer = Recurrent("elman", 3, 5, layers, dtype=torch.float64, dropout=0.5)
    x, lengths = torch.randn(9, 4, 3, dtype=torch.float64), [9, 6, 0, 1]
    found = gradient_flow(layer, x, lengths)

    cell = layer.cells[-1]
    w_ih, w_hh, b_ih, b_hh = (weight.detach().numpy() for weight in cell.parameters())
    below = x if layers == 1 else unroll(layer.cells[0], x, lengths=lengths)[0]
    sizes: list[list[float]] = [[] for _ in range(9)]
    for index, length in enumerate(lengths):
        h, jacobians = np.zeros(5), []
        for t in range(length):
            h = np.tanh(w_ih @ below[t, index].detach().numpy() + b_ih + w_hh @ h + b_hh)
            jacobians.append(np.diag(1 - h**2) @ w_hh)
        gradient = direction(5)
        for lag in range(length):
            sizes[lag].append(float(np.linalg.norm(gradient)))
            gradient = gradient @ jacobians[length - 1 - lag]
    wanted = [np.mean(each) for each in sizes]
    assert found["lags"] == list(range(9))
    np.testing.assert_allclose(found["norm"], wanted, rtol=1e-12)
    assert found["norm"][0] == 1.0
    assert found["half_lag"] == next(lag for lag, value in enumerate(wanted) if value <= 0.5)


@pytest.mark.parametrize(("name", "arguments"), [("lstm", {}), ("lstm", {"proj_size": 3}), ("gru", {}), ("indrnn", {})])
def test_it_is_the_effect_of_pushing_the_hidden_state(name: str, arguments: Any) -> None:
    torch.manual_seed(0)
    layer = Recurrent(name, 2, 4, dtype=torch.float64, bidirectional=True, **arguments)
    x = torch.randn(6, 1, 2, dtype=torch.float64)
    cell, steps = layer.cells[0], 6
    v = torch.from_numpy(direction(cell.output_size))
    wanted = [1.0]
    with torch.no_grad():
        for lag in range(1, steps):
            _, state = unroll(cell, x[: steps - lag])
            slopes = []
            for unit in range(cell.output_size):
                push = torch.zeros_like(state.h)
                push[0, unit] = 1e-6
                above, below = (
                    unroll(cell, x[steps - lag :], state._replace(h=state.h + sign * push))[0][-1, 0] @ v
                    for sign in (1, -1)
                )
                slopes.append(float(above - below) / 2e-6)
            wanted.append(float(np.linalg.norm(slopes)))
    np.testing.assert_allclose(gradient_flow(layer, x)["norm"], wanted, rtol=1e-6, atol=1e-9)


def test_layers_with_torchs_names_and_other_settings() -> None:
    torch.manual_seed(0)
    layer = LSTM(2, 8, 2, dropout=0.5, batch_first=True)
    x = torch.randn(30, 3, 2)
    found = gradient_flow(layer, x, max_lag=12)
    assert layer.training
    assert found == gradient_flow(layer, x, torch.tensor([30, 30, 30]), max_lag=12)
    assert found["lags"] == list(range(13))
    assert json.loads(json.dumps(found)) == found
    assert all(weight.grad is None for weight in layer.parameters())
    with torch.no_grad():
        assert gradient_flow(layer, x, max_lag=12) == found
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l1")
    np.testing.assert_allclose(gradient_flow(layer, x, max_lag=12)["norm"], found["norm"], rtol=1e-4)


def units(u: float, steps: int = 40, seed: int = 0) -> dict[str, Any]:
    """What is found for one unit that always stays active and keeps the share u of itself."""
    layer = Recurrent("indrnn", 1, 1)
    with torch.no_grad():
        for weight, value in zip(layer.parameters(), (1.0, u, 0.0), strict=True):
            weight.fill_(value)
    return gradient_flow(layer, torch.ones(steps, 2, 1), seed=seed)


def test_the_sentence() -> None:
    assert units(0.9)["half_lag"] == 7
    assert units(0.9)["text"] == "Half of the gradient is gone after 7 steps."
    assert units(0.4)["text"] == "Half of the gradient is gone after 1 step."
    assert units(1.0)["text"] == "More than half of the gradient is still there after 39 steps."
    assert units(1.0)["half_lag"] is None
    assert (
        units(2.0, 11)["text"] == "The gradient grows: 10 steps back it is 1.02e+03 times as large as at the last step."
    )
    assert units(0.9, 1)["text"].startswith("The sequences have one step each")
    np.testing.assert_allclose(units(0.5, seed=3)["norm"], [0.5**lag for lag in range(40)], rtol=1e-12)


def test_shrunk_gradients_are_not_lost_to_float32() -> None:
    assert units(0.25, 150)["norm"][149] == pytest.approx(0.25**149, rel=1e-6)


def test_an_overflowing_gradient_is_cut_and_stays_json() -> None:
    torch.manual_seed(0)
    layer = Recurrent("indrnn", 1, 1)
    with torch.no_grad():
        for weight, value in zip(layer.parameters(), (0.0, 1e20, 1e-30), strict=True):
            weight.fill_(value)
    x = torch.zeros(30, 1, 1)
    found = gradient_flow(layer, x)
    assert len(found["norm"]) < 30
    assert np.isfinite(found["norm"]).all()
    json.dumps(found, allow_nan=False)


def test_messages() -> None:
    layer = Recurrent("gru", 2, 3)
    for x, lengths in [(torch.zeros(0, 2, 2), None), (torch.zeros(5, 0, 2), None), (torch.zeros(5, 2, 2), [0, 0])]:
        with pytest.raises(UsageError, match="gradient_flow: x holds no step. Needed: at least one sequence"):
            gradient_flow(layer, x, lengths)


def test_an_output_that_is_no_part_of_the_state_leaves_the_state_to_be_measured() -> None:
    class Readout(Cell):
        def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
            return HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device))

        def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.sum(-1, keepdim=True), x[..., :1]

        def advance(self, projected: tuple[Tensor, Tensor], state: HiddenState) -> tuple[Tensor, HiddenState]:
            h = 0.5 * state.h + projected[0] * projected[1]
            return 2 * h, HiddenState(h)

    found = gradient_flow(Recurrent(Readout, 2, 3), torch.randn(5, 2, 2))
    assert found["norm"] == pytest.approx([1.0, 0.5, 0.25, 0.125, 0.0625])
