"""What the papers say of networks whose parts run at several rates, fixed or found by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import jacrev

from recurra.cells import Elman
from recurra.cells.clockwork import ClockState, ClockworkRNN
from recurra.cells.hierarchical import HierarchicalRNN
from recurra.cells.hm_rnn import HMLSTM, HMLSTMState
from recurra.errors import UsageError
from recurra.unroll import unroll

DOUBLE: Any = {"dtype": torch.float64}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-a))


def changes(cell: Any, x: Tensor, units: slice) -> list[int]:
    """The steps, counted from 0, at which these units change."""
    _, _, states = unroll(cell, x, all_states=True)
    h = torch.cat([torch.zeros_like(states.h[:1]), states.h])[:, 0, units]
    return [t for t in range(len(x)) if bool((h[t + 1] != h[t]).any())]


@pytest.mark.parametrize("kind", [ClockworkRNN, HierarchicalRNN])
def test_one_part_at_every_step_is_elmans_network(kind: Any) -> None:
    torch.manual_seed(0)
    cell, elman = kind(3, 4, periods=(1,), **DOUBLE), Elman(3, 4, **DOUBLE)
    weights = {name: weight.detach() for name, weight in cell.named_parameters()}
    elman.load_state_dict({**weights, "bias_hh": torch.zeros(4, **DOUBLE)})
    x = draw(6, 2, 3)
    close(unroll(cell, x)[0], unroll(elman, x)[0])


def test_clockwork_modules_change_at_multiples_of_their_periods() -> None:
    torch.manual_seed(0)
    cell, x = ClockworkRNN(2, 7, periods=(1, 3, 4), **DOUBLE), draw(26, 1, 2)
    assert cell.unit_periods.tolist() == [1.0, 1.0, 1.0, 3.0, 3.0, 4.0, 4.0]
    assert changes(cell, x, slice(0, 3)) == list(range(26))
    assert changes(cell, x, slice(3, 5)) == list(range(0, 26, 3))
    assert changes(cell, x, slice(5, 7)) == list(range(0, 26, 4))


def test_fast_clockwork_modules_reach_no_slow_one() -> None:
    torch.manual_seed(0)
    cell = ClockworkRNN(2, 5, periods=(1, 2), **DOUBLE)

    def step(h: Tensor) -> Tensor:
        return cell(draw(1, 2), ClockState(h, torch.zeros(1, 1, **DOUBLE)))[0][0]

    jacobian = jacrev(step)(draw(1, 5, seed=1))[:, 0]
    assert (
        bool((jacobian[3:, :3] == 0).all()) and bool((jacobian[:3] != 0).all()) and bool((jacobian[3:, 3:] != 0).all())
    )


def test_hierarchical_levels_change_at_the_ends_of_their_periods() -> None:
    torch.manual_seed(0)
    cell, x = HierarchicalRNN(2, 6, periods=(1, 2, 6), **DOUBLE), draw(20, 1, 2)
    assert changes(cell, x, slice(0, 2)) == list(range(20))
    assert changes(cell, x, slice(2, 4)) == list(range(1, 20, 2))
    assert changes(cell, x, slice(4, 6)) == list(range(5, 20, 6))


def test_a_higher_level_sees_the_input_through_the_level_below_alone() -> None:
    torch.manual_seed(0)
    cell, x = HierarchicalRNN(2, 4, periods=(1, 2), top_down=False, **DOUBLE), draw(8, 1, 2)
    with torch.no_grad():
        cell.weight_up_2.zero_()
    y, other = unroll(cell, x)[0], unroll(cell, -x)[0]
    assert bool((y[..., :2] != other[..., :2]).all())
    assert torch.equal(y[..., 2:], other[..., 2:])


def boundaries_at(cell: HMLSTM, place: int, value: float) -> None:
    """Set the bias of one level's detector so high or so low that nothing else counts."""
    assert cell.bias_ih is not None
    with torch.no_grad():
        cell.bias_ih[sum(cell.rows[: place + 1]) - 1] = value


