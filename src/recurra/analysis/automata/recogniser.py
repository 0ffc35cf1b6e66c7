"""A network that accepts or rejects words, as one asks it for an automaton."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.analysis.automata.dfa import Word, codes
from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.errors import UsageError
from recurra.types import State
from recurra.unroll import unroll


class Recogniser:
    """A cell and what reads it, as a recogniser of words.

    The network reads a start mark, then the word, each symbol as one-hot features, the mark as the last feature; a word
    is accepted where the score after its last symbol is positive. So the empty word has an answer too.

    Args:
        cell: any cell of len(alphabet) + 1 features; it is used as it is, without gradients.
        read: from the cell's output (batch, output_size) to scores, (batch,) or (batch, 1).
        alphabet: the symbols.

    Attributes:
        asked: how many words the network was asked about.

    Raises:
        UsageError: the cell does not read as many features.

    Example:
        >>> from recurra.cells import SecondOrderRNN
        >>> network = Recogniser(SecondOrderRNN(3, 4), lambda y: y[:, 0] - 0.5, "ab")
        >>> network.accepts(["", "ab", "bba"]).shape
        (3,)
    """

    def __init__(self, cell: Cell, read: Callable[[Tensor], Tensor], alphabet: Sequence[str]):
        if cell.input_size != len(alphabet) + 1:
            need = f"{len(alphabet) + 1}, one a symbol and one for the start mark"
            raise UsageError(f"the cell has input_size {cell.input_size}", where="Recogniser", need=need)
        self.cell, self.read, self.alphabet = cell, read, tuple(alphabet)
        self.asked = 0
        like = next(cell.parameters(), None)
        self._dtype = torch.get_default_dtype() if like is None else like.dtype
        self._device = torch.device("cpu") if like is None else like.device

    def inputs(self, words: Sequence[Word]) -> tuple[Tensor, Tensor]:
        """What the cell reads, (time, batch, features), and the lengths (batch,), the start mark included."""
        lengths = torch.tensor([len(word) + 1 for word in words], dtype=torch.long)
        coded = np.full((int(lengths.max()) if len(words) else 1, len(words)), -1, dtype=np.int64)
        for place, word in enumerate(words):
            coded[0, place] = len(self.alphabet)
            coded[1 : len(word) + 1, place] = codes(word, self.alphabet)
        x = torch.from_numpy(coded).unsqueeze(-1) == torch.arange(len(self.alphabet) + 1)
        return x.to(device=self._device, dtype=self._dtype), lengths

    def scores(self, words: Sequence[Word], at_once: int = 4096) -> Tensor:
        """The scores after the last symbols, (words,)."""
        found = []
        with torch.no_grad():
            for begin in range(0, len(words), at_once):
                part = words[begin : begin + at_once]
                x, lengths = self.inputs(part)
                y, _ = unroll(self.cell, x, lengths=lengths)
                found.append(self.score(y[lengths - 1, torch.arange(len(part))]))
        self.asked += len(words)
        return torch.cat(found) if found else torch.zeros(0)

    def accepts(self, words: Sequence[Word]) -> np.ndarray:
        """Whether each word is accepted, booleans."""
        return (self.scores(words) > 0).cpu().numpy()

    def score(self, y: Tensor) -> Tensor:
        """The scores of outputs, (batch,)."""
        return self.read(y).reshape(len(y))

    def start(self) -> tuple[Tensor, State]:
        """The output and the state after the start mark, of a batch of one."""
        first = self.cell.initial_state(1, dtype=self._dtype, device=self._device)
        with torch.no_grad():
            return self.cell(self._symbol(len(self.alphabet)).unsqueeze(0), first)

    def follow(self, state: State) -> tuple[Tensor, State]:
        """Each state followed by each symbol: batch times symbols rows, the symbols of the first state first."""
        count = len(self.alphabet)
        many = map_state(lambda part: part.repeat_interleave(count, 0), state)
        rows = len(state_tensors(state)[0])
        x = torch.stack([self._symbol(code) for code in range(count)]).repeat(rows, 1)
        with torch.no_grad():
            return self.cell(x, many)

    def _symbol(self, code: int) -> Tensor:
        marks = torch.zeros(len(self.alphabet) + 1, dtype=self._dtype, device=self._device)
        return marks.index_fill(0, torch.tensor([code], device=self._device), 1.0)


def flat(state: Any) -> Tensor:
    """The tensors of a state side by side, (batch, features)."""
    return torch.cat([part.flatten(1).to(torch.float64) for part in state_tensors(state)], -1)
