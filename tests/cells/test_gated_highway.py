"""Highway-like, additive and composed gated cells: the equalities, limits and invariants that their papers state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.elman import Elman
from recurra.cells.fast_slow import FastSlow, FastSlowState
from recurra.cells.intersection_rnn import IntersectionRNN
from recurra.cells.ran import RAN
from recurra.cells.rhn import RHN
from recurra.cells.state import HiddenState, state_tensors
from recurra.cells.ugrnn import UGRNN
from recurra.errors import UsageError
from recurra.nn import Recurrent
from recurra.unroll import unroll


def made(kind: type[Cell], *sizes: int, **arguments: Any) -> Any:
    return kind(*sizes, dtype=torch.float64, **arguments)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Any, b: Any) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13)


def test_a_highway_of_depth_one_is_the_update_gate_network() -> None:
    torch.manual_seed(0)
    cell, other, x = made(RHN, 3, 5, depth=1), made(UGRNN, 3, 5), normal(9, 2, 3)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            getattr(other, name).copy_(getattr(cell, name))
            getattr(other, name)[5:] *= -1.0  # the transform gate lets new values in, the update gate keeps old ones
    close(unroll(cell, x), unroll(other, x))


def test_a_carry_gate_that_mirrors_the_transform_gate_is_the_coupled_highway() -> None:
    torch.manual_seed(0)
    cell, other, x = made(RHN, 3, 5, depth=2), made(RHN, 3, 5, depth=2, coupled=False), normal(9, 2, 3)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            new, transform = getattr(cell, name).chunk(2)
            getattr(other, name).copy_(torch.cat([new, transform, -transform]))
    close(unroll(cell, x), unroll(other, x))


def test_an_open_transform_gate_makes_a_plain_network_with_a_deep_transition() -> None:
    torch.manual_seed(0)
    cell, x = made(RHN, 3, 5, depth=3), normal(6, 2, 3)
    with torch.no_grad():
        cell.bias_ih[15:] = 60.0
    h = torch.zeros(2, 5, dtype=torch.float64)
    for t, x_t in enumerate(x):
        for layer in range(3):
            rows = slice(5 * layer, 5 * layer + 5)
            from_x = x_t @ cell.weight_ih[:5].T if layer == 0 else 0.0
            h = torch.tanh(h @ cell.weight_hh[rows].T + cell.bias_ih[rows] + from_x)
        close(unroll(cell, x[: t + 1])[0][-1], h)
    shallow, elman = made(RHN, 3, 5, depth=1), made(Elman, 3, 5)
    with torch.no_grad():
        shallow.bias_ih[5:] = 60.0
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            getattr(elman, name).copy_(getattr(shallow, name)[:5])
        elman.bias_hh.zero_()
    close(unroll(shallow, x), unroll(elman, x))


def test_transform_gates_begin_shut_at_every_depth() -> None:
    for cell in (RHN(3, 5, depth=4), RHN(3, 5, depth=4, coupled=False)):
        assert cell.bias_ih is not None
        assert bool((cell.bias_ih[20:40] == -2.0).all()) and not bool((cell.bias_ih[:20] == -2.0).any())


@pytest.mark.parametrize("squash", ["tanh", "identity"])
def test_additive_memory_cells_are_sums_of_inputs_weighed_by_gates(squash: str) -> None:
    torch.manual_seed(0)
    cell, x = made(RAN, 3, 5, squash=squash), normal(8, 2, 3)
    y, state = unroll(cell, x)
    content = x @ cell.weight_ih[10:].T
    last = torch.cat([torch.zeros_like(y[:1]), y[:-1]])
    gates = torch.sigmoid(x @ cell.weight_ih[:10].T + last @ cell.weight_hh.T + cell.bias_ih)
    i, f = gates.chunk(2, -1)
    total = torch.zeros(2, 5, dtype=torch.float64)
    for j in range(8):
        total = total + i[j] * f[j + 1 :].prod(0) * content[j]
    close(state.c, total)


def test_along_time_the_intersection_network_is_the_update_gate_network() -> None:
    torch.manual_seed(0)
    cell, other, x = made(IntersectionRNN, 5, 5), made(UGRNN, 5, 5), normal(9, 2, 5)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            parts = getattr(cell, name).chunk(4)
            getattr(other, name).copy_(torch.cat([parts[1], parts[3]]))
    close(unroll(cell, x)[1], unroll(other, x)[1])


def test_an_open_gate_in_depth_passes_the_input_through_any_number_of_layers() -> None:
    torch.manual_seed(0)
    x = normal(6, 2, 4)
    y = x
    for _ in range(5):
        cell = made(IntersectionRNN, 4, 4)
        with torch.no_grad():
            cell.bias_ih[8:12] = 60.0
        y, _ = unroll(cell, y)
    close(y, x)
    with torch.no_grad():
        cell.bias_ih[8:12] = -60.0
    assert bool((unroll(cell, x)[0] > -1e-20).all())  # the new output alone, which is rectified


def torch_cell(weights: Any) -> nn.LSTMCell:
    cell = nn.LSTMCell(weights.input_size, weights.hidden_size, dtype=torch.float64)
    cell.load_state_dict(weights.state_dict())
    return cell


@pytest.mark.parametrize("fast_layers", [2, 4])
def test_fast_slow_is_the_plain_composition_of_its_cells(fast_layers: int) -> None:
    torch.manual_seed(0)
    cell, x = made(FastSlow, 3, 5, fast_layers=fast_layers, slow_size=4), normal(6, 2, 3)
    fast, slow = [torch_cell(part) for part in cell.fast], torch_cell(cell.slow)
    state = torch.zeros(2, 5, dtype=torch.float64), torch.zeros(2, 5, dtype=torch.float64)
    slow_state = torch.zeros(2, 4, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64)
    y, final = unroll(cell, x)
    for t, x_t in enumerate(x):
        state = fast[0](x_t, state)
        slow_state = slow(state[0], slow_state)
        state = fast[1](slow_state[0], state)
        for other in fast[2:]:
            state = other(torch.zeros(2, 1, dtype=torch.float64), state)
        close(y[t], state[0])
    close(final, FastSlowState(state, slow_state))


def test_the_slow_cell_sees_the_input_through_the_first_fast_cell_alone() -> None:
    torch.manual_seed(0)
    cell, x = made(FastSlow, 3, 5), normal(1, 2, 3)
    slow = unroll(cell, x)[1].slow
    with torch.no_grad():
        for weight in cell.fast[1].parameters():
            weight.zero_()
    close(unroll(cell, x)[1].slow, slow)  # the second fast cell comes after it


class Sum(Cell):
    """A user's own cell."""

    recurrent_weights = ()

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size)
        self.weight = nn.Parameter(torch.ones(hidden_size, input_size, device=device, dtype=dtype))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def forward(self, x: Tensor, state: HiddenState, dt: Any = None) -> tuple[Tensor, HiddenState]:
        h = state.h + x @ self.weight.T
        return h, HiddenState(h)


