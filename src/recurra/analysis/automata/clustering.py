"""Automata from the states of a network: by cutting its state space into a grid, or by clustering what it visits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recurra.analysis.automata.dfa import DFA, Word
from recurra.analysis.automata.recogniser import Recogniser, flat
from recurra.cells.base import check_size
from recurra.cells.state import map_state
from recurra.errors import UsageError


@dataclass(frozen=True)
class Extracted:
    """An automaton read from a network's states.

    Attributes:
        automaton: minimised.
        regions: how many regions of the state space it was read from.
        certainty: the share of the transitions seen that go where most from their region do; 1 where the regions are
            states indeed.
        agreement: the share of the given words on which automaton and network agree; None where none were given.
    """

    automaton: DFA
    regions: int
    certainty: float
    agreement: float | None


def extract_by_grid(
    network: Recogniser,
    bins: int = 2,
    low: float = 0.0,
    high: float = 1.0,
    most: int = 1000,
    words: Sequence[Word] = (),
) -> Extracted:
    """Read an automaton from a grid over the state space.

    From the state after the start mark, each symbol is followed in breadth. A state is known by the box of the grid
    in which it lies, and the first state seen in a box stands for all in it.

    Args:
        network: the recogniser.
        bins: equal parts of each unit's range.
        low, high: that range.
        most: the most boxes; transitions of boxes past it lead to the start.
        words: what to compare on.

    Raises:
        UsageError: bins or most is not positive, or low is not below high.

    Reference:
        C. L. Giles, C. B. Miller, D. Chen, H. H. Chen, G. Z. Sun, Y. C. Lee. Learning and extracting finite state
        automata with second-order recurrent neural networks. Neural Computation 4 (1992) 393-405.

    Example:
        >>> from recurra.analysis.automata.encode import encode_automaton
        >>> even = DFA("ab", ((1, 0), (0, 1)), {0})
        >>> extract_by_grid(encode_automaton(even)).automaton == even
        True
    """
    check_size(bins, "bins", "extract_by_grid")
    check_size(most, "most", "extract_by_grid")
    if not low < high:
        raise UsageError(f"low is {low}, and high is {high}", where="extract_by_grid", need="low below high")
    y, state = network.start()

    def boxes(states: Tensor) -> list[tuple[int, ...]]:
        parts = ((states - low) / (high - low) * bins).floor().clamp(0, bins - 1).long()
        return [tuple(row) for row in parts.tolist()]

    numbers = {boxes(flat(state))[0]: 0}
    accepting = {0} if float(network.score(y)[0]) > 0 else set()
    rows: list[list[int]] = []
    # All boxes found in one round are followed at once.
    while state is not None:
        y, after = network.follow(state)
        scores, keys, new = network.score(y).tolist(), boxes(flat(after)), []
        targets = []
        for place, key in enumerate(keys):
            if key not in numbers and len(numbers) < most:
                numbers[key] = len(numbers)
                new.append(place)
                if scores[place] > 0:
                    accepting.add(numbers[key])
            targets.append(numbers.get(key, 0))
        count = len(network.alphabet)
        rows += [targets[begin : begin + count] for begin in range(0, len(targets), count)]
        chosen = torch.tensor(new, dtype=torch.long)
        state = map_state(lambda part, chosen=chosen: part[chosen], after) if new else None
    automaton = DFA(network.alphabet, rows, accepting).minimise()
    return Extracted(automaton, len(numbers), 1.0, _agreement(automaton, network, words))


def extract_by_clustering(
    network: Recogniser, regions: int, depth: int = 8, words: Sequence[Word] = (), seed: int = 0
) -> Extracted:
    """Read an automaton from clusters of the states that the network passes on all words up to a length.

    Equations:
        the states are clustered by k-means; region i goes with symbol a to the region to which most of its states go,
        and accepts where most of its states are accepted; the start is the region of the state after the start mark.

    Args:
        network: the recogniser.
        regions: k.
        depth: the length up to which all words are followed.
        words: what to compare on.
        seed: of k-means.

    Raises:
        UsageError: regions or depth is not positive.

    Reference:
        Z. Zeng, R. M. Goodman, P. Smyth. Learning finite state machines with self-clustering recurrent networks. Neural
        Computation 5 (1993) 976-990 (clusters in the state space); k-means with first centres after D. Arthur, S.
        Vassilvitskii. SODA (2007) 1027-1035.

    Example:
        >>> from recurra.analysis.automata.encode import encode_automaton
        >>> even = DFA("ab", ((1, 0), (0, 1)), {0})
        >>> found = extract_by_clustering(encode_automaton(even), regions=4)
        >>> found.automaton == even, found.certainty
        (True, 1.0)
    """
    check_size(regions, "regions", "extract_by_clustering")
    check_size(depth, "depth", "extract_by_clustering")
    y, state = network.start()
    states, scores = [flat(state)], [network.score(y)]
    for _ in range(depth):
        y, state = network.follow(state)
        states.append(flat(state))
        scores.append(network.score(y))
    vectors, accepted = torch.cat(states), torch.cat(scores) > 0
    labels = _k_means(vectors, min(regions, len(vectors)), seed).numpy()
    count, symbols = int(labels.max()) + 1, len(network.alphabet)
    # The states followed by a symbol stand in order: those of row r in rows 1 + r symbols, ...
    parents = np.repeat(np.arange((len(labels) - 1) // symbols), symbols)
    symbol = np.tile(np.arange(symbols), (len(labels) - 1) // symbols)
    votes = np.zeros((count, symbols, count))
    np.add.at(votes, (labels[parents], symbol, labels[1:]), 1)
    share = np.zeros(count)
    np.add.at(share, labels, accepted.numpy() * 2.0 - 1.0)
    automaton = DFA(
        network.alphabet, votes.argmax(-1).tolist(), set(np.flatnonzero(share > 0).tolist()), int(labels[0])
    ).minimise()
    certainty = float(votes.max(-1).sum() / votes.sum())
    return Extracted(automaton, count, certainty, _agreement(automaton, network, words))


def _agreement(automaton: DFA, network: Recogniser, words: Sequence[Word]) -> float | None:
    return float((automaton.accepts_many(words) == network.accepts(words)).mean()) if len(words) else None


def _k_means(vectors: Tensor, count: int, seed: int, rounds: int = 100) -> Tensor:
    """Labels, (rows,), numbered from 0 without gaps."""
    generator = torch.Generator().manual_seed(seed)
    centres = vectors[:1]
    while len(centres) < count:
        distance = torch.cdist(vectors, centres).amin(1).square()
        if float(distance.sum()) <= 1e-18 * len(vectors):
            break  # fewer different vectors than centres
        centres = torch.cat([centres, vectors[torch.multinomial(distance, 1, generator=generator)]])
    labels = torch.cdist(vectors, centres).argmin(1)
    for _ in range(rounds):
        member = torch.nn.functional.one_hot(labels, len(centres)).to(vectors.dtype)
        size = member.sum(0).unsqueeze(-1)
        centres = torch.where(size > 0, member.T @ vectors / size.clamp(min=1), centres)
        after = torch.cdist(vectors, centres).argmin(1)
        if torch.equal(after, labels):
            break
        labels = after
    return torch.unique(labels, return_inverse=True)[1]
