"""Grids: cells of a chain swept, what the calls are, the messages, the layer for grids."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recurra.cells import GRU, LSTM, map_state
from recurra.cells.grids import MDLSTM, MDRNN, MDLeakyLP
from recurra.cells.trees import ChildSumTreeLSTM, NaryTreeLSTM, RecursiveNetwork
from recurra.errors import ShapeError, UsageError
from recurra.nn.grid import Grid
from recurra.sweep import sweep
from recurra.unroll import unroll


def same(a: Any, b: Any) -> None:
    map_state(lambda left, right: torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13), a, b)


class TestSweep:
    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("kind", [LSTM, GRU])
    def test_one_dimension_is_the_chain(self, kind: Any, reverse: bool) -> None:
        torch.manual_seed(0)
        cell, lengths = kind(3, 4, dtype=torch.float64), torch.tensor([6, 0, 4])
        x = torch.randn(6, 3, 3, dtype=torch.float64)
        y, final = unroll(cell, x, lengths=lengths, reverse=reverse)
        swept = sweep(cell, x, lengths=lengths.unsqueeze(1), reverse=reverse)
        same((swept.y, swept.last_state), (y, final))

    def test_a_cell_for_trees_runs_over_a_grid(self) -> None:
        x = torch.randn(3, 4, 2, 3)
        assert sweep(NaryTreeLSTM(3, 5), x).y.shape == (3, 4, 2, 5)
        child_sum = ChildSumTreeLSTM(3, 5)
        # It knows no order, and so none of the dimensions.
        turned = sweep(child_sum, x.transpose(0, 1)).y.transpose(0, 1)
        torch.testing.assert_close(sweep(child_sum, x).y, turned)

    @pytest.mark.parametrize("reverse", [False, True])
    def test_the_end_of_a_sample_is_an_edge(self, reverse: bool) -> None:
        """A recursive network tells a point without neighbours from one whose neighbours are zero."""
        cell, x = RecursiveNetwork(3, 4), torch.randn(3, 4, 2, 3)
        swept = sweep(cell, x, lengths=[[2, 3], [3, 1]], reverse=reverse)
        torch.testing.assert_close(swept.y[:2, :3, :1], sweep(cell, x[:2, :3, :1], reverse=reverse).y)
        torch.testing.assert_close(swept.y[:, :1, 1:], sweep(cell, x[:, :1, 1:], reverse=reverse).y)

    def test_one_call_a_diagonal(self) -> None:
        calls: list[int] = []

        class Counting(MDRNN):
            def advance(self, projected: Tensor, states: Any, present: Tensor) -> Any:
                calls.append(projected.shape[0])
                return super().advance(projected, states, present)

        sweep(Counting(3, 4, dimensions=3), torch.zeros(2, 3, 4, 5, 3))
        assert len(calls) == 2 + 3 + 4 - 3 + 1
        assert sum(calls) == 2 * 3 * 4 * 5
        assert [count // 5 for count in calls] == [1, 3, 5, 6, 5, 3, 1]

    def test_each_direction_begins_at_its_corner(self) -> None:
        """What one point changes are the points after it, in the direction that is read."""
        cell = MDLSTM(2, 3, dtype=torch.float64)
        x = torch.randn(4, 5, 1, 2, dtype=torch.float64)
        changed = x.clone()
        changed[2, 1] += 1.0
        for reverse in itertools.product((False, True), repeat=2):
            different = (sweep(cell, x, reverse=reverse).y != sweep(cell, changed, reverse=reverse).y).any(-1)[..., 0]
            rows = torch.arange(4) <= 2 if reverse[0] else torch.arange(4) >= 2
            columns = torch.arange(5) <= 1 if reverse[1] else torch.arange(5) >= 1
            assert torch.equal(different, rows.unsqueeze(1) & columns)

    def test_a_sweep_exports_with_any_batch(self) -> None:
        class Run(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.cell = MDLSTM(2, 3)

            def forward(self, x: Tensor) -> Tensor:
                return sweep(self.cell, x).y

        run, x = Run(), torch.randn(3, 4, 2, 2)
        program = torch.export.export(run, (x,), dynamic_shapes=({2: torch.export.Dim("batch")},))
        other = torch.randn(3, 4, 5, 2)
        torch.testing.assert_close(program.module()(other), run(other))

    @pytest.mark.parametrize(
        ("shape", "words"),
        [
            (
                (3, 4, 3),
                "x has shape (3, 4, 3), 3 dimensions. Needed: (size_1, size_2, batch, 3), as MDRNN is a cell for 2 "
                "dimensions.",
            ),
            (
                (3, 4, 2, 5),
                "x has shape (3, 4, 2, 5). Needed: (size_1, size_2, batch, 3), since input_size is 3. "
                "Cure: give 3 features, or build with input_size=5.",
            ),
        ],
    )
    def test_grids_of_the_wrong_shape(self, shape: tuple[int, ...], words: str) -> None:
        with pytest.raises(ShapeError) as caught:
            sweep(MDRNN(3, 4), torch.zeros(shape))
        assert str(caught.value) == f"sweep: {words}"

    @pytest.mark.parametrize(
        ("lengths", "error", "words"),
        [
            ([[3, 4]], ShapeError, "lengths has shape (1, 2). Needed: (2, 2) whole numbers, that is (batch, d)."),
            ([3, 4], ShapeError, "lengths has shape (2,). Needed: (2, 2) whole numbers, that is (batch, d)."),
            ([[3, 5], [1, 1]], UsageError, "lengths holds 5 for dimension 1. Needed: whole numbers from 0 to 4, the "),
            (
                [[3, 4], [-1, 1]],
                UsageError,
                "lengths holds -1 for dimension 0. Needed: whole numbers from 0 to 3, the ",
            ),
            ([[3.0, 4.0]] * 2, ShapeError, "lengths is torch.float32. Needed: whole numbers. Cure: lengths.long()."),
            ([[3], [3, 4]], ShapeError, "lengths is [[3], [3, 4]]. Needed: (2, 2) whole numbers, that is (batch, d)."),
        ],
    )
    def test_wrong_lengths(self, lengths: Any, error: type[Exception], words: str) -> None:
        with pytest.raises(error) as caught:
            sweep(MDRNN(3, 4), torch.zeros(3, 4, 2, 3), lengths=lengths)
        assert str(caught.value).startswith(f"sweep: {words}")

    def test_other_messages(self) -> None:
        x = torch.zeros(3, 4, 2, 3)
        for reverse in ((True,), (0, 1), "no"):
            with pytest.raises(UsageError) as caught:
                sweep(MDRNN(3, 4), x, reverse=reverse)  # type: ignore[arg-type]
            assert str(caught.value) == (
                f"sweep: reverse is {reverse!r}. Needed: True or False, or 2 of them, one a dimension."
            )
        with pytest.raises(ShapeError, match="sweep: x is list. Needed: a tensor"):
            sweep(MDRNN(3, 4), [0.0])  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match="sweep: x is torch.float64. Needed: torch.float32 as the weights are"):
            sweep(MDRNN(3, 4), x.double())
        with pytest.raises(
            UsageError, match="sweep: cell is Linear. Needed: a cell derived from JoinCell or from Cell"
        ):
            sweep(nn.Linear(3, 4), x)  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match=r"Needed: \(size_1, batch, 3\), as LSTM is a cell for 1 dimension\."):
            sweep(LSTM(3, 4), x)
        with pytest.raises(
            ShapeError, match=r"x has shape \(4, 3\), 2 dimensions. Needed: \(size_1, ..., size_d, batch"
        ):
            sweep(ChildSumTreeLSTM(3, 4), torch.zeros(4, 3))


class TestTheLayer:
    def test_it_is_its_cells_swept(self) -> None:
        torch.manual_seed(0)
        layer = Grid("mdlstm", 3, 4, 2, dimensions=2, dtype=torch.float64)
        assert layer.directions == ((False, False), (False, True), (True, False), (True, True))
        assert layer.output_size == 16
        x, lengths = torch.randn(4, 5, 2, 3, dtype=torch.float64), [[4, 5], [2, 3]]
        y, state = layer(x, lengths=lengths)
        expected, finals = x, []
        for first in (0, 4):
            swept = [
                sweep(layer.cells[first + number], expected, lengths=lengths, reverse=direction)
                for number, direction in enumerate(layer.directions)
            ]
            expected = torch.cat([one.y for one in swept], -1)
            finals += [one.last_state for one in swept]
        same((y, state), (expected, tuple(finals)))
        assert y.shape == (4, 5, 2, 16)

    def test_batch_first_and_no_batch(self) -> None:
        layer = Grid("mdrnn", 3, 4, dimensions=3, directions="forward", dtype=torch.float64)
        x, lengths = torch.randn(2, 3, 4, 2, 3, dtype=torch.float64), torch.tensor([[2, 3, 4], [1, 2, 2]])
        y, state = layer(x, lengths=lengths)
        layer.batch_first = True
        first, same_state = layer(x.movedim(3, 0), lengths=lengths)
        same((first.movedim(0, 3), same_state), (y, state))
        for sample in range(2):
            alone, last = layer(x[..., sample, :], lengths=lengths[sample])
            same((alone, last[0].h), (y[..., sample, :], state[0].h[sample]))
        assert layer(x[..., 0, :], lengths=[2, 1, 1])[0].shape == (2, 3, 4, 4)

    def test_directions_of_ones_own(self) -> None:
        layer = Grid(MDLeakyLP, 3, 4, dimensions=2, directions=[(True, False), [False, True]])
        assert layer.directions == ((True, False), (False, True))
        assert (layer.cell, len(layer.cells), layer.output_size) == ("MDLeakyLP", 2, 8)
        chain = Grid("gru", 3, 4, dimensions=1)
        assert chain(torch.zeros(5, 2, 3))[0].shape == (5, 2, 8)

    def test_gradients_reach_every_weight(self) -> None:
        layer = Grid("md_leaky_lp", 3, 4, 2, dimensions=2)
        layer(torch.randn(3, 3, 2, 3))[0].square().sum().backward()
        assert all(bool(weight.grad.any()) for weight in layer.parameters())

    def test_dropout_acts_between_layers_while_training(self) -> None:
        layer, x = Grid("mdrnn", 3, 8, 2, dropout=0.5), torch.randn(3, 3, 2, 3)
        assert not torch.equal(layer(x)[0], layer(x)[0])
        layer.eval()
        same(layer(x), layer(x))

    def test_saved_weights(self) -> None:
        one, other, x = Grid("mdlstm", 3, 4), Grid("mdlstm", 3, 4), torch.randn(3, 3, 2, 3)
        assert not torch.equal(one(x)[0], other(x)[0])
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(x)[0], other(x)[0])
        one.reset_parameters()
        assert not torch.equal(one(x)[0], other(x)[0])

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"dimensions": 0}, "dimensions is 0. Needed: a positive whole number."),
            ({"num_layers": True}, "num_layers is True. Needed: a positive whole number."),
            ({"dropout": -1}, "dropout is -1. Needed: a number from 0 to 1, the share dropped."),
            (
                {"directions": "both"},
                "directions is 'both'. Needed: 'all', 'forward', or directions of 2 booleans each, none of them twice.",
            ),
            (
                {"directions": [(True,)]},
                "directions holds (True,). Needed: 'all', 'forward', or directions of 2 booleans each, none of them "
                "twice.",
            ),
            (
                {"directions": [(True, False)] * 2},
                "directions holds (True, False). Needed: 'all', 'forward', or directions of 2 booleans each, none of "
                "them twice.",
            ),
            (
                {"peepholes": False},
                "'peepholes' is not an argument of MDLSTM. Needed: one of device, dtype.",
            ),
        ],
    )
    def test_bad_arguments(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageError) as caught:
            Grid("mdlstm", 3, 4, **arguments)
        assert str(caught.value) == f"Grid: {words}"

    def test_messages(self) -> None:
        with pytest.raises(UsageError, match="Grid: dimensions is 2. Needed: 1, as LSTM joins 1."):
            Grid("lstm", 3, 4)
        layer = Grid("mdlstm", 3, 4, batch_first=True)
        with pytest.raises(ShapeError) as caught:
            layer(torch.zeros(2, 5, 5, 5, 3))
        assert str(caught.value) == (
            "Grid: x has shape (2, 5, 5, 5, 3), 5 dimensions. Needed: (batch, size_1, size_2, 3)."
        )
        with pytest.raises(ShapeError, match=r"Needed: \(size_1, size_2, 3\), since input_size is 3"):
            layer(torch.zeros(5, 5, 2))
        with pytest.raises(ShapeError, match="Grid: x is torch.float64"):
            layer(torch.zeros(2, 5, 5, 3).double())


@pytest.mark.slow
def test_a_grid_learns_what_is_above_and_to_the_left() -> None:
    """Whether the points above and left of one, that one included, hold an odd number of ones."""
    torch.manual_seed(0)
    layer, head = Grid("mdlstm", 1, 12, directions="forward"), nn.Linear(12, 1)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.03)

    def draw(size: int, batch: int) -> tuple[Tensor, Tensor]:
        x = (torch.rand(size, size, batch, 1) < 0.3).float()
        return x, x.cumsum(0).cumsum(1) % 2

    for _ in range(200):
        x, wanted = draw(4, 64)
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(head(layer(x)[0]), wanted).backward()
        optimiser.step()
    x, wanted = draw(4, 500)
    with torch.no_grad():
        accuracy = float(((head(layer(x)[0]) > 0) == wanted.bool()).float().mean())
    assert accuracy > 0.95
