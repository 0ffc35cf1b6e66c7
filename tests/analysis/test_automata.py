"""Automata: languages by their definitions, minimisation and equivalence, L* and clustering, encoding and drawing."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from recurra.analysis.automata.clustering import extract_by_clustering, extract_by_grid
from recurra.analysis.automata.dfa import DFA, words_up_to
from recurra.analysis.automata.draw import draw_automaton
from recurra.analysis.automata.encode import encode_automaton
from recurra.analysis.automata.lstar import CompareOnWords, lstar
from recurra.analysis.automata.recogniser import Recogniser
from recurra.cells import LSTM, Elman
from recurra.errors import UsageError
from recurra.problems.tomita import balanced_words, tomita_accepts, tomita_automaton, training_words


def random_automaton(states: int, seed: int, alphabet: str = "abc") -> DFA:
    chance = random.Random(seed)
    rows = [[chance.randrange(states) for _ in alphabet] for _ in range(states)]
    return DFA(alphabet, rows, {state for state in range(states) if chance.random() < 0.4} | {states - 1})


def distinguishable(automaton: DFA) -> int:
    """How many reachable states there are of which no two agree on all words up to the number of states."""
    reached = {automaton.state(word) for word in words_up_to(automaton.alphabet, len(automaton))}
    futures = {}
    for state in reached:
        words = words_up_to(automaton.alphabet, len(automaton) - 1)
        futures[state] = tuple(automaton.state(word, state) in automaton.accepting for word in words)
    return len(set(futures.values()))


@pytest.mark.parametrize("seed", range(8))
def test_minimisation_keeps_the_language_and_no_state_too_many(seed: int) -> None:
    automaton = random_automaton(5, seed, "ab")
    small = automaton.minimise()
    words = list(words_up_to("ab", 9))
    assert automaton.accepts_many(words).tolist() == small.accepts_many(words).tolist()
    assert [automaton.accepts(word) for word in words[:50]] == automaton.accepts_many(words[:50]).tolist()
    assert len(small) == distinguishable(automaton)
    # Another numbering of the states, and some twice, gives the same minimal automaton.
    order = random.Random(seed).sample(range(5), 5)
    rows = [[order[t] for t in automaton.transitions[order.index(k)]] for k in range(5)]
    twice = [*rows, *([t + 5 if t + 5 < 10 else t for t in row] for row in rows)]
    marks = {order[state] for state in automaton.accepting}
    other = DFA("ab", twice, marks | {state + 5 for state in marks}, order[automaton.start] + 5)
    assert other.minimise() == small and other.equivalent(automaton)


def test_the_difference_is_a_shortest_word() -> None:
    for seed in range(6):
        one, two = random_automaton(4, seed, "ab"), random_automaton(4, seed + 100, "ab")
        word = one.difference(two)
        wrong = [w for w in words_up_to("ab", 7) if one.accepts(w) != two.accepts(w)]
        assert (word is None) == (not wrong)
        if word is not None:
            assert one.accepts(word) != two.accepts(word) and len(word) == len(wrong[0])
    assert one.complement().accepts("ab") != one.accepts("ab")


@pytest.mark.parametrize("grammar", range(1, 8))
def test_tomitas_automata_are_the_languages_and_minimal(grammar: int) -> None:
    automaton = tomita_automaton(grammar)
    words = ["".join(word) for word in words_up_to("01", 11)]
    assert automaton.accepts_many(words).tolist() == [tomita_accepts(grammar, word) for word in words]
    assert automaton.minimise() == automaton
    assert len(automaton) == (2, 3, 5, 4, 4, 3, 5)[grammar - 1]


def test_counting_and_drawing_words() -> None:
    automaton = tomita_automaton(3)
    for length in range(9):
        words = [word for word in words_up_to("01", length) if len(word) == length]
        assert automaton.count(length) == sum(automaton.accepts(word) for word in words)
        assert automaton.count(length, False) == sum(not automaton.accepts(word) for word in words)
    chance = random.Random(0)
    drawn = [automaton.draw_word(4, chance) for _ in range(2000)]
    each = {word: drawn.count(word) for word in set(drawn)}
    assert len(each) == automaton.count(4) and max(each.values()) < 1.5 * min(each.values())
    assert tomita_automaton(2).draw_word(5, chance) is None
    assert tomita_automaton(7).accepts(tomita_automaton(7).draw_word(2000, chance) or "0101")


def test_vacuous_accuracy() -> None:
    """A known trap: on long words drawn evenly, one that always says no is nearly always right."""
    chance = random.Random(0)
    uniform = [tuple(chance.choice("01") for _ in range(100)) for _ in range(300)]
    for grammar in (1, 2, 3, 4, 7):
        automaton = tomita_automaton(grammar)
        assert automaton.accepts_many(uniform).mean() < 0.02
        words, accepted = balanced_words(automaton, 100, (90, 100))
        assert automaton.accepts_many(words).tolist() == accepted and sum(accepted) == 50
        assert all(90 <= len(word) <= 100 for word in words)
    with pytest.raises(UsageError, match="no length from 3 to 3 has accepted and rejected words"):
        balanced_words(tomita_automaton(2), 4, (3, 3))

    # What compares an automaton with a network sees past it too: the network that says no to all long words.
    def no_to_long(words: Sequence[Sequence[str]]) -> list[bool]:
        return [len(word) <= 6 and tomita_automaton(1).accepts(word) for word in words]

    example = CompareOnWords("01", no_to_long, length=5, drawn=60)(tomita_automaton(1))
    assert example is not None and "0" not in example


@pytest.mark.parametrize("seed", range(6))
def test_lstar_learns_any_automaton_from_questions_alone(seed: int) -> None:
    automaton = random_automaton(7, seed).minimise()
    asked: list[int] = []

    def membership(words: Sequence[Sequence[str]]) -> list[bool]:
        asked.append(len(words))
        return [automaton.accepts(word) for word in words]

    learned = lstar("abc", membership, automaton.difference)
    assert learned.automaton == automaton and learned.complete
    assert learned.questions == sum(asked) <= 3 * len(automaton) * 2 * len(automaton) + 100
    assert len(learned.counterexamples) < len(automaton) or len(automaton) == 1


def test_lstar_stops_at_its_bounds_and_says_so() -> None:
    def square(words: Sequence[Sequence[str]]) -> list[bool]:
        return [round(len(word) ** 0.5) ** 2 == len(word) for word in words]

    learned = lstar("a", square, CompareOnWords("a", square, length=60, drawn=0), most_states=10)
    assert not learned.complete and learned.questions > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_second_order_network_encodes_an_automaton(seed: int) -> None:
    automaton = random_automaton(6 + seed, seed)
    network = encode_automaton(automaton)
    chance = random.Random(seed)
    words = ["".join(chance.choice("abc") for _ in range(n)) for n in (0, 1, 2, 5, 50, 500, 500)]
    assert network.accepts(words).tolist() == [automaton.accepts(word) for word in words]
    # Units stay near 0 and 1 at all steps, so that length does not matter.
    y, state = network.start()
    for _ in range(60):
        y, state = network.follow(state)
        state = type(state)(state.h[:1])
        assert float(torch.minimum(state.h, 1 - state.h).max()) < 0.02
    assert extract_by_grid(network).automaton == automaton.minimise()
    found = extract_by_clustering(network, 3 * len(automaton), depth=8, words=words[:5])
    assert found.automaton == automaton.minimise() and found.agreement == 1.0 and found.certainty == 1.0


def test_a_recogniser_is_any_cell_and_reads_prefixes() -> None:
    torch.manual_seed(0)
    network = Recogniser(LSTM(3, 4), torch.nn.Linear(4, 1), "ab")
    words = ["", "a", "ba", "abba"]
    together = network.scores(words)
    alone = torch.cat([network.scores([word]) for word in words])
    torch.testing.assert_close(together, alone)
    y, state = network.start()
    torch.testing.assert_close(network.score(y), together[:1])
    y, state = network.follow(state)
    torch.testing.assert_close(network.score(y)[0], together[1])
    y, _ = network.follow(state)
    torch.testing.assert_close(network.score(y)[2], together[2])  # b, then a
    with pytest.raises(UsageError, match="the cell has input_size 2. Needed: 3, one a symbol and one for the start"):
        Recogniser(Elman(2, 3), lambda y: y[:, 0], "ab")
    with pytest.raises(UsageError, match="the symbol 'x' is not in the alphabet. Needed: one of 'a', 'b'"):
        network.accepts(["ax"])


def test_clusters_that_are_too_few_are_seen() -> None:
    network = encode_automaton(tomita_automaton(7))
    words = list(words_up_to("01", 8))
    few = extract_by_clustering(network, 2, words=words)
    assert few.certainty < 1 and few.agreement is not None and few.agreement < 1


def test_graphviz_and_drawing() -> None:
    automaton = tomita_automaton(7)
    text = automaton.graphviz()
    assert text.startswith("digraph") and '4 -> 4 [label="0, 1"];' in text and text.count("doublecircle") == 4
    figure = Figure()
    axes = figure.add_subplot()
    draw_automaton(automaton, axes)
    labels = [piece.get_text() for piece in axes.texts]
    assert {"0", "1", "2", "3", "4", "0, 1"} <= set(labels)
    figure.canvas.draw()
    draw_automaton(DFA("a", ((0,),), {0}), Figure().add_subplot())


def test_training_words_and_messages() -> None:
    words = training_words(tomita_automaton(4), length=6, drawn=40)
    assert len(words) == 127 + 40 and np.mean(tomita_automaton(4).accepts_many(words[127:])) == 0.5
    with pytest.raises(UsageError, match="grammar is 8. Needed: a number from 1 to 7"):
        tomita_automaton(8)
    with pytest.raises(UsageError, match="a transition is missing"):
        DFA("ab", ((0,),), {0})
    with pytest.raises(UsageError, match=r"the states \[3\] do not exist. Needed: states from 0 to 0"):
        DFA("a", ((3,),), {0})
    with pytest.raises(UsageError, match="one symbol or more, all different"):
        DFA("aa", ((0, 0),), {0})
    with pytest.raises(UsageError, match="the other's alphabet is"):
        DFA("a", ((0,),), {0}).difference(DFA("b", ((0,),), {0}))
    with pytest.raises(UsageError, match="strength is 0"):
        encode_automaton(tomita_automaton(1), strength=0)
