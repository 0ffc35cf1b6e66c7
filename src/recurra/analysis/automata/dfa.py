"""Deterministic finite automata: acceptance, minimisation, equivalence, and words drawn evenly."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from recurra.errors import UsageError

Word = Sequence[str]


@dataclass(frozen=True)
class DFA:
    """A complete deterministic finite automaton; its states are 0, 1, 2, ...

    Args:
        alphabet: the symbols, each a text; of one character each, a text is a word.
        transitions: for each state and symbol, in their order, the next state.
        accepting: the accepting states.
        start: the first state.

    Raises:
        UsageError: a state does not exist, a transition is missing, or a symbol stands twice.

    Example:
        >>> even = DFA("ab", ((1, 0), (0, 1)), {0})  # an even number of a
        >>> even.accepts("aba"), even.accepts("abb")
        (True, False)
    """

    alphabet: tuple[str, ...]
    transitions: tuple[tuple[int, ...], ...]
    accepting: frozenset[int]
    start: int = 0

    def __init__(
        self,
        alphabet: Sequence[str],
        transitions: Sequence[Sequence[int]],
        accepting: set[int] | frozenset[int],
        start: int = 0,
    ):
        # The class is frozen, and any sequences are taken.
        for name, value in (
            ("alphabet", tuple(alphabet)),
            ("transitions", tuple(tuple(int(target) for target in row) for row in transitions)),
            ("accepting", frozenset(int(state) for state in accepting)),
            ("start", int(start)),
        ):
            object.__setattr__(self, name, value)
        states = range(len(self.transitions))
        if not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            raise UsageError(
                f"alphabet is {list(self.alphabet)}", where="DFA", need="one symbol or more, all different"
            )
        if not states or any(len(row) != len(self.alphabet) for row in self.transitions):
            raise UsageError("a transition is missing", where="DFA", need="a next state for every state and symbol")
        named = {self.start, *self.accepting, *(target for row in self.transitions for target in row)}
        if not named <= set(states):
            wrong = sorted(named - set(states))
            raise UsageError(
                f"the states {wrong} do not exist", where="DFA", need=f"states from 0 to {len(states) - 1}"
            )

    def __len__(self) -> int:
        return len(self.transitions)

    def codes(self, word: Word) -> list[int]:
        """The symbols' places in the alphabet.

        Raises:
            UsageError: a symbol is not in the alphabet.
        """
        return codes(word, self.alphabet)

    def state(self, word: Word, start: int | None = None) -> int:
        """The state after a word."""
        at = self.start if start is None else start
        for code in self.codes(word):
            at = self.transitions[at][code]
        return at

    def accepts(self, word: Word) -> bool:
        """Whether a word is accepted."""
        return self.state(word) in self.accepting

    def accepts_many(self, words: Sequence[Word]) -> np.ndarray:
        """Whether each of many words is accepted, booleans."""
        lengths = np.array([len(word) for word in words], dtype=np.int64)
        table = np.array(self.transitions)
        coded = np.zeros((int(lengths.max(initial=0)), len(words)), dtype=np.int64)
        for place, word in enumerate(words):
            coded[: len(word), place] = self.codes(word)
        at = np.full(len(words), self.start)
        for t, row in enumerate(coded):
            at = np.where(t < lengths, table[at, row], at)
        return np.isin(at, list(self.accepting))

    def complement(self) -> DFA:
        """The automaton that accepts exactly the other words."""
        return DFA(self.alphabet, self.transitions, set(range(len(self))) - self.accepting, self.start)

    def minimise(self) -> DFA:
        """The smallest automaton of the same language, its states in the order of a search in breadth from the start.

        Two automata accept the same words if and only if their minimal ones are equal.

        Reference:
            E. F. Moore. Gedanken-experiments on sequential machines. Automata Studies, Princeton (1956) 129-153.

        Example:
            >>> DFA("a", ((1,), (2,), (3,), (0,)), {0, 2}).minimise()
            DFA(alphabet=('a',), transitions=((1,), (0,)), accepting=frozenset({0}), start=0)
        """
        reached = self._reachable()
        block = {state: int(state in self.accepting) for state in reached}
        while True:
            keys = {state: (block[state], *(block[t] for t in self.transitions[state])) for state in reached}
            numbers = {key: number for number, key in enumerate(dict.fromkeys(keys[state] for state in reached))}
            finer = {state: numbers[keys[state]] for state in reached}
            if len(numbers) == len(set(block.values())):
                break
            block = finer
        merged = {finer[state]: state for state in reversed(reached)}
        # Reached in breadth from the start, the first member of each block comes in that order too.
        order = sorted(merged, key=lambda number: reached.index(merged[number]))
        place = {number: index for index, number in enumerate(order)}
        rows = [[place[finer[target]] for target in self.transitions[merged[number]]] for number in order]
        accepting = {place[number] for number in order if merged[number] in self.accepting}
        return DFA(self.alphabet, rows, accepting, 0)

    def difference(self, other: DFA) -> tuple[str, ...] | None:
        """A shortest word that one of two automata accepts and the other does not; None where there is none.

        Reference:
            J. E. Hopcroft, R. M. Karp. A linear algorithm for testing equivalence of finite automata. Cornell
            University, technical report 71-114 (1971); here by a search in breadth, for the shortest word.

        Example:
            >>> one, two = DFA("ab", ((0, 1), (1, 0)), {0}), DFA("ab", ((0, 0),), {0})
            >>> one.difference(two), one.difference(one)
            (('b',), None)
        """
        if self.alphabet != other.alphabet:
            need = f"the same alphabet {list(self.alphabet)}"
            raise UsageError(f"the other's alphabet is {list(other.alphabet)}", where="DFA.difference", need=need)
        begin = (self.start, other.start)
        words: dict[tuple[int, int], tuple[str, ...]] = {begin: ()}
        waiting = deque([begin])
        while waiting:
            one, two = pair = waiting.popleft()
            if (one in self.accepting) != (two in other.accepting):
                return words[pair]
            for code, symbol in enumerate(self.alphabet):
                after = (self.transitions[one][code], other.transitions[two][code])
                if after not in words:
                    words[after] = (*words[pair], symbol)
                    waiting.append(after)
        return None

    def equivalent(self, other: DFA) -> bool:
        """Whether both accept the same words."""
        return self.difference(other) is None

    def count(self, length: int, accepted: bool = True) -> int:
        """How many words of a length are accepted, or are not."""
        return self._counts(length, accepted)[length][self.start]

    def draw_word(self, length: int, chance: random.Random, accepted: bool = True) -> tuple[str, ...] | None:
        """One of the words of a length that are accepted, or that are not, each as probable; None if there is none."""
        counts = self._counts(length, accepted)
        at, word = self.start, []
        if not counts[length][at]:
            return None
        for left in range(length - 1, -1, -1):
            weights = [counts[left][target] for target in self.transitions[at]]
            # Exact whole numbers: floats would overflow at a length of 1024.
            ticket, code = chance.randrange(sum(weights)), 0
            while ticket >= weights[code]:
                ticket -= weights[code]
                code += 1
            word.append(self.alphabet[code])
            at = self.transitions[at][code]
        return tuple(word)

    def _counts(self, length: int, accepted: bool) -> list[list[int]]:
        counts = [[int((state in self.accepting) == accepted) for state in range(len(self))]]
        for _ in range(length):
            counts.append([sum(counts[-1][target] for target in row) for row in self.transitions])
        return counts

    def _reachable(self) -> list[int]:
        found = [self.start]
        for state in found:
            found.extend(dict.fromkeys(t for t in self.transitions[state] if t not in found))
        return found

    def graphviz(self) -> str:
        """The automaton in the language of Graphviz' dot, accepting states as double circles."""
        lines = ["digraph automaton {", "  rankdir=LR;", '  start [shape=point, label=""];']
        for state in range(len(self)):
            lines.append(f"  {state} [shape={'doublecircle' if state in self.accepting else 'circle'}];")
        lines.append(f"  start -> {self.start};")
        for (one, two), symbols in self.edges().items():
            label = ", ".join(symbols).replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'  {one} -> {two} [label="{label}"];')
        return "\n".join([*lines, "}"])

    def edges(self) -> dict[tuple[int, int], list[str]]:
        """The symbols on each arrow from a state to a state."""
        found: dict[tuple[int, int], list[str]] = {}
        for state, row in enumerate(self.transitions):
            for symbol, target in zip(self.alphabet, row, strict=True):
                found.setdefault((state, target), []).append(symbol)
        return found


def codes(word: Word, alphabet: Sequence[str]) -> list[int]:
    """The places of a word's symbols in an alphabet, or a UsageError that names the symbol."""
    place: dict[Hashable, int] = {symbol: index for index, symbol in enumerate(alphabet)}
    try:
        return [place[symbol] for symbol in word]
    except KeyError as error:
        need = "one of " + ", ".join(map(repr, alphabet))
        raise UsageError(f"the symbol {error.args[0]!r} is not in the alphabet", where="word", need=need) from None


def words_up_to(alphabet: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """All words of a length and below, the shortest first.

    Example:
        >>> ["".join(word) for word in words_up_to("ab", 2)]
        ['', 'a', 'b', 'aa', 'ab', 'ba', 'bb']
    """
    for size in range(length + 1):
        yield from product(alphabet, repeat=size)
