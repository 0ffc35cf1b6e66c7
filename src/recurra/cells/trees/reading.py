"""Trees from the bracketed strings of treebanks and from nested tuples."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from recurra.cells.trees.forest import Forest
from recurra.errors import UsageError


class Parsed(NamedTuple):
    """Trees that were read; a parent's number comes before its children's, and theirs go from left to right.

    Attributes:
        forest: the trees, in the order in which they were read.
        labels: one a node; None where it has none.
        words: one a leaf, in the order of `forest.leaves`.
    """

    forest: Forest
    labels: tuple[str | None, ...]
    words: tuple[Any, ...]


def read_brackets(*texts: str) -> Parsed:
    """Read trees in the bracket notation of treebanks.

    `(3 (2 a) (1 b))` is a node with the label 3 and two leaves, one with the label 2 and the word a, one with the label
    1 and the word b. A word beside other parts, as a in `(3 a (1 b))`, is a leaf without a label. A bracket that opens
    with another bracket has no label. A string may hold any number of trees.

    Raises:
        UsageError: a bracket is not closed, closes nothing, is empty or holds a label only, or a word stands outside;
            the message says where.

    Example:
        >>> forest, labels, words = read_brackets("(3 (2 a) (1 b))")
        >>> forest.children, labels, words
        (((1, 2), (), ()), ('3', '2', '1'), ('a', 'b'))
    """
    read = _Reader()
    for number, text in enumerate(texts):
        where = f"read_brackets, text {number}" if len(texts) > 1 else "read_brackets"
        if not isinstance(text, str):
            raise UsageError(f"{text!r:.60} is no text", where=where, need="trees such as '(3 (2 a) (1 b))'")
        read.text(text, where)
    return Parsed(Forest(tuple(tuple(each) for each in read.children)), tuple(read.labels), tuple(read.words))


def read_nested(*trees: Any) -> Parsed:
    """Read trees from nested tuples or lists; all else is a leaf, and stands among the words.

    Raises:
        UsageError: a tuple is empty; the message names the node.

    Example:
        >>> forest, _, words = read_nested((("the", "cat"), "sat"), "yes")
        >>> forest.children, words
        (((1, 4), (2, 3), (), (), (), ()), ('the', 'cat', 'sat', 'yes'))
    """
    children: list[list[int]] = []
    words: list[Any] = []
    # A stack instead of recursion: a tree may be deeper than Python's calls may nest.
    waiting = [(tree, None) for tree in reversed(trees)]
    while waiting:
        part, parent = waiting.pop()
        node = len(children)
        children.append([])
        if parent is not None:
            children[parent].append(node)
        if not isinstance(part, tuple | list):
            words.append(part)
        elif not part:
            raise UsageError(f"node {node} is {part!r}", where="read_nested", need="at least one child in every tuple")
        else:
            waiting += [(child, node) for child in reversed(part)]  # type: ignore[misc]
    return Parsed(Forest(tuple(tuple(each) for each in children)), (None,) * len(children), tuple(words))


class _Reader:
    """The nodes read so far."""

    def __init__(self) -> None:
        self.children: list[list[int]] = []
        self.labels: list[str | None] = []
        self.words: list[str] = []

    def text(self, text: str, where: str) -> None:
        tokens = list(re.finditer(r"[()]|[^\s()]+", text))
        opened: list[tuple[int, int]] = []  # node and place of its bracket
        parts: dict[int, list[int | str]] = {}
        for index, token in enumerate(tokens):
            sign, place = token.group(), token.start()
            if sign == "(":
                node = self._node()
                if opened:
                    parts[opened[-1][0]].append(node)
                opened.append((node, place))
                parts[node] = []
            elif sign == ")":
                if not opened:
                    raise _wrong(text, place, "')' closes nothing", where)
                node, start = opened.pop()
                self._close(node, parts.pop(node), text, start, where)
            elif not opened:
                raise _wrong(text, place, f"{sign!r} stands outside of brackets", where)
            elif tokens[index - 1].group() == "(":
                self.labels[opened[-1][0]] = sign
            else:
                self._word(opened[-1][0], sign, tokens, index, parts)
        if opened:
            raise _wrong(text, opened[-1][1], "'(' is not closed", where)

    def _node(self) -> int:
        self.children.append([])
        self.labels.append(None)
        return len(self.labels) - 1

    def _word(self, owner: int, word: str, tokens: list[re.Match[str]], index: int, parts: dict[int, Any]) -> None:
        """The only part of its bracket makes the node itself a leaf; else the word is a leaf of its own."""
        self.words.append(word)
        if not parts[owner] and tokens[index + 1 :] and tokens[index + 1].group() == ")":
            parts[owner].append(word)
        else:
            parts[owner].append(self._node())

    def _close(self, node: int, parts: list[int | str], text: str, start: int, where: str) -> None:
        if not parts:
            held = "is empty" if self.labels[node] is None else f"holds {self.labels[node]!r} only"
            raise _wrong(text, start, f"a bracket {held}", where)
        self.children[node] = [part for part in parts if isinstance(part, int)]


def _wrong(text: str, place: int, what: str, where: str) -> UsageError:
    shown = text[place : place + 20]
    return UsageError(
        f"{what}, at character {place}: {shown!r}",
        where=where,
        need="trees such as '(3 (2 a) (1 b))', each bracket closed",
    )
