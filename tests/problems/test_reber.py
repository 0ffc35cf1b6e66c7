"""The embedded Reber grammar: which strings it has, what may follow, and how often."""

from __future__ import annotations

import random
import re

import pytest

from recurra.errors import UsageError
from recurra.problems.reber import SYMBOLS, embedded_reber_string, next_symbol_data, possible_next, reber_string

# The grammar once more, as a regular expression: the upper way T S* X, the lower way P T* V; from the upper way's end S
# leaves, or X goes over to the lower loop; after V of the lower way V leaves, or P goes back to the upper way's end.
LOOP = "(?:XT*VP)*"
GRAMMAR = f"B(?:TS*X{LOOP}(?:S|XT*VV)|PT*V(?:V|P{LOOP}(?:S|XT*VV)))E"


def test_strings_are_those_of_the_grammar() -> None:
    chance = random.Random(0)
    for _ in range(500):
        assert re.fullmatch(GRAMMAR, reber_string(chance))
    for _ in range(500):
        string = embedded_reber_string(chance)
        assert re.fullmatch(f"B([TP]){GRAMMAR}\\1E", string)


def test_both_edges_are_taken_as_often() -> None:
    chance = random.Random(1)
    strings = [embedded_reber_string(chance) for _ in range(4000)]
    assert sum(string[1] == "T" for string in strings) == pytest.approx(2000, abs=150)
    assert sum(string[3] == "T" for string in strings) == pytest.approx(2000, abs=150)
    # The shortest inner strings, BTXSE and BPVVE, have probability 1/8 each.
    assert sum(len(string) == 9 for string in strings) == pytest.approx(1000, abs=120)


def test_what_may_follow_is_what_follows_in_some_string_with_the_same_beginning() -> None:
    chance = random.Random(2)
    after: dict[str, set[str]] = {}
    strings = [embedded_reber_string(chance) for _ in range(4000)]
    for string in strings:
        for end in range(1, len(string)):
            after.setdefault(string[:end], set()).add(string[end])
    common = [string for string in strings if len(string) < 11][:200]
    assert len(common) == 200
    for string in common:
        assert [set(symbols) for symbols in possible_next(string)] == [after[string[:n]] for n in range(1, len(string))]


@pytest.mark.parametrize(
    "string", ["", "B", "BTBTXSETEE", "BTBTXSEPE", "BTBTXSET", "XTBTXSETE", "BTBTTSETE", "BTBTXSET?", "BPBTXSETE"]
)
def test_other_strings_are_refused(string: str) -> None:
    with pytest.raises(UsageError, match="a string of the embedded Reber grammar"):
        possible_next(string)


def test_data_spell_the_strings() -> None:
    strings = ["BTBTXSETE", "BPBPTTVPSEPE"]
    x, target, possible, lengths = next_symbol_data(strings)
    assert x.shape == target.shape == possible.shape == (11, 2, 7) and lengths.tolist() == [8, 11]
    for number, string in enumerate(strings):
        n = len(string) - 1
        assert "".join(SYMBOLS[k] for k in x[:n, number].argmax(-1)) == string[:-1]
        assert "".join(SYMBOLS[k] for k in target[:n, number].argmax(-1)) == string[1:]
        assert (x[:n, number].sum(-1) == 1).all() and not x[n:, number].any() and not possible[n:, number].any()
        found = [{SYMBOLS[k] for k in row.nonzero().flatten()} for row in possible[:n, number]]
        assert found == [set(symbols) for symbols in possible_next(string)]


def test_no_strings() -> None:
    with pytest.raises(UsageError, match="strings is empty"):
        next_symbol_data([])
