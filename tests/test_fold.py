"""Cells of a chain folded, the layer for trees, what it can learn, and the page on trees and grids."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recurra.cells import GRU, LSTM, Cell, HiddenState, map_state
from recurra.cells.trees import ChildSumTreeLSTM, RecursiveNetwork
from recurra.errors import ShapeError, UsageError
from recurra.fold import Forest, JoinCell, fold, read_brackets, read_nested
from recurra.nn.tree import Tree
from recurra.unroll import unroll


def same(a: Any, b: Any) -> None:
    map_state(lambda left, right: torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13), a, b)


class Pair(Cell):
    """A cell of a chain with a nested state, a projection in two parts and a first state that is not zero."""

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.inner = LSTM(3, 4, dtype=torch.float64)
        self.start = nn.Parameter(torch.randn(4, dtype=torch.float64))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> Any:
        return self.inner.initial_state(batch_size), HiddenState(self.start.expand(batch_size, 4))

    def project(self, x: Tensor) -> Any:
        return self.inner.project(x), x.sum(-1, keepdim=True)

    def advance(self, projected: Any, state: Any) -> Any:
        y, inner = self.inner.advance(projected[0], state[0])
        h = torch.tanh(state[1].h + y + projected[1])
        return h, (inner, HiddenState(h))


class TestChains:
    @pytest.mark.parametrize("make", [lambda: LSTM(3, 4, dtype=torch.float64), lambda: GRU(3, 4), Pair])
    def test_a_chain_is_the_tree_that_is_a_line(self, make: Any) -> None:
        torch.manual_seed(0)
        cell = make().double()
        x = torch.randn(6, 1, 3, dtype=torch.float64)
        y, final = unroll(cell, x)
        folded = fold(cell, Forest([(), (0,), (1,), (2,), (3,), (4,)]), x[:, 0])
        same((folded.y, folded.root_y, folded.root_state), (y[:, 0], y[-1], final))

    def test_lines_of_different_lengths(self) -> None:
        cell = LSTM(3, 4, dtype=torch.float64)
        x = torch.randn(5, 3, 3, dtype=torch.float64)
        lengths = [5, 1, 3]
        _, final = unroll(cell, x, lengths=lengths)
        lines = [Forest([(), *((step,) for step in range(length - 1))]) for length in lengths]
        folded = fold(cell, Forest.join(lines), torch.cat([x[:n, k] for k, n in enumerate(lengths)]))
        same(folded.root_state, final)

    def test_a_child_sum_over_a_line_is_the_lstm(self) -> None:
        tree, chain = ChildSumTreeLSTM(3, 4, dtype=torch.float64), LSTM(3, 4, dtype=torch.float64)
        chain.load_state_dict({**tree.state_dict(), "bias_hh": torch.zeros(16, dtype=torch.float64)})
        x = torch.randn(6, 1, 3, dtype=torch.float64)
        line = Forest([(), *((step,) for step in range(5))])
        same(fold(tree, line, x[:, 0]).y, unroll(chain, x)[0][:, 0])

    def test_every_state_is_moved_once_whatever_the_shape(self) -> None:
        tree: Any = "a"
        for _ in range(100):
            tree = (tree, "b")
        forest, moved, select = read_nested(tree).forest, 0, Tensor.index_select

        def counted(self: Tensor, *arguments: Any) -> Tensor:
            nonlocal moved
            moved += self.shape[0]
            return select(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Tensor, "index_select", counted)
            fold(ChildSumTreeLSTM(1, 1), forest, torch.zeros(len(forest), 1))
        # To hold all 101 leaves at each of the 100 levels would be more than 10,000 rows.
        assert moved < 20 * len(forest)

    def test_a_fold_exports_with_its_trees(self) -> None:
        class Run(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.cell = ChildSumTreeLSTM(3, 4)

            def forward(self, x: Tensor) -> Tensor:
                return fold(self.cell, Forest([(1, 2), (), (3,), ()]), x).root_y

        run, other = Run(), torch.randn(4, 3)
        program = torch.export.export(run, (torch.zeros(4, 3),))
        torch.testing.assert_close(program.module()(other), run(other))

    def test_messages(self) -> None:
        cell, forest = LSTM(3, 4), Forest([(1, 2), (), ()])
        with pytest.raises(UsageError) as caught:
            fold(cell, forest, torch.zeros(3, 3))
        assert str(caught.value) == (
            "fold: node 0 has 2 children. Needed: at most 1 a node, as LSTM is a cell of a chain. "
            "Cure: a cell for trees."
        )
        tree = ChildSumTreeLSTM(3, 4)
        with pytest.raises(ShapeError) as shape:
            fold(tree, forest, torch.zeros(2, 3))
        assert str(shape.value) == (
            "fold: x has shape (2, 3). Needed: (3, 3), one row a node. Cure: forest.from_leaves(x)."
        )
        with pytest.raises(ShapeError, match=r"x has shape \(4, 3\). Needed: \(3, 3\), one row a node.$"):
            fold(tree, forest, torch.zeros(4, 3))
        with pytest.raises(
            ShapeError, match=r"fold: x has shape \(3, 2\). Needed: \(nodes, 3\), since input_size is 3"
        ):
            fold(tree, forest, torch.zeros(3, 2))
        with pytest.raises(ShapeError, match="fold: x is torch.float64. Needed: torch.float32 as the weights are"):
            fold(tree, forest, torch.zeros(3, 3).double())
        with pytest.raises(UsageError, match="fold: forest is list. Needed: a recurra.fold.Forest"):
            fold(tree, [(1, 2), (), ()], torch.zeros(3, 3))  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="fold: cell is Linear. Needed: a cell derived from JoinCell or from Cell"):
            fold(nn.Linear(3, 4), forest, torch.zeros(3, 3))  # type: ignore[arg-type]


class TestTheLayer:
    forest, labels, words = read_brackets("(3 (2 a) (1 (2 b) (0 c)))", "(2 d)")

    def test_it_is_its_cells_folded(self) -> None:
        layer = Tree("nary_tree_lstm", 3, 4, 2, max_children=2, dtype=torch.float64)
        x = torch.randn(6, 3, dtype=torch.float64)
        y, state = layer(self.forest, x)
        first = fold(layer.cells[0], self.forest, x)
        second = fold(layer.cells[1], self.forest, first.y)
        same((y, state), (second.y, (first.root_state, second.root_state)))
        assert layer.output_size == 4
        same(self.forest.at_roots(y), state[1].h)

    @pytest.mark.parametrize("absent", ["zeros", "learned"])
    def test_inputs_at_the_leaves(self, absent: str) -> None:
        layer = Tree("child_sum_tree_lstm", 3, 4, inputs="leaves", absent=absent, dtype=torch.float64)
        words = torch.randn(4, 3, dtype=torch.float64)
        if absent == "learned":
            assert not layer.absent.any()
            nn.init.normal_(layer.absent)
        x = torch.zeros(6, 3, dtype=torch.float64) if absent == "zeros" else layer.absent.expand(6, 3).clone()
        x[[1, 3, 4, 5]] = words
        y, _ = layer(self.forest, words)
        same(y, fold(layer.cells[0], self.forest, x).y)
        y.sum().backward()
        assert (layer.absent is not None) == (absent == "learned")
        if layer.absent is not None:
            assert bool(layer.absent.grad.any())
            layer.reset_parameters()
            assert not layer.absent.any()

    def test_cells_by_class_and_cells_of_a_chain(self) -> None:
        class Mean(JoinCell):
            def __init__(self, input_size: int, hidden_size: int, factor: float = 0.5):
                super().__init__(input_size, hidden_size, None)
                self.factor = factor

            def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> HiddenState:
                return HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device))

            def advance(self, projected: Tensor, states: HiddenState, present: Tensor) -> Any:
                h = projected + self.factor * states.h.sum(1) / present.sum(1, keepdim=True).clamp(min=1)
                return h, HiddenState(h)

        y, _ = Tree(Mean, 1, 1, factor=2.0)(Forest([(1, 2), (), ()]), torch.tensor([[1.0], [2.0], [4.0]]))
        assert y.tolist() == [[7.0], [2.0], [4.0]]
        assert Tree("lstm", 3, 4)(Forest([(1,), ()]), torch.zeros(2, 3))[0].shape == (2, 4)
        assert Tree(RecursiveNetwork, 3, 4).cell == "RecursiveNetwork"

    def test_dropout_acts_between_layers_while_training(self) -> None:
        torch.manual_seed(0)
        layer = Tree("recursive", 3, 8, 2, dropout=0.5)
        x = torch.randn(6, 3)
        assert not torch.equal(layer(self.forest, x)[0], layer(self.forest, x)[0])
        layer.eval()
        same(layer(self.forest, x), layer(self.forest, x))

    def test_saved_weights(self) -> None:
        one, other = (Tree("rntn", 3, 4, inputs="leaves", absent="learned") for _ in range(2))
        x = torch.randn(4, 3)
        assert not torch.equal(one(self.forest, x)[0], other(self.forest, x)[0])
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(self.forest, x)[0], other(self.forest, x)[0])
        one.reset_parameters()
        assert not torch.equal(one(self.forest, x)[0], other(self.forest, x)[0])

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"num_layers": 0}, "num_layers is 0. Needed: a positive whole number."),
            ({"dropout": 2}, "dropout is 2. Needed: a number from 0 to 1, the share dropped."),
            ({"inputs": "words"}, "inputs is 'words'. Needed: 'nodes' or 'leaves'."),
            ({"absent": "one"}, "absent is 'one'. Needed: 'zeros' or 'learned'."),
            (
                {"absent": "learned"},
                "absent is 'learned' with inputs='nodes'. "
                "Needed: inputs='leaves', since no node lacks an input otherwise.",
            ),
            (
                {"max_childs": 3},
                "'max_childs' is not an argument of NaryTreeLSTM. Needed: one of max_children, device, dtype. "
                "Cure: did you mean 'max_children'?",
            ),
        ],
    )
    def test_bad_arguments(self, arguments: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageError) as caught:
            Tree("nary_tree_lstm", 3, 4, **arguments)
        assert str(caught.value) == f"Tree: {words}"

    def test_messages(self) -> None:
        with pytest.raises(UsageError, match="'nary_tree' is not a cell"):
            Tree("nary_tree", 3, 4)
        with pytest.raises(UsageError, match="Tree: cell is 5. Needed: a registered name or a class derived from"):
            Tree(5, 3, 4)  # type: ignore[arg-type]
        layer = Tree("recursive", 3, 4, inputs="leaves")
        with pytest.raises(ShapeError) as caught:
            layer(self.forest, torch.zeros(6, 3))
        assert str(caught.value) == (
            "Tree: x has shape (6, 3). Needed: (4, 3), that is (leaves, features). Cure: build with inputs='nodes'."
        )
        with pytest.raises(ShapeError, match=r"Needed: \(6, 3\), that is \(nodes, features\). Cure: .*'leaves'"):
            Tree("recursive", 3, 4)(self.forest, torch.zeros(4, 3))
        with pytest.raises(
            ShapeError, match=r"Tree: x has shape \(4, 2\). Needed: \(leaves, 3\), since input_size is 3"
        ):
            layer(self.forest, torch.zeros(4, 2))
        with pytest.raises(UsageError, match="Tree: forest is str"):
            layer("(1 a)", torch.zeros(1, 3))


SIGNS = ("0", "1", "and", "or", "xor")


def expression(chance: random.Random, depth: int) -> Any:
    """A random Boolean expression as nested (left, operation, right)."""
    if not depth or chance.random() < 0.2:
        return chance.choice(SIGNS[:2])
    return expression(chance, depth - 1), chance.choice(SIGNS[2:]), expression(chance, depth - 1)


def value(part: Any) -> int:
    if isinstance(part, str):
        return int(part)
    left, operation, right = value(part[0]), part[1], value(part[2])
    return {"and": left & right, "or": left | right, "xor": left ^ right}[operation]


@pytest.mark.slow
def test_a_tree_lstm_evaluates_expressions_that_no_bag_of_words_can() -> None:
    chance = random.Random(0)
    torch.manual_seed(0)
    layer = Tree("nary_tree_lstm", 5, 16, inputs="leaves", max_children=3)
    head = nn.Linear(16, 1)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.05)

    def read(count: int) -> tuple[Forest, Tensor, Tensor]:
        trees = [expression(chance, 3) for _ in range(count)]
        forest, _, words = read_nested(*trees)
        one_hot = nn.functional.one_hot(torch.tensor([SIGNS.index(word) for word in words]), 5).float()
        return forest, one_hot, torch.tensor([float(value(tree)) for tree in trees])

    def logits(forest: Forest, words: Tensor) -> Tensor:
        return head(forest.at_roots(layer(forest, words)[0])).squeeze(-1)

    forest, words, wanted = read(500)
    for _ in range(50):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(logits(forest, words), wanted).backward()
        optimiser.step()
    forest, words, wanted = read(500)
    with torch.no_grad():
        accuracy = float(((logits(forest, words) > 0) == wanted.bool()).float().mean())

    # No rule that sees a bag of words alone does better than the commoner value of each bag, known in advance.
    bags: dict[Any, Counter[int]] = defaultdict(Counter)
    for _ in range(10000):
        tree = expression(chance, 3)
        bags[tuple(sorted(read_nested(tree).words))][value(tree)] += 1
    bound = sum(max(counts.values()) for counts in bags.values()) / 10000
    assert bound < 0.9
    assert accuracy > 0.97


PAGE = (Path(__file__).parents[1] / "docs" / "trees_and_grids.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_page_runs(number: int) -> None:
    space: dict[str, Any] = {"__name__": "page"}
    exec(compile(BLOCKS[number], f"docs/trees_and_grids.md block {number}", "exec"), space)
    assert "y" in space


def test_the_page_lists_the_table() -> None:
    from recurra.cells.rows import grids, trees

    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert rows == [(row.name, row.summary, row.reference) for row in (*trees.ROWS, *grids.ROWS)]
