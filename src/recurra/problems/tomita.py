"""Tomita's seven regular languages over 0 and 1, and words to learn and to judge them by."""

from __future__ import annotations

import random
import re

from recurra.analysis.automata.dfa import DFA, words_up_to
from recurra.errors import UsageError

Letters = tuple[str, ...]

_AUTOMATA: dict[int, tuple[tuple[tuple[int, int], ...], frozenset[int]]] = {
    1: (((1, 0), (1, 1)), frozenset({0})),
    2: (((1, 2), (1, 1), (0, 1)), frozenset({0})),
    3: (((0, 1), (2, 0), (3, 4), (2, 1), (4, 4)), frozenset({0, 1, 3})),
    4: (((1, 0), (2, 0), (3, 0), (3, 3)), frozenset({0, 1, 2})),
    5: (((1, 2), (0, 3), (3, 0), (2, 1)), frozenset({0})),
    6: (((1, 2), (2, 0), (0, 1)), frozenset({0})),
    7: (((0, 1), (2, 1), (2, 3), (4, 3), (4, 4)), frozenset({0, 1, 2, 3})),
}


def tomita_automaton(grammar: int) -> DFA:
    """The smallest automaton of one of the seven languages.

    Equations:
        1: 1*. 2: (10)*. 3: no odd number of 1s in a row is followed at once by an odd number of 0s in a row. 4: no 000.
        5: the numbers of 0s and of 1s are both even. 6: the number of 0s minus that of 1s is a multiple of 3.
        7: 0*1*0*1*. They have 2, 3, 5, 4, 4, 3 and 5 states, one that rejects for ever included.

    Args:
        grammar: 1 to 7.

    Raises:
        UsageError: there is no such grammar.

    Reference:
        M. Tomita. Dynamic construction of finite-state automata from examples using hill-climbing. Proceedings of the
        Fourth Annual Conference of the Cognitive Science Society (1982) 105-108.

    Example:
        >>> tomita_automaton(4).accepts("1001"), tomita_automaton(4).accepts("10001")
        (True, False)
    """
    if grammar not in _AUTOMATA:
        raise UsageError(f"grammar is {grammar!r}", where="tomita_automaton", need="a number from 1 to 7")
    transitions, accepting = _AUTOMATA[grammar]
    return DFA("01", transitions, accepting)


def tomita_accepts(grammar: int, word: str) -> bool:
    """Whether a text of 0s and 1s belongs to a language, by its definition in words."""
    zeros, ones = word.count("0"), word.count("1")
    if grammar == 3:
        runs = [(run[0], len(run)) for run in re.findall("0+|1+", word)]
        pairs = zip(runs, runs[1:], strict=False)
        return not any(one == "1" and n % 2 and m % 2 for (one, n), (_, m) in pairs)
    return {
        1: "0" not in word,
        2: re.fullmatch("(10)*", word) is not None,
        4: "000" not in word,
        5: zeros % 2 == 0 and ones % 2 == 0,
        6: (zeros - ones) % 3 == 0,
        7: re.fullmatch("0*1*0*1*", word) is not None,
    }[grammar]


def balanced_words(
    automaton: DFA, count: int, lengths: tuple[int, int], seed: int = 0
) -> tuple[list[Letters], list[bool]]:
    """Words of which half are accepted, and of whose other half most differ from an accepted one in a single symbol.

    Words drawn evenly are rejected nearly always by some languages, at length 100 by Tomita's 1, 2, 3, 4 and 7: always
    saying no is then right nearly always, and the accuracy means nothing.

    Args:
        automaton: of the language.
        count: of words.
        lengths: the least and the greatest; one at which both kinds of words exist is drawn for each word.
        seed: of the draw.

    Returns:
        `(words, accepted)`.

    Raises:
        UsageError: no length has words of both kinds.

    Example:
        >>> words, accepted = balanced_words(tomita_automaton(1), 100, (20, 30))
        >>> sum(accepted), {word.count("0") for word, yes in zip(words, accepted) if not yes}
        (50, {1})
    """
    low, high = lengths
    possible = [n for n in range(low, high + 1) if automaton.count(n) and automaton.count(n, False)]
    if not possible:
        raise UsageError(
            f"no length from {low} to {high} has accepted and rejected words",
            where="balanced_words",
            need="lengths at which both exist",
        )
    chance = random.Random(seed)
    words: list[Letters] = []
    for number in range(count):
        length = chance.choice(possible)
        word = automaton.draw_word(length, chance)
        assert word is not None
        words.append(word if number % 2 == 0 else _near_miss(automaton, word, chance))
    return words, [number % 2 == 0 for number in range(count)]


def _near_miss(automaton: DFA, word: Letters, chance: random.Random) -> Letters:
    """A rejected word of the same length, one symbol away where there is one."""
    places = list(range(len(word)))
    chance.shuffle(places)
    for place in places:
        others = [symbol for symbol in automaton.alphabet if symbol != word[place]]
        changed = (*word[:place], chance.choice(others), *word[place + 1 :])
        if not automaton.accepts(changed):
            return changed
    found = automaton.draw_word(len(word), chance, accepted=False)
    assert found is not None
    return found


def training_words(
    automaton: DFA, length: int = 10, drawn: int = 1000, longest: int = 30, seed: int = 0
) -> list[Letters]:
    """All words up to a length, and balanced longer ones: what a network may learn a language from.

    Example:
        >>> len(training_words(tomita_automaton(2), length=3, drawn=10))
        25
    """
    words = list(words_up_to(automaton.alphabet, length))
    return words + balanced_words(automaton, drawn, (length + 1, longest), seed)[0]