def test_without_boundaries_the_first_level_is_an_lstm_and_the_others_rest() -> None:
    torch.manual_seed(0)
    cell, x = HMLSTM(3, 4, levels=3, **DOUBLE), draw(6, 2, 3)
    boundaries_at(cell, 0, -100.0)
    boundaries_at(cell, 1, -100.0)
    _, state, states = unroll(cell, x, all_states=True)
    assert not states.z.any() and not state.h[:, 4:].any() and not state.c[:, 4:].any()
    w_x, w_h = cell.weight_ih[:16].detach().numpy(), cell.weight_hh[:16].detach().numpy()
    assert cell.bias_ih is not None
    b = cell.bias_ih[:16].detach().numpy()
    h = c = np.zeros((2, 4))
    for x_t in x.numpy():
        f, i, o, g = np.split(x_t @ w_x.T + h @ w_h.T + b, 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    np.testing.assert_allclose(state.h[:, :4].detach(), h, rtol=1e-12)


def test_a_flushed_level_forgets_its_memory_and_one_that_copies_keeps_all() -> None:
    torch.manual_seed(0)
    cell = HMLSTM(3, 4, levels=2, **DOUBLE)
    boundaries_at(cell, 0, -100.0)
    h, c, x = draw(2, 8), draw(2, 8, seed=1), draw(2, 3, seed=2)
    ended = torch.tensor([[1.0], [0.0]], **DOUBLE)
    after, other = cell(x, HMLSTMState(h, c, ended))[1], cell(x, HMLSTMState(h, c + 5.0, ended))[1]
    # The first sequence's segment has ended: its first level starts anew. Nothing came up: the second level copies.
    assert torch.equal(after.c[0, :4], other.c[0, :4])
    assert bool((after.c[1, :4] != other.c[1, :4]).all())
    assert torch.equal(after.h[:, 4:], h[:, 4:]) and torch.equal(after.c[:, 4:], c[:, 4:])


def test_a_level_is_read_where_the_one_below_ends_a_segment() -> None:
    torch.manual_seed(0)
    cell, x = HMLSTM(2, 3, levels=3, slope=3.0, **DOUBLE), 3.0 * draw(60, 1, 2)
    _, _, states = unroll(cell, x, all_states=True)
    z = states.z[:, 0]
    assert set(z.unique().tolist()) == {0.0, 1.0}
    c = torch.cat([torch.zeros_like(states.c[:1]), states.c])[:, 0].unflatten(-1, (3, 3))
    moved = (c[1:] != c[:-1]).any(-1)
    before = torch.cat([torch.zeros_like(z[:1]), z[:-1]])
    assert bool(moved[:, 0].all())
    assert torch.equal(moved[:, 1], (z[:, 0] == 1) | (before[:, 1] == 1))
    assert torch.equal(moved[:, 2], z[:, 1] == 1)


def hm_loss(w: dict[str, np.ndarray], x: np.ndarray, slope: float, seen: list[Any], record: bool) -> float:
    """A loss of a two-level network in which each detector's z is z0 + (z~ - z~0), z0 and z~0 those recorded before.

    Its derivative where it was recorded is the straight-through gradient: that of z~ where z stands.
    """
    n = len(w["weight_out"])
    first = 4 * n + 1
    h1 = c1 = h2 = c2 = np.zeros((x.shape[1], n))
    z, loss = np.zeros((x.shape[1], 1)), 0.0
    for t, x_t in enumerate(x):
        total = h1 @ w["weight_hh"][:first].T + z * (h2 @ w["weight_down"].T) + x_t @ w["weight_ih"].T
        total = total + w["bias_ih"][:first]
        f, i, o, g = np.split(total[:, :-1], 4, 1)
        c1 = (1 - z) * sigmoid(f) * c1 + sigmoid(i) * np.tanh(g)
        h1 = sigmoid(o) * np.tanh(c1)
        soft = np.clip((slope * total[:, -1:] + 1) / 2, 0, 1)
        if record:
            seen.append(((soft > 0.5).astype(float), soft))
        z = seen[t][0] + soft - seen[t][1]
        total = h2 @ w["weight_hh"][first:].T + z * (h1 @ w["weight_up"].T) + w["bias_ih"][first:]
        f, i, o, g = np.split(total, 4, 1)
        read = sigmoid(f) * c2 + sigmoid(i) * np.tanh(g)
        c2 = z * read + (1 - z) * c2
        h2 = z * (sigmoid(o) * np.tanh(c2)) + (1 - z) * h2
        gates = sigmoid(np.concatenate([h1, h2], 1) @ w["weight_gate"].T)
        y = gates[:, :1] * (h1 @ w["weight_out"][:, :n].T) + gates[:, 1:] * (h2 @ w["weight_out"][:, n:].T)
        loss += float((np.maximum(y, 0.0) ** 2).sum())
    return loss + float((h2 * np.arange(1, n + 1)).sum())


@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_the_straight_through_gradient_is_that_of_the_hard_sigmoid(slope: float) -> None:
    torch.manual_seed(1)
    cell, x = HMLSTM(2, 3, levels=2, slope=slope, **DOUBLE), draw(6, 2, 2)
    y, state = unroll(cell, x)
    loss = y.square().sum() + (state.h[:, 3:] * torch.arange(1, 4)).sum()
    loss.backward()
    weights = {name: weight.detach().numpy().copy() for name, weight in cell.named_parameters()}
    seen: list[Any] = []
    assert hm_loss(weights, x.numpy(), slope, seen, record=True) == pytest.approx(loss.item(), rel=1e-12)
    assert 0 < np.mean([hard for hard, _ in seen]) < 1
    assert any(((soft > 0) & (soft < 1)).any() for _, soft in seen)
    for name, weight in cell.named_parameters():
        assert weight.grad is not None
        values, wanted = weights[name], np.zeros_like(weights[name])
        for index in np.ndindex(values.shape):
            kept = values[index]
            values[index] = kept + 1e-6
            above = hm_loss(weights, x.numpy(), slope, seen, record=False)
            values[index] = kept - 1e-6
            wanted[index] = (above - hm_loss(weights, x.numpy(), slope, seen, record=False)) / 2e-6
            values[index] = kept
        np.testing.assert_allclose(weight.grad, wanted, rtol=1e-6, atol=1e-8, err_msg=name)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ClockworkRNN(3, 4, periods=(1, 1)),
            "ClockworkRNN: periods is (1, 1). Needed: whole numbers that grow, such as (1, 2, 4), at most one for each "
            "of the 4 hidden units.",
        ),
        (
            lambda: ClockworkRNN(3, 2, periods=(1, 2, 4)),
            "ClockworkRNN: periods is (1, 2, 4). Needed: whole numbers that grow, such as (1, 2, 4), at most one for "
            "each of the 2 hidden units.",
        ),
        (
            lambda: ClockworkRNN(3, 4, periods=(9973, 9974)),
            "ClockworkRNN: periods is (9973, 9974), with the least common multiple 99470702. Needed: one of at most "
            "16777216, up to which the clock is exact in float32.",
        ),
        (
            lambda: HierarchicalRNN(3, 4, periods=(2, 3)),
            "HierarchicalRNN: periods is (2, 3). Needed: each a multiple of the one before: (1, 2, 4).",
        ),
        (lambda: HMLSTM(3, 4, levels=1), "HMLSTM: levels is 1. Needed: a whole number of levels, at least 2."),
        (lambda: HMLSTM(3, 4, slope=0), "HMLSTM: slope is 0. Needed: a positive number."),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == message


def test_the_number_of_parts_follows_small_sizes() -> None:
    assert ClockworkRNN(1, 1).periods == (1,) and ClockworkRNN(1, 3).periods == (1, 2, 4)
    assert HierarchicalRNN(1, 2).periods == (1, 2) and HierarchicalRNN(1, 9).sizes == [3, 3, 3]