def test_fast_slow_takes_cells_of_ones_own() -> None:
    cell = made(FastSlow, 1, 1, fast=Sum, slow=Sum)
    y, state = unroll(cell, torch.ones(3, 1, 1, dtype=torch.float64))
    # F' = F + x, S = S + F', F = F' + S: 1, 1, 2; 3, 4, 7; 8, 12, 20.
    assert y.flatten().tolist() == [2.0, 7.0, 20.0] and state.slow.h.item() == 12.0
    with torch.no_grad():
        cell.slow.weight.zero_()
    assert unroll(cell, torch.ones(3, 1, 1, dtype=torch.float64))[0].flatten().tolist() == [1.0, 2.0, 3.0]


def test_dropouts_of_a_layer_reach_the_cells_within() -> None:
    torch.manual_seed(0)
    for option in ({"recurrent_dropout": 0.5}, {"weight_drop": 0.5}, {"recurrent_init": "orthogonal"}):
        layer = Recurrent("fast_slow", 3, 5, dtype=torch.float64, **option)
        x = normal(4, 2, 3)
        same = torch.equal(layer(x)[0], layer(x)[0])
        assert same == ("recurrent_init" in option)
        layer.eval()
        assert torch.equal(layer(x)[0], layer(x)[0])
    for cell in layer.modules():
        if isinstance(cell, FastSlow):
            for name in ("fast.0", "fast.1", "slow"):
                block = cell.get_submodule(name).weight_hh[:5].detach()  # type: ignore[index]
                close(block @ block.T, torch.eye(5, dtype=torch.float64))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (RHN, {"depth": 0}, "depth is 0. Needed: a positive whole number"),
        (RAN, {"squash": "relu"}, "squash is 'relu'. Needed: 'tanh' or 'identity'"),
        (FastSlow, {"fast_layers": 1}, "fast_layers is 1. Needed: a whole number of at least 2"),
        (FastSlow, {"slow_size": 0}, "slow_size is 0. Needed: a positive whole number"),
        (FastSlow, {"fast": "rntn"}, "fast is 'rntn', which does not run along time. Needed: the name of a cell for"),
        (FastSlow, {"fast": "narx"}, "fast is NARX, whose state depends on how many features it reads. Needed: a cell"),
        (FastSlow, {"fast": nn.Linear}, "fast is Linear. Needed: the name of a cell for sequences, or a class derived"),
        (FastSlow, {"slow": 3}, "slow is int. Needed: the name of a cell for sequences, or a class derived from Cell"),
    ],
)
def test_bad_arguments_are_named(kind: type[Cell], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind(3, 5, **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{kind.__name__}: {message}")


def test_an_unknown_name_of_a_cell_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="'lstn' is not a cell.*lstm"):
        FastSlow(3, 5, fast="lstn")
