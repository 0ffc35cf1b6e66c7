"""RNN, LSTM, GRU and IndRNN in the place of torch.nn's: signature, first weights, outputs, weights both ways."""

from __future__ import annotations

import copy
import inspect
import typing
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import recurra.nn
from recurra.cells.state import state_tensors
from recurra.errors import ShapeError, UsageError
from recurra.nn.explain import explain

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "bias": False}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 3}),
    ("GRU", {}),
]
each_variant = pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=lambda value: str(value))
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def pair(name: str, *sizes: int, **arguments: Any) -> tuple[Any, Any]:
    """torch.nn's layer and ours, made from the same seed."""
    made = []
    for package in (torch.nn, recurra.nn):
        torch.manual_seed(7)
        made.append(getattr(package, name)(*sizes, **arguments))
    return made[0], made[1]


def same(a: Any, b: Any, tolerance: float = 1e-6) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_the_signature_is_torchs(name: str) -> None:
    theirs = inspect.signature(typing.get_overloads(getattr(torch.nn, name).__init__)[0]).parameters
    ours = inspect.signature(getattr(recurra.nn, name).__init__).parameters
    own = [("backend", "auto")]
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()] + own
    forward = inspect.signature(getattr(recurra.nn, name).forward).parameters
    assert list(forward)[:3] == list(inspect.signature(getattr(torch.nn, name).forward).parameters)


@each_variant
@pytest.mark.parametrize("bidirectional", [False, True])
def test_same_seed_same_weights_and_outputs(name: str, arguments: Any, bidirectional: bool) -> None:
    theirs, ours = pair(name, 3, 5, 2, bidirectional=bidirectional, dropout=0.4, **arguments)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), ours.parameters(), strict=True))
    x = torch.randn(6, 4, 3)
    for train in (True, False):  # in training the same seed drops the same values
        results = []
        for layer in (theirs.train(train), ours.train(train)):
            torch.manual_seed(3)
            results.append(layer(x))
        same(results[0], results[1])
    same(theirs(x, results[0][1]), ours(x, results[0][1]))


@each_variant
def test_weights_load_both_ways(name: str, arguments: Any) -> None:
    theirs, ours = pair(name, 3, 5, 2, bidirectional=True, **arguments)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.mul_(1.5)
    x = torch.randn(4, 2, 3)
    ours.load_state_dict(theirs.state_dict())
    same(theirs(x), ours(x))
    ours.reset_parameters()
    theirs.load_state_dict(ours.state_dict())
    same(theirs(x), ours(x))
    assert [w.shape for each in ours.all_weights for w in each] == [
        w.shape for each in theirs.all_weights for w in each
    ]
    ours.flatten_parameters()


@each_variant
def test_batch_first_and_no_batch(name: str, arguments: Any) -> None:
    theirs, ours = pair(name, 3, 5, 2, batch_first=True, bidirectional=True, **arguments)
    x = torch.randn(4, 6, 3)
    same(theirs(x), ours(x))
    assert ours(x)[0].shape[:2] == (4, 6)
    single_theirs, single_ours = theirs(x[0]), ours(x[0])
    assert single_theirs[0].shape == single_ours[0].shape
    same(single_theirs, single_ours)
    same(theirs(x[0], single_theirs[1]), ours(x[0], single_ours[1]))
    same(ours(x, lengths=[6, 1, 2, 3])[0][1:2, :1], ours(x[1:2, :1])[0])
    same(ours(x[0], lengths=4)[0][:4], ours(x[0, :4])[0])


@each_variant
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences(name: str, arguments: Any, enforce_sorted: bool) -> None:
    theirs, ours = pair(name, 3, 5, 2, bidirectional=True, **arguments)
    lengths = [6, 4, 4, 1] if enforce_sorted else [4, 1, 6, 4]
    packed = pack_padded_sequence(torch.randn(6, 4, 3), torch.tensor(lengths), enforce_sorted=enforce_sorted)
    wanted, wanted_state = theirs(packed)
    for start in (None, wanted_state):
        wanted, wanted_final = theirs(packed, start)
        found, found_final = ours(packed, start)
        assert isinstance(found, PackedSequence)
        assert torch.equal(found.batch_sizes, wanted.batch_sizes)
        assert (found.sorted_indices is None) == enforce_sorted
        same(found.data, wanted.data)
        same(found_final, wanted_final)
    same(pad_packed_sequence(found)[0], pad_packed_sequence(wanted)[0])


