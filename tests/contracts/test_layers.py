"""Every feature of a layer, for every cell that runs along time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cell_cases import filled, inputs, over, times
from row import CellRow
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from cells import TABLE
from recurra.analysis.gradient_flow import gradient_flow
from recurra.analysis.hidden_states import hidden_states
from recurra.cells import CELLS, Cell, cell_class, map_state
from recurra.cells.state import state_tensors
from recurra.cells.variant import weight_named
from recurra.errors import UsageError
from recurra.nn import Recurrent
from recurra.unroll import unroll

FIRST = list({row.name: row for row in reversed(TABLE) if "bias" not in row.arguments}.values())[::-1]
every_cell = over(FIRST)


def layer_of(row: CellRow, *sizes: int, **options: Any) -> Recurrent:
    """A layer of the row's cell with float64 weights; a second layer reads what the first one gives."""
    torch.manual_seed(0)
    return Recurrent(row.name, row.features, row.hidden, *sizes, **row.arguments, **options, dtype=torch.float64)


def stacks(row: CellRow) -> bool:
    """Whether the cell can read what it gives: a cell with inputs of a kind of their own cannot."""
    return row.inputs is None


def same(a: Any, b: Any, tolerance: float = 1e-9) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


def layers(row: CellRow) -> int:
    return 2 if stacks(row) else 1


def layer_times(layer: Recurrent, *shape: int) -> Any:
    return times(layer.stack_cells()[0], *shape)


def is_makable(row: CellRow) -> Cell:
    kind, arguments = cell_class(row.name)
    return kind(row.features, row.hidden, **{**arguments, **row.arguments})


def test_every_cell_along_time_is_here() -> None:
    assert {row.name for row in FIRST} == {name for name, entry in CELLS.items() if entry.driver == "unroll"}


@every_cell
def test_a_layer_is_its_cells_unrolled(row: CellRow) -> None:
    layer = layer_of(row, layers(row), bidirectional=True)
    x, lengths = inputs(row, 6, 3), [6, 0, 4]
    dt = layer_times(layer, 6, 3)
    y, state = layer(x, lengths=lengths, dt=dt)
    assert layer.output_size == y.shape[-1]
    expected, finals = x, []
    for first in range(0, len(layer.cells), 2):
        halves = []
        for direction in (0, 1):
            cell = layer.cells[first + direction]
            half, final = unroll(cell, expected, lengths=lengths, reverse=bool(direction), dt=dt)
            halves.append(half)
            finals.append(final)
        expected = torch.cat(halves, dim=-1)
    same((y, state), (expected, tuple(finals)))
    assert all(type(a) is type(b) for a, b in zip(state, finals, strict=True))


@every_cell
def test_cut_in_two_with_the_state_carried_is_the_whole(row: CellRow) -> None:
    layer = layer_of(row, layers(row), batch_first=True)
    x = inputs(row, 2, 7)
    dt = layer_times(layer, 2, 7)
    y, final = layer(x, dt=dt)
    first, state = layer(x[:, :3], dt=None if dt is None else dt[:, :3])
    second, state = layer(x[:, 3:], [list(entry) for entry in state], dt=None if dt is None else dt[:, 3:])
    same((torch.cat([first, second], dim=1), state), (y, final))


@every_cell
def test_streaming_is_the_whole(row: CellRow) -> None:
    options = {"connection": "residual", "layer_norm": True, "zoneout": 0.3, "learn_initial_state": True}
    layer = layer_of(row, layers(row), **options).eval()
    x = inputs(row, 5, 2)
    dt = layer_times(layer, 5, 2)
    y, final, states = layer(x, dt=dt, return_states=True)
    state, outputs = None, []
    for t, x_t in enumerate(x):
        y_t, state = layer.step(x_t, state, None if dt is None else dt[t])
        outputs.append(y_t)
        same(state, tuple(map_state(lambda part, t=t: part[t], each) for each in states))
    same((torch.stack(outputs), state), (y, final))


@every_cell
def test_no_batch_is_a_batch_of_one(row: CellRow) -> None:
    layer = layer_of(row, bidirectional=True)
    x = inputs(row, 5)
    y, state, states = layer(x, return_states=True)
    batched, final, every = layer(x.unsqueeze(1), return_states=True)
    same((y, state), (batched.squeeze(1), map_state(lambda part: part.squeeze(0), final)))
    same(states, map_state(lambda part: part.squeeze(1), every))
    same(layer(x, state)[0], layer(x.unsqueeze(1), final)[0].squeeze(1))
    mask = torch.tensor([1, 0, 1, 1, 0], dtype=torch.bool)
    same(layer(x, mask=mask)[0][mask], layer(x[mask])[0])


