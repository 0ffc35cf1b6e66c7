"""Memory views: where heads stood, of machines whose heads are told where to go."""

from __future__ import annotations

import json

import pytest
import torch
from matplotlib.figure import Figure

from recurra.analysis.layer_cells import cell_of_layer
from recurra.analysis.memory_views import memory_view
from recurra.analysis.views import Subject, heads
from recurra.cells import LSTM
from recurra.cells.external.dnc import DNC
from recurra.cells.external.ntm import NTM
from recurra.errors import ShapeError, UsageError
from recurra.nn import Recurrent


def walking() -> NTM:
    """Its heads never look at content, and go one slot on a step."""
    cell = NTM(2, 3, slots=5, width=2)
    with torch.no_grad():
        cell.heads.map.weight.zero_()
        cell.heads.map.bias.zero_()
        cell.heads.map.bias[cell.heads.block("gate")] = -200.0
        cell.heads.map.bias[cell.heads.block("shift")] = torch.tensor([-200.0, -200.0, 200.0] * 2)
    return cell


def test_heads_that_walk_are_seen_to_walk() -> None:
    found = memory_view(walking(), torch.randn(7, 2))
    for name in ("write 1", "read 1"):
        assert found.heads[name].argmax(-1).tolist() == [1, 2, 3, 4, 0, 1, 2]
        assert found.lost[name] < 1e-6
    assert found.text.startswith("write 1: 5 of 5 slots, 100 % of its weight at the slot where it stands.")
    assert found.memory.shape == (7, 5, 2) and found.usage is None


def test_the_view_is_what_the_states_hold() -> None:
    torch.manual_seed(0)
    cell, x = DNC(2, 3, slots=4, width=2, read_heads=2), torch.randn(6, 2)
    found = memory_view(cell, x)
    state = cell.initial_state(1)
    held = state.memory[0].double()
    for t in range(6):
        _, state = cell(x[t : t + 1], state)
        torch.testing.assert_close(found.heads["write 1"][t].float(), state.write_weights[0], rtol=1e-4, atol=1e-5)
        for k in range(2):
            torch.testing.assert_close(
                found.heads[f"read {k + 1}"][t].float(), state.read_weights[0, k], rtol=1e-4, atol=1e-5
            )
            read = state.reads[0, k]
            torch.testing.assert_close(found.reads[f"read {k + 1}"][t].float(), read, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.usage[t].float(), state.usage[0], rtol=1e-4, atol=1e-5)
        held = held + found.written[t]
        torch.testing.assert_close(held.float(), state.memory[0], rtol=1e-4, atol=1e-5)
    assert next(cell.parameters()).dtype == torch.float32


def test_drawings() -> None:
    found = memory_view(walking(), torch.randn(7, 2))
    axes = Figure().add_subplot()
    found.draw(axes)
    assert axes.images[0].get_array().shape == (5, 7, 3)
    # Both heads stand at slot 1 at first: where writing and reading meet it is black.
    assert axes.images[0].get_array()[1, 0].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    assert axes.images[0].get_array()[0, 0].tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-6)
    axes = Figure().add_subplot()
    found.draw(axes, "read 1")
    assert axes.images[0].get_array().shape == (5, 7) and axes.get_ylabel() == "slot, read 1"


def test_the_instrument_follows_the_first_sequence_that_has_a_step() -> None:
    layer = Recurrent(DNC, 2, 3, slots=4, width=2, read_heads=2, dtype=torch.float64)
    x, lengths = torch.randn(6, 3, 2, dtype=torch.float64), torch.tensor([0, 4, 6])
    cell, read, given = cell_of_layer(layer, x, lengths)
    view = heads(Subject(cell, read, given, ["first", "second", "third"], layer, x, 1))
    wanted = memory_view(cell, x[:4, 1])
    assert view.text == f"Along second: {wanted.text}" and view.facts["sequence"] == "second"
    assert list(view.facts["heads"]) == ["write 1", "read 1", "read 2"]
    for name, weights in view.facts["heads"].items():
        assert torch.equal(torch.tensor(weights, dtype=torch.float64), wanted.heads[name])
    assert (
        view.facts["usage"] == wanted.usage.tolist()
        and view.facts["reads"]["read 2"] == wanted.reads["read 2"].tolist()
    )
    json.dumps(view.facts)
    axes = Figure().add_subplot()
    view.draw(axes)
    assert axes.images[0].get_array().shape == (4, 4, 3)


def test_messages() -> None:
    with pytest.raises(UsageError, match="the state of LSTM has no heads. Needed: a cell whose state has memory"):
        memory_view(LSTM(2, 3), torch.zeros(3, 2))
    with pytest.raises(UsageError, match="x holds no step"):
        memory_view(walking(), torch.zeros(0, 2))
    with pytest.raises(ShapeError, match=r"x has shape \(3, 4\). Needed: \(time, 2\)"):
        memory_view(walking(), torch.zeros(3, 4))
