"""Angluin's L*: the automaton of a language from questions to someone who knows it, a network say."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recurra.analysis.automata.dfa import DFA, Word, words_up_to
from recurra.cells.base import check_size

Letters = tuple[str, ...]
Membership = Callable[[Sequence[Word]], Any]
Search = Callable[[DFA], Word | None]


@dataclass(frozen=True)
class Learned:
    """What L* has found.

    Attributes:
        automaton: the smallest one of its language.
        complete: whether no counterexample was left; False where a bound ended the search.
        questions: how many different words were asked about.
        counterexamples: those that were given, in their order.
    """

    automaton: DFA
    complete: bool
    questions: int
    counterexamples: list[Letters]


def lstar(
    alphabet: Sequence[str],
    membership: Membership,
    search: Search,
    *,
    most_states: int = 100,
    most_questions: int = 1_000_000,
) -> Learned:
    """Learn an automaton from questions whether words are accepted, and from counterexamples.

    A table holds access words S, one for each state known, and suffixes E that tell them apart: the row of a word u
    says for each e in E whether u e is accepted. A row of s a, for s in S and a symbol a, that no word of S has becomes
    a state. When every one is there, the table is an automaton, and `search` is asked for a word on which it is wrong.
    Of such a word, the place is found by halving at which the automaton leaves the right way; what follows it is a new
    suffix, by which two words that were one state differ.

    Args:
        alphabet: the symbols.
        membership: whether each of many words is accepted (`Recogniser.accepts`).
        search: a word on which the automaton given is wrong, or None (`CompareOnWords`).
        most_states, most_questions: bounds at which the search ends incomplete; a network that has not quite learned
            an automaton may have no small one.

    Raises:
        UsageError: a bound is not positive.

    Differs from the paper: counterexamples are taken in by one suffix each, as Rivest and Schapire do, and questions
    are asked in batches.

    Reference:
        D. Angluin. Learning regular sets from queries and counterexamples. Information and Computation 75 (1987)
        87-106. R. L. Rivest, R. E. Schapire. Inference of finite automata using homing sequences. Information and
        Computation 103 (1993) 299-347. On networks: G. Weiss, Y. Goldberg, E. Yahav. Extracting automata from recurrent
        neural networks using queries and counterexamples. ICML (2018) 5247-5256.

    Example:
        >>> even = lambda words: [list(word).count("a") % 2 == 0 for word in words]
        >>> learned = lstar("ab", even, CompareOnWords("ab", even, length=4))
        >>> learned.automaton, learned.complete
        (DFA(alphabet=('a', 'b'), transitions=((1, 0), (0, 1)), accepting=frozenset({0}), start=0), True)
    """
    check_size(most_states, "most_states", "lstar")
    check_size(most_questions, "most_questions", "lstar")
    table = _Table(tuple(alphabet), membership)
    examples: list[Letters] = []
    complete = False
    while True:
        automaton = table.automaton(most_states)
        if len(table.access) > most_states or len(table.known) > most_questions:
            break
        given = search(automaton)
        if given is None:
            complete = True
            break
        example = tuple(given)
        if automaton.accepts(example) == table.answer(example):
            break  # the search contradicts membership: it asks someone else
        examples.append(example)
        table.take_in(example, automaton)
    return Learned(automaton.minimise(), complete, len(table.known), examples)


class CompareOnWords:
    """Looks for a word on which an automaton and a network differ: all short ones, then long ones drawn at random.

    Uniform words of some length may be rejected by both nearly always, and then show nothing. So a third of the long
    ones are uniform, a third are drawn evenly from what the automaton accepts, and a third are such words with one
    symbol changed.

    Args:
        alphabet: the symbols.
        membership: whether each of many words is accepted.
        length: all words up to it are compared.
        drawn: how many longer ones.
        longest: their greatest length.
        seed: of the draw, which is the same for every automaton.
    """

    def __init__(
        self,
        alphabet: Sequence[str],
        membership: Membership,
        length: int = 10,
        drawn: int = 1500,
        longest: int = 40,
        seed: int = 0,
    ):
        self.alphabet, self.membership = tuple(alphabet), membership
        self.drawn, self.longest, self.seed = drawn, max(longest, length + 1), seed
        self.length = length
        self._words = list(words_up_to(self.alphabet, length))
        self._answers: np.ndarray | None = None

    def __call__(self, automaton: DFA) -> Letters | None:
        """A shortest such word among those compared, or None."""
        if self._answers is None:
            self._answers = np.asarray(self.membership(self._words), dtype=bool)
        wrong = np.flatnonzero(automaton.accepts_many(self._words) != self._answers)
        if len(wrong):
            return self._words[wrong[0]]
        words = self._long(automaton)
        differs = automaton.accepts_many(words) != np.asarray(self.membership(words), dtype=bool) if words else []
        found = [word for word, differ in zip(words, differs, strict=True) if differ]
        return min(found, key=len) if found else None

    def _long(self, automaton: DFA) -> list[Letters]:
        chance = random.Random(self.seed)
        words: list[Letters] = []
        for number in range(self.drawn):
            length = chance.randint(self.length + 1, self.longest)
            word = None if number % 3 == 0 else automaton.draw_word(length, chance)
            if word is None:
                word = tuple(chance.choice(self.alphabet) for _ in range(length))
            elif number % 3 == 1:
                place = chance.randrange(length)
                word = (*word[:place], chance.choice(self.alphabet), *word[place + 1 :])
            words.append(word)
        return words


class _Table:
    """Access words, suffixes and all answers."""

    def __init__(self, alphabet: Letters, membership: Membership):
        self.alphabet, self.membership = alphabet, membership
        self.access: list[Letters] = [()]
        self.suffixes: list[Letters] = [()]
        self.known: dict[Letters, bool] = {}

    def ask(self, words: Sequence[Letters]) -> None:
        new = list(dict.fromkeys(word for word in words if word not in self.known))
        if new:
            self.known.update(zip(new, map(bool, self.membership(new)), strict=True))

    def answer(self, word: Letters) -> bool:
        self.ask([word])
        return self.known[word]

    def row(self, word: Letters) -> tuple[bool, ...]:
        return tuple(self.known[word + suffix] for suffix in self.suffixes)

    def automaton(self, most_states: int) -> DFA:
        """Close the table, and read the automaton from it; transitions past the bound lead to the start."""
        while True:
            edges = [word + (symbol,) for word in self.access for symbol in self.alphabet]
            self.ask([word + suffix for word in [*self.access, *edges] for suffix in self.suffixes])
            states = {self.row(word): index for index, word in enumerate(self.access)}
            new = {self.row(word): word for word in reversed(edges) if self.row(word) not in states}
            if not new or len(self.access) > most_states:
                break
            self.access += sorted(new.values(), key=lambda word: (len(word), word))
        count = len(self.alphabet)
        targets = [states.get(self.row(word), 0) for word in edges]
        rows = [targets[index * count : (index + 1) * count] for index in range(len(self.access))]
        return DFA(self.alphabet, rows, {k for k, word in enumerate(self.access) if self.known[word]})

    def take_in(self, word: Letters, automaton: DFA) -> None:
        """Add the suffix of a counterexample after which the automaton has left the right way."""

        def right(place: int) -> bool:
            """Whether following the automaton for `place` symbols and the language after them gives the answer."""
            way = self.access[automaton.state(word[:place])]
            return self.answer(way + word[place:]) == truth

        truth = self.answer(word)
        low, high = 0, len(word)  # right at low, wrong at high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if right(middle) else (low, middle)
        self.suffixes.append(word[high:])