@every_cell
def test_padding_reaches_nothing_through_all_that_stands_between_layers(row: CellRow) -> None:
    for connection in ("residual", "highway", "dense"):
        if not stacks(row):
            continue
        layer = layer_of(row, 3, connection=connection, layer_norm=True, bidirectional=True, learn_initial_state=True)
        x = inputs(row, 6, 2)
        padded = torch.cat([x, torch.full_like(x[:2], float("nan"))])
        padded[4:, 1] = float("nan")
        padded.requires_grad_()
        y, final = layer(padded, lengths=[6, 4])
        assert bool((y[6:] == 0).all()) and bool((y[4:, 1] == 0).all())
        same(y[:6, :1], layer(x[:, :1])[0])
        same(y[:4, 1:], layer(x[:4, 1:])[0])
        same(map_state(lambda part: part[1:], final), layer(x[:4, 1:])[1])
        y.square().sum().backward()
        assert (padded.grad is not None) == row.input_gradient
        assert padded.grad is None or (bool(padded.grad.isfinite().all()) and not bool(padded.grad[6:].any()))
        assert all(bool(weight.grad.isfinite().all()) for weight in layer.parameters() if weight.grad is not None)


@every_cell
def test_packed_sequences_in_and_out(row: CellRow) -> None:
    layer = layer_of(row, bidirectional=True)
    x, lengths = inputs(row, 5, 3), torch.tensor([2, 5, 4])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    y, state = layer(packed)
    assert isinstance(y, PackedSequence)
    wanted, final = layer(x, lengths=lengths)
    unpacked, given = pad_packed_sequence(y)
    same((unpacked, state), (wanted, final))
    assert given.tolist() == [2, 5, 4]


@every_cell
def test_a_reset_begins_with_the_learned_state(row: CellRow) -> None:
    layer = layer_of(row, learn_initial_state=True)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for part in layer.firsts.parameters():
            part.add_(0.3 * torch.randn(part.shape, dtype=part.dtype, generator=generator))
    x = inputs(row, 6, 2)
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[3, 0] = True
    y, final = layer(x, reset=reset)
    same(y[:3, :1], layer(x[:3, :1])[0])
    same(y[3:, :1], layer(x[3:, :1])[0])
    same(y[:, 1:], layer(x[:, 1:])[0])
    (y.square().sum() + sum(part.square().sum() for part in state_tensors(final))).backward()
    learned = [part.grad for part in layer.firsts.parameters()]
    assert learned and any(bool(part.any()) for part in learned if part is not None)
    assert all(torch.isfinite(part).all() for part in learned if part is not None)


@every_cell
def test_checkpoints_change_no_number(row: CellRow) -> None:
    x = inputs(row, 11, 3).requires_grad_()
    mask = torch.rand(11, 3, generator=torch.Generator().manual_seed(3)) < 0.8
    reset = torch.rand(11, 3, generator=torch.Generator().manual_seed(4)) < 0.2
    for options in ({}, {"lengths": [11, 5, 0]}, {"mask": mask, "lengths": [11, 9, 5]}, {"reset": reset}):
        results = []
        for checkpoint in (False, True, 4):
            layer = layer_of(row, layers(row), bidirectional=True, checkpoint=checkpoint)
            dt = layer_times(layer, 11, 3)
            y, final = layer(x, dt=dt, **options)
            loss = y.square().sum() + sum(part.square().sum() for part in state_tensors(final))
            leaves = [x, *(weight for weight in layer.parameters() if weight.requires_grad)]
            results.append((y, final, torch.autograd.grad(loss, leaves, materialize_grads=True, allow_unused=True)))
        same(results[1], results[0])
        same(results[2], results[0])


@every_cell
def test_recurrent_dropout_drops_the_same_units_at_all_steps(row: CellRow) -> None:
    cell = is_makable(row)
    layer = layer_of(row, recurrent_dropout=0.5)
    x = inputs(row, 6, 2)
    state = map_state(
        lambda part: part if part.any() else 0.5 + torch.zeros_like(part), layer.cells[0].initial_state(2)
    )
    state = (filled(state, [p.double() for p in state_tensors(state)]),)
    if not cell.recurrent_weights:
        return
    results = []
    for checkpoint in (False, False, 2):
        layer = layer_of(row, recurrent_dropout=0.5, checkpoint=checkpoint)
        torch.manual_seed(1)
        y, final = layer(x, state)
        weights = list(layer.parameters())
        loss = y.square().sum() + sum(part.square().sum() for part in state_tensors(final))
        results.append((y, final, torch.autograd.grad(loss, weights, materialize_grads=True, allow_unused=True)))
    same(results[1], results[0])
    same(results[2], results[0])
    ends = [(y, *state_tensors(final)) for y, final in (results[0][:2], layer.eval()(x, state))]
    assert not all(torch.allclose(noisy, calm) for noisy, calm in zip(*ends, strict=True))
    same(layer(x, state), layer_of(row)(x, state))


