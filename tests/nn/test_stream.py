"""A layer that reads a stream: the same numbers as the whole sequence at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import recurra
from recurra.cells import map_state
from recurra.errors import ShapeError, UsageError
from recurra.nn import GRU, LSTM, Recurrent

LAYERS: dict[str, Any] = {
    "LSTM": lambda: LSTM(3, 5, 2),
    "GRU": lambda: GRU(3, 5),
    "peephole": lambda: Recurrent("peephole_lstm", 3, 7, learn_initial_state=True),
    "joined": lambda: Recurrent("mgu", 3, 5, 3, connection="residual", layer_norm=True),
    "own output": lambda: Recurrent("jordan", 3, 5),
    "not compiled": lambda: Recurrent("mc_lstm", 3, 5),
    "reference": lambda: Recurrent("gru", 3, 5, backend="reference"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_step_by_step_is_the_whole(name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]().double().eval()
    x = torch.rand(6, 2, 3, dtype=torch.float64)
    with torch.no_grad():
        wanted, final = layer(x)
        stream = layer.stream(batch_size=2)
        for _ in range(2):
            found = torch.stack([stream(step) for step in x])
            torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
            map_state(lambda a, b: torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12), stream.state, final)
            stream.reset()
        # From a state on, and from the state of another stream.
        first, middle = layer(x[:3])
        other = layer.stream(batch_size=2, state=middle)
        torch.testing.assert_close(torch.stack([other(step) for step in x[3:]]), wanted[3:], rtol=1e-10, atol=1e-12)


def test_changed_weights_count() -> None:
    layer = LSTM(3, 5)
    stream, x = layer.stream(), torch.randn(1, 3)
    stream(x)
    stream.reset()
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2.0)
        layer.bias_ih_l0.add_(1.0)
    torch.testing.assert_close(stream(x), layer(x.unsqueeze(0))[0][0], rtol=1e-5, atol=1e-6)


def test_outputs_stay_as_they_were_given() -> None:
    stream = LSTM(3, 5).stream()
    given = [stream(torch.randn(3)) for _ in range(4)]
    copies = [each.clone() for each in given]
    stream(torch.randn(3))
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True)) and given[0].shape == (5,)


def test_messages() -> None:
    with pytest.raises(UsageError, match="bidirectional"):
        LSTM(3, 5, bidirectional=True).stream()
    stream = LSTM(3, 5).stream(batch_size=2)
    with pytest.raises(ShapeError, match="features|input_size"):
        stream(torch.zeros(2, 4))
    with pytest.raises(UsageError, match="3 sequences.*Needed: 2"):
        stream(torch.zeros(3, 3))
    assert recurra.nn.Stream is type(stream)
