"""The Reber grammar and the embedded Reber grammar: strings whose last symbol but one must equal the second."""

from __future__ import annotations

import random
from collections.abc import Iterator

import torch
from torch import Tensor

from recurra.errors import UsageError

SYMBOLS = "BTPSXVE"
"""The seven symbols, in the order of the features."""

_EDGES: tuple[tuple[tuple[str, int], ...], ...] = (
    (("T", 1), ("P", 2)),
    (("S", 1), ("X", 3)),
    (("T", 2), ("V", 4)),
    (("X", 2), ("S", 5)),
    (("P", 3), ("V", 5)),
    (("E", 6),),
)


def reber_string(chance: random.Random) -> str:
    """Draw a string of the Reber grammar.

    Equations:
        B, then from state 0 an edge drawn evenly from those that leave the state, until E is written:
        0: T to 1, P to 2. 1: S to 1, X to 3. 2: T to 2, V to 4. 3: X to 2, S to 5. 4: P to 3, V to 5. 5: E.

    Args:
        chance: of random numbers.

    Reference:
        A. S. Reber. Implicit learning of artificial grammars. Journal of Verbal Learning and Verbal Behavior 6 (1967)
        855-863.
        A. Cleeremans, D. Servan-Schreiber, J. L. McClelland. Finite state automata and simple recurrent networks.
        Neural Computation 1 (1989) 372-381.

    Example:
        >>> reber_string(random.Random(1))
        'BTSXXVVE'
    """
    written, state = ["B"], 0
    while state < 6:
        symbol, state = chance.choice(_EDGES[state])
        written.append(symbol)
    return "".join(written)


def embedded_reber_string(chance: random.Random) -> str:
    """Draw a string of the embedded Reber grammar: B, T or P, a Reber string, the same T or P again, E.

    Args:
        chance: of random numbers.

    Reference:
        A. W. Smith, D. Zipser. Learning sequential structure with the real-time recurrent learning algorithm.
        International Journal of Neural Systems 1 (1989) 125-131.
        S. E. Fahlman. The recurrent cascade-correlation architecture. NIPS 3 (1991) 190-196.

    Example:
        >>> embedded_reber_string(random.Random(1))
        'BTBTXXVVETE'
    """
    second = chance.choice("TP")
    return f"B{second}{reber_string(chance)}{second}E"


def possible_next(string: str) -> list[str]:
    """The symbols that may follow each prefix of an embedded Reber string, for the prefixes of length 1 to n - 1.

    Args:
        string: of the embedded Reber grammar.

    Raises:
        UsageError: the string is not of the grammar.

    Example:
        >>> possible_next("BTBPTVVETE")
        ['TP', 'B', 'TP', 'TV', 'TV', 'PV', 'E', 'T', 'E']
    """
    found, walk = [], _walk(string)
    for symbol, wanted in zip(string, walk, strict=False):
        if symbol not in wanted:
            break
        found.append(wanted)
    else:
        if len(found) == len(string) and next(walk, None) is None:
            return found[1:]
    raise UsageError(
        f"string is {string!r}",
        where="possible_next",
        need="a string of the embedded Reber grammar",
        cure="draw one with embedded_reber_string",
    )


def _walk(string: str) -> Iterator[str]:
    """What may stand at each place, given what stands before it."""
    yield "B"
    yield "TP"
    yield "B"
    state, place = 0, 3
    while state < 6:
        edges = _EDGES[state]
        yield "".join(symbol for symbol, _ in edges)
        state, place = dict(edges)[string[place]], place + 1
    yield string[1]
    yield "E"


def next_symbol_data(strings: list[str]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embedded Reber strings as inputs and as targets of the prediction of the next symbol at every step.

    Args:
        strings: of the embedded Reber grammar, at least one.

    Shapes:
        x, target and possible (steps, batch, 7), lengths (batch,), with steps the longest string's length less 1; one
        feature a symbol, in the order of `SYMBOLS`. `possible` is 1 for each symbol that may come next. Steps past a
        string's end are 0. float32 on the processor, lengths int64.

    Raises:
        UsageError: there is no string, or one is not of the grammar.

    Example:
        >>> x, target, possible, lengths = next_symbol_data(["BTBPTVVETE", "BPBTXSEPE"])
        >>> x.shape, possible[0, 0].tolist(), lengths.tolist()
        (torch.Size([9, 2, 7]), [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [9, 8])
    """
    if not strings:
        raise UsageError("strings is empty", where="next_symbol_data", need="at least one string")
    lengths = torch.tensor([len(string) - 1 for string in strings])
    x = torch.zeros(int(lengths.max()), len(strings), len(SYMBOLS))
    target, possible = torch.zeros_like(x), torch.zeros_like(x)
    for number, string in enumerate(strings):
        places = [SYMBOLS.index(symbol) for symbol in string if symbol in SYMBOLS]
        may_come = possible_next(string)
        steps = torch.arange(len(string) - 1)
        x[steps, number, torch.tensor(places[:-1])] = 1.0
        target[steps, number, torch.tensor(places[1:])] = 1.0
        for step, wanted in enumerate(may_come):
            for symbol in wanted:
                possible[step, number, SYMBOLS.index(symbol)] = 1.0
    return x, target, possible, lengths