@every_cell
def test_weight_drop_leaves_the_weights_alone(row: CellRow) -> None:
    if not is_makable(row).recurrent_weights:
        with pytest.raises(UsageError, match="weight_drop is 0.5, and .* names no recurrent weights"):
            layer_of(row, weight_drop=0.5)
        return
    layer = layer_of(row, weight_drop=0.5)
    kept = {name: weight.clone() for name, weight in layer.state_dict().items()}
    x = inputs(row, 6, 2)
    noisy = layer(x)[0]
    if noisy.requires_grad:
        noisy.square().sum().backward()
    assert not torch.allclose(noisy, layer.eval()(x)[0])
    same(layer(x)[0], layer_of(row)(x)[0])
    assert all(torch.equal(kept[name], weight) for name, weight in layer.state_dict().items())
    assert any(weight_named(layer.cells[0], name).grad is not None for name in layer.cells[0].recurrent_weights)


@every_cell
def test_zoneout_keeps_units_or_their_mean(row: CellRow) -> None:
    cell = is_makable(row)
    x = inputs(row, 1, 2)
    plain = layer_of(row)
    dt = layer_times(plain, 1, 2)
    generator = torch.Generator().manual_seed(2)
    start = plain.cells[0].initial_state(2)
    state = start if row.state else map_state(lambda p: torch.rand(p.shape, dtype=p.dtype, generator=generator), start)
    after = plain(x, (state,), dt=dt)[1][0]
    fields = getattr(start, "_fields", ())
    for training in (False, True):
        layer = layer_of(row, zoneout=0.4).train(training)
        found = layer(x, (state,), dt=dt)[1][0]
        for name, before, now, got in zip(fields, state, after, found, strict=True):
            pieces = zip(state_tensors(before), state_tensors(now), state_tensors(got), strict=True)
            for old, new, mixed in pieces:
                if name in cell.clocks:
                    same(mixed, new)
                elif training:
                    assert bool(((mixed == old) | torch.isclose(mixed, new, rtol=1e-9)).all())
                else:
                    same(mixed, 0.4 * old + 0.6 * new)
    with pytest.raises(UsageError, match=r"zoneout names 'nothing'. Needed: parts of the state, that is "):
        layer_of(row, zoneout={"nothing": 0.1})


@every_cell
def test_the_instruments_look_into_every_cell(row: CellRow) -> None:
    layer = layer_of(row, layers(row))
    x = inputs(row, 7, 3)
    found = gradient_flow(layer, x, [7, 4, 0])
    assert found["norm"][0] == 1.0 and len(found["norm"]) <= 7 and found["text"]
    shown = hidden_states(layer, x, [7, 4, 0], ["a", "b", "c"])
    assert shown["sequence"] == "a" and len(shown["states"]) == 7


@every_cell
def test_start_values_are_set_in_all_layers(row: CellRow) -> None:
    cell = is_makable(row)
    shapes = {name: weight_named(cell, name).shape for name in cell.recurrent_weights}
    if not shapes:
        with pytest.raises(UsageError, match="recurrent_init is 'orthogonal', and .* names no recurrent weights"):
            layer_of(row, recurrent_init="orthogonal")
    elif all(len(shape) == 2 for shape in shapes.values()):
        layer = layer_of(row, layers(row), recurrent_init="orthogonal")
        for each in layer.cells:
            for name in shapes:
                weight = weight_named(each, name)
                rows = row.hidden if weight.shape[0] % row.hidden == 0 else weight.shape[0]
                for block in weight.split(rows):
                    product = block @ block.T if block.shape[0] <= block.shape[1] else block.T @ block
                    same(product, torch.eye(len(product), dtype=torch.float64))
    if cell.keep_gate is None:
        with pytest.raises(UsageError, match=r"forget_bias is 1.5, and .* has no gate that keeps its state"):
            layer_of(row, forget_bias=1.5)
        return
    layer = layer_of(row, layers(row), forget_bias=1.5)
    for each in layer.cells:
        assert torch.equal(_bias(each, each.keep_gate), torch.full((_size(each),), 1.5, dtype=torch.float64))
    layer = layer_of(row, layers(row), chrono=50)
    for each in layer.cells:
        bias = _bias(each, each.keep_gate)
        assert bool((bias >= 0).all()) and bool((bias <= torch.tensor(49.0).log() + 1e-6).all())
        assert bias.numel() == 1 or bias.unique().numel() > 1
        if each.write_gate is not None:
            same(_bias(each, each.write_gate), -bias)


def _size(cell: Any) -> int:
    return len(weight_named(cell, cell.keep_gate.bias)) // cell.keep_gate.count


def _bias(cell: Any, gate: Any) -> Tensor:
    """The whole bias of a gate, times its sign: of the input and of the recurrent product, where both exist."""
    total = 0.0
    for name in {gate.bias, {"bias_hh": "bias_ih", "bias_ih": "bias_hh"}.get(gate.bias, gate.bias)}:
        bias = getattr(cell, name, None)
        if bias is not None and len(bias) == len(weight_named(cell, gate.bias)):
            size = len(bias) // gate.count
            total = total + bias[gate.index * size : (gate.index + 1) * size].detach()
    return gate.sign * total