@each_variant
@pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["float32", "float64"]
)
@pytest.mark.parametrize("ours_first", [False, True])
def test_outputs_and_gradients_are_torchs_after_loading_its_weights(
    name: str, arguments: Any, packed: bool, dtype: torch.dtype, tolerance: float, ours_first: bool
) -> None:
    theirs, ours = pair(name, 3, 7, 3, bidirectional=True, dtype=dtype, **arguments)
    source, target = (ours, theirs) if ours_first else (theirs, ours)
    source.reset_parameters()
    target.load_state_dict(source.state_dict())
    results = []
    for layer in (theirs, ours):
        x = torch.randn(9, 4, 3, dtype=dtype, generator=torch.Generator().manual_seed(5)).requires_grad_()
        given = pack_padded_sequence(x, torch.tensor([3, 9, 8, 1]), enforce_sorted=False) if packed else x
        y, final = layer(given)
        y = y.data if packed else y
        loss = (y * torch.linspace(-1, 1, y.numel(), dtype=dtype).view_as(y)).sum()
        loss = loss + sum(part.square().sum() for part in (final if isinstance(final, tuple) else (final,)))
        results.append([y, *state_tensors(final), *torch.autograd.grad(loss, [x, *layer.parameters()])])
    for wanted, found in zip(*results, strict=True):
        assert float((wanted - found).detach().abs().max() / wanted.detach().abs().max()) <= tolerance


@each_variant
def test_lengths_give_what_packing_gives(name: str, arguments: Any) -> None:
    theirs, ours = pair(name, 3, 5, 2, bidirectional=True, **arguments)
    lengths, x = torch.tensor([2, 5, 1, 7]), torch.randn(7, 4, 3)
    packed, wanted_final = theirs(pack_padded_sequence(x, lengths, enforce_sorted=False))
    wanted = pad_packed_sequence(packed)[0]
    for backend in ("auto", "reference"):
        ours.backend = backend
        y, final = ours(x, lengths=lengths)
        same(y, wanted)
        same(final, wanted_final)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "IndRNN"])
def test_streaming_is_the_whole(name: str) -> None:
    torch.manual_seed(0)
    layer = getattr(recurra.nn, name)(3, 5, 2, dropout=0.5).eval()
    x = torch.randn(6, 4, 3)
    y, final = layer(x)
    state, outputs = None, []
    for x_t in x:
        y_t, state = layer.step(x_t, state)
        outputs.append(y_t)
    same((y, final), (torch.stack(outputs), state))
    first, state = layer(x[:2])
    same(layer.step(x[2], state)[0], y[2])
    with pytest.raises(UsageError, match="the layer is bidirectional. Needed: one direction, since"):
        getattr(recurra.nn, name)(3, 5, bidirectional=True).step(x[0])


def test_streaming_drops_between_layers_in_training() -> None:
    layer, x = recurra.nn.GRU(3, 5, 2, dropout=1.0), torch.ones(1, 3)
    y, h = layer.step(x)
    same((y, h), (layer(x.unsqueeze(0))[0][0], layer(x.unsqueeze(0))[1]))
    kept = layer.eval().step(x)[1]
    same(h[0], kept[0])
    assert not torch.allclose(h[1], kept[1])


def test_indrnn_has_one_vector_and_one_bias() -> None:
    torch.manual_seed(0)
    layer = recurra.nn.IndRNN(3, 400, 2, bidirectional=True)
    assert layer.weight_hh_l0_reverse.shape == layer.bias_ih_l1.shape == (400,)
    assert not hasattr(layer, "bias_hh_l0")
    assert 0.9 < float(layer.weight_hh_l0.abs().max().detach()) <= 1
    assert float(layer.weight_ih_l0.abs().max().detach()) <= 400**-0.5
    y, h = layer(torch.randn(5, 2, 3), lengths=[5, 0])
    assert y.shape == (5, 2, 800)
    assert h.shape == (4, 2, 400)


def test_the_weights_in_the_layer_are_the_ones_that_count() -> None:
    """Copies, other number formats, parametrisations and functional calls all reach the cells."""
    torch.manual_seed(0)
    layer, x = recurra.nn.LSTM(3, 4), torch.randn(5, 2, 3)
    y = layer(x)[0]
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        twin.weight_hh_l0.zero_()
    assert torch.equal(layer(x)[0], y)
    assert not torch.equal(twin(x)[0], y)
    assert copy.deepcopy(layer).double()(x.double())[0].dtype == torch.float64
    same(torch.func.functional_call(layer, dict(twin.named_parameters()), (x,)), twin(x))
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    same(layer(x)[0], y)
    layer(x)[0].sum().backward()
    assert layer.parametrizations.weight_hh_l0.original1.grad.abs().sum() > 0


def test_many_models_at_once_by_vmap() -> None:
    layers = [recurra.nn.GRU(3, 4, 2) for _ in range(3)]
    stacked, _ = torch.func.stack_module_state(layers)
    x = torch.randn(5, 2, 3)
    y = torch.func.vmap(lambda weights: torch.func.functional_call(layers[0], weights, (x,))[0])(stacked)
    for index, layer in enumerate(layers):
        same(y[index], layer(x)[0])


def test_gradients_of_single_sequences() -> None:
    layer, x = recurra.nn.LSTM(3, 4), torch.randn(5, 3, 3)
    weights = {name: weight.detach() for name, weight in layer.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, weights, (x,))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(weights, x)
    layer(x)[0].square().sum().backward()
    for name, weight in layer.named_parameters():
        same(found[name].sum(0), weight.grad, 1e-5)


