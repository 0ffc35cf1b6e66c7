"""Dyck languages: balanced strings of several kinds of brackets, and at each step which symbols may follow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.errors import UsageError


def dyck_words(
    count: int,
    shortest: int,
    longest: int,
    kinds: int = 2,
    nest: float = 0.5,
    join: float = 0.25,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Draw balanced strings of a range of lengths from a random grammar.

    Equations:
        S -> (_k S )_k with probability nest / kinds for each kind k;  S -> S S with probability join;  S -> nothing
        otherwise; strings shorter than `shortest` or longer than `longest` are drawn again.

    Args:
        count: how many strings.
        shortest, longest: symbols of a string.
        kinds: of brackets.
        nest, join: the probabilities; nest + 2 join is at most 1, beyond which strings have no end.
        generator: of random numbers; torch's own when absent.

    Returns:
        strings of symbols: k opens a bracket of kind k, kinds + k closes it, for k = 0 ... kinds - 1.

    Raises:
        UsageError: a number is out of range, or there is no even length in the range.

    Reference:
        M. Suzgun, S. Gehrmann, Y. Belinkov, S. M. Shieber. Memory-augmented recurrent neural networks can learn
        generalized Dyck languages. arXiv:1911.03329 (2019).

    Example:
        >>> words = dyck_words(3, 2, 6, generator=torch.Generator().manual_seed(0))
        >>> all(2 <= len(word) <= 6 and len(word) % 2 == 0 for word in words)
        True
    """
    fits = count >= 0 and kinds >= 1 and max(2, shortest) <= longest - longest % 2
    if not fits or not (nest > 0 and join >= 0 and nest + 2 * join <= 1):
        given = f"count is {count}, lengths {shortest} to {longest}, kinds {kinds}, nest {nest}, join {join}"
        need = "an even length of 2 or more in the range, a kind or more, nest above 0 and nest + 2 join at most 1"
        raise UsageError(given, where="dyck_words", need=need)
    chances = _Chances(generator)
    words: list[list[int]] = []
    while len(words) < count:
        word = _word(longest, kinds, nest, join, chances)
        if word is not None and len(word) >= max(2, shortest):
            words.append(word)
    return words


class _Chances:
    """Uniform random numbers one by one, drawn many at a time."""

    def __init__(self, generator: torch.Generator | None):
        self.generator, self.left = generator, list[float]()

    def next(self) -> float:
        if not self.left:
            self.left = torch.rand(4096, generator=self.generator).tolist()
        return self.left.pop()


def _word(longest: int, kinds: int, nest: float, join: float, chances: _Chances) -> list[int] | None:
    """One string, or None where it grows too long. `still` holds what is yet to be written: -1 stands for S."""
    word, still = list[int](), [-1]
    while still:
        symbol = still.pop()
        if symbol >= 0:
            word.append(symbol)
            continue
        drawn = chances.next()
        if drawn < nest:
            kind = min(int(drawn / nest * kinds), kinds - 1)
            word.append(kind)
            still += [kinds + kind, -1]
        elif drawn < nest + join:
            still += [-1, -1]
        if len(word) + len(still) > 4 * longest or len(word) > longest:
            return None
    return word if len(word) <= longest else None


def dyck_strings(words: Sequence[Sequence[int]], kinds: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Balanced strings for a network, and after each symbol those that may follow.

    Equations:
        any opening bracket may always follow; of the closing ones only that of the bracket opened last and not closed.

    Args:
        words: strings as `dyck_words` gives them, or beginnings of such.
        kinds: of brackets.

    Shapes:
        x (time, batch, 2 kinds), one-hot; allowed (time, batch, 2 kinds), 1 for each symbol that may follow; both 0
        past a string's length, and float32. lengths (batch,).

    Returns:
        `(x, allowed, lengths)`; `recurra.problems.counting.accepted` judges what was said to be likely.

    Raises:
        UsageError: a bracket is closed that is not the one opened last, a symbol is out of range, or there is no word.

    Reference:
        M. Suzgun, S. Gehrmann, Y. Belinkov, S. M. Shieber. Memory-augmented recurrent neural networks can learn
        generalized Dyck languages. arXiv:1911.03329 (2019).

    Example:
        >>> x, allowed, lengths = dyck_strings([[0, 1, 3, 2]])  # ( [ ] )
        >>> allowed[:, 0].tolist()
        [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
    """
    if not words:
        raise UsageError("there are no words", where="dyck_strings", need="at least one")
    longest = max(len(word) for word in words)
    read = torch.full((longest, len(words)), -1)
    follow = torch.full((longest, len(words)), -1)
    for place, word in enumerate(words):
        read[: len(word), place] = torch.tensor(list(word), dtype=torch.long)
        follow[: len(word), place] = torch.tensor(_tops(word, kinds, place), dtype=torch.long)
    symbols = torch.arange(2 * kinds)
    within = (read >= 0).unsqueeze(-1)
    x = (read.unsqueeze(-1) == symbols) & within
    allowed = ((symbols < kinds) | (follow.unsqueeze(-1) + kinds == symbols) & (follow >= 0).unsqueeze(-1)) & within
    return x.float(), allowed.float(), torch.tensor([len(word) for word in words])


def _tops(word: Sequence[int], kinds: int, place: int) -> list[int]:
    """After each symbol the kind of the bracket opened last and not closed; -1 where there is none."""
    stack, tops = list[int](), []
    for t, symbol in enumerate(word):
        if 0 <= symbol < kinds:
            stack.append(symbol)
        elif not stack or stack.pop() != symbol - kinds:
            raise UsageError(
                f"symbol {symbol} at step {t} of word {place} closes no open bracket",
                where="dyck_strings",
                need=f"opening brackets 0 to {kinds - 1}, and {kinds} + k for closing the last one, of kind k",
            )
        tops.append(stack[-1] if stack else -1)
    return tops
