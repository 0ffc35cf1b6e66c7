"""A smoothed n-gram model of labellings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from recurra.cells.base import check_size
from recurra.errors import UsageError
from recurra.learn.objectives.log_scores import Array

BEGIN = -1
SMOOTHINGS = ("kneser-ney", "witten-bell")
# Contexts whose probabilities are kept; the rest is computed again when asked for.
REMEMBERED = 20_000

State = tuple[int, ...]


class NGram:
    """The probability of the next label given the latest labels, interpolated over contexts of all lengths.

    Equations:
        h: the last n - 1 labels, the beginning padded; h': h without its first; c: counts; N(h): how many different
        labels were seen after h. The recursion ends at the uniform distribution over the labels in use and the end.
        "witten-bell": p(w | h) = (c(h w) + N(h) p(w | h')) / (c(h) + N(h));
        "kneser-ney":  p(w | h) = (max(c(h w) - D, 0) + D N(h) p(w | h')) / c(h), where below the highest order c(h w)
                       is the number of different labels seen before h w, c(h) their sum over w, and D = n_1 / (n_1 +
                       2 n_2) of its order, n_i the number of n-grams with count i (0.5 where n_1 or n_2 is 0).
        p(w | h) = p(w | h') after an h that was never seen.

    Made by `train_ngram` and `train_ngram_on_text`; kept in a file by `save_ngram` and `load_ngram`.

    Args:
        levels: for contexts of 0, 1, ... n - 1 labels, the counts, (entries, context labels + 2): the context (-1: the
            beginning), the label (`classes`: the end) and its count.
        classes: classes of the network it serves.
        unused: classes that are never a label, the blank among them.
        smoothing: "kneser-ney" or "witten-bell".
        ends: whether the model knows where labellings end.
        alphabet: the text of each class, None for unused ones; only for models of text.

    Shapes:
        log_probs (classes,), in nats.

    Raises:
        UsageError: an argument is out of range.

    Differs from the paper: Kneser and Ney back off; this is the interpolated form of Chen and Goodman, with one
    discount an order.

    Reference:
        R. Kneser, H. Ney. Improved backing-off for m-gram language modeling. ICASSP (1995) 181-184.
        I. H. Witten, T. C. Bell. The zero-frequency problem: estimating the probabilities of novel events in adaptive
        text compression. IEEE Transactions on Information Theory 37 (1991) 1085-1094.
        S. F. Chen, J. Goodman. An empirical study of smoothing techniques for language modeling. Computer Speech and
        Language 13 (1999) 359-394.

    Example:
        >>> import numpy as np
        >>> from recurra.learn.objectives import train_ngram_on_text
        >>> model = train_ngram_on_text(["abab", "abb"], [None, "a", "b"], order=2, smoothing="witten-bell")
        >>> model.log_probs(model.advance(model.begin(), 1)).argmax()  # after a comes b
        np.int64(2)
    """

    def __init__(
        self,
        levels: Sequence[Array],
        classes: int,
        *,
        unused: Sequence[int] = (),
        smoothing: str = "kneser-ney",
        ends: bool = True,
        alphabet: Sequence[str | None] | None = None,
    ):
        where = "NGram"
        self.classes = check_size(classes, "classes", where)
        if smoothing not in SMOOTHINGS:
            raise UsageError(f"smoothing is {smoothing!r}", where=where, need="'kneser-ney' or 'witten-bell'")
        self.unused, self.smoothing, self.ends = check_unused(unused, classes, where), smoothing, bool(ends)
        self.alphabet = None if alphabet is None else tuple(alphabet)
        self.levels = [np.asarray(level, dtype=np.int64) for level in levels]
        check_size(len(self.levels), "order", where)
        for size, level in enumerate(self.levels):
            if level.ndim != 2 or level.shape[1] != size + 2:
                need = f"(entries, {size + 2})"
                raise UsageError(f"level {size} has shape {level.shape}", where=where, need=need)
        self._tables = [_Level(level, smoothing) for level in self.levels]
        base = np.ones(classes + 1)
        base[list(self.unused)] = 0.0
        base[classes] = float(self.ends)
        self._base = base / base.sum()
        self._known: dict[State, Array] = {}

    @property
    def order(self) -> int:
        """n: the label that is predicted, and the n - 1 before it."""
        return len(self.levels)

    def begin(self) -> State:
        """The state before the first label: a context of beginnings."""
        return (BEGIN,) * (self.order - 1)

    def advance(self, state: State, label: int) -> State:
        """The state after one more label: the latest n - 1."""
        return (*state, label)[1:] if self.order > 1 else ()

    def log_probs(self, state: State) -> Array:
        """The log-probability of each class to be next, -infinity for unused ones."""
        return self._log_probs(state)[: self.classes]

    def end(self, state: State) -> float:
        """The log-probability that the labelling ends here; 0 where the model does not know ends."""
        return float(self._log_probs(state)[self.classes]) if self.ends else 0.0

    def log_prob(self, labels: Sequence[int]) -> float:
        """The log-probability of a whole labelling, its end included, in nats."""
        return math.fsum(self.each_log_prob(labels))

    def each_log_prob(self, labels: Sequence[int]) -> list[float]:
        """The log-probability of each label after those before it, and of the end."""
        state, found = self.begin(), []
        for label in labels:
            if label in self.unused or not 0 <= label < self.classes:
                need = f"classes from 0 to {self.classes - 1}, but none of {self.unused}"
                raise UsageError(f"labels holds {label}", where="NGram", need=need)
            found.append(float(self.log_probs(state)[label]))
            state = self.advance(state, label)
        return [*found, self.end(state)] if self.ends else found

    def __repr__(self) -> str:
        return f"NGram(order={self.order}, classes={self.classes}, smoothing={self.smoothing!r})"

    def _log_probs(self, state: State) -> Array:
        if state not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            with np.errstate(divide="ignore"):
                self._known[state] = np.log(self._probs(state))
            self._known[state].setflags(write=False)
        return self._known[state]

    def _probs(self, state: State) -> Array:
        probs = self._base
        for size, table in enumerate(self._tables):
            probs = table.refine(state[len(state) - size :], probs)
        return probs


class _Level:
    """The counts after contexts of one length, and what is taken off them."""

    def __init__(self, entries: Array, smoothing: str):
        self.witten_bell = smoothing == "witten-bell"
        once, twice = int((entries[:, -1] == 1).sum()), int((entries[:, -1] == 2).sum())
        self.discount = once / (once + 2 * twice) if once and twice else 0.5
        self.after: dict[State, tuple[Array, Array]] = {}
        if not len(entries):
            return
        contexts = entries[:, :-2]
        changes = np.nonzero((contexts[1:] != contexts[:-1]).any(1))[0] + 1
        for part in np.split(entries, changes):
            self.after[tuple(part[0, :-2].tolist())] = part[:, -2], part[:, -1].astype(np.float64)

    def refine(self, context: State, lower: Array) -> Array:
        """The probabilities after a context, from those after the shorter one."""
        seen = self.after.get(context)
        if seen is None:
            return lower
        labels, counts = seen
        total, kinds = counts.sum(), len(labels)
        if self.witten_bell:
            probs = kinds * lower
            probs[labels] += counts
            return probs / (total + kinds)
        probs = self.discount * kinds * lower
        probs[labels] += counts - self.discount
        return probs / total


def check_unused(unused: Sequence[int], classes: int, where: str) -> tuple[int, ...]:
    """Classes that are never a label; at least one other is left."""
    found = tuple(sorted({int(label) for label in unused}))
    if any(not 0 <= label < classes for label in found) or len(found) >= classes:
        need = f"some of the classes from 0 to {classes - 1}, not all of them"
        raise UsageError(f"unused is {found}", where=where, need=need)
    return found