def test_no_steps_and_no_sequences() -> None:
    layer = recurra.nn.LSTM(3, 4, 2, bidirectional=True)
    y, (h, c) = layer(torch.zeros(0, 2, 3))
    assert y.shape == (0, 2, 8)
    assert h.shape == c.shape == (4, 2, 4)
    assert layer(torch.zeros(5, 0, 3))[0].shape == (5, 0, 8)
    assert layer(torch.zeros(5, 0, 3), lengths=[])[0].shape == (5, 0, 8)
    assert bool((layer(torch.ones(5, 2, 3), lengths=[0, 0])[0] == 0).all())


def test_dropout_on_one_layer_is_said_to_do_nothing() -> None:
    with pytest.warns(UserWarning, match="dropout=0.5 has no place with num_layers=1"):
        recurra.nn.GRU(3, 4, dropout=0.5)


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (lambda m: m(torch.zeros(5, 2, 4)), ShapeError, r"LSTM: x has shape \(5, 2, 4\). Needed: \(time, batch, 3\)"),
        (lambda m: m(torch.zeros(3)), ShapeError, r"x has shape \(3,\), 1 dimensions. Needed: \(time, batch, 3\)"),
        (lambda m: m(torch.zeros(5, 4)), ShapeError, r"x has shape \(5, 4\). Needed: \(time, 3\)"),
        (
            lambda m: m(torch.zeros(5, 2, 3).double()),
            ShapeError,
            "x is torch.float64. Needed: torch.float32 as the wei",
        ),
        (
            lambda m: m(torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)),
            ShapeError,
            r"hx is Tensor. Needed: a tuple \(h_0, c_0\)",
        ),
        (
            lambda m: m(torch.zeros(5, 2, 3), (torch.zeros(1, 2, 4), torch.zeros(1, 2, 5))),
            ShapeError,
            r"h_0 has shape \(1, 2, 4\). Needed: \(2, 2, 4\), that is \(num_layers \* directions, batch, features\)",
        ),
        (
            lambda m: m(torch.zeros(5, 3), (torch.zeros(2, 1, 4), torch.zeros(2, 1, 4))),
            ShapeError,
            r"h_0 has shape \(2, 1, 4\). Needed: \(2, 4\), that is \(num_layers \* directions, features\)",
        ),
        (lambda m: m(torch.zeros(5, 2, 3), lengths=[6, 1]), UsageError, "lengths holds 6. Needed: .* from 0 to 5"),
        (lambda m: m(torch.zeros(5, 2, 3), mask=torch.ones(2, 5).bool()), ShapeError, r"mask has shape \(2, 5\)"),
        (
            lambda m: m(pack_sequence([torch.zeros(2, 3)]), lengths=[2]),
            UsageError,
            "lengths, mask, reset, dt or return_states came with a PackedSequence. Needed: a padded tensor",
        ),
        (
            lambda m: m(pack_sequence([torch.zeros(2, 4)])),
            ShapeError,
            r"x.data has shape \(2, 4\). Needed: \(steps, 3\)",
        ),
        (lambda m: recurra.nn.GRU(3, 4, 0), UsageError, "GRU: num_layers is 0. Needed: a positive whole number"),
        (lambda m: recurra.nn.GRU(3, 4, dropout=1.5), UsageError, "dropout is 1.5. Needed: a number from 0 to 1"),
        (lambda m: recurra.nn.LSTM(3, 4, proj_size=4), UsageError, "proj_size is 4"),
    ],
)
def test_messages(run: Any, kind: Any, message: str) -> None:
    layer = recurra.nn.LSTM(3, 4, bidirectional=True)
    with pytest.raises(kind, match=message):
        run(layer)


def test_explain_says_which_path_runs() -> None:
    assert explain(recurra.nn.LSTM(3, 4, bidirectional=True)).splitlines() == [
        "LSTM: LSTM, 1 layer, both directions, 3 inputs, 4 hidden units",
        "  layer 0, forward: torch.nn's kernel, with lengths too",
        "  layer 0, reverse: torch.nn's kernel, with lengths too",
        "  the reference loop serves calls with mask or reset, without time steps, or inside torch.func transforms",
        "  the compiled loop serves calls of 65,536 numbers of output or more",
    ]
    model = torch.nn.Sequential(recurra.nn.IndRNN(3, 4, 2), torch.nn.Linear(4, 1))
    assert explain(model).splitlines() == [
        "0 (IndRNN): IndRNN, 2 layers, 3 inputs, 4 hidden units",
        "  layer 0, forward: recurra's kernel, with lengths too",
        "  layer 1, forward: recurra's kernel, with lengths too",
        "  the reference loop serves calls with mask or reset, without time steps, or inside torch.func transforms",
        "  the compiled loop serves calls of 65,536 numbers of output or more",
    ]
    assert explain(torch.nn.Linear(2, 2)) == "Linear holds no recurrent layer."
