"""The generic layer: any cell, states passed on, resets in both directions, cells of one's own, messages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import recurra.nn
from recurra.cells import GRU, LSTM, Cell, HiddenState, map_state
from recurra.errors import ShapeError, UsageError
from recurra.nn import Recurrent
from recurra.nn.explain import explain
from recurra.unroll import unroll

each_name = pytest.mark.parametrize("name", ["elman", "elman_relu", "lstm", "gru", "gru_reset_before", "indrnn"])


def same(a: Any, b: Any) -> None:
    map_state(lambda left, right: torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13), a, b)


class Leaky(Cell):
    """A cell of one's own, without biases and with a constant of its own."""

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5):
        super().__init__(input_size, hidden_size)
        self.leak = leak
        self.weight = torch.nn.Parameter(torch.randn(hidden_size, input_size, dtype=torch.float64))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        return HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device))

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = self.leak * state.h + torch.tanh(projected @ self.weight.T)
        return h, HiddenState(h)


@pytest.mark.parametrize("name", ["lstm", "indrnn"])
def test_a_reset_parts_a_sequence_for_both_directions(name: str) -> None:
    torch.manual_seed(0)
    layer = Recurrent(name, 3, 4, 2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[3, 0] = True
    reset[5, 1] = True  # past the second sequence's length
    y, _ = layer(x, reset=reset, lengths=[7, 5])
    same(y[:3, :1], layer(x[:3, :1])[0])
    same(y[3:, :1], layer(x[3:, :1])[0])
    same(y[:5, 1:], layer(x[:5, 1:])[0])


@each_name
def test_without_biases(name: str) -> None:
    layer = Recurrent(name, 3, 4, 2, bias=False)
    assert {weight.rpartition(".")[2] for weight in layer.state_dict()} == {"weight_ih", "weight_hh"}
    assert bool((layer(torch.zeros(2, 1, 3))[0] == 0).all())


def test_masks_are_laid_out_as_x() -> None:
    torch.manual_seed(0)
    layer = Recurrent("gru", 3, 4, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    mask = torch.tensor([[1, 0, 1, 1, 1], [1, 1, 0, 0, 1]], dtype=torch.bool)
    for index in range(2):
        same(layer(x, mask=mask)[0][index][mask[index]], layer(x[index : index + 1, mask[index]])[0][0])
    reset = torch.zeros(2, 5, dtype=torch.bool)
    reset[:, 2] = True
    same(layer(x, reset=reset)[0][:, 2:], layer(x[:, 2:])[0])


def test_dropout_acts_between_layers_in_training_only() -> None:
    layer = Recurrent("gru", 3, 4, 2, dropout=1.0)
    x = torch.randn(5, 2, 3)
    nothing = unroll(layer.cells[1], torch.zeros(5, 2, 4))[0]
    torch.testing.assert_close(layer(x)[0], nothing)
    assert not torch.allclose(layer.eval()(x)[0], nothing)


@pytest.mark.parametrize(("name", "arguments"), [("lstm", {"proj_size": 2}), ("gru", {}), ("elman", {})])
def test_same_seed_same_numbers_as_the_named_layer(name: str, arguments: Any) -> None:
    named = {"lstm": "LSTM", "gru": "GRU", "elman": "RNN"}[name]
    torch.manual_seed(0)
    one = Recurrent(name, 3, 4, 2, bidirectional=True, **arguments)
    torch.manual_seed(0)
    other = getattr(recurra.nn, named)(3, 4, 2, bidirectional=True, **arguments)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_cell_of_ones_own() -> None:
    layer = Recurrent(Leaky, 3, 4, 2, bidirectional=True, leak=0.25)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    y, _ = layer(x, lengths=[5, 3])
    assert y.shape == (5, 2, 8)
    assert layer.cells[3].leak == 0.25
    assert "layer 1, reverse: reference loop, because no kernel computes Leaky" in explain(layer)
    with pytest.raises(UsageError, match="bias is False. Needed: bias=True, as Leaky knows no other"):
        Recurrent(Leaky, 3, 4, bias=False)


def test_a_class_made_from_lstm_is_not_taken_for_it() -> None:
    class Doubled(LSTM):
        def advance(self, projected: Tensor, state: Any) -> Any:
            y, state = super().advance(projected, state)
            return 2 * y, state

    torch.manual_seed(0)
    doubled = Recurrent(Doubled, 3, 4)
    torch.manual_seed(0)
    plain = Recurrent(LSTM, 3, 4)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(doubled(x)[0], 2 * plain(x)[0])


def test_a_parametrised_cell_keeps_its_kernel() -> None:
    layer, x = Recurrent(GRU, 3, 4), torch.randn(5, 2, 3)
    y, _ = layer(x)
    torch.nn.utils.parametrizations.weight_norm(layer.cells[0], "weight_hh")
    assert "torch.nn's kernel" in explain(layer)
    torch.testing.assert_close(layer(x)[0], y)


def test_explain_names_the_reasons() -> None:
    assert explain(Recurrent("gru_reset_before", 3, 4)).splitlines() == [
        "Recurrent: gru_reset_before, 1 layer, 3 inputs, 4 hidden units",
        "  layer 0, forward: reference loop, "
        "because torch.nn's GRU kernel resets after the recurrent product, this cell before it",
        "  the compiled loop serves calls of 65,536 numbers of output or more",
    ]
    assert "because backend='reference' was asked for" in explain(Recurrent("gru", 3, 4, backend="reference"))
    assert explain(GRU(3, 4)) == "GRU: a single step in plain tensor operations (the reference)"


def test_the_layer_shows_what_it_is() -> None:
    assert repr(Recurrent("elman_relu", 3, 4)).startswith("Recurrent(\n  'elman_relu', 3, 4, num_layers=1")
    assert "Elman(3, 4, nonlinearity='relu')" in repr(Recurrent("elman_relu", 3, 4))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Recurrent("lstmm", 3, 4), "cell: 'lstmm' is not a cell. Needed: one of .* did you mean 'lstm'"),
        (lambda: Recurrent(3, 3, 4), "cell is 3. Needed: a registered name or a class derived from Cell"),  # type: ignore[arg-type]
        (
            lambda: Recurrent("lstm", 3, 4, projsize=2),
            "'projsize' is not an argument of LSTM.* did you mean 'proj_size'",
        ),
        (lambda: Recurrent("gru", 3, 4, backend="fast"), "backend is 'fast'. Needed: 'auto', 'fused' or 'reference'"),
        (lambda: Recurrent("gru", 3, -4), "Recurrent: hidden_size is -4. Needed: a positive whole number"),
    ],
)
def test_messages_of_the_constructor(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()


def test_messages_of_the_call() -> None:
    layer, x = Recurrent("lstm", 3, 4, 2), torch.zeros(5, 2, 3)
    with pytest.raises(ShapeError, match="state is 1 entries. Needed: a tuple of 2, one a layer and direction"):
        layer(x, layer(x)[1][:1])
    with pytest.raises(ShapeError, match=r"Recurrent, cell 1: state.c has shape \(3, 4\). Needed: \(2, 4\)"):
        state = layer(x)[1]
        layer(x, (state[0], state[1]._replace(c=torch.zeros(3, 4))))
    with pytest.raises(
        ShapeError, match=r"Recurrent.step: x has shape \(5, 2, 3\), 3 dimensions. Needed: \(batch, 3\)"
    ):
        layer.step(x)
