"""Hidden states for the report: the numbers of the layer, principal directions, a fixed choice of what is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from recurra.analysis.hidden_states import hidden_states
from recurra.errors import ShapeError, UsageError
from recurra.nn import Recurrent

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def layer() -> Recurrent:
    torch.manual_seed(0)
    return Recurrent("gru", 2, 6, 2, dropout=0.5)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(8, 4, 2, generator=torch.Generator().manual_seed(1))


def test_the_heat_map_is_the_longest_sequence(layer: Recurrent, x: torch.Tensor) -> None:
    found = hidden_states(layer, x, [3, 8, 0, 5], NAMES, units=4, steps=6)
    assert layer.training
    h = layer.eval()(x[:, 1:2])[0].detach().numpy()[:, 0]
    everything = layer(x, lengths=[3, 8, 0, 5])[0].detach()
    valid = torch.cat([everything[:3, 0], everything[:8, 1], everything[:5, 3]]).numpy()
    columns = sorted(np.argsort(-valid.std(axis=0))[:4])
    assert found["sequence"] == "b"
    np.testing.assert_allclose(found["states"], h[2:, columns], atol=6e-5)


def test_the_paths_are_the_first_two_principal_components(layer: Recurrent, x: torch.Tensor) -> None:
    found = hidden_states(layer, x, None, NAMES)
    h = layer.eval()(x)[0].detach().double().numpy()
    centred = (h - h.reshape(-1, 6).mean(0)).reshape(-1, 6)
    _, scale, rows = np.linalg.svd(centred, full_matrices=False)
    signs = [np.sign(row[np.argmax(np.abs(row))]) for row in rows[:2]]
    points = (centred @ (rows[:2] * np.array(signs)[:, None]).T).reshape(8, 4, 2)
    for index, path in enumerate(found["trajectories"]):
        assert path["name"] == NAMES[index]
        assert path["label"] is None
        np.testing.assert_allclose(path["points"], points[:, index], atol=6e-5)
    np.testing.assert_allclose(found["explained"], (scale**2 / (scale**2).sum())[:2], rtol=1e-6)
    assert json.loads(json.dumps(found)) == found


def test_one_of_each_label_is_shown_first(layer: Recurrent, x: torch.Tensor) -> None:
    found = hidden_states(layer, x, [8, 8, 0, 2], NAMES, ["left", "left", "left", "right"], sequences=2)
    assert [(path["name"], path["label"]) for path in found["trajectories"]] == [("a", "left"), ("d", "right")]


def test_one_unit_and_one_step(x: torch.Tensor) -> None:
    found = hidden_states(Recurrent("gru", 2, 1, batch_first=True), x[:1, :1], [1], ["a"])
    assert found["trajectories"][0]["points"] == [[0.0, 0.0]]
    assert found["explained"] == [0.0, 0.0]


def test_messages(layer: Recurrent, x: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="hidden_states: names has 3 entries. Needed: 4, one a sequence"):
        hidden_states(layer, x, None, NAMES[:3])
    with pytest.raises(ShapeError, match="labels has 1 entries. Needed: 4"):
        hidden_states(layer, x, None, NAMES, ["left"])
    with pytest.raises(UsageError, match="x holds no step. Needed: at least one sequence with at least one step"):
        hidden_states(layer, x, [0, 0, 0, 0], NAMES)
