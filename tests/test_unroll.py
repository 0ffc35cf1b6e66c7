"""The time loop: lengths, masks, resets, reading backwards, cells of one's own, transforms, messages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from recurra.cells import GRU, LSTM, Cell, Elman, HiddenState, map_state
from recurra.errors import ShapeError, UsageError
from recurra.unroll import unroll


@pytest.fixture
def cell() -> Cell:
    torch.manual_seed(0)
    return LSTM(3, 4, dtype=torch.float64)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(6, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(a: Any, b: Any) -> None:
    map_state(lambda left, right: torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13), a, b)


def test_a_masked_step_is_as_if_it_were_not_there(cell: Cell, x: Tensor) -> None:
    mask = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0], [1, 1], [0, 1]], dtype=torch.bool)
    holes = torch.where(mask.unsqueeze(-1), x, torch.full_like(x, float("nan")))
    for reverse in (False, True):
        y, final = unroll(cell, holes, mask=mask, reverse=reverse)
        for index in range(2):
            kept = mask[:, index]
            y_kept, final_kept = unroll(cell, x[kept, index : index + 1], reverse=reverse)
            same(y[kept, index : index + 1], y_kept)
            same(map_state(lambda part, index=index: part[index : index + 1], final), final_kept)
            assert bool((y[~kept, index] == 0).all())


def test_mask_and_lengths_combine(cell: Cell, x: Tensor) -> None:
    mask = torch.ones(6, 2, dtype=torch.bool)
    mask[1, 0] = False
    both = mask.clone()
    both[4:, 0] = False
    same(unroll(cell, x, mask=mask, lengths=[4, 6]), unroll(cell, x, mask=both))


def test_a_reset_begins_anew(cell: Cell, x: Tensor) -> None:
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[2, 0] = reset[0, 1] = True
    start = map_state(lambda part: torch.randn_like(part), cell.initial_state(2))
    y, final = unroll(cell, x, start, reset=reset)
    begun = map_state(lambda part: part[:1], start)
    same(y[:2, :1], unroll(cell, x[:2, :1], begun)[0])
    same(y[2:, :1], unroll(cell, x[2:, :1])[0])
    same((y[:, 1:], map_state(lambda part: part[1:], final)), unroll(cell, x[:, 1:]))


def test_a_reset_read_backwards_stands_before_the_step_in_reading_order(cell: Cell, x: Tensor) -> None:
    reset = torch.zeros(6, 2, dtype=torch.bool)
    reset[3] = True
    y, _ = unroll(cell, x, reset=reset, reverse=True)
    same(y[:4], unroll(cell, x[:4], reverse=True)[0])
    same(y[4:], unroll(cell, x[4:], reverse=True)[0])


def test_a_reset_counts_at_a_masked_step_but_not_past_the_length(cell: Cell, x: Tensor) -> None:
    reset, mask = torch.zeros(6, 2, dtype=torch.bool), torch.ones(6, 2, dtype=torch.bool)
    reset[2], mask[2] = True, False
    y, _ = unroll(cell, x, reset=reset, mask=mask)
    same(y[3:], unroll(cell, x[3:])[0])
    reset[5] = True
    same(unroll(cell, x, reset=reset, lengths=[2, 2]), unroll(cell, x, lengths=[2, 2]))


def test_reverse_is_the_flipped_sequence(cell: Cell, x: Tensor) -> None:
    y, final = unroll(cell, x, reverse=True)
    flipped, final_flipped = unroll(cell, x.flip(0))
    same((y, final), (flipped.flip(0), final_flipped))


def test_padding_that_overflows_reaches_no_gradient() -> None:
    cell = GRU(2, 3)
    for junk in (float("nan"), float("inf"), -float("inf")):
        x = torch.ones(4, 2, 2)
        x[2:, 1] = junk
        x.requires_grad_()
        y, state = unroll(cell, x, lengths=[4, 2])
        (y.sum() + state.h.sum()).backward()
        assert all(bool(torch.isfinite(weight.grad).all()) for weight in cell.parameters())
        assert bool((x.grad[2:, 1] == 0).all())
        cell.zero_grad()


def test_a_cell_may_define_the_whole_step(x: Tensor) -> None:
    class Whole(Cell):
        def __init__(self) -> None:
            super().__init__(3, 4)
            self.inner = Elman(3, 4, dtype=torch.float64)

        def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> Any:
            return self.inner.initial_state(batch_size, dtype=dtype, device=device)

        def forward(self, x: Tensor, state: Any) -> Any:
            return self.inner(x, state)

    whole = Whole()
    same(unroll(whole, x), unroll(whole.inner, x))


def test_a_state_may_be_nested_and_of_any_rank(x: Tensor) -> None:
    class Nested(Cell):
        """A cell made of two cells, that also counts and keeps a matrix."""

        def __init__(self) -> None:
            super().__init__(3, 4)
            self.low, self.high = LSTM(3, 5, dtype=torch.float64), GRU(5, 4, dtype=torch.float64)

        def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> Any:
            make = {"dtype": dtype, "device": device}
            matrix = torch.zeros(batch_size, 2, 2, **make)
            count = torch.zeros(batch_size, dtype=torch.long, device=device)
            return ((self.low.initial_state(batch_size, **make), matrix), self.high.initial_state(batch_size), count)

        def advance(self, projected: Tensor, state: Any) -> Any:
            (low, matrix), high, count = state
            y, low = self.low(projected, low)
            y, high = self.high(y, high)
            return y, ((low, matrix + y[:, :2, None]), high, count + 1)

    cell = Nested()
    y, (_, _, count) = unroll(cell, x, lengths=[6, 2])
    assert count.tolist() == [6, 2]
    first, state = unroll(cell, x[:3], lengths=[3, 2])
    second, state = unroll(cell, x[3:], state, lengths=[3, 0])
    same(torch.cat([first, second]), y)
    with pytest.raises(ShapeError, match=r"state\[0\]\[0\]\.c has shape \(9, 5\)\. Needed: \(2, 5\)"):
        broken = cell.initial_state(2, dtype=torch.float64)
        unroll(cell, x, ((broken[0][0]._replace(c=torch.zeros(9, 5)), broken[0][1]), *broken[1:]))


def test_a_cell_that_defines_no_step_says_so() -> None:
    class Empty(Cell):
        def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> Any:
            return HiddenState(torch.zeros(batch_size, self.hidden_size))

    with pytest.raises(NotImplementedError, match=r"Empty needs forward\(x, state\) or advance"):
        unroll(Empty(2, 2), torch.zeros(1, 1, 2))
    assert torch.equal(Cell(2, 2).initial_state(1).h, torch.zeros(1, 2))


def test_gradients_of_single_sequences_by_vmap(cell: Cell, x: Tensor) -> None:
    weights = {name: weight.detach() for name, weight in cell.named_parameters()}
    lengths = torch.tensor([6, 3])

    def loss(weights: Any, x: Tensor, length: Tensor) -> Tensor:
        projected = torch.func.functional_call(
            _Unrolled(cell), {f"cell.{k}": v for k, v in weights.items()}, (x, length)
        )
        return projected.square().sum()

    found = vmap(grad(loss), in_dims=(None, 1, 0))(weights, x.unsqueeze(2), lengths)
    for index in range(2):
        cell.zero_grad()
        unroll(cell, x[:, index : index + 1], lengths=lengths[index : index + 1])[0].square().sum().backward()
        for name, weight in cell.named_parameters():
            torch.testing.assert_close(found[name][index], weight.grad, rtol=1e-12, atol=1e-13)


class _Unrolled(torch.nn.Module):
    def __init__(self, cell: Cell):
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        return unroll(self.cell, x, lengths=length.reshape(1))[0]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"lengths": [1, 2, 3]}, ShapeError, r"unroll: lengths has shape \(3,\). Needed: \(2,\), that is \(batch,\)"),
        ({"lengths": [1.0, 2.0]}, ShapeError, "lengths is torch.float32. Needed: whole numbers. Cure: lengths.long"),
        ({"lengths": ["a", None]}, ShapeError, r"lengths is \['a', None\]. Needed: \(2,\) whole numbers"),
        ({"lengths": [7, 2]}, UsageError, "lengths holds 7. Needed: whole numbers from 0 to 6"),
        ({"lengths": [3, -1]}, UsageError, "lengths holds -1. Needed: whole numbers from 0 to 6"),
        ({"mask": torch.ones(2, 6).bool()}, ShapeError, r"mask has shape \(2, 6\). Needed: \(6, 2\) of booleans"),
        ({"mask": torch.ones(6, 2)}, ShapeError, r"mask is torch.float32. Needed: .* Cure: mask.bool\(\)"),
        ({"reset": [True]}, ShapeError, "reset is list. Needed"),
        ({"state": torch.zeros(2, 4)}, ShapeError, r"state is Tensor. Needed: a tuple of \(h, c\)"),
        ({"state": (torch.zeros(2, 4), None)}, ShapeError, r"state.c is NoneType. Needed: a tensor \(2, 4\)"),
    ],
)
def test_messages(cell: Cell, x: Tensor, arguments: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        unroll(cell, x, **arguments)


def test_messages_about_x(cell: Cell) -> None:
    with pytest.raises(ShapeError, match=r"x has shape \(6, 3\), 2 dimensions. Needed: \(time, batch, 3\)"):
        unroll(cell, torch.zeros(6, 3, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"x is list. Needed: a tensor \(time, batch, 3\)"):
        unroll(cell, [1.0])  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"x is torch.int64. Needed: torch.float64 as the weights are. Cure: x.to"):
        unroll(cell, torch.zeros(6, 2, 3, dtype=torch.long))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LSTM(0, 4), "LSTM: input_size is 0. Needed: a positive whole number"),
        (lambda: GRU(3, 2.5), "GRU: hidden_size is 2.5. Needed: a positive whole number"),  # type: ignore[arg-type]
        (lambda: LSTM(3, 4, proj_size=4), "LSTM: proj_size is 4. Needed: a whole number from 0 .* smaller than hidden"),
        (lambda: Elman(3, 4, nonlinearity="sigmoid"), "Elman: nonlinearity is 'sigmoid'. Needed: 'tanh' or 'relu'"),
    ],
)
def test_messages_of_constructors(build: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build()
