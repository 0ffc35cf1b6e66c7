"""One cell of a stack with what it reads, and the gradient through each layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra.analysis.gradient_flow import gradient_flow
from recurra.analysis.layer_cells import cell_of_layer
from recurra.errors import UsageError
from recurra.nn import Recurrent
from recurra.unroll import unroll


def test_a_cell_on_its_inputs_gives_the_layers_output() -> None:
    torch.manual_seed(0)
    layer = Recurrent("lstm", 2, 3, 3, bidirectional=True, dropout=0.4, dtype=torch.float64)
    x, lengths = torch.randn(7, 4, 2, dtype=torch.float64), [7, 4, 0, 1]
    layer.eval()
    y, _ = layer(x, lengths=torch.tensor(lengths))
    layer.train()
    cell, inputs, given = cell_of_layer(layer, x, lengths)
    forward, _ = unroll(cell, inputs, lengths=given)
    np.testing.assert_allclose(forward.detach(), y[..., :3].detach(), atol=1e-12)
    cell, inputs, given = cell_of_layer(layer, x, lengths, reverse=True)
    backward, _ = unroll(cell, inputs, lengths=given)
    for b, length in enumerate(lengths):
        np.testing.assert_allclose(backward[:length, b].flip(0).detach(), y[:length, b, 3:].detach(), atol=1e-12)
    first, inputs, _ = cell_of_layer(layer, x, number=1)
    assert first.input_size == 2 and torch.equal(inputs, x) and layer.training
    with pytest.raises(UsageError, match="number is 4. Needed: a layer from 1 to 3"):
        cell_of_layer(layer, x, number=4)
    with pytest.raises(UsageError, match="reverse was asked for. Needed: a bidirectional layer"):
        cell_of_layer(Recurrent("gru", 2, 3), torch.zeros(2, 1, 2), reverse=True)


def test_the_gradient_through_each_layer() -> None:
    torch.manual_seed(0)
    layer = Recurrent("elman", 2, 3, 2)
    x = torch.randn(9, 4, 2)
    below = Recurrent("elman", 2, 3, 1)
    below.load_state_dict({name: value for name, value in layer.state_dict().items() if name.startswith("cells.0")})
    assert gradient_flow(layer, x, number=1) == gradient_flow(below, x)
    assert gradient_flow(layer, x, number=2) == gradient_flow(layer, x) != gradient_flow(below, x)
    with pytest.raises(UsageError, match="number is 3"):
        gradient_flow(layer, x, number=3)
