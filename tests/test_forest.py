"""Forests, and the readers of trees."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import ShapeError, UsageError
from recurra.fold import Forest, read_brackets, read_nested


class TestForest:
    def test_children_and_parents_say_the_same(self) -> None:
        forest = Forest([[3, 1], [], (), [2]])
        assert forest.children == ((3, 1), (), (), (2,))
        assert forest.parents == (None, 0, 3, 0)
        assert forest.roots == (0,)
        assert forest.leaves == (1, 2)
        assert forest.heights == (2, 0, 0, 1)
        assert forest.most_children == 2
        assert len(forest) == 4
        assert Forest.from_parents(forest.parents).children == ((1, 3), (), (), (2,))
        assert Forest.from_parents([-1, 0, None]) == Forest([(1,), (), ()])

    def test_many_become_one(self) -> None:
        one, other = Forest([(), (0,)]), Forest([(1, 2), (), ()])
        joined = Forest.join([one, Forest(()), other])
        assert joined.children == ((), (0,), (3, 4), (), ())
        assert joined.roots == (1, 2)
        assert Forest.join([]) == Forest(())

    def test_a_forest_without_nodes(self) -> None:
        forest = Forest(())
        assert (forest.roots, forest.leaves, forest.heights, forest.most_children) == ((), (), (), 0)

    def test_it_is_a_value(self) -> None:
        assert hash(Forest([[1], []])) == hash(Forest(((1,), ())))
        with pytest.raises(AttributeError):
            Forest(()).children = ((),)  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("children", "words"),
        [
            ([(1,), (2,), (1,)], "node 1 is a child of node 0 and again of node 2. Needed: one parent a node."),
            ([(1, 1), ()], "node 1 is a child of node 0 and again of node 0. Needed: one parent a node."),
            ([(1, 4), ()], "4 is given as a child of node 0. Needed: nodes from 0 to 1."),
            ([(-1,), ()], "-1 is given as a child of node 0. Needed: nodes from 0 to 1."),
            ([("1",), ()], "'1' is given as a child of node 0. Needed: nodes from 0 to 1."),
            ([(0,)], "nodes form a cycle, from parent to child 0 -> 0. Needed: trees: from every node up to a root."),
            (
                [(), (2, 0), (3,), (1,), ()],
                "nodes form a cycle, from parent to child 1 -> 2 -> 3 -> 1. "
                "Needed: trees: from every node up to a root.",
            ),
        ],
    )
    def test_what_is_no_tree_is_named(self, children: Any, words: str) -> None:
        with pytest.raises(UsageError) as caught:
            Forest(children)
        assert str(caught.value) == f"Forest: {words}"

    @pytest.mark.parametrize("parent", [2, -2, 0.5, True])
    def test_a_parent_that_is_no_node(self, parent: Any) -> None:
        with pytest.raises(UsageError) as caught:
            Forest.from_parents([None, parent])
        assert str(caught.value) == (
            f"Forest: the parent of node 1 is {parent!r}. Needed: a node from 0 to 1, or None for a root."
        )

    def test_inputs_from_leaves(self) -> None:
        forest = Forest([(3, 1), (), (), (2,)])
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        absent = torch.tensor([8.0, 9.0], requires_grad=True)
        assert forest.from_leaves(x).tolist() == [[0, 0], [1, 2], [3, 4], [0, 0]]
        full = forest.from_leaves(x, absent)
        assert full.tolist() == [[8, 9], [1, 2], [3, 4], [8, 9]]
        (full * torch.arange(4.0).unsqueeze(1)).sum().backward()
        assert absent.grad.tolist() == [3, 3] and x.grad.tolist() == [[1, 1], [2, 2]]
        with pytest.raises(ShapeError) as caught:
            forest.from_leaves(torch.zeros(3, 2))
        assert str(caught.value) == (
            "Forest.from_leaves: x has shape (3, 2). Needed: (2, features), one row a leaf of the 4 nodes."
        )
        with pytest.raises(ShapeError, match="x is list"):
            forest.from_leaves([1.0, 2.0])  # type: ignore[arg-type]


class TestReading:
    def test_brackets(self) -> None:
        forest, labels, words = read_brackets("(3 (2 (2 a) (1 b)) (4 c))")
        assert forest.children == ((1, 4), (2, 3), (), (), ())
        assert labels == ("3", "2", "2", "1", "4")
        assert words == ("a", "b", "c")

    def test_treebanks_with_bare_words_and_outer_brackets(self) -> None:
        forest, labels, words = read_brackets("( (S (NP the cat)\n  (VP sat , (PP down))) )")
        assert forest.children == ((1,), (2, 5), (3, 4), (), (), (6, 7, 8), (), (), ())
        assert labels == (None, "S", "NP", None, None, "VP", None, None, "PP")
        assert words == ("the", "cat", "sat", ",", "down")

    def test_words_stand_in_the_order_of_leaves(self) -> None:
        forest, _, words = read_brackets("(x (y a) b (z (u c) d))")
        assert len(words) == len(forest.leaves)
        assert forest.leaves == (1, 2, 4, 5)
        assert words == ("a", "b", "c", "d")

    def test_many_trees_in_many_texts(self) -> None:
        forest, labels, words = read_brackets("(1 a) (2 b)", "", "(3 (4 c) (5 d))")
        assert forest.children == ((), (), (3, 4), (), ())
        assert forest.roots == (0, 1, 2)
        assert labels == ("1", "2", "3", "4", "5")
        assert words == ("a", "b", "c", "d")
        assert read_brackets() == (Forest(()), (), ())

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("(3 (2 a)", "'(' is not closed, at character 0: '(3 (2 a)'"),
            ("(2 a))", "')' closes nothing, at character 5: ')'"),
            ("(3 (2 a) ())", "a bracket is empty, at character 9: '())'"),
            ("(3 (2) (1 b))", "a bracket holds '2' only, at character 3: '(2) (1 b))'"),
            ("(2 a) b", "'b' stands outside of brackets, at character 6: 'b'"),
        ],
    )
    def test_what_is_wrong_and_where(self, text: str, words: str) -> None:
        with pytest.raises(UsageError) as caught:
            read_brackets(text)
        assert str(caught.value) == (
            f"read_brackets: {words}. Needed: trees such as '(3 (2 a) (1 b))', each bracket closed."
        )
        with pytest.raises(UsageError, match="^read_brackets, text 1: "):
            read_brackets("(1 a)", text)
        with pytest.raises(UsageError, match="5 is no text"):
            read_brackets(5)  # type: ignore[arg-type]

    def test_nested_tuples(self) -> None:
        forest, labels, words = read_nested((("a", 2), ["c"], None), 7)
        assert forest.children == ((1, 4, 6), (2, 3), (), (), (5,), (), (), ())
        assert words == ("a", 2, "c", None, 7)
        assert labels == (None,) * 8
        with pytest.raises(UsageError) as caught:
            read_nested((("a",), ()))
        assert str(caught.value) == "read_nested: node 3 is (). Needed: at least one child in every tuple."

    def test_deep_trees(self) -> None:
        depth = 5000
        tree: Any = "leaf"
        for _ in range(depth):
            tree = (tree,)
        forest = read_nested(tree).forest
        assert forest.heights[0] == depth
        assert read_brackets("(a " * depth + "leaf" + ")" * depth).forest.heights[0] == depth - 1
        assert Forest.from_parents(forest.parents) == forest

    tree = st.recursive(st.text("ab", min_size=1), lambda inner: st.lists(inner, min_size=2, max_size=3).map(tuple))

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(tree=tree)
    def test_both_notations_give_the_same_forest(self, tree: Any) -> None:
        def text(part: Any) -> str:
            return f"(x {part})" if isinstance(part, str) else "(x " + " ".join(map(text, part)) + ")"

        nested, brackets = read_nested(tree), read_brackets(text(tree))
        assert nested.forest == brackets.forest
        assert nested.words == brackets.words
